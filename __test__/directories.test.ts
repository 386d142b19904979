// Whole directories: in from the host, in and out as archives, listed. What hostile archives and hostile trees get to.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  ftruncateSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { pathToFileURL } from 'node:url'
import { createGzip, gzipSync } from 'node:zlib'
import test, { type ExecutionContext } from 'ava'
import { HotcellError, Pool, type Master } from '../index.js'
import { compileSource, install } from './support/compile.js'
import { openFds } from './support/counters.js'
import { aborts, rejects } from './support/errors.js'
import { createMaster, masterOptions } from './support/mode.js'
import { onPath, requires } from './support/requires.js'
import { bytes } from './support/streams.js'
import { pax, tar } from './support/tar.js'
import { deferred, until, within } from './support/waiting.js'

const withTar = requires('tar', onPath('tar'))
const withPython = requires('python3', onPath('python3'))

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'hotcell-tree-'))
  chmodSync(path, 0o755)
  t.teardown(() => {
    execFileSync('chmod', ['-R', 'u+rwX', path])
    rmSync(path, { recursive: true, force: true })
  })
  return path
}

/** Something of everything. */
function sampleTree(t: ExecutionContext): string {
  const root = folder(t)
  mkdirSync(join(root, 'src/deep/er'), { recursive: true })
  writeFileSync(join(root, 'src/main.c'), 'int main(void) { return 0; }\n')
  writeFileSync(join(root, 'src/deep/er/x'), 'x', { mode: 0o600 })
  writeFileSync(join(root, 'run.sh'), '#!/bin/sh\necho ran\n', { mode: 0o755 })
  chmodSync(join(root, 'run.sh'), 0o755)
  writeFileSync(join(root, 'large'), Buffer.alloc(3_000_001, 'large '))
  writeFileSync(join(root, 'empty'), '')
  writeFileSync(join(root, 'a\nb'), 'newline')
  writeFileSync(Buffer.concat([Buffer.from(join(root, 'bytes-')), Buffer.from([0xff, 0xfe])]), 'bytes')
  linkSync(join(root, 'run.sh'), join(root, 'src/again.sh'))
  symlinkSync('../run.sh', join(root, 'src/link'))
  symlinkSync('/etc/shadow', join(root, 'outside'))
  mkdirSync(join(root, 'node_modules/p'), { recursive: true })
  writeFileSync(join(root, 'node_modules/p/index.js'), '')
  mkdirSync(join(root, 'closed'))
  writeFileSync(join(root, 'closed/in'), 'in')
  chmodSync(join(root, 'closed'), 0o555)
  for (const path of ['run.sh', 'src/main.c', 'src']) utimesSync(join(root, path), 1_000_000_000, 1_234_567_890)
  return root
}

async function shell(master: Master, script: string): Promise<string> {
  const { status, stdout, stderr } = await master.run('/bin/sh', ['-c', script], { limits: { wallTimeMs: 60_000 } })
  return status === 'ok' ? stdout : `${status}: ${stderr}`
}

function extract(t: ExecutionContext, archive: Buffer): string {
  const target = folder(t)
  execFileSync('tar', ['-x', '-p', '-f', '-', '-C', target], { input: archive })
  return target
}

test('a directory goes in with all that is in it', async (t) => {
  const master = await createMaster(t)
  const root = sampleTree(t)
  await master.copyIn(root, 'copy')
  t.is(String(await master.copyOut('copy/src/main.c')), 'int main(void) { return 0; }\n')
  t.true((await master.copyOut('copy/large')).equals(readFileSync(join(root, 'large'))))
  t.is(await shell(master, './copy/run.sh && ./copy/src/link'), 'ran\nran\n')
  t.is(await shell(master, 'stat -c "%a %h %Y" copy/run.sh copy/src/again.sh'), '755 2 1234567890\n755 2 1234567890\n')
  t.is(await shell(master, 'stat -c "%a" copy/src/deep/er/x copy/closed'), '600\n555\n')
  t.is(await shell(master, 'stat -c "%Y" copy/src'), '1234567890\n')
  t.is(await shell(master, 'readlink copy/outside copy/src/link'), '/etc/shadow\n../run.sh\n')
  t.is(await shell(master, 'cat copy/closed/in "copy/a\nb" copy/bytes-*'), 'innewlinebytes')
  // It all belongs to whom programs run as.
  t.is(await shell(master, 'find copy ! -user "$(id -u)" | wc -l'), '0\n')
  t.is(await shell(master, 'ls -A copy | grep -c hotcell; true'), '0\n')
})

