// run: files in, program, files out.
import { PassThrough, Readable } from 'node:stream'
import test from 'ava'
import type { HotcellError, RunResult } from '../index.js'
import { compile, install } from './support/compile.js'
import { livingDescendantsOf, openFds } from './support/counters.js'
import { aborts, rejects } from './support/errors.js'
import { createMaster } from './support/mode.js'
import { inContainer, requires } from './support/requires.js'
import { deferred, until, within } from './support/waiting.js'

test('output and status together', async (t) => {
  const master = await createMaster(t)
  const result = await master.run('/bin/sh', ['-c', 'printf out; printf err >&2; exit 7'])
  t.like(result, { status: 'nonzero-exit', exitCode: 7, stdout: 'out', stderr: 'err' })
  t.deepEqual(result.files, {})
  t.like(await master.run('true'), { status: 'ok', exitCode: 0, stdout: '', stderr: '' })
})

const inputs: Record<
  string,
  () => string | Uint8Array | Readable | ReadableStream<Uint8Array> | AsyncIterable<string>
> = {
  'a string': () => 'grüße',
  'a Buffer': () => Buffer.from('grüße'),
  'a Uint8Array': () => new TextEncoder().encode('grüße'),
  'a Node stream': () => Readable.from(['gr', 'üße']),
  'a web stream': () => new Blob(['grüße']).stream(),
  'an async iterable': async function* () {
    yield 'gr'
    yield 'üße'
  },
}

for (const [kind, input] of Object.entries(inputs)) {
  test(`input is ${kind}`, async (t) => {
    const master = await createMaster(t)
    t.like(await master.run('cat', [], { input: input() }), { status: 'ok', stdout: 'grüße' })
  })
}

test('without input there is none', async (t) => {
  const master = await createMaster(t)
  t.like(await within(master.run('cat'), 'cat'), { status: 'ok', stdout: '' })
  t.like(await within(master.run('cat', [], { input: '' }), 'cat'), { status: 'ok', stdout: '' })
})

test('large input and large output', async (t) => {
  const master = await createMaster(t)
  const large = Buffer.alloc(10_000_001, 'large ')
  for (const input of [large, Readable.from([large.subarray(0, 5), large.subarray(5)], { objectMode: false })]) {
    const { status, stdout } = await within(master.run('cat', [], { input, encoding: 'buffer' }), 'cat')
    t.is(status, 'ok')
    t.true(stdout.equals(large))
  }
})

test('a program that does not read its input, however large it is', async (t) => {
  const master = await createMaster(t)
  const large = Buffer.alloc(5_000_000)
  t.like(await within(master.run('true', [], { input: large }), 'a buffer'), { status: 'ok' })
  t.like(await within(master.run('true', [], { input: Readable.from([large]) }), 'a stream'), { status: 'ok' })
  t.like(await within(master.run('head', ['-c', '3'], { input: 'abcdef'.repeat(1_000_000) }), 'a string'), {
    status: 'ok',
    stdout: 'abc',
  })
})

test('an input that has no end ends with the program', async (t) => {
  const master = await createMaster(t)
  const input = new PassThrough()
  input.write('one\n')
  const { stdout } = await within(master.run('head', ['-n', '1'], { input }), 'head')
  t.is(stdout, 'one\n')
})

test('an input that fails kills the run, and is why', async (t) => {
  const master = await createMaster(t)
  const failure = new Error('the source failed')
  const sources = [
    () =>
      Readable.from(
        (async function* () {
          yield 'x'
          throw failure
        })(),
      ),
    async function* (): AsyncGenerator<string> {
      yield 'x'
      throw failure
    },
  ]
  for (const source of sources)
    t.is(await t.throwsAsync(within(master.run('cat', [], { input: source() }), 'cat')), failure)
  t.deepEqual(livingDescendantsOf(master.pid), [])
})

test('encodings', async (t) => {
  const master = await createMaster(t)
  const script = 'printf "a\\377b\\303\\251"; printf "\\376" >&2'
  const text = await master.run('/bin/sh', ['-c', script])
  t.is(text.stdout, 'a\ufffdbé')
  t.is(text.stderr, '\ufffd')
  t.is((await master.run('/bin/sh', ['-c', script], { encoding: 'utf8' })).stdout, 'a\ufffdbé')
  const raw = await master.run('/bin/sh', ['-c', script], { encoding: 'buffer' })
  t.deepEqual(raw.stdout, Buffer.from([0x61, 0xff, 0x62, 0xc3, 0xa9]))
  t.deepEqual(raw.stderr, Buffer.from([0xfe]))
  const empty = await master.run('true', [], { encoding: 'buffer' })
  t.deepEqual([empty.stdout, empty.stderr], [Buffer.alloc(0), Buffer.alloc(0)])
})

