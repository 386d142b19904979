// Descriptors that a program gets: these, in this order, and no other.
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  constants,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { ExecveParam, Master } from '../index.js'
import { compile, install } from './support/compile.js'
import { openFds } from './support/counters.js'
import { createMaster } from './support/mode.js'
import { within } from './support/waiting.js'

interface Found {
  fd: number
  type: string
  identity: string
  access: number
}

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'hotcell-fds-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

function opened(t: ExecutionContext, path: string, flags: string | number): number {
  const fd = openSync(path, flags)
  t.teardown(() => closeSync(fd))
  return fd
}

const identityOf = (fd: number): string => {
  const { dev, ino } = fstatSync(fd)
  return `${dev}:${ino}`
}

/** What the program found, with `fds`, the last of which is a file for the report. */
async function report(
  t: ExecutionContext,
  master: Master,
  fds: number[],
  param: Partial<ExecveParam> = {},
): Promise<Found[]> {
  const path = join(folder(t), 'report')
  writeFileSync(path, '')
  const out = opened(t, path, 'r+')
  const result = await master.execve({ args: ['/w/report', 'fds', String(fds.length)], ...param, fds: [...fds, out] })
  t.is(result.status, 'ok')
  return readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
    .map(([fd, type = '', identity = '', access]) => ({ fd: Number(fd), type, identity, access: Number(access) }))
    .slice(0, -1)
}

test('without fds there is /dev/null thrice', async (t) => {
  const master = await createMaster(t)
  await install(master, 'report')
  const result = await master.execve({
    args: ['/bin/sh', '-c', './report fds > found; readlink /proc/self/fd/0 > link'],
  })
  t.is(result.status, 'ok')
  const lines = String(await master.copyOut('found'))
    .trim()
    .split('\n')
  t.deepEqual(
    lines.map((line) => line.split(' ').slice(0, 2).join(' ')),
    ['0 character', '1 file', '2 character'],
  )
  t.is(String(await master.copyOut('link')), '/dev/null\n')
  const nothing = await master.execve({ args: ['/bin/sh', '-c', 'read x; [ $? -eq 1 ] && echo lost && echo lost >&2'] })
  t.is(nothing.status, 'ok')
})

test('those given become 0, 1, 2, …, in their order, and there is no other', async (t) => {
  const master = await createMaster(t)
  await install(master, 'report')
  const path = join(folder(t), 'x')
  writeFileSync(path, 'content')
  const read = opened(t, path, 'r')
  const both = opened(t, path, 'r+')
  const zero = opened(t, '/dev/zero', 'r')
  const fds = [zero, both, read, zero, both]
  const found = await report(t, master, fds)
  t.deepEqual(
    found.map(({ fd, identity, access }) => ({ fd, identity, access })),
    fds.map((fd, index) => ({ fd: index, identity: identityOf(fd), access: fd === both ? 2 : 0 })),
  )
})

test('fewer than three: the others are closed', async (t) => {
  const master = await createMaster(t)
  await install(master, 'report')
  t.deepEqual(await report(t, master, []), [])
  t.deepEqual(
    (await report(t, master, [opened(t, '/dev/null', 'r+')])).map(({ fd }) => fd),
    [0],
  )
})

test('an empty list is not the default', async (t) => {
  const master = await createMaster(t)
  const result = await master.execve({ args: ['/bin/sh', '-c', 'ls /proc/self/fd > /w/found 2>/w/errors; :'], fds: [] })
  t.is(result.status, 'ok')
  // 0 is the folder that ls lists, for nothing else stands there; 1 and 2 were opened by the shell.
  t.deepEqual(
    String(await master.copyOut('found'))
      .trim()
      .split('\n')
      .slice(0, 3),
    ['0', '1', '2'],
  )
})

test('251 descriptors', async (t) => {
  const master = await createMaster(t)
  await install(master, 'report')
  const zero = opened(t, '/dev/zero', 'r')
  t.is(
    (
      await report(
        t,
        master,
        Array.from({ length: 250 }, () => zero),
      )
    ).length,
    250,
  )
  t.is(
    (
      await report(
        t,
        master,
        Array.from({ length: 250 }, () => zero),
        { args: ['/w/report', 'fds', '250', 'x'.repeat(100_000)] },
      )
    ).length,
    250,
  )
})

test('descriptors may be given as objects, and closed at once', async (t) => {
  const master = await createMaster(t)
  const path = join(folder(t), 'x')
  const handle = await open(path, 'w+')
  const null0 = openSync('/dev/null', 'r')
  const run = master.execve({ args: ['/bin/sh', '-c', 'sleep 0; echo written'], fds: [null0, handle, { fd: null0 }] })
  closeSync(null0)
  await handle.close()
  t.is((await run).status, 'ok')
  t.is(readFileSync(path, 'utf8'), 'written\n')
})

