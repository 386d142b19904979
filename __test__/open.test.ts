// open and SandboxFile.
import { constants, fstatSync } from 'node:fs'
import { feed, text } from './support/streams.js'
import test, { type ExecutionContext } from 'ava'
import type { Master, SandboxFile } from '../index.js'
import { install } from './support/compile.js'
import { openFds } from './support/counters.js'
import { rejects } from './support/errors.js'
import { createMaster } from './support/mode.js'

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_DIRECTORY, O_NOFOLLOW, O_SYNC } = constants
const O_PATH = 0o10000000
const O_TMPFILE = 0o20000000 | O_DIRECTORY

async function open(t: ExecutionContext, master: Master, ...args: Parameters<Master['open']>): Promise<SandboxFile> {
  const file = await master.open(...args)
  t.teardown(() => file.close())
  return file
}

/** What of reading, writing at the start, truncating at opening and appending a flag allows. */
test('the words of node:fs do what they do there', async (t) => {
  const master = await createMaster(t)
  const flags: Record<
    string,
    { reads: boolean; writes: boolean; makes: boolean; empties?: boolean; appends?: boolean; excludes?: boolean }
  > = {
    r: { reads: true, writes: false, makes: false },
    rs: { reads: true, writes: false, makes: false },
    sr: { reads: true, writes: false, makes: false },
    'r+': { reads: true, writes: true, makes: false },
    'rs+': { reads: true, writes: true, makes: false },
    w: { reads: false, writes: true, makes: true, empties: true },
    wx: { reads: false, writes: true, makes: true, excludes: true },
    xw: { reads: false, writes: true, makes: true, excludes: true },
    'w+': { reads: true, writes: true, makes: true, empties: true },
    'wx+': { reads: true, writes: true, makes: true, excludes: true },
    a: { reads: false, writes: true, makes: true, appends: true },
    ax: { reads: false, writes: true, makes: true, appends: true, excludes: true },
    'a+': { reads: true, writes: true, makes: true, appends: true },
    'ax+': { reads: true, writes: true, makes: true, appends: true, excludes: true },
    as: { reads: false, writes: true, makes: true, appends: true },
    'as+': { reads: true, writes: true, makes: true, appends: true },
  }
  for (const [flag, { reads, writes, makes, empties = false, appends = false, excludes = false }] of Object.entries(
    flags,
  )) {
    await master.delete('x', { recursive: true })
    if (makes) {
      await (await master.open('x', flag)).close()
      t.is((await master.copyOut('x')).length, 0, flag)
    } else {
      await rejects(t, master.open('x', flag), 'ENOENT', flag)
    }
    await master.copyIn(Buffer.from('content'), 'x')
    if (excludes) {
      await rejects(t, master.open('x', flag), 'EEXIST', flag)
      continue
    }
    const file = await master.open('x', flag)
    t.is((await file.stat()).size, empties ? 0 : 7, flag)
    if (reads) t.is(await file.readFile('utf8'), empties ? '' : 'content', flag)
    else await t.throwsAsync(file.read(Buffer.alloc(1)), { code: 'EBADF' }, flag)
    if (writes) {
      t.deepEqual(await file.write('X', 0), { bytesWritten: 1 }, flag)
      await file.close()
      t.is(String(await master.copyOut('x')), appends ? 'contentX' : empties ? 'X' : 'Xontent', flag)
    } else {
      await t.throwsAsync(file.write('X'), { code: 'EBADF' }, flag)
      await file.close()
    }
  }
})

test('flags may be numbers', async (t) => {
  const master = await createMaster(t)
  const made = await open(t, master, 'x', O_RDWR | O_CREAT | O_EXCL, 0o640)
  await made.writeFile('content')
  t.is((await made.stat()).mode & 0o7777, 0o640)
  await rejects(t, master.open('x', O_WRONLY | O_CREAT | O_EXCL), 'EEXIST')
  t.is(await (await open(t, master, 'x', O_RDONLY | O_SYNC | O_NOFOLLOW)).readFile('utf8'), 'content')
  const appending = await open(t, master, 'x', O_WRONLY | O_APPEND)
  await appending.writeFile('!')
  await (await open(t, master, 'x', O_WRONLY | O_TRUNC)).write('y')
  t.is(String(await master.copyOut('x')), 'y')
  const nameless = await open(t, master, '/w', O_RDWR | O_TMPFILE, 0o600)
  await nameless.writeFile('no name')
  t.is((await nameless.stat()).nlink, 0)
  t.is((await master.run('ls', ['-A'])).stdout, 'x\n')
})

