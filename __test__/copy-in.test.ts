// copyIn: every kind of source, what stands at the path before and after, and what a failed or cancelled copy leaves.
import { spawn as spawnProcess, spawnSync } from 'node:child_process'
import { EventEmitter, getEventListeners } from 'node:events'
import {
  closeSync,
  createReadStream,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { pathToFileURL } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import type { CopySource, Master } from '../index.js'
import { install } from './support/compile.js'
import { openFds } from './support/counters.js'
import { aborts, rejects } from './support/errors.js'
import { createMaster } from './support/mode.js'
import { deferred, until, within } from './support/waiting.js'

const content = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))

function hostFile(t: ExecutionContext, bytes: string | Uint8Array = content, mode = 0o640): string {
  const folder = mkdtempSync(join(tmpdir(), 'hotcell-copy-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'ünïcode name')
  writeFileSync(path, bytes, { mode })
  return path
}

async function stat(master: Master, path: string, format: string): Promise<string> {
  const { stdout, stderr } = await master.run('stat', ['-c', format, path])
  return stdout.trim() || stderr
}

const sources: Record<string, (t: ExecutionContext) => CopySource | Promise<CopySource>> = {
  'a path': (t) => hostFile(t),
  'a URL': (t) => pathToFileURL(hostFile(t)),
  'a Buffer': () => content,
  'a Uint8Array over a part of its memory': () => new Uint8Array([1, 2, 3, ...content, 4]).subarray(3, 259),
  'a Uint16Array': () => new Uint16Array(new Uint8Array(content).buffer),
  'a DataView': () => new DataView(new Uint8Array([7, ...content, 7]).buffer, 1, 256),
  'a number as { fd }': (t) => {
    const fd = openSync(hostFile(t), 'r')
    t.teardown(() => closeSync(fd))
    return { fd }
  },
  'a FileHandle': async (t) => {
    const handle = await open(hostFile(t))
    t.teardown(() => handle.close())
    return handle
  },
  'a Node stream': (t) => createReadStream(hostFile(t), { highWaterMark: 100 }),
  'a Node stream of strings': () =>
    Readable.from(
      [...content].map((byte) => Buffer.from([byte])),
      { objectMode: false },
    ),
  'a web stream': () =>
    new ReadableStream<Uint8Array>({
      start: (controller) => {
        controller.enqueue(content.subarray(0, 100))
        controller.enqueue(content.subarray(100))
        controller.close()
      },
    }),
  'a Blob’s stream': () => new Blob([content]).stream(),
  'an async generator': async function* () {
    yield content.subarray(0, 1)
    yield content.subarray(1)
  },
}

for (const [kind, make] of Object.entries(sources)) {
  test(`copies ${kind}`, async (t) => {
    const master = await createMaster(t)
    await master.copyIn(await make(t), 'copy')
    t.deepEqual(await master.copyOut('copy'), content)
  })
}

test('an async generator may yield strings', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(
    (async function* () {
      yield 'grüße'
      yield Buffer.from('!')
    })(),
    'copy',
  )
  t.is(String(await master.copyOut('copy')), 'grüße!')
})

test('a stream that yields something else is a TypeError, and leaves nothing', async (t) => {
  const master = await createMaster(t)
  await t.throwsAsync(master.copyIn(Readable.from([1, 2]), 'copy'), { instanceOf: TypeError })
  t.is((await master.run('ls', ['-A'])).stdout, '')
})

test('a descriptor is read from where it stands, and stays open', async (t) => {
  const master = await createMaster(t)
  const fd = openSync(hostFile(t, '0123456789'), 'r')
  readSync(fd, Buffer.alloc(4), 0, 4, null)
  await master.copyIn({ fd }, 'copy')
  t.is(String(await master.copyOut('copy')), '456789')
  t.is(fstatSync(fd).size, 10)
  closeSync(fd)
})

test('a large file arrives whole, from memory, from a file and from a stream', async (t) => {
  const master = await createMaster(t)
  const large = Buffer.alloc(10_000_001, 'hotcell ')
  const path = hostFile(t, large)
  for (const source of [large, path, createReadStream(path)]) {
    await master.copyIn(source, 'copy')
    t.true(large.equals(await master.copyOut('copy')))
  }
})

test('empty sources make empty files', async (t) => {
  const master = await createMaster(t)
  for (const source of [Buffer.alloc(0), hostFile(t, ''), Readable.from([])]) {
    await master.copyIn(source, 'copy')
    t.is(await stat(master, 'copy', '%s %F'), '0 regular empty file')
  }
})

test('modes: as given; of the source; 0644', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(content, 'plain')
  t.is(await stat(master, 'plain', '%a'), '644')
  await master.copyIn(content, 'given', { mode: 0o1751 })
  t.is(await stat(master, 'given', '%a'), '1751')
  await master.copyIn(content, 'none', { mode: 0 })
  t.is(await stat(master, 'none', '%a'), '0')
  const path = hostFile(t, content, 0o751)
  await master.copyIn(path, 'path')
  t.is(await stat(master, 'path', '%a'), (statSync(path).mode & 0o777).toString(8))
  await master.copyIn(pathToFileURL(path), 'url', { mode: 0o600 })
  t.is(await stat(master, 'url', '%a'), '600')
})

