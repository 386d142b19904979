// Directories of the host as workspaces: read-only, or an overlay whose changes can be read and forgotten.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { defaultMounts, Master, type Mount } from '../index.js'
import { mounts } from './support/counters.js'
import { rejects } from './support/errors.js'
import { createMaster, masterOptions, mode } from './support/mode.js'
import { requires } from './support/requires.js'
import { bytes } from './support/streams.js'

/** Whether this kernel makes an overlay for the containers of this mode. */
const hasOverlay = await available()
const overlays = requires('overlay', hasOverlay)
/** Programs are the owner of what the source's owner owns. */
const ownedOverlays = requires('overlay-owner', hasOverlay && mode !== 'rootless-ranges')
const rootOverlays = requires('overlay-idmap', hasOverlay && process.geteuid?.() === 0)

async function available(): Promise<boolean> {
  const source = mkdtempSync(join(tmpdir(), 'hotcell-overlay-'))
  chmodSync(source, 0o755)
  try {
    const master = await Master.create(masterOptions({ mounts: overlay(source) }))
    await master.destroy()
    return true
  } catch {
    return false
  } finally {
    rmSync(source, { recursive: true })
  }
}

/** A project of the host's: its files, and what they are. */
function project(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'hotcell-overlay-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  mkdirSync(join(path, 'src/lib'), { recursive: true })
  mkdirSync(join(path, 'gone/deep'), { recursive: true })
  mkdirSync(join(path, 'again'))
  for (const [name, content] of Object.entries({
    'README.md': 'read me\n',
    'src/main.c': 'int main(void) { return 0; }\n',
    'src/lib/a.c': 'a\n',
    'src/lib/b.c': 'b\n',
    'gone/deep/x': 'x\n',
    'again/old': 'old\n',
    'again/same': 'same\n',
    'becomes-directory': 'file\n',
    touched: 'touched\n',
  })) {
    writeFileSync(join(path, name), content)
    chmodSync(join(path, name), 0o666)
    utimesSync(join(path, name), 1_000_000_000, 1_000_000_000)
  }
  symlinkSync('README.md', join(path, 'link'))
  for (const name of ['', 'src', 'src/lib', 'gone', 'gone/deep', 'again']) chmodSync(join(path, name), 0o755)
  return path
}

function census(path: string): string {
  return execFileSync(
    'sh',
    ['-c', "find . -printf '%p %y %m %U %T@ %s %l\\n' | sort; find . -type f -exec md5sum {} + | sort"],
    {
      cwd: path,
      encoding: 'utf8',
    },
  )
}

async function shell(master: Master, script: string): Promise<string> {
  const { status, stdout, stderr } = await master.run('/bin/sh', ['-c', script])
  return status === 'ok' ? stdout : `${status}: ${stderr}`
}

function overlay(source: string, target = '/w/project', more: Partial<Mount> = {}): Mount[] {
  return [...defaultMounts(), { type: 'overlay', source, target, ...more }]
}

overlays('programs see the host’s directory and change it, and it stays as it is', async (t) => {
  const source = project(t)
  const before = census(source)
  const master = await createMaster(t, { mounts: overlay(source) })
  t.is(await shell(master, 'cat project/README.md project/link'), 'read me\nread me\n')
  t.is(await shell(master, 'echo new > project/new; cat project/new'), 'new\n')
  t.is(
    await shell(master, 'rm project/README.md; ls project'),
    'again\nbecomes-directory\ngone\nlink\nnew\nsrc\ntouched\n',
  )
  t.is(String(await master.copyOut('project/new')), 'new\n')
  await master.copyIn(Buffer.from('in'), 'project/in')
  await master.delete('project/touched')
  t.deepEqual(await master.changes('/w/project'), {
    added: ['in', 'new'],
    changed: [],
    deleted: ['README.md', 'touched'],
  })
  t.is(census(source), before)
})