test('limits.outputBytes, to the byte, of stdout and of stderr', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  for (const size of [0, 1, 65_536, 1_000_000]) {
    for (const [name, redirection] of [
      ['stdout', ''],
      ['stderr', '>&2'],
    ] as const) {
      const run = (bytes: number): Promise<RunResult<string>> =>
        master.run('/bin/sh', ['-c', `exec ./behave write ${bytes} ${redirection}`], { limits: { outputBytes: size } })
      const exact = await run(size)
      t.is(exact.status, 'ok', `${name} ${size}`)
      t.is(exact[name].length, size)
      const over = await within(run(size + 1), `${name} ${size + 1}`)
      t.like(over, { status: 'output-limit', limit: name }, `${name} ${size}`)
      t.is(over[name].length, size)
    }
  }
})

test('stdout and stderr are counted apart', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const result = await master.run('/bin/sh', ['-c', './behave write 1000; ./behave write 1000 >&2'], {
    limits: { outputBytes: 1000 },
  })
  t.is(result.status, 'ok')
  t.is(result.stdout.length + result.stderr.length, 2000)
})

test('a flood of output ends with the limit', async (t) => {
  const master = await createMaster(t)
  for (const flood of [['yes'], ['/bin/sh', '-c', 'yes >&2'], ['/bin/sh', '-c', 'yes & yes & yes & wait']] as const) {
    const [file, ...args] = flood
    const result = await within(master.run(file, args, { limits: { outputBytes: 100_000 } }), 'the flood')
    t.is(result.status, 'output-limit')
    t.deepEqual(livingDescendantsOf(master.pid), [])
    t.is(result.stdout.length + result.stderr.length, 100_000)
  }
  const fed = await within(
    master.run('yes', [], { input: Readable.from(['x']), limits: { outputBytes: 1000 } }),
    'the flood',
  )
  t.like(fed, { status: 'output-limit', limit: 'stdout' })
})

test('the default limit is 64 MiB', async (t) => {
  const master = await createMaster(t)
  const result = await within(master.run('yes', [], { encoding: 'buffer' }), 'yes')
  t.like(result, { status: 'output-limit', limit: 'stdout' })
  t.is(result.stdout.length, 64 * 1024 * 1024)
})

test('output of what was left behind is not waited for', async (t) => {
  const master = await createMaster(t)
  const result = await within(
    master.run('/bin/sh', ['-c', 'echo main; (while :; do sleep 1000; done) & exit 0']),
    'the run',
  )
  t.like(result, { status: 'ok', stdout: 'main\n' })
})

test('a program that closes its output runs on', async (t) => {
  const master = await createMaster(t)
  const result = await master.run('/bin/sh', ['-c', 'echo before; exec 1>&- 2>&-; echo x > /w/after; exit 4'])
  t.like(result, { exitCode: 4, stdout: 'before\n' })
  t.is(String(await master.copyOut('after')), 'x\n')
})

test('standard streams can be opened again, and tell no other mode', async (t) => {
  const master = await createMaster(t)
  const result = await master.run(
    '/bin/sh',
    ['-c', 'echo one > /dev/stdout; echo two > /proc/self/fd/1; cat /dev/stdin; echo three >&2 2> /dev/stderr'],
    { input: 'in\n' },
  )
  t.like(result, { stdout: 'one\ntwo\nin\n', stderr: 'three\n' })
})

test('files go in first, and come back by collect', async (t) => {
  const master = await createMaster(t)
  const result = await master.run(
    '/bin/sh',
    ['-c', './program exit 0 && cat a/b/text > out && printf "\\0\\377" > deep/er && mkdir folder'],
    {
      files: {
        program: await compile('behave'),
        'a/b/text': Buffer.from('text'),
        'deep/x': Readable.from(['x']),
        '/tmp/absolute': Buffer.from('y'),
      },
      collect: ['out', 'deep/er', '/tmp/absolute', 'absent', 'absent/er'],
    },
  )
  t.is(result.status, 'ok')
  t.deepEqual(result.files, {
    out: Buffer.from('text'),
    'deep/er': Buffer.from([0, 255]),
    '/tmp/absolute': Buffer.from('y'),
  })
})

test('what a failed run left is collected as well', async (t) => {
  const master = await createMaster(t)
  const result = await master.run('/bin/sh', ['-c', 'echo begun > log; kill -SEGV $$'], { collect: ['log'] })
  t.like(result, { status: 'signaled', signal: 'SIGSEGV' })
  t.is(String(result.files['log']), 'begun\n')
})