test('a directory goes in by a URL, into one that is there, and as files of a run', async (t) => {
  const master = await createMaster(t)
  const root = folder(t)
  writeFileSync(join(root, 'x'), 'new')
  await shell(master, 'mkdir -m 700 there; echo old > there/x; echo kept > there/y')
  await master.copyIn(pathToFileURL(root), 'there')
  t.is(await shell(master, 'cat there/x there/y; stat -c %a there'), 'newkept\n700\n')
  const { stdout } = await master.run('cat', ['in/x'], { files: { in: root } })
  t.is(stdout, 'new')
})

test('globs say what goes in, and mode with which permissions', async (t) => {
  const master = await createMaster(t)
  const root = sampleTree(t)
  await master.copyIn(root, 'some', { include: ['src', '*.sh'], exclude: ['deep', 'node_modules', '**/link'] })
  t.is(await shell(master, 'cd some; find . | sort | tr "\n" " "'), '. ./run.sh ./src ./src/again.sh ./src/main.c ')
  await master.copyIn(join(root, 'src/deep'), 'modes', { mode: 0o640 })
  t.is(await shell(master, 'stat -c %a modes/er modes/er/x'), '750\n640\n')
  await t.throwsAsync(master.copyIn(root, 'x', { include: ['!a'] }), {
    instanceOf: TypeError,
    message: /include\[0\].*glob/,
  })
  await t.throwsAsync(master.copyIn(root, 'x', { exclude: 'a' as never }), { instanceOf: TypeError })
  await t.throwsAsync(master.copyIn(root, 'x', { excludes: [] } as never), {
    instanceOf: TypeError,
    message: /excludes.*exclude/,
  })
})

test('sockets and FIFOs of the host are left out, and what may not be read is an error with its path', async (t) => {
  const master = await createMaster(t)
  const root = folder(t)
  execFileSync('mkfifo', [join(root, 'fifo')])
  const server = createServer().listen(join(root, 'socket'))
  t.teardown(() => server.close())
  writeFileSync(join(root, 'file'), 'x')
  await within(master.copyIn(root, 'copy'), 'a copy of a directory with a FIFO')
  t.is(await shell(master, 'ls copy'), 'file\n')
  if (process.geteuid?.() !== 0) {
    writeFileSync(join(root, 'secret'), 'x', { mode: 0 })
    const error = await rejects(t, master.copyIn(root, 'other'), 'EACCES')
    t.is(error.path, 'secret')
    t.regex(error.message, /host/)
    // What was missing before is missing again.
    await rejects(t, master.list('other'), 'ENOENT')
  }
  await rejects(t, master.copyIn(join(root, 'absent'), 'x'), 'ENOENT')
})

test('a full tmpfs fails a copy and leaves nothing of a directory that was not there', async (t) => {
  const master = await createMaster(t, { tmpfs: { sizeBytes: 1024 * 1024, inodes: 100 } })
  const root = folder(t)
  for (let i = 0; i < 200; i++) writeFileSync(join(root, `file-${i}`), '')
  const error = await rejects(t, master.copyIn(root, 'many'), 'ENOSPC')
  t.regex(error.message, /tmpfs is full/)
  writeFileSync(join(root, 'large'), Buffer.alloc(2 * 1024 * 1024, 1))
  await rejects(t, master.copyIn(root, 'large', { include: ['large'] }), 'ENOSPC')
  t.is(await shell(master, 'ls -A'), '')
})

test('bounds of what goes in', async (t) => {
  const master = await createMaster(t)
  const root = folder(t)
  for (let i = 0; i < 10; i++) writeFileSync(join(root, `file-${i}`), '12345')
  await rejects(t, master.copyIn(root, 'a', { maxEntries: 9 }), 'ERR_HOTCELL_TOO_LARGE')
  const error = await rejects(t, master.copyIn(root, 'a', { maxBytes: 49 }), 'ERR_HOTCELL_TOO_LARGE')
  t.regex(error.message, /maxBytes/)
  await master.copyIn(root, 'a', { maxEntries: 10, maxBytes: 50 })
  t.is((await master.list('a')).length, 10)
})

test('thousands of small files go in and out again while the container answers', async (t) => {
  const master = await createMaster(t)
  const root = folder(t)
  for (let d = 0; d < 20; d++) {
    mkdirSync(join(root, `d${d}`))
    for (let f = 0; f < 150; f++) writeFileSync(join(root, `d${d}`, `f${f}`), `${d}.${f}`)
  }
  const copied = master.copyIn(root, 'many')
  t.is((await master.run('echo', ['meanwhile'])).stdout, 'meanwhile\n')
  await copied
  t.is(await shell(master, 'find many -type f | wc -l'), '3000\n')
  const archive = await bytes(master.copyOutTar('many'))
  await master.copyInTar(archive, 'again')
  t.is(await shell(master, 'diff -r many again && echo same'), 'same\n')
})

