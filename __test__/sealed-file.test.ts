// Sealed files: what they are made of, that nobody changes them, and what they are good for.
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { seal, type CopySource, type Master } from '../index.js'
import { compile } from './support/compile.js'
import { openFds } from './support/counters.js'
import { aborts, rejects } from './support/errors.js'
import { createMaster } from './support/mode.js'
import { inContainer, requires } from './support/requires.js'
import { deferred, within } from './support/waiting.js'

const content = Buffer.from('#!/bin/false\n'.repeat(1_000))
const MIB = 1024 * 1024

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'hotcell-seal-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

const sources: Record<string, (t: ExecutionContext) => CopySource | Promise<CopySource>> = {
  'a path': (t) => {
    writeFileSync(join(folder(t), 'x'), content)
    const path = join(folder(t), 'x')
    writeFileSync(path, content)
    return path
  },
  bytes: () => content,
  'a stream': () => Readable.from([content.subarray(0, 7), content.subarray(7)]),
  'a file of a container': async (t) => {
    const master = await createMaster(t)
    await master.copyIn(content, 'x')
    const file = await master.open('x')
    t.teardown(() => file.close())
    return file
  },
  'another sealed file': async (t) => {
    const file = await seal(content)
    t.teardown(() => file.close())
    return file
  },
}

for (const [kind, make] of Object.entries(sources)) {
  test(`seals ${kind}`, async (t) => {
    using file = await seal(await make(t))
    t.is(file.size, content.length)
    t.true(content.equals(await file.readFile()))
    t.true(content.equals(await file.readFile()))
    t.throws(() => writeSync(file.fd, 'x'), { code: 'EPERM' })
    t.throws(() => truncateSync(`/proc/self/fd/${file.fd}`), { code: 'EPERM' })
  })
}

test('an empty one, and one with holes', async (t) => {
  using empty = await seal(Buffer.alloc(0))
  t.is(empty.size, 0)
  t.is((await empty.readFile()).length, 0)
  const path = join(folder(t), 'sparse')
  writeFileSync(path, 'x')
  truncateSync(path, 40 * MIB)
  using sparse = await seal(path)
  t.is(sparse.size, 40 * MIB)
  t.true(statSync(`/proc/self/fd/${sparse.fd}`).blocks * 512 <= 4 * MIB)
  const read = await sparse.readFile()
  t.is(read[0], 'x'.charCodeAt(0))
  t.true(read.subarray(1).every((byte) => byte === 0))
})

test('what is too large is refused, whatever it comes from', async (t) => {
  const path = join(folder(t), 'x')
  writeFileSync(path, content)
  for (const make of [() => content, () => path, () => Readable.from([content])]) {
    const error = await rejects(t, seal(make(), { maxBytes: content.length - 1 }), 'ERR_HOTCELL_TOO_LARGE')
    t.regex(error.message, /maxBytes \(12999\)/)
    const file = await seal(make(), { maxBytes: content.length })
    file.close()
  }
  // By default.
  truncateSync(path, 64 * MIB + 1)
  await rejects(t, seal(path), 'ERR_HOTCELL_TOO_LARGE')
})

test('wrong options and sources', async (t) => {
  for (const [options, message] of [
    [{ maxBytes: -1 }, /"maxBytes"/],
    [{ maxBytes: 1.5 }, /"maxBytes"/],
    [{ mode: 0o17777 }, /"mode"/],
    [{ size: 1 }, /"size"/],
    [{ signal: 1 }, /"signal"/],
    [null, /"options"/],
  ] as const) {
    await t.throwsAsync(seal(content, options as object), { message })
  }
  await t.throwsAsync(seal(7 as unknown as CopySource), { instanceOf: TypeError, message: /"source"/ })
  await rejects(t, seal('/nowhere/at/all'), 'ENOENT')
  await rejects(t, seal(tmpdir()), 'EISDIR')
  await rejects(t, seal({ fd: 999_999 }), 'EBADF')
})

test('a copy has the mode of its source, unless told otherwise', async (t) => {
  const master = await createMaster(t)
  const path = join(folder(t), 'x')
  writeFileSync(path, content, { mode: 0o751 })
  const mode = statSync(path).mode & 0o777
  using file = await seal(path)
  t.is(file.mode, mode)
  await master.copyIn(file, 'x')
  await master.copyIn(file, 'y', { mode: 0o640 })
  using inner = await master.seal('x')
  t.is(inner.mode, mode)
  using told = await master.seal('x', { mode: 0o700 })
  t.is(told.mode, 0o700)
  using plain = await seal(content)
  t.is(plain.mode, 0o644)
  t.is((await master.run('stat', ['-c', '%a', 'x', 'y'])).stdout, `${mode.toString(8)}\n640\n`)
})

