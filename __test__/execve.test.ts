// execve: arguments, environment, program lookup, working directory, results.
import test, { type ExecutionContext } from 'ava'
import type { ExecveParam, Master, TraceResult } from '../index.js'
import { compile, install } from './support/compile.js'
import { bytes } from './support/streams.js'
import { createMaster, masterOptions } from './support/mode.js'

/** Everything but NUL, as one string of bytes. */
const everyByte = Buffer.from(Array.from({ length: 255 }, (_, byte) => byte + 1))

/** What `report` wrote: strings, each with a NUL behind it. */
function strings(output: Buffer): Buffer[] {
  const found: Buffer[] = []
  for (let at = 0; at < output.length;) {
    const end = output.indexOf(0, at)
    found.push(output.subarray(at, end))
    at = end + 1
  }
  return found
}

async function reported(master: Master, what: string, more: Partial<ExecveParam> = {}): Promise<Buffer> {
  await using file = await master.open('/tmp/reported', 'w+')
  const result = await master.execve({ args: ['/w/report', what], fds: [0, file, 2], ...more })
  if (result.status !== 'ok') throw new Error(`report: ${JSON.stringify(result)}`)
  return await bytes((await master.open('/tmp/reported')).createReadStream())
}

test('exit codes', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  t.like(await master.execve({ args: ['./behave', 'exit', '0'] }), { status: 'ok', exitCode: 0 })
  for (const code of [1, 2, 126, 127, 128, 255]) {
    t.like(await master.execve({ args: ['./behave', 'exit', String(code)] }), {
      status: 'nonzero-exit',
      exitCode: code,
    })
  }
})

test('signals, by name', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const signals: Record<number, string> = {
    1: 'SIGHUP',
    2: 'SIGINT',
    3: 'SIGQUIT',
    4: 'SIGILL',
    6: 'SIGABRT',
    8: 'SIGFPE',
    9: 'SIGKILL',
    11: 'SIGSEGV',
    13: 'SIGPIPE',
    14: 'SIGALRM',
    15: 'SIGTERM',
    29: 'SIGIO',
    34: 'SIGRTMIN',
    64: 'SIGRTMIN+30',
  }
  for (const [number, name] of Object.entries(signals)) {
    const result = await master.execve({ args: ['./behave', 'raise', number] })
    t.like(result, { status: 'signaled', signal: name as NodeJS.Signals })
    t.false('exitCode' in result)
  }
})

test('a stopped program goes on when it is told to, and is not reported before', async (t) => {
  const master = await createMaster(t)
  const run = master.spawn('/bin/sh', ['-c', 'kill -STOP $$; exit 7'])
  await run.started
  // Answered after init has seen whatever there was to see of the stop.
  await master.ping()
  const sending = setInterval(() => run.kill('SIGCONT'), 5)
  t.like(await run, { exitCode: 7 })
  clearInterval(sending)
})

test('arguments arrive as given, from args[0] on', async (t) => {
  const master = await createMaster(t)
  await install(master, 'report')
  const args = ['./report', 'args', '', ' ', 'grüße 🔥', '-', '\'quoted\' "$HOME" `x`', '*', '\n'] as const
  const { stdout } = await master.run(args[0], args.slice(1), { encoding: 'buffer' })
  t.deepEqual(strings(stdout).map(String), args)
})