test('flags that open no regular file are refused', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('x'), 'x')
  await rejects(t, master.open('x', O_PATH), 'EINVAL')
  await rejects(t, master.open('x', O_RDONLY | O_DIRECTORY), 'ENOTDIR')
  await rejects(t, master.open('/w', O_RDONLY | O_DIRECTORY), 'EISDIR')
  await rejects(t, master.open('/w', 'w'), 'EISDIR')
  await rejects(t, master.open('/dev/null', 'r+'), 'EINVAL')
})

test('modes are set exactly, whatever the umask', async (t) => {
  const master = await createMaster(t)
  for (const mode of [0o777, 0o666, 0o600, 0o4755, 0]) {
    const file = await open(t, master, `mode${mode}`, 'w', mode)
    t.is((await file.stat()).mode & 0o7777, mode)
  }
  t.is((await (await open(t, master, 'default', 'w')).stat()).mode & 0o7777, 0o666)
  // A file that is there already keeps its own.
  t.is((await (await open(t, master, 'mode384', 'w', 0o777)).stat()).mode & 0o7777, 0o600)
})

test('parents are not made, links not followed, errors name the path', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('x'), 'file')
  await master.symlink('file', 'link')
  await master.symlink('absent', 'dangling')
  for (const [path, flags, code] of [
    ['absent/x', 'w', 'ENOENT'],
    ['absent', 'r', 'ENOENT'],
    ['link', 'r', 'ELOOP'],
    ['link', 'w', 'ELOOP'],
    ['dangling', 'w', 'ELOOP'],
    ['file/x', 'r', 'ENOTDIR'],
    ['/usr/hotcell', 'w', 'EROFS'],
  ] as const) {
    const error = await rejects(t, master.open(path, flags), code, path)
    t.is(error.path, path)
    t.is(error.syscall, 'openat2')
  }
  t.regex((await rejects(t, master.open('a/b', 'w'), 'ENOENT')).message, /makes no parent directories/)
  t.is(String(await master.copyOut('file')), 'x')
})

test('read and write, with and without a position', async (t) => {
  const master = await createMaster(t)
  const file = await open(t, master, 'x', 'w+')
  t.is(file.path, 'x')
  t.is(await file.writeFile('0123456789'), undefined)
  const buffer = Buffer.alloc(10, '.')
  const { bytesRead, buffer: same } = await file.read(buffer, 2, 3, 4)
  t.is(bytesRead, 3)
  t.is(same, buffer)
  t.is(String(buffer), '..456.....')
  // The position is still at the end.
  t.is((await file.read(Buffer.alloc(1))).bytesRead, 0)
  t.deepEqual(await file.write(new Uint8Array([0x61, 0x62]), 8), { bytesWritten: 2 })
  t.deepEqual(await file.write('é'), { bytesWritten: 2 })
  t.is((await file.read(new Uint16Array(2), 0, 4, 0)).buffer[0], 0x3130)
  t.is(String(await master.copyOut('x')), '01234567abé')
})

test('readFile reads on from the current position', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('0123456789'), 'x')
  const file = await open(t, master, 'x')
  await file.read(Buffer.alloc(4))
  t.deepEqual(await file.readFile(), Buffer.from('456789'))
  t.is(await file.readFile({ encoding: 'utf8' }), '')
  t.is(await (await open(t, master, 'x')).readFile('hex'), '30313233343536373839')
})

test('large files through writeFile and readFile', async (t) => {
  const master = await createMaster(t)
  const file = await open(t, master, 'x', 'w+')
  const large = Buffer.alloc(5_000_003, 'large ')
  await file.writeFile(large)
  t.true(large.equals(await master.copyOut('x')))
  t.true(large.equals(await (await open(t, master, 'x')).readFile()))
})

