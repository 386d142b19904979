// The file system of a container: mounts, symbolic links, masked paths, the root.
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { defaultMaskedPaths, defaultMounts, Master, type Mount } from '../index.js'
import { install } from './support/compile.js'
import { mounts } from './support/counters.js'
import { rejects } from './support/errors.js'
import { createMaster, masterOptions } from './support/mode.js'

/** A folder of the host that programs of any user may read. */
function hostFolder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'hotcell-mounts-'))
  chmodSync(path, 0o755)
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

async function shell(master: Master, script: string): Promise<string> {
  const { status, stdout, stderr } = await master.run('/bin/sh', ['-c', script])
  return status === 'ok' ? stdout : `${status}: ${stderr}`
}

const withDefaults = (...more: Mount[]): Mount[] => [...defaultMounts(), ...more]

test('the default mounts are a new array, and what a container has without mounts', async (t) => {
  t.not(defaultMounts(), defaultMounts())
  t.deepEqual(defaultMounts(), defaultMounts())
  const master = await createMaster(t)
  const same = await createMaster(t, { mounts: defaultMounts() })
  const script = 'cut -d" " -f5,6 /proc/self/mountinfo | sort'
  t.is(await shell(master, script), await shell(same, script))
})

test('the system folders are there, read-only, and as the host has them', async (t) => {
  const master = await createMaster(t)
  t.is(await shell(master, '[ -x /usr/bin/env ] && echo yes'), 'yes\n')
  for (const path of ['/usr', '/']) {
    t.regex(await shell(master, `echo x > ${path}/hotcell`), /read-only file system|permission denied/i)
  }
  for (const path of ['/lib', '/lib64', '/bin']) {
    const link = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false
    t.is(await shell(master, `[ -L ${path} ] && echo yes || echo no`), link ? 'yes\n' : 'no\n', path)
  }
})

test('/w and /tmp can be written, by programs and from outside', async (t) => {
  const master = await createMaster(t)
  t.is(await shell(master, 'for d in /w /tmp; do echo $d > $d/x || exit; done; cat /w/x /tmp/x'), '/w\n/tmp\n')
  await master.copyIn(Buffer.from('#!/bin/sh\necho ran'), '/tmp/script', { mode: 0o755 })
  t.is(await shell(master, '/tmp/script'), 'ran\n')
})

test('/dev has what programs need, and no more', async (t) => {
  const master = await createMaster(t)
  const names = 'fd full null ptmx pts random shm stderr stdin stdout tty urandom zero'
  t.is((await shell(master, 'ls /dev')).trimEnd().replaceAll('\n', ' '), names)
  t.is(await shell(master, 'head -c 4 /dev/zero | od -An -tx1; head -c 8 /dev/urandom | wc -c'), ' 00 00 00 00\n8\n')
  t.is(await shell(master, 'echo x > /dev/null; echo y > /dev/stdout; echo x > /dev/shm/x && cat /dev/shm/x'), 'y\nx\n')
  t.regex(await shell(master, 'cat /proc/version > /dev/full'), /no space left/i)
})

test('the root is the container’s own', async (t) => {
  const master = await createMaster(t)
  const expected = ['bin', 'dev', 'etc', 'lib', 'lib64', 'proc', 'tmp', 'usr', 'w'].filter(
    (name) => name === 'w' || lstatSync(`/${name}`, { throwIfNoEntry: false }) !== undefined,
  )
  t.deepEqual((await shell(master, 'ls /')).trim().split('\n').sort(), expected)
})

test('a bind is read-only unless it says otherwise', async (t) => {
  const source = hostFolder(t)
  writeFileSync(join(source, 'x'), 'from the host')
  const master = await createMaster(t, { mounts: withDefaults({ source, target: '/data' }) })
  t.is(await shell(master, 'cat /data/x'), 'from the host')
  t.regex(await shell(master, 'echo y > /data/y'), /read-only file system/i)
  await rejects(t, master.copyIn(Buffer.from('y'), '/data/y'), 'EROFS')
  await rejects(t, master.delete('/data/x'), 'EROFS')
  t.is(String(await master.copyOut('/data/x')), 'from the host')
})

test('a bind with readOnly: false can be written by programs', async (t) => {
  const source = hostFolder(t)
  chmodSync(source, 0o777)
  const master = await createMaster(t, { mounts: withDefaults({ source, target: '/data', readOnly: false }) })
  t.is(await shell(master, 'echo from inside > /data/y'), '')
  t.is(readFileSync(join(source, 'y'), 'utf8'), 'from inside\n')
  await master.reset()
  t.is(readFileSync(join(source, 'y'), 'utf8'), 'from inside\n')
})

