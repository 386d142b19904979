// copyOut: what can be read, and what cannot be had that way.
import { getEventListeners } from 'node:events'
import test from 'ava'
import { install } from './support/compile.js'
import { openFds } from './support/counters.js'
import { aborts, rejects } from './support/errors.js'
import { createMaster } from './support/mode.js'
import { within } from './support/waiting.js'

test('reads what programs wrote, byte for byte', async (t) => {
  const master = await createMaster(t)
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  t.is((await master.run('/bin/sh', ['-c', 'mkdir -p a/b; cat > a/b/x'], { input: bytes })).status, 'ok')
  for (const path of ['a/b/x', './a/../a/b/x', '/w/a/b/x', Buffer.from('a/b/x')]) {
    t.deepEqual(await master.copyOut(path), bytes)
  }
})

test('empty files and large ones', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  t.is((await master.run('/bin/sh', ['-c', ': > empty; ./behave grow large 10000001'])).status, 'ok')
  t.is((await master.copyOut('empty')).length, 0)
  const large = await master.copyOut('large')
  t.is(large.length, 10_000_001)
  t.true(large.every((byte) => byte === 0x78))
})

test('maxBytes is what may be read, to the byte', async (t) => {
  const master = await createMaster(t)
  for (const size of [0, 1, 1000, 100_000, 3_000_000]) {
    await master.copyIn(Buffer.alloc(size, 1), 'x')
    t.is((await master.copyOut('x', { maxBytes: size })).length, size)
    if (size === 0) continue
    const error = await rejects(t, master.copyOut('x', { maxBytes: size - 1 }), 'ERR_HOTCELL_TOO_LARGE')
    t.is(error.path, 'x')
    t.regex(error.message, /maxBytes/)
  }
})

test('a sparse file of 1 EiB costs nothing, and is too large', async (t) => {
  const master = await createMaster(t)
  t.is((await master.run('truncate', ['-s', String(2n ** 60n), 'sparse'])).status, 'ok')
  await rejects(t, master.copyOut('sparse'), 'ERR_HOTCELL_TOO_LARGE')
  await rejects(t, master.copyOut('sparse', { maxBytes: 0xffffffff }), 'ERR_HOTCELL_TOO_LARGE')
})

test('files of /proc are not for the outside: there, init itself would be who reads', async (t) => {
  const master = await createMaster(t)
  for (const path of ['/proc/version', '/proc/self/environ', '/proc/1/maps']) {
    const error = await t.throwsAsync(master.copyOut(path), { name: 'HotcellError' })
    t.true(['EACCES', 'ENOENT'].includes((error as Error & { code: string }).code), path)
  }
})

test('a file that grows while it is read stays within maxBytes', async (t) => {
  const master = await createMaster(t)
  const writer = master.spawn('/bin/sh', ['-c', ': > x; while :; do echo more >> x; done'], { stdout: 'ignore' })
  await writer.started
  let copied = 0
  for (let i = 0; i < 20; i++) {
    try {
      copied = Math.max(copied, (await master.copyOut('x', { maxBytes: 100 })).length)
    } catch (error) {
      t.true(['ERR_HOTCELL_TOO_LARGE', 'ENOENT'].includes((error as { code: string }).code))
    }
  }
  t.true(copied <= 100)
  writer.kill('SIGKILL')
  await writer
})

test.serial('what is no regular file is refused at once, and leaves no descriptor', async (t) => {
  const master = await createMaster(t)
  t.is(
    (
      await master.run('/bin/sh', [
        '-c',
        'mkfifo fifo; mkdir folder; echo x > file; ln -s file link; ln -s loop loop; ln -s /dev/null null',
      ])
    ).status,
    'ok',
  )
  const before = openFds().size
  const expected: Record<string, string> = {
    fifo: 'EINVAL',
    folder: 'EISDIR',
    '.': 'EISDIR',
    '/': 'EISDIR',
    link: 'ELOOP',
    loop: 'ELOOP',
    null: 'ELOOP',
    absent: 'ENOENT',
    'absent/absent': 'ENOENT',
    'file/x': 'ENOTDIR',
    '/dev/null': 'EINVAL',
    '/dev/zero': 'EINVAL',
    '/nowhere': 'ENOENT',
  }
  for (const [path, code] of Object.entries(expected)) {
    const error = await within(rejects(t, master.copyOut(path), code, path), path)
    t.is(error.path, path)
  }
  t.is(openFds().size, before)
  t.is(String(await master.copyOut('file')), 'x\n')
})

test('a file that nobody may read is read all the same: its owner is who is served', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('x'), 'x', { mode: 0o400 })
  t.is(String(await master.copyOut('x')), 'x')
})

test('symbolic links on the way are followed, and never out of the container', async (t) => {
  const master = await createMaster(t)
  t.is(
    (
      await master.run('/bin/sh', [
        '-c',
        'mkdir real; echo x > real/x; ln -s real link; ln -s ../../../../etc up; ln -s /proc/1/root root; ln -s /proc/self/fd fds',
      ])
    ).status,
    'ok',
  )
  t.is(String(await master.copyOut('link/x')), 'x\n')
  await rejects(t, master.copyOut('up/passwd'), 'ENOENT')
  for (const path of ['root/etc/hostname', 'fds/0', '/proc/self/fd/0', '/proc/1/root/w/real/x', '/proc/self/exe']) {
    const error = (await t.throwsAsync(master.copyOut(path), { name: 'HotcellError' }, path)) as Error & {
      code: string
    }
    t.true(['ELOOP', 'EACCES', 'ENOENT', 'EXDEV', 'EPERM'].includes(error.code), `${path}: ${error.code}`)
  }
})

test('cancellation', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.alloc(20_000_000), 'x')
  const reason = new Error('enough')
  await aborts(t, master.copyOut('x', { signal: AbortSignal.abort(reason) }), reason)
  const controller = new AbortController()
  const copying = aborts(t, master.copyOut('x', { signal: controller.signal }), reason)
  controller.abort(reason)
  await copying
  t.deepEqual(getEventListeners(controller.signal, 'abort'), [])
  const unused = new AbortController()
  t.is((await master.copyOut('x', { signal: unused.signal })).length, 20_000_000)
  t.deepEqual(getEventListeners(unused.signal, 'abort'), [])
})
