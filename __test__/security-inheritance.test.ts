// What programs could inherit from the process that embeds hotcell, by chance or by carelessness, and must not.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import test from 'ava'
import { defaultPath, SeccompPolicy, type Master } from '../index.js'
import { compile, install } from './support/compile.js'
import { createMaster, mode } from './support/mode.js'
import { root } from './support/node.js'
import { onPath, requires } from './support/requires.js'

/** `name value` lines. */
function lines(stdout: string): Map<string, string> {
  return new Map(
    stdout
      .trimEnd()
      .split('\n')
      .map((line): [string, string] => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]),
  )
}

async function inherited(master: Master): Promise<Map<string, string>> {
  await install(master, 'inherited', '/tmp/inherited')
  return lines((await master.run('/tmp/inherited')).stdout)
}

test('a program starts with defaults', async (t) => {
  const found = await inherited(await createMaster(t))
  const expected = {
    umask: '22',
    policy: '0',
    personality: '0',
    'thp-disabled': '0',
    dumpable: '1',
    'no-new-privs': '1',
    subreaper: '0',
    blocked: '0',
    ignored: '0',
    caught: '0',
    core: '1 1',
    session: '1',
    group: '1',
  }
  t.like(Object.fromEntries(found), expected)
  // A user cannot become nicer than he was.
  if (mode === 'root' || mode === 'degraded') t.is(found.get('nice'), '0')
})

test('no core dump can be had, nor a handler of the host’s be run for one', async (t) => {
  const master = await createMaster(t)
  await install(master, 'inherited', '/tmp/inherited')
  // With a piped core_pattern the kernel runs the handler for a limit of 0 as well; 1 is the one value for which it does not (core(5)).
  for (const limit of [0, 1]) {
    const rlimits = [{ resource: 'core' as const, soft: limit, hard: limit }]
    t.is(lines((await master.run('/tmp/inherited', [], { rlimits })).stdout).get('core'), '1 1')
  }
  await install(master, 'behave')
  t.like(await master.run('./behave', ['raise', '11']), { status: 'signaled', signal: 'SIGSEGV' })
  t.is((await master.run('sh', ['-c', 'ls -A /w /tmp | grep core'])).stdout, '')
})

test('each run that can use keyrings has a session keyring of its own', async (t) => {
  const master = await createMaster(t, { seccomp: 'off' })
  const allowing = SeccompPolicy.allowAll().deny('EPERM', 'getpgid')
  await install(master, 'inherited', '/tmp/inherited')
  const found: (string | undefined)[] = []
  // The first two are cloned by pid 1, the others by a thread.
  for (const options of [{}, {}, { seccomp: allowing }, { seccomp: allowing }]) {
    found.push(lines((await master.run('/tmp/inherited', [], options)).stdout).get('keyring'))
  }
  if (found[0] === '-1') return t.pass('this kernel has no keyrings')
  const file = await compile('inherited')
  const host = await new Promise<string>((resolve) => {
    const child = spawn(file)
    let stdout = ''
    child.stdout.on('data', (chunk) => (stdout += chunk)).on('end', () => resolve(stdout))
  })
  t.is(new Set([...found, lines(host).get('keyring')]).size, 5)
  // Where a filter keeps programs from keyrings, there is none to be had.
  t.is(lines((await master.run('/tmp/inherited', [], { seccomp: 'default' })).stdout).get('keyring'), '-1')
  return undefined
})

test('a program may run on every CPU', async (t) => {
  const master = await createMaster(t)
  for (let round = 0; round < 5; round++) t.is((await inherited(master)).get('cpus'), String(availableParallelism()))
})

test('the environment is what was given, and init has none', async (t) => {
  process.env['HOTCELL_TEST_SECRET'] = 'of the host'
  const master = await createMaster(t, { env: ['A=1', defaultPath] })
  t.is((await master.run('env')).stdout, `A=1\n${defaultPath}\n`)
  t.is((await master.run('/usr/bin/env', [], { env: {} })).stdout, '')
  if (mode === 'root' || mode === 'degraded') t.is(readFileSync(`/proc/${master.pid}/environ`, 'utf8'), '')
  t.is((await master.run('sh', ['-c', 'cat /proc/1/environ /proc/1/cmdline'])).stdout, '')
})

const tools = ['bash', 'nice', 'chrt', 'ionice', 'setarch', 'taskset'].every(onPath)
requires('util-linux', tools)('a host with odd settings has programs with defaults', async (t) => {
  const script = `
    import { readFileSync, writeFileSync } from 'node:fs'
    import { Master } from './index.js'
    import { compile } from './__test__/support/compile.js'
    process.on('SIGUSR2', () => undefined)
    let exempt = true
    try { writeFileSync('/proc/self/oom_score_adj', '-500') } catch { exempt = false }
    const flags = readFileSync('/proc/self/fdinfo/120', 'utf8')
    const master = await Master.create({ userNamespace: process.argv[1] === 'true' })
    await master.copyIn(process.argv[2], '/w/inherited', { mode: 0o755 })
    await master.copyIn(process.argv[3], '/w/report', { mode: 0o755 })
    const [inherited, fds, env] = await Promise.all([master.run('./inherited'), master.run('./report', ['fds']), master.run('env')])
    console.log(JSON.stringify({ exempt, flags, inherited: inherited.stdout, fds: fds.stdout, env: env.stdout, leaked: process.env.SECRET }))
    await master.destroy()
  `
  const shell = `
    umask 077
    trap '' PIPE HUP USR1
    for fd in $(seq 100 149); do eval "exec $fd</"; done
    export SECRET=value LD_LIBRARY_PATH=/nowhere
    exec nice -n 5 chrt --batch 0 ionice -c 3 taskset -c 0 setarch -R "$@"
  `
  const node = ['--import=@oxc-node/core/register', '--input-type=module', '--eval', script, '--']
  const args = [String(mode !== 'degraded'), await compile('inherited'), await compile('report')]
  const child = spawn('bash', ['-c', shell, 'bash', process.execPath, ...node, ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let stdout = ''
  for await (const chunk of child.stdout) stdout += String(chunk)
  const said = JSON.parse(stdout) as {
    exempt: boolean
    flags: string
    inherited: string
    fds: string
    env: string
    leaked: string
  }
  // That there was something to inherit.
  t.is(said.leaked, 'value')
  t.notRegex(said.flags, /flags:\s+0?2\d{6}/, 'not close-on-exec')

  const odd = lines(said.inherited)
  const plain = await inherited(await createMaster(t))
  for (const name of ['keyring', 'oom-score-adj'])
    for (const map of [odd, plain]) if (name === 'keyring' || !said.exempt) map.delete(name)
  if (said.exempt) t.true(Number(odd.get('oom-score-adj')) >= 0)
  // Without CAP_SYS_NICE nobody becomes nicer than he was, and an idle I/O class follows from nothing else here.
  if (mode === 'rootless' || mode === 'rootless-ranges') {
    t.is(odd.get('nice'), '5')
    odd.set('nice', plain.get('nice') as string)
  }
  t.deepEqual(Object.fromEntries(odd), Object.fromEntries(plain))
  t.is(odd.get('cpus'), String(availableParallelism()))
  t.deepEqual(
    said.fds
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ')[0]),
    ['0', '1', '2'],
  )
  t.is(said.env, `${defaultPath}\n`)
})