test('a file is bound as well', async (t) => {
  const source = join(hostFolder(t), 'x')
  writeFileSync(source, 'a file')
  const master = await createMaster(t, { mounts: withDefaults({ type: 'bind', source, target: '/etc/deep/er/x' }) })
  t.is(await shell(master, 'cat /etc/deep/er/x'), 'a file')
  t.regex(await shell(master, 'echo y > /etc/deep/er/x'), /read-only file system/i)
})

test('a relative source starts at the working directory, a relative target at workDir', async (t) => {
  const folder = hostFolder(t)
  writeFileSync(join(folder, 'x'), 'relative')
  const source = relative(process.cwd(), folder)
  const master = await createMaster(t, { mounts: withDefaults({ source, target: 'below/data' }) })
  t.is(await shell(master, 'cat /w/below/data/x'), 'relative')
})

test('mounts below the source come along, read-only too', async (t) => {
  const master = await createMaster(t, { mounts: withDefaults({ source: '/dev', target: '/host-dev' }) })
  // /dev/shm, /dev/pts, … wherever the host has mounts of its own there.
  const script = `awk '$5 ~ "^/host-dev" && $6 !~ "^ro" { print $5 }' /proc/self/mountinfo`
  t.is(await shell(master, script), '')
})

test('a source that is a relative symbolic link becomes the same link', async (t) => {
  const folder = hostFolder(t)
  mkdirSync(join(folder, 'real'))
  symlinkSync('real', join(folder, 'link'))
  const master = await createMaster(t, { mounts: withDefaults({ source: join(folder, 'link'), target: '/link' }) })
  t.is(await shell(master, 'readlink /link'), 'real\n')
})

test('a source in a folder that only its owner may enter', async (t) => {
  const folder = hostFolder(t)
  mkdirSync(join(folder, 'source'))
  chmodSync(folder, 0o700)
  // It takes a moment until the ids inside are known, and the source is opened with those of outside, before or after.
  for (let i = 0; i < 30; i++) {
    const master = await Master.create(
      masterOptions({ mounts: withDefaults({ source: join(folder, 'source'), target: '/source' }) }),
    )
    await master.destroy()
  }
  t.pass()
})

test('a missing source is an error that names it and says what to do', async (t) => {
  const error = await rejects(
    t,
    Master.create(masterOptions({ mounts: withDefaults({ source: '/nowhere/at/all', target: '/data' }) })),
    'ENOENT',
  )
  t.is(error.path, '/nowhere/at/all')
  t.is(error.syscall, 'open_tree')
  t.true(error.message.includes("'/nowhere/at/all'"))
  t.regex(error.message, /optional: true/)
})

test('an optional mount whose source is missing is left out', async (t) => {
  const master = await createMaster(t, {
    mounts: withDefaults({ source: '/nowhere', target: '/data', optional: true }),
  })
  t.is(await shell(master, '[ -e /data ] || echo absent'), 'absent\n')
})

test('a target inside of a read-only mount that has no such folder names the target', async (t) => {
  const source = hostFolder(t)
  const error = await rejects(
    t,
    Master.create(masterOptions({ mounts: withDefaults({ source, target: '/usr/hotcell-absent/x' }) })),
    'EROFS',
  )
  t.true(error.path?.startsWith('/usr/hotcell-absent'))
})

test('a tmpfs of one’s own, with a bind inside of it, with a tmpfs inside of that', async (t) => {
  const source = hostFolder(t)
  chmodSync(source, 0o777)
  writeFileSync(join(source, 'x'), 'bound')
  mkdirSync(join(source, 'inner'))
  const master = await createMaster(t, {
    mounts: withDefaults(
      { type: 'tmpfs', target: '/cache' },
      { source, target: '/cache/bound', readOnly: false },
      { type: 'tmpfs', target: '/cache/bound/inner' },
    ),
  })
  t.is(
    await shell(
      master,
      'echo y > /cache/y; echo z > /cache/bound/inner/z; cat /cache/y /cache/bound/x /cache/bound/inner/z',
    ),
    'y\nboundz\n',
  )
  t.false(lstatSync(join(source, 'inner/z'), { throwIfNoEntry: false }) !== undefined)
})

test('noExec keeps programs of a mount from being executed', async (t) => {
  const master = await createMaster(t, { mounts: withDefaults({ type: 'tmpfs', target: '/data', noExec: true }) })
  const path = await install(master, 'behave', '/data/behave')
  const error = await rejects(t, master.execve({ args: [path, 'exit', '0'] }), 'EACCES')
  t.regex(error.message, /noExec/)
  await install(master, 'behave')
  t.like(await master.execve({ args: ['./behave', 'exit', '3'] }), { exitCode: 3 })
})

test('a read-only tmpfs stays empty', async (t) => {
  const master = await createMaster(t, { mounts: withDefaults({ type: 'tmpfs', target: '/data', readOnly: true }) })
  t.regex(await shell(master, 'echo y > /data/y'), /read-only file system/i)
})

