// spawn: an execution with streams.
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import test from 'ava'
import { HotcellError, type Execution } from '../index.js'
import { install } from './support/compile.js'
import { descendantsOf, isAlive, openFds } from './support/counters.js'
import { aborts, rejects } from './support/errors.js'
import { createMaster } from './support/mode.js'
import { bytes, feed, text } from './support/streams.js'
import { deferred, until, within } from './support/waiting.js'

test('awaited, it is the result with the output', async (t) => {
  const master = await createMaster(t)
  const result = await master.spawn('/bin/sh', ['-c', 'echo out; echo err >&2; exit 3'])
  t.like(result, { status: 'nonzero-exit', exitCode: 3, stdout: 'out\n', stderr: 'err\n' })
  t.deepEqual(result.files, {})
})

test('result, then, catch and finally are of one promise', async (t) => {
  const master = await createMaster(t)
  const run = master.spawn('echo', ['x'])
  t.is(run.result, run.result)
  let over = false
  const [a, b, c] = await Promise.all([
    run,
    run.catch(() => t.fail()),
    run.finally(() => {
      over = true
    }),
  ])
  t.true(over)
  t.is(a, b)
  t.is(a, c)
  t.is(await run.then((result) => result.stdout), 'x\n')
})

test('streams are real ones', async (t) => {
  const master = await createMaster(t)
  const run = master.spawn('cat')
  t.true(run.stdin instanceof Writable)
  t.true(run.stdout instanceof Readable)
  t.true(run.stderr instanceof Readable)
  t.is(run.stdin, run.stdin)
  t.is(run.stdout, run.stdout)
  t.is(run.stderr, run.stderr)
  run.stdin.end('through')
  t.is(await text(run.stdout), 'through')
  t.is(await text(run.stderr), '')
  // What was taken is the caller's, and not in the result.
  t.like(await run, { status: 'ok', stdout: '', stderr: '' })
})

test('standard input ends where the caller ends it, or when the run is awaited and nobody took it', async (t) => {
  const master = await createMaster(t)
  t.like(await within(master.spawn('cat'), 'cat without input'), { status: 'ok', stdout: '' })
  const run = master.spawn('cat')
  run.stdin.write('a')
  run.stdin.end('b')
  t.like(await run, { status: 'ok', stdout: 'ab' })
})

test('a dialogue', async (t) => {
  const master = await createMaster(t)
  const run = master.spawn('/bin/sh', ['-c', 'while read line; do echo "<$line>"; done; echo over'])
  const lines = run.stdout.setEncoding('utf8')[Symbol.asyncIterator]()
  for (const line of ['one', 'two', 'grüße']) {
    run.stdin.write(`${line}\n`)
    t.is((await within(lines.next(), 'an answer')).value, `<${line}>\n`)
  }
  run.stdin.end()
  t.is((await lines.next()).value, 'over\n')
  t.like(await run, { status: 'ok' })
})

test('ten megabytes through cat, with backpressure both ways', async (t) => {
  const master = await createMaster(t)
  const run = master.spawn('cat')
  const chunk = Buffer.alloc(100_000, 'backpressure ')
  const writing = feed(
    Array.from({ length: 100 }, () => chunk),
    run.stdin,
  )
  const read = await within(bytes(run.stdout), 'the output')
  await writing
  t.is(read.length, 10_000_000)
  t.true(read.equals(Buffer.concat(Array.from({ length: 100 }, () => chunk))))
  t.like(await run, { status: 'ok' })
})

test('a program that does not read stops the writer: at the pipe, not in memory', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const run = master.spawn('./behave', ['hold'])
  await run.started
  let more = true
  let written = 0
  while (more) {
    more = run.stdin.write(Buffer.alloc(64 * 1024))
    written += 64 * 1024
    t.true(written < 10 * 1024 * 1024)
  }
  run.kill('SIGKILL')
  t.like(await run, { signal: 'SIGKILL' })
})