test('a file with a name like __proto__ is a file', async (t) => {
  const master = await createMaster(t)
  const { files } = await master.run('/bin/sh', ['-c', 'echo x > __proto__'], { collect: ['__proto__'] })
  t.deepEqual(Object.getOwnPropertyNames(files), ['__proto__'])
})

test('what cannot be collected rejects, with the result', async (t) => {
  const master = await createMaster(t)
  const error = await rejects(t, master.run('/bin/sh', ['-c', 'mkdir out; exit 3'], { collect: ['out'] }), 'EISDIR')
  t.is(error.path, 'out')
  t.like(error.result, { status: 'nonzero-exit', exitCode: 3 } as object)
  const link = await rejects(t, master.run('ln', ['-s', '/etc/passwd', 'link'], { collect: ['link'] }), 'ELOOP')
  t.true((link.result?.wallTimeMs ?? 0) > 0)
})

test('what cannot be copied in rejects before anything runs', async (t) => {
  const master = await createMaster(t)
  const error: HotcellError = await rejects(t, master.run('touch', ['ran'], { files: { x: '/absent' } }), 'ENOENT')
  t.is(error.path, '/absent')
  t.is(error.result, undefined)
  await rejects(t, master.run('touch', ['ran'], { files: { '/usr/x': Buffer.alloc(1) } }), 'EROFS')
  t.is((await master.run('ls')).stdout, '')
})

test('cancellation, with input of each kind', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  for (const input of [undefined, 'text', new PassThrough()]) {
    const controller = new AbortController()
    const reason = new Error('enough')
    const { signal } = controller
    const run = master.run('/bin/sh', ['-c', ': > begun; exec ./behave spin'], {
      signal,
      ...(input !== undefined && { input }),
    })
    run.catch(() => undefined)
    await until(
      () =>
        master.copyOut('begun').then(
          () => true,
          () => false,
        ),
      'the program to run',
    )
    controller.abort(reason)
    const error = await within(aborts(t, run, reason), 'run')
    t.true((error.result?.cpuTimeMs ?? -1) >= 0)
    t.deepEqual(livingDescendantsOf(master.pid), [])
    await master.delete('begun')
  }
})

test('cancellation while files go in, and while they come out', async (t) => {
  const master = await createMaster(t)
  const controller = new AbortController()
  const asked = deferred()
  const source = new ReadableStream<Uint8Array>({
    pull: () => {
      asked.resolve()
      return new Promise(() => undefined)
    },
  })
  const run = aborts(t, master.run('touch', ['ran'], { files: { x: source }, signal: controller.signal }), 'enough')
  await within(asked.promise, 'the first read')
  controller.abort('enough')
  await within(run, 'run')
  t.is((await master.run('ls', ['-A'])).stdout, '')
})

test.serial('no descriptor is left by any of it', async (t) => {
  const master = await createMaster(t)
  const all = async (): Promise<void> => {
    await master.run('cat', [], { input: Buffer.alloc(200_000) })
    await master.run('true', [], { input: Buffer.alloc(200_000) })
    await master.run('yes', [], { limits: { outputBytes: 100 } })
    await master.run('absent').catch(() => undefined)
    await master.run('echo', ['x'], { files: { x: Buffer.from('x') }, collect: ['x', 'y'] })
    await master.run('cat', [], { signal: AbortSignal.timeout(0), input: 'x' }).catch(() => undefined)
  }
  await all()
  const before = openFds().size
  for (let i = 0; i < 20; i++) await all()
  t.is(openFds().size, before)
})

const gcc = requires('gcc', inContainer('gcc'))

gcc('a compiler compiles inside, and its program runs', async (t) => {
  const master = await createMaster(t)
  const compiled = await master.run('gcc', ['-O1', '-o', 'program', 'program.c'], {
    files: {
      'program.c': Buffer.from(
        '#include <stdio.h>\nint main(void) { int n; scanf("%d", &n); printf("%d\\n", n * 7); }\n',
      ),
    },
  })
  t.like(compiled, { status: 'ok', stderr: '' })
  t.like(await master.run('./program', [], { input: '6' }), { status: 'ok', stdout: '42\n' })
})

const python = requires('python3', inContainer('python3'))

python('an interpreter runs a script', async (t) => {
  const master = await createMaster(t)
  const result = await master.run('python3', ['answer.py'], {
    files: { 'answer.py': Buffer.from('print(6 * int(input()))') },
    input: '7',
  })
  t.like(result, { status: 'ok', stdout: '42\n' })
})