test('the file position is shared, as after fork', async (t) => {
  const master = await createMaster(t)
  const path = join(folder(t), 'x')
  writeFileSync(path, 'one\ntwo\n')
  const fd = opened(t, path, 'r+')
  readSync(fd, Buffer.alloc(4), 0, 4, null)
  const out = opened(t, join(folder(t), 'out'), 'w+')
  t.is((await master.execve({ args: ['cat'], fds: [fd, out, 2] })).status, 'ok')
  const buffer = Buffer.alloc(10)
  t.is(String(buffer.subarray(0, readSync(out, buffer, 0, 10, 0))), 'two\n')
  t.is(writeSync(fd, 'three\n', null), 6)
  t.is(readFileSync(path, 'utf8'), 'one\ntwo\nthree\n')
})

test('pipes', async (t) => {
  const master = await createMaster(t)
  const path = join(folder(t), 'fifo')
  execFileSync('mkfifo', [path])
  const fd = opened(t, path, constants.O_RDWR)
  writeSync(fd, 'through a pipe\n')
  const out = opened(t, join(folder(t), 'out'), 'w+')
  t.is((await master.execve({ args: ['head', '-n', '1'], fds: [fd, out, 2] })).status, 'ok')
  t.is(String(readFileSync(join(`/proc/self/fd/${out}`))), 'through a pipe\n')
})

test('sockets', async (t) => {
  const master = await createMaster(t)
  const path = join(folder(t), 'socket')
  // Paused: else this process would read what is for the program.
  const server = createServer({ pauseOnConnect: true })
  server.listen(path)
  await once(server, 'listening')
  t.teardown(() => server.close())
  const client = connect(path)
  t.teardown(() => client.destroy())
  const [socket] = (await once(server, 'connection')) as [Socket]
  t.teardown(() => socket.destroy())
  const { fd } = (socket as unknown as { _handle: { fd: number } })._handle
  // Before the program starts: Node's sockets are non-blocking, and the shell does not wait for such.
  await new Promise((resolve) => client.write('a line\n', resolve))
  const run = master.execve({ args: ['/bin/sh', '-c', 'read line; echo "got $line"'], fds: [fd, fd, fd] })
  const [answer] = (await within(once(client, 'data'), 'an answer')) as [Buffer]
  t.is(String(answer), 'got a line\n')
  t.is((await run).status, 'ok')
})

test('a file without a name', async (t) => {
  const master = await createMaster(t)
  const path = join(folder(t), 'x')
  writeFileSync(path, 'nameless')
  const fd = opened(t, path, 'r')
  rmSync(path)
  const out = opened(t, join(folder(t), 'out'), 'w+')
  t.is((await master.execve({ args: ['cat'], fds: [fd, out, 2] })).status, 'ok')
  t.is(readFileSync(`/proc/self/fd/${out}`, 'utf8'), 'nameless')
})

test('execFile executes a descriptor: of the host, or of the container', async (t) => {
  const master = await createMaster(t)
  const program = await compile('behave')
  const host = await open(program)
  t.teardown(() => host.close())
  t.like(await master.execve({ args: ['any name', 'exit', '5'], execFile: host }), { exitCode: 5 })
  t.like(await master.execve({ args: ['any name', 'exit', '6'], execFile: host.fd }), { exitCode: 6 })
  await master.copyIn(program, 'hidden', { mode: 0o755 })
  await using inside = await master.open('hidden')
  await master.delete('hidden')
  t.like(await master.execve({ args: ['x', 'exit', '7'], execFile: inside }), { exitCode: 7 })
})

test('execFile comes beside fds, and is not open in the program', async (t) => {
  const master = await createMaster(t)
  const program = opened(t, await compile('report'), 'r')
  const zero = opened(t, '/dev/zero', 'r')
  const found = await report(t, master, [zero, zero, zero, zero], { args: ['own name', 'fds', '4'], execFile: program })
  t.deepEqual(
    found.map(({ fd }) => fd),
    [0, 1, 2, 3],
  )
  const out = opened(t, join(folder(t), 'out'), 'w+')
  t.is((await master.execve({ args: ['own name', 'args'], execFile: program, fds: [zero, out, out] })).status, 'ok')
  t.is(readFileSync(`/proc/self/fd/${out}`, 'utf8'), 'own name\0args\0')
})

test('execFile takes a script, which is read through /proc', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('#!/bin/sh\nexit 9\n'), 'script', { mode: 0o755 })
  await using script = await master.open('script')
  // fexecve(3): the interpreter opens /dev/fd/N, so the descriptor must not be closed by execve. Ours are.
  await t.throwsAsync(master.execve({ args: ['script'], execFile: script }), { code: 'ENOENT' })
  t.like(await master.execve({ args: ['./script'] }), { exitCode: 9 })
})

test.serial('no descriptor of ours is left by any of it', async (t) => {
  const master = await createMaster(t)
  await install(master, 'report')
  const zero = opened(t, '/dev/zero', 'r')
  const all = async (): Promise<void> => {
    await master.execve({ args: ['true'], fds: [zero, zero, zero, zero] })
    await master.run('echo', ['x'])
    await master.run('absent').catch(() => undefined)
    await master.execve({ args: ['absent'], fds: [zero] }).catch(() => undefined)
    await master.spawn('cat')
    await master.spawn('absent').result.catch(() => undefined)
    await master.execve({ args: ['true'], syncFunc: () => undefined, fds: [zero] })
  }
  await all()
  const before = openFds()
  for (let i = 0; i < 20; i++) await all()
  t.deepEqual(openFds().size, before.size)
})