test('any number of containers copy one at once', async (t) => {
  const masters = await Promise.all(Array.from({ length: 4 }, () => createMaster(t)))
  const large = Buffer.alloc(9 * MIB + 17, 'hotcell ')
  using file = await seal(large)
  await Promise.all(masters.flatMap((master) => ['a', 'b'].map((path) => master.copyIn(file, path))))
  for (const master of masters) {
    for (const path of ['a', 'b']) t.true(large.equals(await master.copyOut(path)))
  }
})

test('one is executed by several containers, after what it was made from is gone', async (t) => {
  const [maker, ...masters] = await Promise.all(Array.from({ length: 3 }, () => createMaster(t)))
  await (maker as Master).copyIn(await compile('behave'), 'behave', { mode: 0o755 })
  using program = await (maker as Master).seal('behave')
  await (maker as Master).destroy()
  for (const master of masters) {
    t.like(await master.execve({ args: ['any name', 'exit', '5'], execFile: program }), { exitCode: 5 })
    t.like(await master.run('any name', ['exit', '6'], { execFile: program }), { exitCode: 6 })
    t.like(await master.spawn('any name', ['exit', '7'], { execFile: program }), { exitCode: 7 })
    t.like(await master.run('any name', ['exit', '8'], { execFile: program, input: Readable.from(['x']) }), {
      exitCode: 8,
    })
    t.is((await master.run('any name', ['write', '3'], { execFile: program.fd })).stdout, 'xxx')
  }
})

test('execFile is the program, and the file its name', async (t) => {
  const master = await createMaster(t)
  using cat = await seal('/bin/cat')
  const { stdout } = await master.run('whatever', ['/proc/self/cmdline'], { execFile: cat })
  t.is(stdout, 'whatever\0/proc/self/cmdline\0')
  await rejects(t, master.run('x', [], { execFile: 999_999 }), 'EBADF')
  using text = await seal(Buffer.from('no program'))
  await rejects(t, master.run('x', [], { execFile: text }), 'ENOEXEC')
  await rejects(t, Promise.resolve(master.spawn('x', [], { execFile: text })), 'ENOEXEC')
  await t.throwsAsync(master.run('x', [], { execFile: '/bin/true' as unknown as number }), {
    instanceOf: TypeError,
    message: /"execFile"/,
  })
})

test('a program that is open for writing cannot be executed, and its sealed copy can', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(await compile('behave'), 'behave', { mode: 0o755 })
  await using writer = await master.open('behave', 'r+')
  await using reader = await master.open('behave')
  await rejects(t, master.run('x', ['exit', '3'], { execFile: reader }), 'ETXTBSY')
  using program = await master.seal('behave')
  await writer.truncate()
  t.like(await master.run('x', ['exit', '3'], { execFile: program }), { exitCode: 3 })
})

test('a program cannot change what it is executed from', async (t) => {
  using program = await seal(await compile('tamper'))
  const [first, second] = await Promise.all([createMaster(t), createMaster(t)])
  const before = await program.readFile()
  for (const args of [[], ['again']]) {
    const { status, stdout } = await first.run('tamper', args, { execFile: program })
    t.is(status, 'ok')
    // Execute bits are sealed since Linux 6.3.
    const [major, minor] = release().split('.').map(Number) as [number, number]
    const isSealed = major > 6 || (major === 6 && minor >= 3)
    t.is(isSealed ? stdout : stdout.replace('chmod\n', ''), '')
  }
  t.true(before.equals(await program.readFile()))
  t.is((await second.run('tamper', [], { execFile: program })).status, 'ok')
})

test('a closed one is of no use, and closing it again is no harm', async (t) => {
  const master = await createMaster(t)
  const file = await seal(await compile('behave'))
  const holding = master.run('behave', ['exit', '4'], { execFile: file })
  const copying = master.copyIn(file, 'copy')
  await copying
  file.close()
  file.close()
  t.true(file.closed)
  t.like(await holding, { exitCode: 4 })
  t.throws(() => file.fd, { code: 'EBADF' })
  await rejects(t, file.readFile(), 'EBADF')
  await rejects(t, master.copyIn(file, 'x'), 'EBADF')
  await rejects(t, master.run('x', [], { execFile: file }), 'EBADF')
  await rejects(t, master.execve({ args: ['x'], execFile: file }), 'EBADF')
})