withTar('an archive that tar(1) wrote goes in, in each of its formats', async (t) => {
  const root = sampleTree(t)
  for (const format of ['gnu', 'pax', 'ustar', 'v7']) {
    const master = await createMaster(t)
    const archive = execFileSync('tar', ['-c', `--format=${format}`, '-C', root, '.'], { maxBuffer: 1 << 26 })
    await master.copyInTar(archive, 'copy')
    t.true((await master.copyOut('copy/large')).equals(readFileSync(join(root, 'large'))), format)
    t.is(
      await shell(master, './copy/src/link; stat -c "%a %h %Y" copy/src/again.sh'),
      'ran\n755 2 1234567890\n',
      format,
    )
    t.is(await shell(master, 'stat -c %a copy/closed; readlink copy/outside'), '555\n/etc/shadow\n', format)
    t.is(await shell(master, 'cat "copy/a\nb" copy/bytes-*'), 'newlinebytes', format)
  }
})

withTar('long names go in and out', async (t) => {
  const master = await createMaster(t)
  const root = folder(t)
  const long = `${'d'.repeat(200)}/${'e'.repeat(200)}/${'f'.repeat(255)}`
  mkdirSync(join(root, long, '..'), { recursive: true })
  writeFileSync(join(root, long), 'long')
  symlinkSync('t'.repeat(300), join(root, 'link'))
  for (const format of ['gnu', 'pax']) {
    await master.copyInTar(execFileSync('tar', ['-c', `--format=${format}`, '-C', root, '.']), format)
    t.is(String(await master.copyOut(`${format}/${long}`)), 'long')
  }
  const out = extract(t, await bytes(master.copyOutTar('pax')))
  t.is(readFileSync(join(out, long), 'utf8'), 'long')
  t.is(readlinkSync(join(out, 'link')), 't'.repeat(300))
})

withTar('a directory comes out as an archive that tar(1) reads', async (t) => {
  const master = await createMaster(t)
  const root = sampleTree(t)
  await master.copyIn(root, 'copy')
  const out = extract(t, await bytes(master.copyOutTar('copy')))
  const census = (path: string): string =>
    execFileSync(
      'sh',
      ['-c', `cd ${path}; find . -mindepth 1 -printf '%p %y %m %l\\n' | sort; find . -type f -exec md5sum {} + | sort`],
      {
        encoding: 'latin1',
      },
    )
  t.is(census(out), census(root))
  t.is(statSync(join(out, 'run.sh')).mtimeMs, 1_234_567_890_000)
  t.is(statSync(join(out, 'run.sh')).ino, statSync(join(out, 'src/again.sh')).ino)
  const some = extract(t, await bytes(master.copyOutTar('copy', { include: ['**/*.sh'], exclude: ['run.sh'] })))
  t.is(execFileSync('find', ['.', '-type', 'f'], { cwd: some, encoding: 'utf8' }), './src/again.sh\n')
})

withPython('Python reads it, too, holes included', async (t) => {
  const master = await createMaster(t)
  await shell(master, 'mkdir d; printf x > d/plain; truncate -s 100M d/sparse; printf end >> d/sparse')
  const archive = await bytes(master.copyOutTar('d'))
  t.true(archive.length < 100_000)
  const script = `import sys,tarfile
with tarfile.open(fileobj=sys.stdin.buffer, mode='r|') as f:
  for m in f: print(m.name, m.size, f.extractfile(m).read()[-3:])`
  t.is(
    execFileSync('python3', ['-c', script], { input: archive, encoding: 'utf8' }).split('\n').sort().join('\n').trim(),
    "plain 1 b'x'\nsparse 104857603 b'end'",
  )
})

test('an archive comes from streams, files, URLs and generators; leading parts are dropped', async (t) => {
  const master = await createMaster(t)
  const archive = tar([
    { name: 'top/', type: '5', mode: 0o755 },
    { name: 'top/a', content: 'a' },
    { name: 'top/d/b', content: Buffer.alloc(200_000, 'b') },
    { name: 'top/hard', type: '1', link: 'top/a' },
  ])
  const path = join(folder(t), 'archive.tar')
  writeFileSync(path, archive)
  const sources = {
    path,
    url: pathToFileURL(path),
    stream: Readable.from(
      [...Array(Math.ceil(archive.length / 100)).keys()].map((i) => archive.subarray(i * 100, i * 100 + 100)),
      { objectMode: false },
    ),
    generator: (async function* () {
      yield archive.subarray(0, 1000)
      yield archive.subarray(1000)
    })(),
  }
  for (const [kind, source] of Object.entries(sources)) {
    await master.copyInTar(source, kind, { stripComponents: 1, exclude: ['hard'] })
    t.is(await shell(master, `cd ${kind}; find . -type f | sort; wc -c < d/b`), './a\n./d/b\n200000\n', kind)
  }
  await rejects(t, master.copyInTar(folder(t), 'x'), 'EISDIR')
  const zipped = Readable.from([gzipSync(archive)])
  const error = await rejects(t, master.copyInTar(zipped, 'zipped'), 'ERR_HOTCELL_ARCHIVE')
  t.regex(error.message, /gunzip/i)
})