test('a mount may have bounds of its own, and others have those of the container', async (t) => {
  const master = await createMaster(t, {
    tmpfs: { sizeBytes: 8 * 1024 * 1024, inodes: 100 },
    mounts: withDefaults({ type: 'tmpfs', target: '/small', sizeBytes: 1024 * 1024, inodes: 10 }),
  })
  const script = (path: string): string =>
    `df -P -k ${path} | awk 'NR == 2 { print $2 }'; df -P -i ${path} | awk 'NR == 2 { print $2 }'`
  t.is(await shell(master, script('/small')), '1024\n10\n')
  t.is(await shell(master, script('/w')), '8192\n100\n')
  t.is(await shell(master, script('/tmp')), '8192\n100\n')
  t.is(await shell(master, script('/dev/shm')), '8192\n100\n')
})

test('a full tmpfs is ENOSPC, for programs and from outside, and deleting makes room again', async (t) => {
  const master = await createMaster(t, { tmpfs: { sizeBytes: 1024 * 1024, inodes: 20 } })
  t.regex(await shell(master, 'head -c 2000000 /dev/zero > /tmp/x'), /no space left/i)
  const error = await rejects(t, master.copyIn(Buffer.alloc(2_000_000), 'x'), 'ENOSPC')
  t.regex(error.message, /tmpfs\.sizeBytes/)
  await master.copyIn(Buffer.alloc(1_000_000), 'x')
  await master.delete('x')
  await master.copyIn(Buffer.alloc(1_000_000), 'y')
  t.regex(await shell(master, 'for i in $(seq 40); do : > /tmp/f$i; done'), /no space left/i)
})

test('symlinks are made in the root, before it becomes read-only', async (t) => {
  const master = await createMaster(t, {
    symlinks: [
      { target: '/w/x', path: '/etc/here/x' },
      { target: 'usr/bin', path: '/sbin' },
      { target: '../tmp', path: 'relative' },
    ],
  })
  t.is(
    await shell(master, 'readlink /etc/here/x /sbin; readlink /w/relative; echo hi > /w/x; cat /etc/here/x'),
    '/w/x\nusr/bin\n../tmp\nhi\n',
  )
  t.regex(await shell(master, 'rm /sbin'), /read-only|permission denied/i)
})

test('a symlink where something stands names its path', async (t) => {
  const error = await rejects(t, Master.create(masterOptions({ symlinks: [{ target: 'x', path: '/usr' }] })), 'EEXIST')
  t.is(error.path, '/usr')
})

test('masked paths: a file reads as empty, a directory is empty, an absent one is skipped', async (t) => {
  const source = hostFolder(t)
  mkdirSync(join(source, 'folder'))
  writeFileSync(join(source, 'folder/x'), 'secret')
  writeFileSync(join(source, 'file'), 'secret')
  writeFileSync(join(source, 'open'), 'public')
  const master = await createMaster(t, {
    mounts: withDefaults({ source, target: '/data' }),
    maskedPaths: ['/data/folder', '/data/file', '/data/absent', '/proc/version'],
  })
  t.is(await shell(master, 'ls -A /data/folder; cat /data/file /data/open /proc/version'), 'public')
})

test('the default masked paths hide what the host’s /proc tells', async (t) => {
  t.true(Object.isFrozen(defaultMaskedPaths))
  const master = await createMaster(t)
  for (const path of ['/proc/keys', '/proc/kcore', '/proc/timer_list', '/proc/interrupts']) {
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) continue
    t.is(await shell(master, `head -c 1 ${path} | wc -c`), '0\n', path)
  }
})

test('the root may be built on a folder of the host, which stays empty', async (t) => {
  const root = hostFolder(t)
  const master = await createMaster(t, { root })
  t.is(await shell(master, 'echo here > /w/x; cat /w/x; pwd'), 'here\n/w\n')
  t.deepEqual(lstatSync(root).isDirectory(), true)
  t.is(await shell(master, `[ -e ${root} ] || echo absent`), 'absent\n')
  await master.destroy()
  rmSync(root, { recursive: true })
})

test('a root that is missing, or no directory, is an error that names it', async (t) => {
  const folder = hostFolder(t)
  writeFileSync(join(folder, 'file'), '')
  for (const [root, code] of [
    [join(folder, 'absent'), 'ENOENT'],
    [join(folder, 'file'), 'ENOTDIR'],
  ] as const) {
    const error = await rejects(t, Master.create(masterOptions({ root })), code)
    t.is(error.path, root)
  }
})

test('containers leave no mount behind, and share none', async (t) => {
  const before = mounts()
  const master = await createMaster(t)
  t.deepEqual(mounts(), before)
  await master.destroy()
  t.deepEqual(mounts(), before)
})