test('output that nobody reads stops the program, and nothing else', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const run = master.spawn('./behave', ['write', '10000000'])
  const pid = await run.started
  await master.ping()
  t.like(await master.run('echo', ['x']), { stdout: 'x\n' })
  await master.copyIn(Buffer.from('x'), 'x')
  t.true(isAlive(pid))
  // Now it is read.
  const { status, stdout } = await within(run, 'the run')
  t.is(status, 'ok')
  t.is(stdout.length, 10_000_000)
})

test('a container whose programs have unread output is destroyed, and reset, at once', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const one = master.spawn('./behave', ['write', '10000000'])
  await one.started
  await within(master.reset(), 'reset')
  t.like(await one, { status: 'signaled', signal: 'SIGKILL' })
  await install(master, 'behave')
  const two = master.spawn('./behave', ['write', '10000000'])
  await two.started
  const failed = rejects(t, two, 'ERR_HOTCELL_CLOSED')
  await within(master.destroy(), 'destroy')
  await failed
})

test('a reader that is slow gets everything, also after the end', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const run = master.spawn('./behave', ['write', '60000'])
  const { stdout } = run
  stdout.pause()
  t.like(await run, { status: 'ok', stdout: '' })
  t.is((await bytes(stdout)).length, 60_000)
})

test('a stream that is taken after the end has what was in the pipe', async (t) => {
  const master = await createMaster(t)
  const run = master.spawn('echo', ['x'])
  const pid = await run.started
  await until(() => !isAlive(pid), 'the end of echo')
  await master.ping()
  t.is(await text(run.stdout), 'x\n')
  t.like(await run, { status: 'ok', stdout: '' })
})

test('EPIPE is quiet', async (t) => {
  const master = await createMaster(t)
  const run = master.spawn('true')
  const { stdin } = run
  t.like(await run, { status: 'ok' })
  stdin.write('nobody reads this')
  stdin.end('or this')
  const closing = master.spawn('/bin/sh', ['-c', 'exec 0<&-; echo closed; cat /dev/zero'])
  const input = closing.stdin
  await once(closing.stdout, 'data')
  const failed = new Promise((resolve) => input.once('close', resolve))
  input.write(Buffer.alloc(1_000_000))
  await within(failed, 'the end of the stream')
  closing.kill('SIGKILL')
  t.like(await closing, { signal: 'SIGKILL' })
})

test('EPIPE is told to who listens', async (t) => {
  const master = await createMaster(t)
  const run = master.spawn('/bin/sh', ['-c', 'exec 0<&-; echo closed; cat /dev/zero'])
  const failure = once(run.stdin, 'error')
  await once(run.stdout, 'data')
  run.stdin.write(Buffer.alloc(1_000_000))
  const [error] = (await within(failure, 'the error')) as [NodeJS.ErrnoException]
  t.is(error.code, 'EPIPE')
  run.kill('SIGKILL')
  await run
})

test('a reader that goes away gives the program SIGPIPE', async (t) => {
  const master = await createMaster(t)
  const run = master.spawn('yes')
  await once(run.stdout, 'data')
  run.stdout.destroy()
  t.like(await within(run, 'yes'), { status: 'signaled', signal: 'SIGPIPE' })
})

test('pid and started', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const run = master.spawn('./behave', ['hold'])
  t.is(run.pid, undefined)
  const pid = await run.started
  t.is(run.pid, pid)
  t.is(await run.started, pid)
  t.deepEqual(descendantsOf(master.pid), [pid])
  run.kill('SIGKILL')
  await run
  t.is(run.pid, pid)
  t.is(await run.started, pid)
})

test('kill: any signal, by name or number, and whether the run went on', async (t) => {
  const master = await createMaster(t)
  const script = 'trap "echo usr1" USR1; trap "echo rt; exit 5" RTMIN; echo ready; while :; do read x || exit 6; done'
  const run = master.spawn('/bin/bash', ['-c', script])
  const lines = run.stdout.setEncoding('utf8')[Symbol.asyncIterator]()
  const { stdin } = run
  t.is((await lines.next()).value, 'ready\n')
  t.true(run.kill(0))
  t.true(run.kill('SIGUSR1'))
  t.is((await lines.next()).value, 'usr1\n')
  t.true(run.kill(34))
  stdin.write('\n')
  t.is((await lines.next()).value, 'rt\n')
  t.like(await run, { exitCode: 5 })
  t.false(run.kill())
  t.false(run.kill(0))
  const terminated = master.spawn('cat')
  t.true(terminated.stdin.writable)
  await terminated.started
  t.true(terminated.kill())
  t.like(await terminated, { signal: 'SIGTERM' })
})