test('an archive may not lead out of its directory', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('untouched'), 'victim')
  const cases: Record<string, [Parameters<typeof tar>[0], RegExp]> = {
    'a name with ..': [[{ name: '../victim', content: 'x' }], /ERR_HOTCELL_ARCHIVE/],
    'a name with .. in the middle': [[{ name: 'a/../../victim', content: 'x' }], /ERR_HOTCELL_ARCHIVE/],
    'an absolute name': [[{ name: '/w/victim', content: 'x' }], /ERR_HOTCELL_ARCHIVE/],
    'an absolute name in records': [[pax({ path: '/w/victim' }), { name: 'x', content: 'x' }], /ERR_HOTCELL_ARCHIVE/],
    'a link, and then something below': [
      [
        { name: 'l', type: '2', link: '..' },
        { name: 'l/victim', content: 'x' },
      ],
      /ELOOP|ENOTDIR/,
    ],
    'an absolute link, and then something below': [
      [
        { name: 'l', type: '2', link: '/tmp' },
        { name: 'l/x', content: 'x' },
      ],
      /ELOOP|ENOTDIR/,
    ],
    'a link in the place of a directory that is filled later': [
      [
        { name: 'd/', type: '5' },
        { name: 'd/x', content: 'x' },
        { name: 'd', type: '2', link: '..' },
      ],
      /EISDIR|EEXIST/,
    ],
    'a hard link out': [[{ name: 'h', type: '1', link: '../victim' }], /ERR_HOTCELL_ARCHIVE/],
    'an absolute hard link': [[{ name: 'h', type: '1', link: '/etc/passwd' }], /ERR_HOTCELL_ARCHIVE/],
    'a hard link through a link': [
      [
        { name: 'l', type: '2', link: '..' },
        { name: 'h', type: '1', link: 'l/victim' },
      ],
      /ELOOP|ENOTDIR/,
    ],
    'a hard link to a link': [
      [
        { name: 'l', type: '2', link: '../victim' },
        { name: 'h', type: '1', link: 'l' },
      ],
      /EPERM/,
    ],
    'a character device': [[{ name: 'dev', type: '3' }], /ERR_HOTCELL_ARCHIVE/],
    'a block device': [[{ name: 'dev', type: '4' }], /ERR_HOTCELL_ARCHIVE/],
    'a FIFO': [[{ name: 'fifo', type: '6' }], /ERR_HOTCELL_ARCHIVE/],
    'a long name by GNU': [
      [{ name: 'x', type: 'L', content: `${'a/'.repeat(3000)}x` }, { name: 'x' }],
      /ERR_HOTCELL_ARCHIVE/,
    ],
    'a name that no file system takes': [[pax({ path: 'n'.repeat(300) }), { name: 'x' }], /ENAMETOOLONG/],
  }
  for (const [kind, [entries, code]] of Object.entries(cases)) {
    const error = (await t.throwsAsync(
      master.copyInTar(tar(entries), 'target'),
      { instanceOf: HotcellError },
      kind,
    )) as HotcellError
    t.regex(error.code, code, kind)
    t.is(String(await master.copyOut('victim')), 'untouched', kind)
    t.is(await shell(master, 'ls -A /w /tmp | tr "\n" " "'), '/tmp:  /w: victim ', kind)
  }
})

test('what a program planted does not lead out either', async (t) => {
  const master = await createMaster(t)
  await shell(master, 'mkdir target out; ln -s ../out target/d; mkfifo target/f; echo x > target/file')
  await rejects(t, master.copyInTar(tar([{ name: 'd/x', content: 'x' }]), 'target'), 'ELOOP')
  t.is(await shell(master, 'ls out'), '')
  // A FIFO, a link and a file are replaced, never opened or followed.
  await shell(master, 'echo kept > out/kept; ln -sf ../out/kept target/l')
  await within(
    master.copyInTar(
      tar([
        { name: 'f', content: '1' },
        { name: 'l', content: '2' },
        { name: 'file', type: '2', link: 'f' },
      ]),
      'target',
    ),
    'an archive over a FIFO',
  )
  t.is(
    await shell(master, 'cat target/f target/l target/file out/kept; test -L target/file && echo link'),
    '121kept\nlink\n',
  )
})

test('duplicate names: the last one counts; a link in between is not followed', async (t) => {
  const master = await createMaster(t)
  await master.copyInTar(
    tar([
      { name: 'x', content: 'first' },
      { name: 'x', content: 'second' },
      { name: 'y', content: 'kept' },
      { name: 'z', type: '2', link: 'y' },
      { name: 'z', content: 'third' },
      { name: 'l', content: 'file' },
      { name: 'l', type: '2', link: 'x' },
    ]),
    'd',
  )
  t.is(await shell(master, 'cd d; cat x y z; readlink l'), 'secondkeptthirdx\n')
})