test('the file belongs to the user that programs run as', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(content, 'below/copy')
  const { stdout } = await master.run('/bin/sh', [
    '-c',
    'id -u; id -g; stat -c %u below/copy; stat -c %g below/copy; stat -c "%u %a" below; echo x >> below/copy && echo more > below/new && echo written',
  ])
  const [uid, gid, ...rest] = stdout.trim().split('\n')
  t.deepEqual(rest, [uid, gid, `${uid} 755`, 'written'])
})

test('missing parents are made', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(content, 'a/b/c/copy')
  await master.copyIn(content, '/tmp/d/./e/../f/copy')
  t.deepEqual(await master.copyOut('/w/a/b/c/copy'), content)
  t.deepEqual(await master.copyOut('/tmp/d/f/copy'), content)
})

test('a file is replaced: by another one, so that who has it open keeps what he had', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('old'), 'x', { mode: 0o600 })
  const old = await master.open('x', 'r')
  await master.copyIn(Buffer.from('new'), 'x')
  t.is(await old.readFile('utf8'), 'old')
  await old.close()
  t.is(String(await master.copyOut('x')), 'new')
  t.is(await stat(master, 'x', '%a'), '644')
})

test('a symbolic link is replaced, not followed', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('target'), 'target')
  await master.symlink('target', 'link')
  await master.symlink('/nowhere/at/all', 'dangling')
  for (const path of ['link', 'dangling']) {
    await master.copyIn(Buffer.from('new'), path)
    t.is(await stat(master, path, '%F'), 'regular file')
  }
  t.is(String(await master.copyOut('target')), 'target')
})

test('a symbolic link to a directory on the way is followed, inside of the container', async (t) => {
  const master = await createMaster(t)
  t.is(
    (await master.run('/bin/sh', ['-c', 'mkdir real; ln -s /w/real link; ln -s ../../../../../../tmp out'])).status,
    'ok',
  )
  await master.copyIn(Buffer.from('x'), 'link/x')
  await master.copyIn(Buffer.from('x'), 'out/x')
  t.is((await master.run('cat', ['real/x', '/tmp/x'])).stdout, 'xx')
})

test('a fifo is replaced, and nobody waits for its reader', async (t) => {
  const master = await createMaster(t)
  t.is((await master.run('mkfifo', ['x'])).status, 'ok')
  await within(master.copyIn(Buffer.from('new'), 'x'), 'copyIn')
  t.is(await stat(master, 'x', '%F'), 'regular file')
})

test('a directory is not replaced', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(content, 'folder/x')
  const error = await rejects(t, master.copyIn(content, 'folder'), 'EISDIR')
  t.regex(error.message, /delete it first/i)
  t.is((await master.run('ls', ['-A', '.', 'folder'])).stdout, '.:\nfolder\n\nfolder:\nx\n')
})