test('arguments, environment and paths may hold every byte', async (t) => {
  const master = await createMaster(t)
  const name = Buffer.concat(
    [Buffer.from('/w/'), everyByte.filter((byte) => byte !== 0x2f)].map((part) => Buffer.from(part)),
  )
  await master.copyIn(await compile('report'), name)
  const variable = Buffer.concat([Buffer.from('X='), everyByte])
  const found = await master.run(name, ['args', everyByte], { encoding: 'buffer', env: [variable] })
  t.deepEqual(strings(found.stdout), [name, Buffer.from('args'), everyByte])
  const environment = await master.run(name, ['env'], { encoding: 'buffer', env: [variable] })
  t.deepEqual(strings(environment.stdout), [variable])
  const record = await master.run(name, ['env'], { encoding: 'buffer', env: { X: everyByte } })
  t.deepEqual(strings(record.stdout), [variable])
  t.is((await master.run('mkdir', [Buffer.concat([name, Buffer.from('.d')])])).status, 'nonzero-exit')
  const folder = name.subarray(0, 250)
  t.is((await master.run('mkdir', [folder])).status, 'ok')
  const { stdout } = await master.run('/bin/sh', ['-c', 'printf %s "${PWD##*/}"; /bin/pwd'], {
    cwd: folder,
    encoding: 'buffer',
  })
  t.true(stdout.includes(folder.subarray(3)))
})

test('a lone surrogate is sent as U+FFFD, as Node does it', async (t) => {
  const master = await createMaster(t)
  await install(master, 'report')
  t.deepEqual(strings(await reported(master, 'args', { args: ['./report', 'args', 'a\ud800b'] })).map(String), [
    './report',
    'args',
    'a\ufffdb',
  ])
})

test('a megabyte of arguments', async (t) => {
  const master = await createMaster(t)
  await install(master, 'report')
  const few = Array.from({ length: 10 }, (_, i) => String(i).repeat(100_000))
  const many = Array.from({ length: 50_000 }, (_, i) => `argument ${i}`)
  for (const args of [few, many]) {
    const { stdout } = await master.run('./report', ['args', ...args], { encoding: 'buffer' })
    t.deepEqual(strings(stdout).slice(2).map(String), args)
  }
})

test('the environment: that of the container; one’s own instead; none', async (t) => {
  const master = await createMaster(t, { env: ['A=1', 'PATH=/bin'] })
  await install(master, 'report')
  const env = async (param: Partial<ExecveParam>): Promise<string[]> =>
    strings(await reported(master, 'env', param)).map(String)
  t.deepEqual(await env({}), ['A=1', 'PATH=/bin'])
  t.deepEqual(await env({ env: ['B=2', 'B=3', 'C='] }), ['B=2', 'B=3', 'C='])
  t.deepEqual(await env({ env: { B: '2', D: undefined, 'odd name': 'x=y' } }), ['B=2', 'odd name=x=y'])
  t.deepEqual(await env({ env: [] }), [])
  t.deepEqual(await env({ env: {} }), [])
})

test('a bare name is looked up in the PATH of the run, in its order', async (t) => {
  const master = await createMaster(t)
  for (const folder of ['one', 'two']) {
    await master.copyIn(Buffer.from(`#!/bin/sh\necho ${folder}`), `/w/${folder}/program`, { mode: 0o755 })
  }
  const output = async (path: string | undefined, options: { cwd?: string } = {}): Promise<string> =>
    (await master.run('program', [], { env: path === undefined ? [] : { PATH: path }, ...options })).stdout
  t.is(await output('/w/one:/w/two'), 'one\n')
  t.is(await output('/w/two:/w/one'), 'two\n')
  t.is(await output('/absent:/w/one/program:/w/two'), 'two\n')
  // Relative entries, and empty ones, start at the run's working directory.
  t.is(await output('absent:one'), 'one\n')
  t.is(await output('one', { cwd: '/w' }), 'one\n')
  t.is(await output('', { cwd: 'two' }), 'two\n')
  t.is(await output(':/w/two', { cwd: 'one' }), 'one\n')
  await t.throwsAsync(output('one', { cwd: '/tmp' }), { code: 'ENOENT' })
  await t.throwsAsync(output('/usr/bin'), { code: 'ENOENT' })
  // Without PATH there is a default one.
  t.is((await master.run('echo', ['found'], { env: [] })).stdout, 'found\n')
  await t.throwsAsync(output(undefined), { code: 'ENOENT' })
})

