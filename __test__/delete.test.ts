// symlink and delete.
import test from 'ava'
import { install } from './support/compile.js'
import { rejects } from './support/errors.js'
import { createMaster } from './support/mode.js'
import { within } from './support/waiting.js'

test('symlink makes a link that says just what it was told', async (t) => {
  const master = await createMaster(t)
  const said = ['/absolute', 'relative', '../..', 'a b\n', 'ünïcode', '']
  await rejects(t, master.symlink('', 'empty'), 'ENOENT')
  for (const [index, target] of said.slice(0, -1).entries()) {
    await master.symlink(target, `link${index}`)
    t.is((await master.run('readlink', ['-n', `link${index}`])).stdout, target)
  }
  await master.symlink(Buffer.from([0xff, 0xfe]), Buffer.from([0xfd]))
  const { stdout } = await master.run('readlink', ['-n', Buffer.from([0xfd])], { encoding: 'buffer' })
  t.deepEqual(stdout, Buffer.from([0xff, 0xfe]))
})

test('symlink makes parents, and replaces nothing', async (t) => {
  const master = await createMaster(t)
  await master.symlink('/w/target', 'a/b/link')
  t.is((await master.run('readlink', ['a/b/link'])).stdout, '/w/target\n')
  await master.copyIn(Buffer.from('x'), 'file')
  for (const path of ['a/b/link', 'file', 'a']) {
    const error = await rejects(t, master.symlink('x', path), 'EEXIST', path)
    t.is(error.path, path)
    t.is(error.syscall, 'symlinkat')
  }
  await rejects(t, master.symlink('x', '/usr/x'), 'EROFS')
  await rejects(t, master.symlink('x', '/x'), 'EROFS')
})

test('programs follow the link', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('content'), '/tmp/x')
  await master.symlink('/tmp/x', 'link')
  t.is((await master.run('cat', ['link'])).stdout, 'content')
})

test('delete takes files, links, fifos, empty directories', async (t) => {
  const master = await createMaster(t)
  await master.run('/bin/sh', [
    '-c',
    'echo x > file; ln -s file link; ln -s absent dangling; mkfifo fifo; mkdir empty; echo x > "$(printf "\\377")"',
  ])
  for (const path of ['link', 'dangling', 'fifo', 'empty', Buffer.from([0xff]), '/w/./file'])
    t.is(await master.delete(path), undefined)
  t.is((await master.run('ls', ['-A'])).stdout, '')
})

test('delete of a link leaves its target, recursive too', async (t) => {
  const master = await createMaster(t)
  await master.run('/bin/sh', [
    '-c',
    'mkdir target tree; echo x > target/x; ln -s target link; ln -s ../target tree/link; ln -s /usr tree/usr',
  ])
  await master.delete('link', { recursive: true })
  await master.delete('tree', { recursive: true })
  t.is(
    (await master.run('/bin/sh', ['-c', 'ls -A; cat target/x; [ -x /usr/bin/env ] && echo usr'])).stdout,
    'target\nx\nusr\n',
  )
})

test('errors of delete', async (t) => {
  const master = await createMaster(t)
  await master.run('/bin/sh', ['-c', 'mkdir -p full/er; echo x > file; ln -s loop loop'])
  for (const [path, code] of [
    ['absent', 'ENOENT'],
    ['absent/absent', 'ENOENT'],
    ['file/x', 'ENOTDIR'],
    ['loop/x', 'ELOOP'],
    ['full', 'ENOTEMPTY'],
    ['/usr/bin/env', 'EROFS'],
    ['x'.repeat(300), 'ENAMETOOLONG'],
  ] as const) {
    const error = await rejects(t, master.delete(path), code, path)
    t.is(error.path, path)
  }
  t.regex((await rejects(t, master.delete('full'), 'ENOTEMPTY')).message, /recursive: true/)
  await rejects(t, master.delete('/usr/bin/env', { recursive: true }), 'EROFS')
  for (const path of ['/', '/w', '/tmp', '/usr', '/proc', '.', '..']) {
    await t.throwsAsync(master.delete(path), { name: 'HotcellError' }, path)
  }
  t.is((await master.run('ls', ['-A'])).stdout, 'file\nfull\nloop\n')
})

test('recursive: what is not there is fine', async (t) => {
  const master = await createMaster(t)
  t.is(await master.delete('absent', { recursive: true }), undefined)
  t.is(await master.delete('absent/absent', { recursive: true }), undefined)
})

test('recursive: a tree, read-only directories included', async (t) => {
  const master = await createMaster(t)
  await master.run('/bin/sh', [
    '-c',
    'mkdir -p tree/a/b/c tree/d; echo x > tree/a/b/c/x; echo y > tree/y; mkfifo tree/d/fifo; chmod 555 tree/a/b; chmod 0 tree/d',
  ])
  await master.delete('tree', { recursive: true })
  t.is((await master.run('ls', ['-A'])).stdout, '')
})

test('recursive: 20,000 levels, far deeper than a path can say', async (t) => {
  const master = await createMaster(t)
  await install(master, 'tree')
  t.is((await master.execve({ args: ['./tree', 'deep', 'levels', '20000'] })).status, 'ok')
  await within(master.delete('levels', { recursive: true }), 'delete')
  t.is((await master.run('ls', ['-A'])).stdout, 'tree\n')
})

test('recursive: 20,000 files, while pings are answered', async (t) => {
  const master = await createMaster(t)
  await install(master, 'tree')
  t.is((await master.execve({ args: ['./tree', 'wide', 'files', '20000'] })).status, 'ok')
  const state = { deleting: true }
  const deletion = master.delete('files', { recursive: true }).then(() => {
    state.deleting = false
  })
  let pings = 0
  for (; state.deleting; pings++) await master.ping()
  await deletion
  t.true(pings > 2, `${pings} pings were answered before the deletion ended`)
  t.is((await master.run('ls', ['-A'])).stdout, 'tree\n')
})

test('a program runs while a tree is deleted', async (t) => {
  const master = await createMaster(t)
  await install(master, 'tree')
  await master.execve({ args: ['./tree', 'wide', 'files', '20000'] })
  const order: string[] = []
  await Promise.all([
    master.delete('files', { recursive: true }).then(() => order.push('delete')),
    master.execve({ args: ['true'] }).then(() => order.push('run')),
  ])
  t.deepEqual(order, ['run', 'delete'])
})

test('a program that keeps filling the tree cannot keep delete from failing or ending', async (t) => {
  const master = await createMaster(t)
  const filler = master.spawn('/bin/sh', ['-c', 'i=0; while :; do mkdir -p tree/$i; : > tree/$i/x; i=$((i+1)); done'], {
    stdout: 'ignore',
    stderr: 'ignore',
  })
  await filler.started
  const outcome = await within(
    master.delete('tree', { recursive: true }).then(
      () => 'done',
      (error: { code: string }) => error.code,
    ),
    'delete',
  )
  t.true(['done', 'ENOTEMPTY', 'ENOENT'].includes(outcome), outcome)
  filler.kill('SIGKILL')
  await filler
  await master.delete('tree', { recursive: true })
})