test('paths that name no file', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(content, 'file')
  for (const [path, code] of [
    ['/', 'EISDIR'],
    ['.', 'EISDIR'],
    ['x/', 'EISDIR'],
    ['x/..', 'EISDIR'],
    ['file/x', 'ENOTDIR'],
    ['x'.repeat(256), 'ENAMETOOLONG'],
    [`${'x/'.repeat(2048)}x`, 'ENAMETOOLONG'],
    ['/usr/x', 'EROFS'],
    ['/x', 'EROFS'],
    ['/proc/self/x', 'ENOENT'],
  ] as const) {
    const error = await t.throwsAsync(master.copyIn(content, path), { name: 'HotcellError' }, path.slice(0, 20))
    t.true(
      [code, ...(path.startsWith('/') ? ['EROFS', 'EACCES'] : [])].includes((error as Error & { code: string }).code),
      `${path.slice(0, 20)}: ${String(error)}`,
    )
  }
  t.is((await master.run('ls', ['-A'])).stdout, 'file\n')
})

test('paths may be bytes', async (t) => {
  const master = await createMaster(t)
  const name = Buffer.from(Array.from({ length: 254 }, (_, byte) => byte + 1).filter((byte) => byte !== 0x2f))
  await master.copyIn(content, name)
  t.deepEqual(await master.copyOut(name), content)
  const { stdout } = await master.run('/bin/sh', ['-c', 'printf %s *'], {
    encoding: 'buffer',
    env: ['LC_ALL=C', 'PATH=/usr/bin:/bin'],
  })
  t.true(stdout.equals(name))
})

test('a missing host file is an error about the host’s path', async (t) => {
  const master = await createMaster(t)
  const error = await rejects(t, master.copyIn('/nowhere/at/all', 'x'), 'ENOENT')
  t.is(error.path, '/nowhere/at/all')
  t.is(error.syscall, 'open')
  t.regex(error.message, /host/)
  const directory = openSync(tmpdir(), 'r')
  t.teardown(() => closeSync(directory))
  await rejects(t, master.copyIn({ fd: directory }, 'x'), 'EISDIR')
  await rejects(t, master.copyIn({ fd: 999_999 }, 'x'), 'EBADF')
  t.is((await master.run('ls', ['-A'])).stdout, '')
})

test('a program that was just copied can be executed at once, any number of times', async (t) => {
  const master = await createMaster(t)
  for (let i = 0; i < 50; i++) {
    const path = await install(master, 'behave')
    t.like(await master.execve({ args: [path, 'exit', String(i)] }), i === 0 ? { status: 'ok' } : { exitCode: i })
  }
})

test('many copies at once', async (t) => {
  const master = await createMaster(t)
  await Promise.all(Array.from({ length: 200 }, (_, i) => master.copyIn(Buffer.from(String(i)), `folder${i % 7}/${i}`)))
  const copies = await Promise.all(Array.from({ length: 200 }, (_, i) => master.copyOut(`folder${i % 7}/${i}`)))
  t.deepEqual(
    copies.map(String),
    Array.from({ length: 200 }, (_, i) => String(i)),
  )
})

test('an aborted signal starts nothing', async (t) => {
  const master = await createMaster(t)
  const reason = { any: 'thing' }
  const source = new PassThrough()
  await aborts(t, master.copyIn(source, 'x', { signal: AbortSignal.abort(reason) }), reason)
  t.is((await master.run('ls', ['-A'])).stdout, '')
})

test.serial('an abort ends a copy from a stream that waits, destroys it, and leaves what was there', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('old'), 'x')
  const before = openFds().size
  for (const make of [
    () => new PassThrough(),
    () =>
      Readable.from(
        (async function* () {
          yield 'first'
          await new Promise(() => undefined)
        })(),
      ),
  ]) {
    const controller = new AbortController()
    const source = make()
    source.push?.('begun')
    const copying = master.copyIn(source, 'x', { signal: controller.signal })
    copying.catch(() => undefined)
    // The copy has begun: init has made its temporary file.
    await until(async () => (await master.run('ls', ['-A'])).stdout !== 'x\n', 'a temporary file')
    controller.abort('enough')
    await aborts(t, within(copying, 'copyIn'), 'enough')
    t.true(source.destroyed)
    t.deepEqual(getEventListeners(controller.signal, 'abort'), [])
    t.is((await master.run('ls', ['-A'])).stdout, 'x\n')
  }
  t.is(String(await master.copyOut('x')), 'old')
  t.is(openFds().size, before)
})

