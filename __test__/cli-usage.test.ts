// What the command says of itself, and of what it does not understand.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { seccompProfiles } from '../src/options/seccomp.js'
import { commands } from '../src/cli/commands/index.js'
import { optionsOf } from '../src/cli/definition.js'
import { parseArguments, readValues } from '../src/cli/parse.js'
import { hasColours } from '../src/cli/style.js'
import { duration, profileNames, size, variable } from '../src/cli/values.js'
import { cli, cliFile } from './support/cli.js'
import { root } from './support/node.js'

const context = { base: '/base' }

test.serial('tells its version', async (t) => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  for (const flag of ['--version', '-V'])
    t.deepEqual(await cli([flag]), { code: 0, signal: null, stdout: `${version}\n`, stderr: '' })
})

test.serial('helps with everything, and with each command', async (t) => {
  const overview = await cli(['--help'])
  t.is(overview.code, 0)
  t.is((await cli(['help'])).stdout, overview.stdout)
  for (const command of commands) {
    t.true(overview.stdout.includes(command.summary), command.name)
    const { code, stdout } = await cli([command.name, '--help'])
    t.is(code, 0)
    for (const name of Object.keys(optionsOf(command)))
      t.true(stdout.includes(`--${name}`), `${command.name} --${name}`)
    for (const { command: example } of command.examples) t.true(stdout.includes(example))
    t.false(stdout.includes('\u001B'), 'no colours on a pipe')
    t.true(
      stdout.split('\n').every((line) => line.length <= 80 || line.startsWith('  hotcell')),
      command.name,
    )
  }
  t.is((await cli(['help', 'run'])).stdout, (await cli(['run', '-h'])).stdout)
})

test.serial('asked for nothing, it helps, and that is no success', async (t) => {
  const { code, stdout, stderr } = await cli([])
  t.is(code, 2)
  t.is(stdout, '')
  t.regex(stderr, /Usage/)
})

test.serial('help to a reader that goes away is no failure', async (t) => {
  const { execFile } = await import('node:child_process')
  const status = await new Promise<unknown>((resolve) => {
    const script = `set -o pipefail; "$0" "$1" run --help | head -c 1 > /dev/null`
    execFile('bash', ['-c', script, process.execPath, cliFile], (error) => resolve(error?.code ?? 0))
  })
  t.is(status, 0)
})

const mistakes: [args: string[], says: RegExp][] = [
  [['rnu'], /there is no command "rnu"\. Did you mean run\?\nTry hotcell --help/],
  [['completely-different'], /there is no command .*Known are run, shell/],
  [['--memory', '5'], /there is no option --memory before the command/],
  [['run'], /needs a program/],
  [['run', '--memroy', '5', 'true'], /has no option --memroy\. Did you mean --memory\?\nTry hotcell run --help/],
  [['run', '--mem=5', 'true'], /Did you mean --memory\?/],
  [['run', '-Z', 'true'], /has no option -Z\n/],
  [['run', '--memory'], /--memory needs a value: a size/],
  [['run', '--memory', '5x', 'true'], /--memory must be a size in bytes.*not "5x"/],
  [['run', '-m', 'x', 'true'], /-m must be/],
  [['run', '--cpu-time', '2', 'true'], /--cpu-time must be a time with its unit/],
  [['run', '--memory', '1', 'true'], /memoryBytes.*65536/],
  [['run', '--network', 'all', 'true'], /--network must be one of none, host/],
  [['run', '--quiet=yes', 'true'], /--quiet takes no value/],
  [['run', '--no-memory', 'true'], /has no option --no-memory/],
  [['run', '--cpu-set', 'x', 'true'], /limits\.cpuSet/],
  [['run', '--cgroup', 'somewhere', 'true'], /--cgroup must be auto, require, off or a cgroup/],
  [['doctor', 'now'], /takes no argument: what is "now"\?/],
  [['completion'], /needs a shell: bash, zsh, fish/],
  [['completion', 'bsh'], /Did you mean bash\?/],
  [['completion', 'bash', 'zsh'], /takes only bash\|zsh\|fish/],
  [['help', 'leran'], /Did you mean learn\?/],
  [['trace', '-e', '%fiel', 'true'], /there is no class %fiel\. Did you mean %file\?/],
  [['trace', '-e', 'no_such_call', 'true'], /there is no system call "no_such_call"/],
]

for (const [args, says] of mistakes) {
  test.serial(`hotcell ${args.join(' ')} is told what is wrong, with exit code 2`, async (t) => {
    const { code, stdout, stderr } = await cli(args)
    t.is(code, 2)
    t.is(stdout, '')
    t.regex(stderr, says)
    t.true(stderr.startsWith('hotcell: '))
  })
}