test('stat, truncate, sync', async (t) => {
  const master = await createMaster(t)
  const file = await open(t, master, 'x', 'w+')
  await file.writeFile('0123456789')
  t.true((await file.stat()).isFile())
  await file.truncate(4)
  await file.sync()
  t.is(String(await master.copyOut('x')), '0123')
  await file.truncate()
  t.is((await file.stat()).size, 0)
})

test('streams, both ways', async (t) => {
  const master = await createMaster(t)
  const large = Buffer.alloc(1_000_000, 'streamed ')
  const target = await master.open('x', 'w')
  await feed([large.subarray(0, 400_000), large.subarray(400_000)], target.createWriteStream())
  t.true(target.closed)
  t.true(large.equals(await master.copyOut('x')))
  const source = await master.open('x')
  t.is(await text(source.createReadStream({ encoding: 'utf8' })), String(large))
  t.true(source.closed)
  const part = await open(t, master, 'x')
  t.is(await text(part.createReadStream({ start: 9, end: 16, autoClose: false })), 'streamed')
  t.false(part.closed)
  const writer = await open(t, master, 'x', 'r+')
  await feed(['STREAMED'], writer.createWriteStream({ start: 9, autoClose: false, highWaterMark: 3 }))
  t.is(String((await master.copyOut('x')).subarray(0, 27)), 'streamed STREAMED streamed ')
  t.false(writer.closed)
})

test.serial('close: idempotent, after what is under way, and what comes after is EBADF', async (t) => {
  const master = await createMaster(t)
  const before = openFds().size
  const file = await master.open('x', 'w+')
  t.is(openFds().size, before + 1)
  t.true(fstatSync(file.fd).isFile())
  t.false(file.closed)
  const writing = file.write('late')
  const closing = file.close()
  t.is(file.close(), closing)
  t.true(file.closed)
  t.deepEqual(await writing, { bytesWritten: 4 })
  await closing
  t.is(openFds().size, before)
  const uses: (() => Promise<unknown>)[] = [
    () => file.read(Buffer.alloc(1)),
    () => file.write('x'),
    () => file.readFile(),
    () => file.writeFile('x'),
    () => file.stat(),
    () => file.truncate(),
    () => file.sync(),
  ]
  for (const use of uses) {
    const error = await rejects(t, use(), 'EBADF')
    t.is(error.path, 'x')
  }
  t.throws(() => file.createReadStream(), { code: 'EBADF' })
  t.throws(() => file.createWriteStream(), { code: 'EBADF' })
  await file.close()
})

test.serial('await using closes it', async (t) => {
  const master = await createMaster(t)
  const before = openFds().size
  {
    await using file = await master.open('x', 'w')
    await file.write('x')
  }
  t.is(openFds().size, before)
})

test.serial('a stream that fails closes the file', async (t) => {
  const master = await createMaster(t, { tmpfs: { sizeBytes: 64 * 1024 } })
  const before = openFds().size
  const file = await master.open('x', 'w')
  await t.throwsAsync(feed([Buffer.alloc(200_000)], file.createWriteStream()), { code: 'ENOSPC' })
  await file.close()
  t.is(openFds().size, before)
})

test('a program and the host share the file', async (t) => {
  const master = await createMaster(t)
  const file = await open(t, master, 'x', 'w+')
  await file.writeFile('from outside\n')
  t.is((await master.run('/bin/sh', ['-c', 'cat x; echo from inside >> x'])).stdout, 'from outside\n')
  t.is(await file.readFile('utf8'), 'from inside\n')
  await master.delete('x')
  await file.write('!')
  t.is((await file.stat()).nlink, 0)
})

test('a file may be given to a program as its output', async (t) => {
  const master = await createMaster(t)
  const file = await open(t, master, 'x', 'w+')
  t.is((await master.execve({ args: ['echo', 'direct'], fds: [0, file, 2] })).status, 'ok')
  t.is(String(await master.copyOut('x')), 'direct\n')
})

test('open files are of this process only', async (t) => {
  const master = await createMaster(t)
  await install(master, 'report')
  await open(t, master, 'x', 'w+')
  const { stdout } = await master.run('./report', ['fds'])
  t.deepEqual(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[0]),
    ['0', '1', '2'],
  )
})
