// hotcell.config.json: where it is found, what counts, and what is said about mistakes in it.
import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { configurable } from '../src/cli/configurable.js'
import { readConfig } from '../src/cli/config-file.js'
import { configurationSchema } from '../src/cli/render/schema.js'
import { cli, temporaryFolder } from './support/cli.js'
import { requires } from './support/requires.js'

/** A folder with this configuration file, and its path. */
function configured(t: ExecutionContext, content: unknown): string {
  const folder = temporaryFolder(t)
  const text = typeof content === 'string' ? content : JSON.stringify(content)
  writeFileSync(join(folder, 'hotcell.config.json'), text)
  return folder
}

test.serial('is found above the working directory; its paths start at its own folder', async (t) => {
  const folder = configured(t, { options: { env: ['A=1'], 'ro-bind': ['data:/data'] } })
  mkdirSync(join(folder, 'below', 'there'), { recursive: true })
  mkdirSync(join(folder, 'data'))
  writeFileSync(join(folder, 'data', 'file'), 'content')
  const args = ['run', '-e', 'B=2', '--', 'sh', '-c', 'echo $A $B; cat /data/file']
  t.is((await cli(args, { cwd: join(folder, 'below', 'there') })).stdout, '1 2\ncontent')
  t.is((await cli(['run', '--no-config', '--', 'sh', '-c', 'echo "$A"'], { cwd: folder })).stdout, '\n')
  t.is((await cli(['run', '--config', join(folder, 'hotcell.config.json'), '--', 'sh', '-c', 'echo $A'])).stdout, '1\n')
})

test.serial(
  'a profile comes after the options, after those that it extends, and before the command line',
  async (t) => {
    const folder = configured(t, {
      $schema: 'x',
      options: { hostname: 'common', env: ['A=common'], stats: true },
      profiles: {
        base: { hostname: 'base', cwd: '/tmp', env: ['A=base'] },
        special: { extends: 'base', hostname: 'special' },
      },
    })
    const args = (...more: string[]): string[] => [
      'run',
      '--no-stats',
      ...more,
      '--',
      'sh',
      '-c',
      'echo $(uname -n) $(pwd) $A',
    ]
    t.deepEqual(await cli(args(), { cwd: folder }), { code: 0, signal: null, stdout: 'common /w common\n', stderr: '' })
    t.is((await cli(args('-p', 'base'), { cwd: folder })).stdout, 'base /tmp base\n')
    t.is((await cli(args('--profile=special'), { cwd: folder })).stdout, 'special /tmp base\n')
    t.is(
      (await cli(args('-p', 'special', '--hostname', 'mine', '-e', 'A=mine'), { cwd: folder })).stdout,
      'mine /tmp mine\n',
    )
    t.regex((await cli(['run', 'true'], { cwd: folder })).stderr, /wall/)
  },
)

const mistakes: [content: unknown, says: RegExp][] = [
  ['{', /hotcell\.config\.json: /],
  [[], /hotcell\.config\.json: must be an object/],
  [{ option: {} }, /option: there is no such field\. Did you mean options\?/],
  [{ options: { memroy: '5M' } }, /options\.memroy: there is no such option\. Did you mean memory\?/],
  [{ options: { __proto__: 1, memory: '5 M' } }, /options\.memory must be a size.*not "5 M"/],
  [{ options: { memory: true } }, /options\.memory must be a size/],
  [{ options: { 'cpu-time': 2 } }, /options\.cpu-time must be a time with its unit/],
  [{ options: { processes: 1.5 } }, /options\.processes must be a whole number/],
  [{ options: { processes: '5' } }, /options\.processes must be a whole number/],
  [{ options: { bare: 'yes' } }, /options\.bare must be true or false/],
  [{ options: { env: 'A=1' } }, /options\.env must be an array/],
  [{ options: { env: ['A=1', ''] } }, /options\.env\[1\] must be NAME=VALUE/],
  [{ options: { config: 'x' } }, /options\.config: there is no such option/],
  [{ profiles: { a: { netwrok: 'host' } } }, /profiles\.a\.netwrok: there is no such option\. Did you mean network\?/],
  [{ profiles: { a: { extends: 'b' } } }, /profiles\.a\.extends must be the name of a profile/],
  [{ profiles: [] }, /profiles must be an object/],
]