test.serial('what was written wrongly cannot write to the terminal', async (t) => {
  const title = '\u001B]0;title\u0007'
  for (const args of [
    ['run', '--memory', title, 'true'],
    ['run', `--${title}`, 'true'],
    [`--${title}`],
    ['run', title],
  ]) {
    const { code, stderr } = await cli(args)
    t.true(code === 2 || code === 127)
    t.false(stderr.includes('\u001B'))
  }
})

test('sizes and times have units', (t) => {
  const sizes = {
    '0': 0,
    '65536': 65_536,
    '5B': 5,
    '1k': 1024,
    '256M': 2 ** 28,
    '1.5GiB': 1.5 * 2 ** 30,
    '2MB': 2e6,
    '1kB': 1000,
    '1T': 2 ** 40,
  }
  for (const [text, bytes] of Object.entries(sizes)) t.is(size.parse(text, context), bytes, text)
  for (const text of ['', 'M', '-1', '1e3', '1 M', '1MM', '1iB', '9'.repeat(20)])
    t.is(size.parse(text, context), undefined, text)
  const times = { '500ms': 500, '2s': 2000, '1.5s': 1500, '10m': 600_000, '1min': 60_000, '1h': 3_600_000 }
  for (const [text, ms] of Object.entries(times)) t.is(duration.parse(text, context), ms, text)
  for (const text of ['', '5', '0ms', '-1s', '1d', '1 s', '0.1ms']) t.is(duration.parse(text, context), undefined, text)
  t.deepEqual(variable.parse('A=b=c', context), { name: 'A', value: 'b=c' })
  t.is(variable.parse('=c', context), undefined)
})

test('the grammar of options', (t) => {
  const [run] = commands
  const read = (...args: string[]): Record<string, unknown> => {
    const { given } = parseArguments(run!, [...args, 'true'], '/base')
    return readValues(optionsOf(run!), given)
  }
  t.is(read('-m5M')['memory'], 5 * 2 ** 20)
  t.is(read('--memory=5M')['memory'], 5 * 2 ** 20)
  t.like(read('-sqm', '5M'), { stats: true, quiet: true, memory: 5 * 2 ** 20 })
  t.is(read('-s', '--no-stats')['stats'], false)
  t.is(read('-m', '1M', '-m', '2M')['memory'], 2 ** 21)
  t.deepEqual(read('-e', 'A=1', '-eB')['env'], [
    { name: 'A', value: '1' },
    { name: 'B', value: undefined },
  ])
  t.deepEqual(read('--ro-bind', 'x', '--ro-bind=y\\:z:/w')['ro-bind'], [
    { host: '/base/x', container: '/base/x' },
    { host: '/base/y:z', container: '/w' },
  ])
  t.deepEqual(read('--json')['json'], { fd: 2 })
  t.deepEqual(read('--json=out')['json'], { path: '/base/out' })
  t.is(parseArguments(run!, ['--json', 'out'], '/base').operands[0], 'out')
})

test('no two options of a command share a letter', (t) => {
  for (const command of commands) {
    const letters = Object.values(optionsOf(command)).flatMap(({ short }) => short ?? [])
    t.is(new Set(letters).size, letters.length, command.name)
  }
})

test('the names of profiles are those of the API', (t) => {
  t.deepEqual([...profileNames], [...seccompProfiles])
})

test('colours: on a terminal, unless they are not wanted', (t) => {
  const terminal = { isTTY: true }
  t.true(hasColours(terminal, {}))
  t.false(hasColours({}, {}))
  t.false(hasColours(terminal, { TERM: 'dumb' }))
  t.false(hasColours(terminal, { NO_COLOR: '1' }))
  t.true(hasColours(terminal, { NO_COLOR: '' }))
  t.true(hasColours({}, { FORCE_COLOR: '1', NO_COLOR: '1' }))
  t.false(hasColours(terminal, { FORCE_COLOR: '0' }))
})

test.serial('NO_COLOR and FORCE_COLOR reach what is written', async (t) => {
  t.true((await cli(['--help'], { env: { FORCE_COLOR: '1' } })).stdout.includes('\u001B[1m'))
  t.false((await cli(['--help'], { env: { NO_COLOR: '1' } })).stdout.includes('\u001B'))
})

test.serial('help loads neither the API nor the addon', async (t) => {
  const { execFile } = await import('node:child_process')
  const { promisify } = await import('node:util')
  // What a module loader opens shows in what it was asked for.
  const { stderr } = await promisify(execFile)(process.execPath, [cliFile, 'run', '--help'], {
    env: { ...process.env, NODE_DEBUG: 'esm' },
  })
  t.true(stderr.includes('/cli/render/help.js'))
  t.false(/\/src\/(master|binding|bridge)\.js/.test(stderr))
})