test('an abort ends a copy from a web stream, and cancels it', async (t) => {
  const master = await createMaster(t)
  const controller = new AbortController()
  const cancelled = deferred()
  const pulled = deferred()
  const source = new ReadableStream<Uint8Array>(
    {
      pull: () => {
        pulled.resolve()
        return new Promise(() => undefined)
      },
      cancel: () => cancelled.resolve(),
    },
    { highWaterMark: 0 },
  )
  const copying = aborts(t, master.copyIn(source, 'x', { signal: controller.signal }), 'enough')
  await within(pulled.promise, 'the first read')
  controller.abort('enough')
  await within(copying, 'copyIn')
  await within(cancelled.promise, 'cancel')
  t.is((await master.run('ls', ['-A'])).stdout, '')
})

test('an abort ends a copy from a pipe that nobody writes to', async (t) => {
  const master = await createMaster(t)
  const controller = new AbortController()
  const source = new EventEmitter() as EventEmitter & AsyncIterable<Uint8Array>
  const asked = deferred()
  source[Symbol.asyncIterator] = () => ({
    next: () => {
      asked.resolve()
      return new Promise(() => undefined)
    },
    return: () => Promise.resolve({ done: true, value: undefined }),
  })
  const copying = aborts(t, master.copyIn(source, 'x', { signal: controller.signal }), 'enough')
  await within(asked.promise, 'the first read')
  controller.abort('enough')
  await within(copying, 'copyIn')
})

test.serial('a stream that fails leaves what was there, and says why', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('old'), 'x')
  const failure = new Error('the source failed')
  const before = openFds().size
  const failing: (() => CopySource)[] = [
    () =>
      Readable.from(
        (async function* () {
          yield 'some'
          throw failure
        })(),
      ),
    async function* () {
      yield 'some'
      throw failure
    },
    () => new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(failure) }),
    () => new PassThrough().destroy(failure),
  ]
  for (const make of failing) t.is(await t.throwsAsync(master.copyIn(make(), 'x')), failure)
  await t.throwsAsync(master.copyIn(createReadStream('/nowhere/at/all'), 'x'), { code: 'ENOENT' })
  t.is(String(await master.copyOut('x')), 'old')
  t.is((await master.run('ls', ['-A'])).stdout, 'x\n')
  t.is(openFds().size, before)
})

test('a copy into a full tmpfs leaves what was there', async (t) => {
  const master = await createMaster(t, { tmpfs: { sizeBytes: 1024 * 1024 } })
  await master.copyIn(Buffer.from('old'), 'x')
  for (const source of [Buffer.alloc(2_000_000), Readable.from([Buffer.alloc(2_000_000)])]) {
    await rejects(t, master.copyIn(source, 'x'), 'ENOSPC')
  }
  t.is(String(await master.copyOut('x')), 'old')
  t.is((await master.run('ls', ['-A'])).stdout, 'x\n')
})

test('the host’s file is not touched', async (t) => {
  const master = await createMaster(t)
  const path = hostFile(t, 'host')
  await master.copyIn(path, 'x', { mode: 0o777 })
  t.is((await master.run('/bin/sh', ['-c', 'echo changed > x'])).status, 'ok')
  t.is(readFileSync(path, 'utf8'), 'host')
})

/** A file of many pieces between holes, which takes the kernel several parts to copy; its descriptor, and where it stands. */
function pieces(t: ExecutionContext): { fd: number; position: () => number; content: Buffer } {
  const [count, piece] = [3_000, 4_096]
  const path = hostFile(t, '')
  const fd = openSync(path, 'r+')
  t.teardown(() => closeSync(fd))
  const all = Buffer.alloc(count * 2 * piece)
  for (let at = piece; at < all.length; at += 2 * piece) {
    all.fill('x', at, at + piece)
    writeSync(fd, all, at, piece, at)
  }
  const position = (): number => Number(/^pos:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1])
  return { fd, position, content: all }
}