ownedOverlays('changes are told: added, changed, deleted', async (t) => {
  const source = project(t)
  const before = census(source)
  const master = await createMaster(t, { mounts: overlay(source) })
  t.deepEqual(await master.changes('project'), { added: [], changed: [], deleted: [] })
  t.is(
    await shell(
      master,
      `set -e; cd project
       echo changed >> src/main.c; mkdir -p made/deep; echo 1 > made/deep/er
       rm src/lib/a.c; rm -r gone; rm -r again; mkdir again; cp -p /w/project/README.md again/same; echo new > again/new
       rm becomes-directory; mkdir becomes-directory; echo in > becomes-directory/in
       : >> touched; cat < README.md > /dev/null; chmod 700 src/lib; ln -sf nowhere link; mkfifo fifo; echo x > temp; rm temp`,
    ),
    '',
  )
  const expected = {
    added: ['again/new', 'becomes-directory/in', 'fifo', 'made', 'made/deep', 'made/deep/er'],
    changed: ['again/same', 'becomes-directory', 'link', 'src/lib', 'src/main.c'],
    deleted: ['again/old', 'gone', 'src/lib/a.c'],
  }
  t.deepEqual(await master.changes('/w/project/'), expected)
  t.is(census(source), before)
  // The archive is of what programs see.
  const archive = await bytes(master.copyOutTar('project', { include: ['made', 'src'] }))
  await master.copyInTar(archive, 'copy')
  t.is(
    await shell(master, 'cat copy/made/deep/er copy/src/main.c; ls copy/src/lib'),
    '1\nint main(void) { return 0; }\nchanged\nb.c\n',
  )
  await rejects(t, master.changes('project', { maxEntries: 3 }), 'ERR_HOTCELL_TOO_LARGE')
})

ownedOverlays('reset forgets the changes', async (t) => {
  const source = project(t)
  const before = census(source)
  const master = await createMaster(t, {
    mounts: [...overlay(source), { type: 'overlay', source, target: '/outside' }],
  })
  for (let round = 0; round < 3; round++) {
    t.is(await shell(master, 'for d in /w/project /outside; do cd $d; rm -r src README.md; echo x > x; done'), '')
    t.is((await master.changes('/outside')).added.length, 1)
    await master.reset()
    for (const path of ['project', '/outside']) {
      t.deepEqual(await master.changes(path), { added: [], changed: [], deleted: [] }, path)
    }
    t.is(await shell(master, 'cat project/README.md /outside/src/lib/a.c; ls /w'), 'read me\na\nproject\n')
  }
  t.is(census(source), before)
  t.is(await shell(master, 'grep -c overlay /proc/self/mountinfo'), '2\n')
})

overlays('what a program can forge in an overlay does not lead out of it', async (t) => {
  const source = project(t)
  const master = await createMaster(t, { mounts: overlay(source), seccomp: 'off' })
  await shell(
    master,
    'cd project; mknod white c 0 0; ln -s / root; setfattr -n user.overlay.redirect -v /etc src; mkdir d; setfattr -n user.overlay.opaque -v y d',
  )
  const { added } = await master.changes('project')
  t.true(added.includes('root'))
  t.true(added.includes('d'))
  t.deepEqual(
    (await master.list('project/src')).map(({ path }) => path),
    ['lib', 'lib/a.c', 'lib/b.c', 'main.c'],
  )
})

overlays('overlays are nosuid and nodev, bounded, and show no layers', async (t) => {
  const source = project(t)
  const master = await createMaster(t, {
    mounts: overlay(source, '/w/project', { sizeBytes: 1024 * 1024, noExec: true }),
  })
  t.regex(await shell(master, 'awk \'$5 == "/w/project" { print $6 }\' /proc/self/mountinfo'), /nosuid.*nodev.*noexec/)
  t.regex(await shell(master, 'head -c 2000000 /dev/zero > project/large'), /no space left/i)
  t.is(await shell(master, "awk '{ print $5 }' /proc/self/mountinfo | grep -cE 'lower|upper'; true"), '0\n')
  t.is(await shell(master, 'ls -A /w; ls -A / | grep -ciE "overlay|hotcell"; true'), 'project\n0\n')
})