test('one that is closed between the copies of a run and its start is not another file', async (t) => {
  const master = await createMaster(t)
  const file = await seal(await compile('behave'))
  const fill = deferred()
  const running = master.run('x', ['exit', '1'], {
    execFile: file,
    files: {
      slow: (async function* () {
        await fill.promise
        yield 'x'
      })(),
    },
  })
  file.close()
  fill.resolve()
  await rejects(t, running, 'EBADF')
})

test('files of a container that are none', async (t) => {
  const master = await createMaster(t)
  const made = await master.run('sh', ['-c', 'mkfifo fifo; mkdir folder; ln -s /etc/passwd link; echo x > there'])
  t.is(made.status, 'ok')
  for (const [path, code] of [
    ['fifo', 'EINVAL'],
    ['/dev/null', 'EINVAL'],
    ['/dev/zero', 'EINVAL'],
    ['/proc/self/status', 'EACCES'],
    ['folder', 'EISDIR'],
    ['link', 'ELOOP'],
    ['absent', 'ENOENT'],
    ['there/x', 'ENOTDIR'],
  ] as const) {
    await rejects(t, within(master.seal(path), path), code, path)
  }
})

test('a program that writes as fast as it is copied makes no endless copy', async (t) => {
  const other = await createMaster(t, { tmpfs: { sizeBytes: 256 * MIB } })
  const master = await createMaster(t)
  await master.run('sh', ['-c', 'head -c 3000000 /dev/zero > log'])
  const writer = master.spawn('sh', ['-c', 'while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done >> log'])
  await writer.started
  for (let i = 0; i < 20; i++) {
    using copy = await within(master.seal('log'), 'the copy')
    t.true(copy.size >= 3_000_000)
    await using log = await master.open('log')
    await within(other.copyIn(log, 'log'), 'the other copy')
  }
  writer.kill('SIGKILL')
  await writer.result
})

test('a program that makes its file shorter meanwhile', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.alloc(1_000), 'x')
  const shrink = 'while :; do truncate -s 100000000 x; truncate -s 0 x; printf data > x; done'
  const writer = master.spawn('sh', ['-c', shrink])
  await writer.started
  for (let i = 0; i < 30; i++) {
    try {
      using copy = await within(master.seal('x', { maxBytes: 100_000_000 }), 'the copy')
      t.true(copy.size <= 100_000_000)
    } catch (error) {
      t.fail(String(error))
    }
  }
  writer.kill('SIGKILL')
  await writer.result
})

test('a size that no memory holds', async (t) => {
  const master = await createMaster(t)
  const { status } = await master.run('truncate', ['-s', '1000000000000', 'huge'])
  t.is(status, 'ok')
  await rejects(t, master.seal('huge'), 'ERR_HOTCELL_TOO_LARGE')
  // As it is nothing but a hole, it costs nothing elsewhere either.
  await using huge = await master.open('huge')
  const other = await createMaster(t)
  await within(other.copyIn(huge, 'huge'), 'the copy of a hole')
  t.is((await other.run('stat', ['-c', '%s %b', 'huge'])).stdout, '1000000000000 0\n')
})

test('an aborted signal ends it', async (t) => {
  const reason = { any: 'thing' }
  await aborts(t, seal(content, { signal: AbortSignal.abort(reason) }), reason)
  const controller = new AbortController()
  const asked = deferred()
  const sealing = seal(
    (async function* () {
      asked.resolve()
      await new Promise(() => undefined)
      yield 'x'
    })(),
    { signal: controller.signal },
  )
  const rejected = aborts(t, sealing, reason)
  await asked.promise
  controller.abort(reason)
  await within(rejected, 'the end')
  const master = await createMaster(t)
  await aborts(t, master.seal('x', { signal: AbortSignal.abort(reason) }), reason)
})

test.serial('nothing is left open', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(content, 'x')
  const round = async (): Promise<void> => {
    ;(await seal(content)).close()
    ;(await master.seal('x')).close()
    await seal(content, { maxBytes: 1 }).catch(() => undefined)
    await master.seal('x', { maxBytes: 1 }).catch(() => undefined)
    await master.seal('absent').catch(() => undefined)
    await seal('/nowhere').catch(() => undefined)
    await seal(Readable.from([1])).catch(() => undefined)
    using file = await seal('/bin/true')
    await master.copyIn(file, 'y')
    await master.copyIn(file, '/usr/y').catch(() => undefined)
    await master.run('x', [], { execFile: file })
  }
  await round()
  const before = openFds().size
  for (let i = 0; i < 10; i++) await round()
  t.is(openFds().size, before)
})