test('bombs', async (t) => {
  const master = await createMaster(t)
  const huge = tar([{ name: 'PaxHeaders/0', type: 'x', size: 2 ** 32 }])
  await rejects(t, master.copyInTar(huge, 'd'), 'ERR_HOTCELL_ARCHIVE')
  const endless = (function* () {
    const one = tar([pax({ comment: 'x'.repeat(1000) })]).subarray(0, -1024)
    for (;;) yield one
  })()
  await rejects(t, master.copyInTar(Readable.from(endless), 'd', { maxEntries: 1000 }), 'ERR_HOTCELL_TOO_LARGE')
  const many = (function* () {
    const one = tar([{ name: 'same', content: 'x' }]).subarray(0, -1024)
    for (;;) yield one
  })()
  await rejects(t, master.copyInTar(Readable.from(many), 'd', { maxEntries: 1000 }), 'ERR_HOTCELL_TOO_LARGE')
  const zeros = (function* () {
    yield tar([{ name: 'zeros', size: 2 ** 33 - 1 }]).subarray(0, 512)
    for (const chunk = Buffer.alloc(65_536); ;) yield chunk
  })()
  await rejects(t, master.copyInTar(Readable.from(zeros), 'd', { maxBytes: 1024 * 1024 }), 'ERR_HOTCELL_TOO_LARGE')
  const claims = tar([pax({ size: '18446744073709551615' }), { name: 'x', content: 'x' }])
  await t.throwsAsync(master.copyInTar(claims, 'd'), { instanceOf: HotcellError })
  const holes = tar([
    pax({
      'GNU.sparse.major': '1',
      'GNU.sparse.minor': '0',
      'GNU.sparse.name': 'x',
      'GNU.sparse.realsize': '9223372036854775808',
    }),
    { name: 'x', content: '0\n'.padEnd(512, '\0') },
  ])
  await t.throwsAsync(master.copyInTar(holes, 'd'), { instanceOf: HotcellError })
  for (const length of [1, 511, 513, 700, 1023]) {
    const cut = tar([{ name: 'x', content: 'c'.repeat(600) }]).subarray(0, length)
    await rejects(t, master.copyInTar(cut, 'd'), 'ERR_HOTCELL_ARCHIVE', `${length}`)
  }
  t.is(await shell(master, 'ls -A'), '')
})

withTar('holes stay holes, whoever wrote them down', async (t) => {
  const master = await createMaster(t)
  const root = folder(t)
  const fd = openSync(join(root, 'sparse'), 'w')
  ftruncateSync(fd, 3_000_000_000)
  for (let i = 0; i < 60; i++) writeSync(fd, `part ${i}`, i * 40_000_000)
  closeSync(fd)
  await master.copyIn(root, 'direct')
  for (const [name, options] of Object.entries({
    gnu: ['--format=gnu'],
    pax10: ['--format=pax', '--sparse-version=1.0'],
    pax01: ['--format=pax', '--sparse-version=0.1'],
    pax00: ['--format=pax', '--sparse-version=0.0'],
  })) {
    await master.copyInTar(execFileSync('tar', ['-c', '-S', ...options, '-C', root, '.']), name)
  }
  for (const name of ['direct', 'gnu', 'pax10', 'pax01', 'pax00']) {
    t.is(
      await shell(master, `stat -c %s ${name}/sparse; test $(stat -c %b ${name}/sparse) -lt 2000 && echo few`),
      '3000000000\nfew\n',
      name,
    )
    t.is(await shell(master, `tail -c +1000000001 ${name}/sparse | head -c 7`), 'part 25', name)
  }
  const archive = await bytes(master.copyOutTar('direct'))
  t.true(archive.length < 2_000_000, `${archive.length}`)
  const out = extract(t, archive)
  t.is(statSync(join(out, 'sparse')).size, 3_000_000_000)
  t.true(statSync(join(out, 'sparse')).blocks < 4000)
  await master.copyInTar(archive, 'again')
  t.is(await shell(master, 'tail -c +2360000001 again/sparse | head -c 7'), 'part 59')
})

test('a file of a terabyte that is all hole comes out in no time, and one full of holes is bounded', async (t) => {
  const master = await createMaster(t)
  await shell(master, 'mkdir d; truncate -s 1T d/hole; truncate -s 8E d/huge 2>/dev/null; true')
  const archive = await within(bytes(master.copyOutTar('d')), 'an archive of holes')
  t.true(archive.length < 10_240)
  await master.copyInTar(archive, 'again')
  t.is(await shell(master, 'stat -c %s again/hole'), `${2 ** 40}\n`)
  const { size } = (await master.list('d', { include: ['hole'] }))[0]!
  t.is(size, 2 ** 40)
})