for (const [content, says] of mistakes) {
  test.serial(`names file and field: ${JSON.stringify(content)}`, async (t) => {
    const { code, stderr } = await cli(['run', 'true'], { cwd: configured(t, content) })
    t.is(code, 2)
    t.regex(stderr, says)
  })
}

test.serial('profiles that are not there, or that go round in a circle', async (t) => {
  const folder = configured(t, { profiles: { judge: {}, a: { extends: 'b' }, b: { extends: 'a' } } })
  const run = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await cli(['run', ...args, 'true'], { cwd: folder })
    t.is(code, 2)
    return stderr
  }
  t.regex(await run('-p', 'jugde'), /has no profile "jugde"\. Did you mean judge\?/)
  t.regex(await run('-p', 'a'), /goes round in a circle: a → b → a/)
  t.regex(await run('-p', 'a', '--no-config'), /--no-config reads none/)
  t.regex(await run('--config', 'x', '--no-config'), /exclude each other/)
  t.regex(await run('--config', 'absent.json'), /cannot read the configuration file/)
  t.regex(
    (await cli(['run', '-p', 'a', 'true'], { cwd: temporaryFolder(t) })).stderr,
    /there is no hotcell\.config\.json/,
  )
})

test('a file that is found must not be writable for all; one that is named is taken', (t) => {
  const folder = configured(t, { options: { network: 'host' } })
  const path = join(folder, 'hotcell.config.json')
  const choice = { file: undefined, profile: undefined, none: false }
  t.is(readConfig(choice, folder).length, 1)
  chmodSync(path, 0o666)
  t.throws(() => readConfig(choice, folder), { message: /is writable for all/ })
  t.is(readConfig({ ...choice, file: path }, folder).length, 1)
})

requires('root', process.geteuid?.() === 0)('nor belong to somebody else', (t) => {
  const folder = configured(t, {})
  chownSync(join(folder, 'hotcell.config.json'), 12_345, 12_345)
  const choice = { file: undefined, profile: undefined, none: false }
  t.throws(() => readConfig(choice, folder), { message: /belongs to somebody else \(uid 12345\)/ })
})

test.serial('commands without a program read none', async (t) => {
  const folder = configured(t, '{')
  t.is((await cli(['completion', 'bash'], { cwd: folder })).code, 0)
})

test('the schema has the options that the file may have, and patterns that hold what the parser takes', (t) => {
  const { definitions } = configurationSchema() as {
    definitions: { options: { properties: Record<string, Record<string, unknown>> } }
  }
  const { properties } = definitions.options
  t.deepEqual(Object.keys(properties), Object.keys(configurable))
  const good: Record<string, string[]> = {
    memory: ['5', '1.5GiB', '2mb'],
    'cpu-time': ['1.5s', '10min'],
    user: ['1', '1:2'],
  }
  const bad: Record<string, string[]> = { memory: ['x', '5 M'], 'cpu-time': ['5', 's'], user: ['a', '1:'] }
  for (const [name, option] of Object.entries(configurable)) {
    const pattern = properties[name]?.['pattern']
    if (typeof pattern !== 'string') continue
    for (const text of good[name] ?? []) {
      t.regex(text, new RegExp(pattern))
      t.not(option.value?.parse(text, { base: '/' }), undefined)
    }
    for (const text of bad[name] ?? []) {
      t.notRegex(text, new RegExp(pattern))
      t.is(option.value?.parse(text, { base: '/' }), undefined)
    }
  }
})