test.serial('a worker that is terminated closes what it has sealed', async (t) => {
  const memfds = (): number => [...openFds().values()].filter((what) => what.startsWith('/memfd:hotcell')).length
  const before = memfds()
  const worker = new Worker(new URL('support/worker.ts', import.meta.url), { stderr: true })
  let stderr = ''
  worker.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const sealed = deferred<unknown>()
  worker.once('message', sealed.resolve)
  worker.once('error', sealed.reject)
  worker.postMessage({ id: 1, what: 'seal' })
  t.deepEqual(await within(sealed.promise, 'the worker'), { id: 1 })
  t.is(memfds(), before + 2)
  await worker.terminate()
  t.is(memfds(), before)
  // Node warns of descriptors that are closed and that its fs did not open.
  t.is(stderr, '')
})

test('a position in the middle is where an open file is sealed from', async (t) => {
  const path = join(folder(t), 'x')
  writeFileSync(path, '0123456789')
  const fd = openSync(path, 'r')
  t.teardown(() => closeSync(fd))
  readSync(fd, Buffer.alloc(4), 0, 4, null)
  using file = await seal({ fd })
  t.is(String(await file.readFile()), '456789')
  t.is(readSync(fd, Buffer.alloc(4), 0, 4, null), 0)
})

const gcc = requires('gcc', inContainer('gcc'))
gcc('a build seals what the compiler made', async (t) => {
  const [maker, user] = await Promise.all([createMaster(t), createMaster(t)])
  const source = Buffer.from(
    '#include <stdio.h>\nint main(void) { int n; return scanf("%d", &n) == 1 ? !printf("%d\\n", n * n) : 3; }\n',
  )
  using build = await maker.build('gcc', ['-O1', '-o', 'program', 'program.c'], {
    files: { 'program.c': source },
    outputs: ['program', './program.c'],
  })
  if (build.status !== 'ok') return t.fail(build.stderr)
  t.true(source.equals(await build.outputs['./program.c'].readFile()))
  t.is((await user.run('program', [], { execFile: build.outputs.program, input: '7' })).stdout, '49\n')
  await user.copyIn(build.outputs.program, 'copy')
  t.is((await user.run('./copy', [], { input: '8' })).stdout, '64\n')
  build[Symbol.dispose]()
  t.true(build.outputs.program.closed)
})

gcc('a build that fails has no outputs, and what the compiler said', async (t) => {
  const master = await createMaster(t)
  using build = await master.build('gcc', ['-o', 'program', 'program.c'], {
    files: { 'program.c': Buffer.from('int main(void) { return nothing; }') },
    outputs: ['program'],
  })
  t.is(build.status, 'nonzero-exit')
  t.regex(build.stderr, /nothing/)
  t.deepEqual(build.outputs as object, {})
})

test.serial('a build whose outputs are missing, too large or none', async (t) => {
  const master = await createMaster(t)
  const before = openFds().size
  const missing = await rejects(
    t,
    master.build('sh', ['-c', 'echo x > there; echo said'], { outputs: ['there', 'absent'] }),
    'ENOENT',
  )
  t.is(missing.path, 'absent')
  t.like(missing.result, { status: 'ok', stdout: 'said\n' })
  await rejects(
    t,
    master.build('sh', ['-c', 'echo xyz > there'], { outputs: ['there'], maxOutputBytes: 3 }),
    'ERR_HOTCELL_TOO_LARGE',
  )
  await rejects(t, master.build('ln', ['-s', '/etc/passwd', 'link'], { outputs: ['link'] }), 'ELOOP')
  for (const [options, message] of [
    [{}, /"outputs" option must be an array/],
    [{ outputs: [] }, /"outputs".*at least one/],
    [{ outputs: [1] }, /"outputs\[0\]"/],
    [{ outputs: [''] }, /"outputs\[0\]"/],
    [{ outputs: ['x'], maxOutputBytes: -1 }, /"maxOutputBytes"/],
    [{ outputs: ['x'], output: 1 }, /"output"/],
    [undefined, /"options"/],
  ] as const) {
    await t.throwsAsync(master.build('true', [], options as never), { message })
  }
  t.is(openFds().size, before)
})

test('a tool that is the host’s is sealed once', async (t) => {
  const master = await createMaster(t)
  using wc = await seal('/usr/bin/wc')
  const expected = execFileSync('/usr/bin/wc', ['-c'], { input: 'hello' })
  t.is((await master.run('wc', ['-c'], { execFile: wc, input: 'hello' })).stdout, String(expected))
})
