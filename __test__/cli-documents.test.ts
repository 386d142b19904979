// What is made of the definitions: completions that shells take, a manual page, docs/cli.md and the schema that are up to date.
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { format, resolveConfig } from 'prettier'
import { commands } from '../src/cli/commands/index.js'
import { optionsOf } from '../src/cli/definition.js'
import { completionScript } from '../src/cli/render/completion.js'
import { manualPage } from '../src/cli/render/man.js'
import { documentation } from '../src/cli/render/markdown.js'
import { configurationSchema } from '../src/cli/render/schema.js'
import { cli, temporaryFolder } from './support/cli.js'
import { root } from './support/node.js'
import { onPath, requires } from './support/requires.js'

const execFileAsync = promisify(execFile)

test('docs/cli.md, the manual page and the schema are up to date: npm run generate', async (t) => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  const written = (path: string): string => readFileSync(join(root, path), 'utf8')
  const formatted = async (path: string, text: string): Promise<string> =>
    format(text, { ...(await resolveConfig(join(root, path))), filepath: path })
  t.is(written('docs/cli.md'), await formatted('docs/cli.md', documentation()))
  t.is(written('man/hotcell.1'), manualPage(version))
  const schema = 'schema/hotcell.config.schema.json'
  t.is(written(schema), await formatted(schema, JSON.stringify(configurationSchema())))
})

test('the documents have every option', (t) => {
  const markdown = documentation()
  const manual = manualPage('1')
  for (const command of commands) {
    for (const name of Object.keys(optionsOf(command))) {
      t.true(markdown.includes(`--${name}`), name)
      t.true(manual.includes(`\\-\\-${name.replaceAll('-', '\\-')}`), name)
    }
  }
})

requires('man', onPath('man'))('the manual page is understood by troff', async (t) => {
  const { stdout, stderr } = await execFileAsync('man', ['--warnings', '-l', join(root, 'man', 'hotcell.1')], {
    env: { ...process.env, MANWIDTH: '80', LC_ALL: 'C.UTF-8' },
  })
  t.is(stderr, '')
  t.regex(stdout, /hotcell run \[options\]/)
})

/** What bash offers for a command line, whose last word is being written. */
async function completions(line: string): Promise<string[]> {
  const script = `${completionScript('bash')}
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_hotcell
printf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout } = await execFileAsync('bash', ['--norc', '-c', script, 'bash', ...line.split(' ')])
  return [...new Set(stdout.split('\n').filter(Boolean))].sort()
}

const bash = requires('bash', onPath('bash'))

bash('bash completes commands, options and values', async (t) => {
  t.deepEqual(await completions('hotcell ru'), ['run'])
  t.deepEqual(await completions('hotcell run --wal'), ['--wall-time'])
  t.deepEqual(await completions('hotcell run -m 5M --wal'), ['--wall-time'])
  t.deepEqual(await completions('hotcell run --network '), ['host', 'none'])
  t.deepEqual(await completions('hotcell run --network = h'), ['host'])
  t.deepEqual(await completions('hotcell run --memory '), [])
  t.deepEqual(await completions('hotcell trace --on-violation '), ['deny', 'kill', 'log'])
  t.deepEqual(await completions('hotcell completion z'), ['zsh'])
  t.deepEqual(await completions('hotcell help do'), ['doctor'])
  const all = Object.keys(optionsOf(commands[0]!)).map((name) => `--${name}`)
  t.deepEqual(await completions('hotcell run --'), [...all, '--help'].sort())
})

bash('bash completes programs where the program stands, and no options behind it', async (t) => {
  t.deepEqual(await completions('hotcell run trunc'), ['truncate'])
  t.deepEqual(await completions('hotcell run -- trunc'), ['truncate'])
  t.deepEqual(await completions('hotcell run -m 5M trunc'), ['truncate'])
  t.deepEqual(await completions('hotcell run ls --mem'), [])
})

for (const [shell, args] of [
  ['bash', ['-n']],
  ['zsh', ['-n']],
  ['fish', ['--no-execute']],
] as const) {
  requires(shell, onPath(shell))(`${shell} takes its script`, async (t) => {
    const { stdout } = await cli(['completion', shell])
    const file = join(temporaryFolder(t), 'script')
    writeFileSync(file, stdout)
    t.is((await execFileAsync(shell, [...args, file])).stderr, '')
  })
}

requires('fish', onPath('fish'))('fish completes', async (t) => {
  const offered = async (line: string): Promise<string[]> => {
    const script = `${completionScript('fish')}\ncomplete -C ${JSON.stringify(line)}`
    const { stdout } = await execFileAsync('fish', ['--no-config', '-c', script])
    return stdout
      .split('\n')
      .map((entry) => entry.split('\t')[0] as string)
      .filter(Boolean)
  }
  t.deepEqual(await offered('hotcell ru'), ['run'])
  t.deepEqual(await offered('hotcell run -m 5M --wal'), ['--wall-time'])
  t.deepEqual(await offered('hotcell run --network '), ['host', 'none'])
  t.deepEqual(await offered('hotcell run ls --wal'), [])
})