ownedOverlays('mounts inside of an overlay, and an overlay inside of a tmpfs, come back with a reset', async (t) => {
  const source = project(t)
  const master = await createMaster(t, {
    mounts: [
      ...overlay(source, '/w/deep/er/project'),
      { type: 'bind', source: join(source, 'src'), target: '/w/deep/er/project/again/bound' },
      { type: 'tmpfs', target: '/w/deep/er/project/scratch' },
    ],
  })
  for (let round = 0; round < 2; round++) {
    t.is(await shell(master, 'cd deep/er/project; echo x > scratch/x; cat again/bound/lib/a.c; ls scratch'), 'a\nx\n')
    await master.reset()
  }
  t.is(await shell(master, 'ls deep/er/project/scratch; cat deep/er/project/README.md'), 'read me\n')
})

test('a read-only bind is a workspace that nobody changes', async (t) => {
  const source = project(t)
  const before = census(source)
  const master = await createMaster(t, {
    mounts: [...defaultMounts(), { source, target: '/w/project' }],
  })
  t.is(await shell(master, 'cat project/src/lib/a.c'), 'a\n')
  t.regex(await shell(master, 'echo x > project/README.md'), /read-only file system/i)
  await rejects(t, master.copyIn(Buffer.from('x'), 'project/new/x'), 'EROFS')
  await rejects(t, master.copyIn(source, 'project'), 'EROFS')
  t.deepEqual(
    (await master.list('project/src')).map(({ path }) => path),
    ['lib', 'lib/a.c', 'lib/b.c', 'main.c'],
  )
  await master.copyInTar(master.copyOutTar('project'), 'copy')
  t.is(await shell(master, 'diff -r project copy && echo same'), 'same\n')
  const error = await rejects(t, master.changes('project'), 'ENOENT')
  t.regex(error.message, /overlay/)
  t.is(census(source), before)
})

test('options of an overlay, and sources that are none', async (t) => {
  const source = project(t)
  const create = (mount: object): Promise<Master> =>
    Master.create(
      masterOptions({ mounts: [...defaultMounts(), { type: 'overlay', target: '/w/p', source, ...mount } as Mount] }),
    )
  await t.throwsAsync(create({ readOnly: true }), { instanceOf: TypeError, message: /bind/ })
  await t.throwsAsync(create({ owner: 'root' }), { instanceOf: TypeError, message: /owner/ })
  await t.throwsAsync(create({ source: undefined }), { instanceOf: TypeError, message: /source/ })
  await t.throwsAsync(create({ type: 'bind', owner: 'program' }), { instanceOf: TypeError, message: /owner/ })
  const missing = await rejects(t, create({ source: '/nowhere/at/all' }), 'ENOENT')
  t.is(missing.path, '/nowhere/at/all')
  t.is((await rejects(t, create({ source: join(source, 'README.md') }), 'ENOTDIR')).path, join(source, 'README.md'))
  const optional = await create({ source: '/nowhere/at/all', optional: true })
  t.is(await shell(optional, 'ls'), '')
  await optional.destroy()
})

rootOverlays('whose files they are inside: the programs’, or what they are', async (t) => {
  const source = project(t)
  execFileSync('chown', ['-hR', '4321:4321', source])
  writeFileSync(join(source, 'others'), 'others')
  chownSync(join(source, 'others'), 1234, 1234)
  chmodSync(join(source, 'others'), 0o600)
  chmodSync(join(source, 'src/main.c'), 0o600)
  const [mine, theirs] = [
    await createMaster(t, { mounts: overlay(source) }),
    await createMaster(t, { mounts: overlay(source, '/w/project', { owner: 'host' }) }),
  ]
  t.is(
    await shell(mine, 'test -O project/src/main.c && echo more >> project/src/main.c && tail -n 1 project/src/main.c'),
    'more\n',
  )
  t.regex(await shell(mine, 'cat project/others'), /permission denied/i)
  t.regex(await shell(theirs, 'cat project/src/main.c'), /permission denied/i)
  t.is(readFileSync(join(source, 'src/main.c'), 'utf8'), 'int main(void) { return 0; }\n')
})

overlays('a host keeps no mount of it', async (t) => {
  const source = project(t)
  const before = mounts()
  const master = await Master.create(masterOptions({ mounts: overlay(source) }))
  t.deepEqual(mounts(), before)
  await master.destroy()
  t.deepEqual(mounts(), before)
  rmSync(source, { recursive: true })
})