test('holes stay holes, from a path and from container to container', async (t) => {
  const [master, other] = await Promise.all([createMaster(t), createMaster(t)])
  const path = hostFile(t, 'begin')
  truncateSync(path, 40_000_000)
  const fd = openSync(path, 'r+')
  writeSync(fd, 'middle', 20_000_000)
  closeSync(fd)
  await master.copyIn(path, 'sparse')
  await using file = await master.open('sparse')
  await other.copyIn(file, 'sparse')
  for (const each of [master, other]) {
    const [size, blocks] = (await stat(each, 'sparse', '%s %b')).split(' ').map(Number) as [number, number]
    t.is(size, 40_000_000)
    t.true(blocks * 512 < 4_000_000, `${blocks} blocks`)
    const { stdout } = await each.run('sh', ['-c', 'tr -d "\\0" < sparse'])
    t.is(stdout, 'beginmiddle')
  }
  const pieced = pieces(t)
  await master.copyIn({ fd: pieced.fd }, 'pieces')
  t.true(pieced.content.equals(await master.copyOut('pieces')))
  t.is(pieced.position(), pieced.content.length)
})

test('a file of one container is copied into another one, from where it stands', async (t) => {
  const [from, to] = await Promise.all([createMaster(t), createMaster(t)])
  await from.copyIn(Buffer.from('0123456789'), 'x')
  await using file = await from.open('x')
  await file.read(Buffer.alloc(3))
  await to.copyIn(file, 'x')
  t.is(String(await to.copyOut('x')), '3456789')
  t.is((await file.read(Buffer.alloc(1))).bytesRead, 0)
  await to.copyIn(file, 'x')
  t.is(String(await to.copyOut('x')), '')
})

test('files that do not say how long they are, and pipes, are read to their end', async (t) => {
  const master = await createMaster(t)
  await master.copyIn('/proc/self/limits', 'limits')
  t.regex(String(await master.copyOut('limits')), /^Limit/)
  const path = hostFile(t)
  rmSync(path)
  t.is(spawnSync('mkfifo', [path]).status, 0)
  const writer = spawnProcess('sh', ['-c', 'echo through a pipe > "$0"', path])
  t.teardown(() => writer.kill())
  await within(master.copyIn(path, 'piped'), 'the copy')
  t.is(String(await master.copyOut('piped')), 'through a pipe\n')
})

test('more than maxBytes is refused, whatever it comes from, and leaves what was there', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('old'), 'x')
  const path = hostFile(t)
  for (const make of [() => content, () => path, () => createReadStream(path), () => '/proc/self/limits']) {
    await rejects(t, master.copyIn(make(), 'x', { maxBytes: 255 }), 'ERR_HOTCELL_TOO_LARGE')
  }
  t.is(String(await master.copyOut('x')), 'old')
  t.is((await master.run('ls', ['-A'])).stdout, 'x\n')
  for (const make of [() => content, () => path, () => createReadStream(path)]) {
    await master.copyIn(make(), 'x', { maxBytes: 256 })
    t.deepEqual(await master.copyOut('x'), content)
  }
  await t.throwsAsync(master.copyIn(content, 'x', { maxBytes: -1 }), { instanceOf: RangeError, message: /"maxBytes"/ })
})

test.serial('an abort ends a copy by the kernel half way, and leaves what was there', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('old'), 'x')
  const before = openFds().size
  const controller = new AbortController()
  const { fd, position, content: all } = pieces(t)
  const copying = aborts(t, master.copyIn({ fd }, 'x', { signal: controller.signal }), 'enough')
  while (position() === 0) await new Promise(setImmediate)
  t.true(position() < all.length)
  controller.abort('enough')
  await within(copying, 'copyIn')
  t.deepEqual(getEventListeners(controller.signal, 'abort'), [])
  t.is(String(await master.copyOut('x')), 'old')
  t.is((await master.run('ls', ['-A'])).stdout, 'x\n')
  t.is(openFds().size, before + 1)
})

test.serial('a container that goes away ends a copy by the kernel', async (t) => {
  const before = openFds().size
  const { fd, position } = pieces(t)
  const master = await createMaster(t)
  const copying = rejects(t, master.copyIn({ fd }, 'x'), 'ERR_HOTCELL_CLOSED')
  while (position() === 0) await new Promise(setImmediate)
  await master.destroy()
  await within(copying, 'copyIn')
  await until(() => openFds().size <= before + 1, 'closed descriptors')
})