test('a file in the PATH that may not be executed is passed over, and named if there is no other', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('#!/bin/sh\necho one'), 'one/program', { mode: 0o644 })
  await master.copyIn(Buffer.from('#!/bin/sh\necho two'), 'two/program', { mode: 0o755 })
  t.is((await master.run('program', [], { env: { PATH: '/w/one:/w/two' } })).stdout, 'two\n')
  await t.throwsAsync(master.run('program', [], { env: { PATH: '/w/one:/absent' } }), { code: 'EACCES' })
  await master.run('mkdir', ['-p', 'three/program'])
  await t.throwsAsync(master.run('program', [], { env: { PATH: '/w/three' } }), { code: 'EACCES' })
})

test('a name with a slash is a path: from cwd, or from the root', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave', '/w/sub/behave')
  const code = async (param: ExecveParam): Promise<TraceResult> => await master.execve(param)
  t.like(await code({ args: ['sub/behave', 'exit', '3'] }), { exitCode: 3 })
  t.like(await code({ args: ['./behave', 'exit', '4'], cwd: 'sub' }), { exitCode: 4 })
  t.like(await code({ args: ['/w/sub/behave', 'exit', '5'], cwd: '/' }), { exitCode: 5 })
  await t.throwsAsync(code({ args: ['behave', 'exit', '5'], cwd: '/w/sub' }), { code: 'ENOENT' })
})

test('cwd: relative to workDir, absolute, through links', async (t) => {
  const master = await createMaster(t)
  await install(master, 'report')
  await master.run('/bin/sh', ['-c', 'mkdir -p a/b; ln -s a/b link'])
  const cwd = async (path?: string | Uint8Array): Promise<string> =>
    String(await reported(master, 'cwd', path === undefined ? {} : { cwd: path }))
  t.is(await cwd(), '/w')
  t.is(await cwd('a'), '/w/a')
  t.is(await cwd('a/../a/b/'), '/w/a/b')
  t.is(await cwd('/tmp'), '/tmp')
  t.is(await cwd('/'), '/')
  t.is(await cwd('link'), '/w/a/b')
  t.is(await cwd(Buffer.from('..')), '/')
})

test('scripts run by their first line', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('#!/bin/sh -e\necho "$0" "$@"'), 'script', { mode: 0o755 })
  t.is((await master.run('./script', ['a', 'b c'])).stdout, './script a b c\n')
})

test('many programs one after the other, and many at once', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  for (let i = 0; i < 100; i++) {
    const result = await master.execve({ args: ['./behave', 'exit', String(i)] })
    t.is('exitCode' in result ? result.exitCode : -1, i)
  }
  const results = await Promise.all(
    Array.from({ length: 64 }, (_, i) => master.execve({ args: ['./behave', 'exit', String(i)] })),
  )
  t.deepEqual(
    results.map((result) => ('exitCode' in result ? result.exitCode : -1)),
    Array.from({ length: 64 }, (_, i) => i),
  )
})

test('64 programs of 8 containers, each with its own end', async (t) => {
  const masters = await Promise.all(Array.from({ length: 8 }, () => createMaster(t, masterOptions())))
  await Promise.all(masters.map((master) => install(master, 'behave')))
  const ends = [
    { args: ['exit', '0'], result: { status: 'ok' } },
    { args: ['exit', '9'], result: { status: 'nonzero-exit', exitCode: 9 } },
    { args: ['raise', '11'], result: { status: 'signaled', signal: 'SIGSEGV' } },
    { args: ['seccomp'], result: { status: 'disallowed-syscall' } },
  ] as const
  await Promise.all(
    Array.from({ length: 64 }, async (_, i) => {
      const { args, result } = ends[i % ends.length] as (typeof ends)[number]
      const master = masters[(i * 7) % masters.length] as Master
      checkLike(t, await master.execve({ args: ['./behave', ...args] }), result)
    }),
  )
})

function checkLike(t: ExecutionContext, result: TraceResult, expected: Partial<TraceResult>): void {
  for (const [key, value] of Object.entries(expected)) t.is(result[key as keyof TraceResult] as unknown, value)
}