test('bounds of what comes out', async (t) => {
  const master = await createMaster(t)
  await shell(master, 'mkdir d; for i in 1 2 3 4 5; do head -c 100000 /dev/zero > d/$i; done')
  const error = await rejects(t, bytes(master.copyOutTar('d', { maxBytes: 400_000 })), 'ERR_HOTCELL_TOO_LARGE')
  t.regex(error.message, /maxBytes is 400000/)
  await rejects(t, bytes(master.copyOutTar('d', { maxEntries: 4 })), 'ERR_HOTCELL_TOO_LARGE')
  await rejects(t, master.list('d', { maxEntries: 4 }), 'ERR_HOTCELL_TOO_LARGE')
  t.is((await master.list('d', { maxEntries: 5 })).length, 5)
  // As many as init lists at once, and empty directories: neither counts for more than it is.
  await shell(master, 'mkdir e; cd e; seq 1 128 | xargs touch; mkdir x; rm 128')
  t.is((await master.list('e', { maxEntries: 128 })).length, 128)
  await rejects(t, master.list('e', { maxEntries: 127 }), 'ERR_HOTCELL_TOO_LARGE')
  await rejects(t, bytes(master.copyOutTar('absent')), 'ENOENT')
  await rejects(t, bytes(master.copyOutTar('d/1')), 'ENOTDIR')
  t.throws(() => master.copyOutTar('d', { exclude: ['{'] }), { instanceOf: TypeError, message: /exclude\[0\]/ })
  t.throws(() => master.copyOutTar('d', { globs: ['x'] } as never), { instanceOf: TypeError, message: /globs/ })
})

test('hostile trees: FIFOs, sockets, links in a loop, closed directories, hard links, strange names', async (t) => {
  const master = await createMaster(t)
  await shell(
    master,
    `mkdir -p d/sub; cd d; mkfifo fifo; ln -s loop loop; ln -s .. sub/up; ln -s /proc/1/exe exe; ln -s /proc/self/fd/3 fd
     ln -s /etc/passwd passwd; echo content > file; ln file sub/hard; printf x > "$(printf 'n\\nl')"; printf x > "$(printf 'b\\377')"
     mkdir closed; echo in > closed/in; chmod 0 closed; chmod 0 file`,
  )
  const listed = await master.list('d', { exclude: ['closed'] })
  t.deepEqual(
    listed.map(({ path, type, target }) => [path, type, target]),
    [
      ['b\ufffd', 'file', undefined],
      ['exe', 'symlink', '/proc/1/exe'],
      ['fd', 'symlink', '/proc/self/fd/3'],
      ['fifo', 'fifo', undefined],
      ['file', 'file', undefined],
      ['loop', 'symlink', 'loop'],
      ['n\nl', 'file', undefined],
      ['passwd', 'symlink', '/etc/passwd'],
      ['sub', 'directory', undefined],
      ['sub/hard', 'file', undefined],
      ['sub/up', 'symlink', '..'],
    ],
  )
  t.deepEqual(listed[0]?.rawPath, Buffer.from('b\xff', 'latin1'))
  t.false('rawPath' in listed[1]!)
  await shell(master, 'chmod 644 d/file; chmod 755 d/closed')
  const archive = await within(bytes(master.copyOutTar('d')), 'an archive of a hostile tree')
  t.false(archive.includes('root:'))
  await master.copyInTar(archive, 'again')
  t.is(await shell(master, 'cd again; cat sub/hard closed/in; stat -c %h file; ls -A | wc -l'), 'content\nin\n2\n10\n')
})

test.serial('a tree of 20,000 levels is an error, and none of ours', async (t) => {
  const master = await createMaster(t)
  const program = await install(master, 'tree')
  t.is((await master.run(program, ['deep', 'deep', '20000'])).status, 'ok')
  const before = openFds().size
  const error = await rejects(t, bytes(master.copyOutTar('deep')), 'ENAMETOOLONG')
  t.true((error.path ?? '').startsWith('d/d/d'))
  await rejects(t, master.list('deep'), 'ENAMETOOLONG')
  // What is not asked for is no obstacle.
  t.deepEqual(
    (await master.list('.', { exclude: ['deep/d'] })).map(({ path }) => path),
    ['deep', 'tree'],
  )
  await master.ping()
  await until(() => openFds().size <= before, 'the pipes of two failed copies closed')
})