test('a kill before the program runs is not lost', async (t) => {
  const master = await createMaster(t)
  for (let i = 0; i < 20; i++) {
    const run = master.spawn('cat')
    const { stdin } = run
    t.true(run.kill('SIGKILL'))
    t.like(await within(run, 'the run'), { status: 'signaled', signal: 'SIGKILL' })
    stdin.destroy()
  }
})

test('a program that ignores signals ends by SIGKILL', async (t) => {
  const master = await createMaster(t)
  const run = master.spawn('/bin/sh', ['-c', 'trap "" TERM INT HUP; echo ready; while :; do sleep 1; done'])
  await once(run.stdout, 'data')
  run.kill('SIGTERM')
  run.kill('SIGINT')
  await master.ping()
  run.kill('SIGKILL')
  t.like(await run, { signal: 'SIGKILL' })
  t.deepEqual(descendantsOf(master.pid), [])
})

test('ignored streams lead to /dev/null', async (t) => {
  const master = await createMaster(t)
  const script =
    'for i in 0 1 2; do l=$(readlink /proc/$$/fd/$i); links="$links $l"; done; echo $links > links; cat; echo out; echo err >&2'
  const run = master.spawn('/bin/sh', ['-c', script], { stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' })
  run.stdin.write('nowhere')
  run.stdin.end()
  t.is(await text(run.stdout), '')
  t.is(await text(run.stderr), '')
  t.like(await run, { status: 'ok', stdout: '', stderr: '' })
  t.is(String(await master.copyOut('links')), '/dev/null /dev/null /dev/null\n')
  const half = master.spawn('/bin/sh', ['-c', 'echo out; echo err >&2'], { stdout: 'ignore' })
  t.like(await half, { stdout: '', stderr: 'err\n' })
})

test('a program may open its own standard streams again', async (t) => {
  const master = await createMaster(t)
  const script = 'echo one > /dev/stdout; echo two > /proc/self/fd/1; echo three > /dev/stderr; cat /dev/stdin'
  const run = master.spawn('/bin/sh', ['-c', script])
  run.stdin.end('four\n')
  t.like(await run, { status: 'ok', stdout: 'one\ntwo\nfour\n', stderr: 'three\n' })
})

test('options: env, cwd, rlimits, encoding, limits', async (t) => {
  const master = await createMaster(t)
  await master.run('mkdir', ['d'])
  const run = master.spawn('/bin/sh', ['-c', 'pwd; echo $A; ulimit -n; printf "\\377"'], {
    env: { A: '1' },
    cwd: 'd',
    rlimits: [{ resource: 'nofile', soft: 33, hard: 33 }],
    encoding: 'buffer',
  })
  const { stdout } = await run
  t.deepEqual(stdout, Buffer.from('/w/d\n1\n33\n\xff', 'latin1'))
  await install(master, 'behave')
  const limited = await master.spawn('./behave', ['write', '1000001'], { limits: { outputBytes: 1_000_000 } })
  t.like(limited, { status: 'output-limit', limit: 'stdout' })
  t.is(limited.stdout.length, 1_000_000)
  // A stream that was taken has no limit.
  const taken = master.spawn('./behave', ['write', '1000001'], { limits: { outputBytes: 10 } })
  t.is((await bytes(taken.stdout)).length, 1_000_001)
  t.like(await taken, { status: 'ok' })
})

test('a program that cannot be started', async (t) => {
  const master = await createMaster(t)
  const run = master.spawn('absent')
  const error = await rejects(t, run, 'ENOENT')
  t.is(error.path, 'absent')
  t.is(await t.throwsAsync(run.started), error)
  t.is(run.pid, undefined)
  t.false(run.kill())
  t.is(await text(run.stdout).catch(() => ''), '')
  t.like(await master.spawn('true'), { status: 'ok' })
})

test('taken streams of a program that cannot be started end', async (t) => {
  const master = await createMaster(t)
  const run = master.spawn('absent')
  const { stdin, stdout, stderr } = run
  const ends = Promise.all(
    [stdin, stdout, stderr].map((stream) => new Promise((resolve) => stream.once('close', resolve))),
  )
  stdout.resume()
  stderr.resume()
  await rejects(t, run, 'ENOENT')
  await within(ends, 'the streams')
})

test.serial('a failure that nobody asked for is an unhandled rejection', async (t) => {
  const master = await createMaster(t)
  const failure = deferred<Error>()
  const listeners = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  process.once('unhandledRejection', (reason) => failure.resolve(reason as Error))
  try {
    master.spawn('absent')
    const error = await within(failure.promise, 'the unhandled rejection')
    t.true(error instanceof HotcellError)
    t.is((error as HotcellError).code, 'ENOENT')
  } finally {
    for (const listener of listeners) process.on('unhandledRejection', listener)
  }
})

test('a signal aborts it; its streams are destroyed with the error', async (t) => {
  const master = await createMaster(t)
  const controller = new AbortController()
  const run = master.spawn('cat', [], { signal: controller.signal })
  const { stdin, stdout } = run
  const failed = once(stdout, 'error')
  const pid = await run.started
  controller.abort('enough')
  const error = await aborts(t, run, 'enough')
  t.true((error.result?.wallTimeMs ?? 0) > 0)
  t.false(isAlive(pid))
  t.is((await within(failed, 'the error'))[0], error)
  t.true(stdin.destroyed)
  const never = master.spawn('cat', [], { signal: AbortSignal.abort('early') })
  const early = await aborts(t, never, 'early')
  t.is(early.result, undefined)
  t.is(never.pid, undefined)
})

test.serial('a stream that ended early is not looked at again, by its old number', async (t) => {
  const master = await createMaster(t)
  const run = master.spawn('/bin/sh', ['-c', 'echo out; echo err >&2; exec 1>&- 2>&-; read x'])
  const { stdin } = run
  const before = openFds()
  const result = run.result
  // The program has closed its ends, so ours are closed as well.
  await until(() => openFds().size === before.size - 2, 'both ends to be closed')
  const path = join(mkdtempSync(join(tmpdir(), 'hotcell-spawn-')), 'file')
  writeFileSync(path, 'of somebody else')
  const reused = Array.from({ length: 4 }, () => openSync(path, 'r'))
  t.true(reused.filter((fd) => before.has(fd)).length >= 2)
  stdin.end('x\n')
  t.like(await result, { status: 'ok', stdout: 'out\n', stderr: 'err\n' })
  for (const fd of reused) {
    t.is(readFileSync(fd, 'utf8'), 'of somebody else')
    closeSync(fd)
  }
  rmSync(dirname(path), { recursive: true })
})

test.serial('no descriptor is left, whatever became of the streams', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const ways: ((run: Execution) => Promise<unknown>)[] = [
    async (run) => await run,
    async (run) => {
      run.stdout.resume()
      await run
    },
    async (run) => {
      const { stdin, stdout, stderr } = run
      t.truthy(stdin && stdout && stderr)
      await run
    },
    async (run) => {
      run.stdin.end()
      await Promise.all([bytes(run.stdout), bytes(run.stderr)])
      await run
    },
    async (run) => await run.started,
    async (run) => {
      run.kill('SIGKILL')
      await run
    },
  ]
  const all = async (): Promise<void> => {
    for (const way of ways) await way(master.spawn('./behave', ['write', '1000']))
    await master.spawn('absent').result.catch(() => undefined)
  }
  const before = openFds().size
  for (let i = 0; i < 10; i++) await all()
  // A socket is closed by the event loop, some turns after its end.
  await until(() => openFds().size <= before, 'the descriptors to be closed')
  t.pass()
})