test('a tree that changes all the time comes out whole or as an error, and every name once', async (t) => {
  const program = await compileSource(
    'churn',
    `#define _GNU_SOURCE
     #include <fcntl.h>
     #include <stdio.h>
     #include <sys/stat.h>
     #include <unistd.h>
     int main(void) {
       char a[32], b[32];
       for (unsigned i = 0;; i++) {
         sprintf(a, "f%u", i % 400); sprintf(b, "f%u", (i * 7 + 3) % 400);
         switch (i % 6) {
           case 0: { int fd = open(a, O_CREAT | O_WRONLY, 0644); if (fd >= 0) { if (ftruncate(fd, i % 9000)) {} close(fd); } break; }
           case 1: rename(a, b); break;
           case 2: unlink(b); break;
           case 3: mkfifo(a, 0644); break;
           case 4: if (symlink("/etc/passwd", b)) {} break;
           case 5: if (mkdir(a, 0755) && rmdir(b)) {} break;
         }
       }
     }`,
  )
  const master = await createMaster(t)
  await master.copyIn(program, 'churn', { mode: 0o755 })
  await shell(master, 'mkdir d')
  const run = master.spawn('/w/churn', [], { cwd: 'd', stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' })
  const ended = (async () => {
    try {
      await run
    } catch {
      // With its container, should an assertion fail.
    }
  })()
  for (let i = 0; i < 8; i++) {
    const archive = await within(bytes(master.copyOutTar('d')), 'an archive of a restless tree')
    const names = namesOf(archive)
    t.is(new Set(names).size, names.length)
    t.false(archive.includes('root:x:'))
    const paths = (await master.list('d')).map(({ path }) => path)
    t.is(new Set(paths).size, paths.length)
  }
  run.kill('SIGKILL')
  await ended
})

/** The names in an archive of short ones. */
function namesOf(archive: Buffer): string[] {
  const names: string[] = []
  for (let at = 0; archive[at] !== 0;) {
    if (archive[at + 156] !== 'x'.charCodeAt(0))
      names.push(archive.toString('latin1', at, archive.indexOf(0, at)).replace(/\/$/, ''))
    const size = parseInt(archive.toString('latin1', at + 124, at + 136), 8)
    at += 512 + Math.ceil(size / 512) * 512
  }
  return names
}

test.serial('a stream that nobody reads begins nothing; one that is destroyed ends', async (t) => {
  const master = await createMaster(t)
  await shell(master, 'mkdir d; head -c 50000000 /dev/zero > d/large')
  const before = openFds().size
  const unread = master.copyOutTar('d')
  t.is(openFds().size, before)
  unread.destroy()
  const half = master.copyOutTar('d')
  await new Promise((resolve) => half.once('data', resolve))
  half.destroy()
  await within(new Promise((resolve) => half.once('close', resolve)), 'the end of a destroyed stream')
  await until(() => openFds().size <= before, 'its pipe closed')
  await master.ping()
})

test('cancelling a copy', async (t) => {
  const master = await createMaster(t)
  const reason = new Error('enough')
  const aborted = AbortSignal.abort(reason)
  const root = sampleTree(t)
  await aborts(t, master.copyIn(root, 'a', { signal: aborted }), reason)
  await aborts(t, master.copyInTar(tar([]), 'a', { signal: aborted }), reason)
  await aborts(t, bytes(master.copyOutTar('.', { signal: aborted })), reason)
  await aborts(t, master.list('.', { signal: aborted }), reason)

  // In the middle: the source waits for ever.
  const source = new PassThrough()
  const part = tar([
    { name: 'done', content: 'x' },
    { name: 'large', size: 10_000_000 },
  ])
  source.write(part.subarray(0, 1024 + 512))
  source.write(Buffer.alloc(100_000))
  const controller = new AbortController()
  const copy = master.copyInTar(source, 'b', { signal: controller.signal })
  await until(async () => (await master.list('.')).some(({ path }) => path === 'b/done'), 'the first file in its place')
  controller.abort(reason)
  await aborts(t, within(copy, 'a cancelled copy'), reason)
  t.true(source.destroyed)
  await rejects(t, master.list('b'), 'ENOENT')

  await shell(master, 'mkdir d; head -c 50000000 /dev/zero > d/large')
  const outward = new AbortController()
  const stream = master.copyOutTar('d', { signal: outward.signal })
  stream.once('data', () => outward.abort(reason))
  await aborts(t, within(bytes(stream), 'a cancelled archive'), reason)
  t.is(await shell(master, 'ls -A'), 'd\n')
})

test('a source that fails fails the copy with its own error, and leaves nothing', async (t) => {
  const master = await createMaster(t)
  const broken = new Error('broken source')
  const source = (async function* () {
    yield tar([{ name: 'x', content: 'x' }]).subarray(0, 1024)
    throw broken
  })()
  t.is(await t.throwsAsync(master.copyInTar(source, 'd')), broken)
  t.is(await shell(master, 'ls -A'), '')
})

test('losing the container ends copies', async (t) => {
  const master = await createMaster(t)
  await shell(master, 'mkdir d; head -c 50000000 /dev/zero > d/large')
  const stream = master.copyOutTar('d')
  await new Promise((resolve) => stream.once('readable', resolve))
  const inward = master.copyInTar(new PassThrough(), 'x')
  const ended = deferred<Error>()
  stream.once('error', ended.resolve)
  process.kill(master.pid, 'SIGKILL')
  await rejects(t, within(inward, 'a copy into a lost container'), 'ERR_HOTCELL_CONTAINER_LOST')
  t.is(
    ((await within(ended.promise, 'an archive of a lost container')) as HotcellError).code,
    'ERR_HOTCELL_CONTAINER_LOST',
  )
  await rejects(t, master.list('d'), 'ERR_HOTCELL_CONTAINER_LOST')
})

test('a reset ends copies, and nothing of them reaches what comes after', async (t) => {
  const master = await createMaster(t)
  const source = new PassThrough()
  source.write(tar([{ name: 'a', content: 'x' }]).subarray(0, 1024))
  const copy = master.copyInTar(source, 'd')
  await until(async () => (await master.list('.')).length > 0, 'the directory made')
  await master.reset()
  source.end(tar([{ name: 'b', content: 'y' }]))
  await rejects(t, within(copy, 'a copy over a reset'), 'ESTALE')
  t.is(await shell(master, 'ls -A'), '')
})

test('the next user of a container of a pool gets nothing of the last one’s copy', async (t) => {
  const pool = await Pool.create({ container: masterOptions(), size: 1 })
  t.teardown(() => pool.destroy())
  const source = new PassThrough()
  source.write(tar([{ name: 'a', content: 'x' }]).subarray(0, 1024))
  let copy: Promise<void> | undefined
  await pool.use(async (master) => {
    copy = master.copyInTar(source, 'd')
    await until(async () => (await master.list('.')).length > 0, 'the directory made')
  })
  const next = pool.run('ls', ['-A'])
  source.end(tar([{ name: 'b', content: 'y' }]))
  await t.throwsAsync(within(copy as Promise<void>, 'a copy of somebody whose turn is over'))
  t.is((await next).stdout, '')
  t.is((await pool.run('ls', ['-A'])).stdout, '')
})

test('from one container into another, zipped on the way or not', async (t) => {
  const [from, to] = [await createMaster(t), await createMaster(t)]
  await shell(from, 'mkdir d; echo 1 > d/a; ln -s a d/l; mkdir d/e')
  await to.copyInTar(from.copyOutTar('d'), 'd')
  t.is(await shell(to, 'cat d/l; ls d'), '1\na\ne\nl\n')
  const zipped = await bytes(from.copyOutTar('d').pipe(createGzip()))
  t.deepEqual([...zipped.subarray(0, 2)], [0x1f, 0x8b])
})

test('list says what is there', async (t) => {
  const master = await createMaster(t)
  t.deepEqual(await master.list(), [])
  await shell(master, 'mkdir -p a/b; printf 12345 > a/b/c; chmod 751 a/b/c; touch -d @1000000000 a/b/c; ln -s c a/b/l')
  const entries = await master.list('/w')
  t.deepEqual(
    entries.map(({ path }) => path),
    ['a', 'a/b', 'a/b/c', 'a/b/l'],
  )
  t.deepEqual(entries[2], { path: 'a/b/c', type: 'file', size: 5, mode: 0o751, mtimeMs: 1_000_000_000_000 })
  t.like(entries[3], { type: 'symlink', target: 'c' })
  t.deepEqual(
    (await master.list('a', { include: ['*.x', 'c'] })).map(({ path }) => path),
    ['b/c'],
  )
  await shell(master, 'mkdir big; cd big; seq 1 3000 | xargs touch')
  t.is((await master.list('big')).length, 3000)
  // What is in /proc is no files, and the host's paths are none of the container's.
  t.deepEqual(await master.list('/proc'), [])
  t.true((await master.list('/', { include: ['/etc'] })).every(({ path }) => path.startsWith('etc')))
  await t.throwsAsync(master.list('a', { glob: 'x' } as never), { instanceOf: TypeError, message: /glob/ })
})

test.serial('copies leave no descriptor and no temporary file', async (t) => {
  const master = await createMaster(t)
  const root = sampleTree(t)
  const round = async (): Promise<void> => {
    for (const path of ['d', 'e']) await master.delete(path, { recursive: true })
    await master.copyIn(root, 'd')
    await master.copyInTar(await bytes(master.copyOutTar('d')), 'e')
    await t.throwsAsync(master.copyInTar(tar([{ name: 'x', content: 'x' }, { name: '../x' }]), 'f'))
  }
  await round()
  const before = openFds().size
  for (let i = 0; i < 10; i++) await round()
  await until(() => openFds().size <= before, 'all descriptors closed')
  t.is(await shell(master, 'find . -name ".hotcell*" | wc -l; ls'), '0\nd\ne\n')
  t.true(lstatSync(root).isDirectory())
})
