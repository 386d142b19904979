// Paths that a hostile program prepared for the host's next request (go-judge #176, Judge0 CVE-2024-28185): whatever stands
// there, nothing outside of the container is opened, and nobody is kept waiting.
import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { defaultMounts, HotcellError, type Master } from '../index.js'
import { install } from './support/compile.js'
import { openFds } from './support/counters.js'
import { createMaster, createUnfiltered } from './support/mode.js'
import { within } from './support/waiting.js'

/** A folder of the host with a secret in it; whether anything of it was touched. */
function secret(t: ExecutionContext): { path: string; folder: string; untouched: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'hotcell-secret-'))
  chmodSync(folder, 0o777)
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'secret')
  writeFileSync(path, 'the secret of the host\n', { mode: 0o666 })
  const look = (): unknown => {
    const { mtimeMs, mode, uid, ino } = statSync(path)
    const hash = createHash('sha256').update(readFileSync(path)).digest('hex')
    return { hash, mtimeMs, mode, uid, ino, names: readdirSync(folder) }
  }
  const before = look()
  return { path, folder, untouched: () => t.deepEqual(look(), before) }
}

/** Every request that takes a path. Resolves to what each gave: an error's code, or what could be read. */
async function everything(master: Master, path: string): Promise<Record<string, string>> {
  const results: Record<string, string> = {}
  const attempt = async (name: string, request: () => Promise<unknown>): Promise<void> => {
    try {
      results[name] = String((await within(request(), `${name} ${path}`, 9_000)) ?? 'done')
    } catch (error) {
      if (!(error instanceof HotcellError)) throw error
      results[name] = error.code
    }
  }
  await attempt('read', () => master.copyOut(path))
  for (const flags of ['r', 'r+', 'w', 'a', 'wx', 'w+']) {
    await attempt(flags, async () => {
      await using file = await master.open(path, flags)
      return (await file.stat()).isFile() ? 'a file' : 'something else'
    })
  }
  await attempt('symlink', () => master.symlink('x', path))
  await attempt('copyIn', () => master.copyIn(Buffer.from('overwritten'), path))
  await attempt('delete', () => master.delete(path, { recursive: true }))
  return results
}

for (const where of ['last', 'middle'] as const) {
  test(`no request follows a link out of the container, as the ${where} part of a path`, async (t) => {
    const { path, folder, untouched } = secret(t)
    const master = await createMaster(t)
    const up = '../'.repeat(20)
    const links: Record<string, string> =
      where === 'last'
        ? {
            absolute: path,
            relative: up + path.slice(1),
            magic: '/proc/self/exe',
            fd: '/proc/self/fd/0',
            root: `/proc/self/root${path}`,
          }
        : {
            absolute: folder,
            relative: up + folder.slice(1),
            magic: '/proc/self/cwd',
            fd: '/proc/self/fd',
            root: `/proc/1/root${folder}`,
          }
    for (const [name, target] of Object.entries(links)) {
      const made = await master.run('ln', ['-s', target, name])
      t.is(made.status, 'ok', made.stderr)
      const results = await everything(master, where === 'last' ? name : `${name}/secret`)
      for (const [request, result] of Object.entries(results)) {
        t.notRegex(result, /the secret|something else/, `${name}: ${request}`)
        // What is there to be opened as a last part is the link, and nobody opens a link.
        if (where === 'last' && ['read', 'r', 'r+', 'w', 'a', 'w+'].includes(request))
          t.is(result, 'ELOOP', `${name}: ${request}`)
      }
      untouched()
    }
    t.is((await master.run('echo', ['next'])).stdout, 'next\n')
  })
}

test('links lead where they lead inside of the container', async (t) => {
  const master = await createMaster(t)
  // The counterpart: the same kind of link, with an end that is there.
  await master.run('sh', [
    '-c',
    'mkdir -p /tmp/real && ln -s /tmp/real absolute && ln -s ../../../../tmp/real relative',
  ])
  for (const name of ['absolute', 'relative']) {
    await master.copyIn(Buffer.from(name), `${name}/file`)
    t.is((await master.run('cat', ['/tmp/real/file'])).stdout, name)
  }
})

test('the command loop’s own files in /proc cannot be opened through links', async (t) => {
  const master = await createMaster(t)
  await master.run('sh', [
    '-c',
    'ln -s /proc/self self; ln -s /proc/1 one; ln -s /proc/self/task/1 task; ln -s /proc/thread-self thread',
  ])
  for (const link of ['self', 'one', 'task', 'thread']) {
    for (const file of [
      'mem',
      'environ',
      'maps',
      'auxv',
      'cmdline',
      'stat',
      'io',
      'fd/3',
      'fd/100',
      'fdinfo/100',
      'exe',
      'root/w',
      'cwd/x',
      'map_files/x',
      'attr/current',
      'oom_score_adj',
      'comm',
    ]) {
      for (const flags of ['r', 'r+']) {
        const error = await t.throwsAsync(
          master.open(`${link}/${file}`, flags),
          { instanceOf: HotcellError },
          `${link}/${file} ${flags}`,
        )
        t.regex(error?.code ?? '', /^(EACCES|EPERM|ENOENT|ELOOP|EXDEV|EROFS|EISDIR|EINVAL|ENOTDIR|ESRCH)$/)
      }
    }
  }
  await master.ping()
})

test('what is no file is refused at once, whatever it is', async (t) => {
  const master = await createMaster(t)
  const planted = await master.run('sh', [
    '-c',
    'mkfifo fifo && mkdir folder && ln -s fifo tofifo && ln -s loop loop && ln -s /dev/zero zero && ln -s /dev devices && : > file && chmod 0 file',
  ])
  t.is(planted.status, 'ok', planted.stderr)
  const began = performance.now()
  for (const flags of ['r', 'r+', 'w', 'a', 'w+', 'wx']) {
    for (const name of [
      'fifo',
      'folder',
      'tofifo',
      'loop',
      'zero',
      'devices/zero',
      'devices/full',
      '/dev/random',
      '/dev/stdin',
      '/dev/fd/0',
      '/',
      '/proc',
      '.',
      '..',
      'folder/',
    ]) {
      await t.throwsAsync(master.open(name, flags), { instanceOf: HotcellError }, `${name} ${flags}`)
    }
  }
  t.true(performance.now() - began < 4_000)
  // One that the program may not read itself is still its own file, and the host's to read (not in the mode without namespace).
  await master.copyOut('file').catch((error: HotcellError) => t.is(error.code, 'EACCES'))
  await master.ping()
})

test('copyIn replaces whatever stands there, and touches nothing that it stood for', async (t) => {
  const master = await createMaster(t)
  for (const kind of [
    'ln -s /tmp/target at',
    'ln /w/other at',
    'mkfifo at',
    'mknod at p',
    'ln -s at at',
    'install -m 0 /dev/null at',
  ]) {
    await master.run('sh', [
      '-c',
      `rm -rf at other /tmp/target; echo target > /tmp/target; echo other > other; ${kind}`,
    ])
    await within(master.copyIn(Buffer.from('new'), 'at', { mode: 0o644 }), kind)
    const { stdout } = await master.run('sh', ['-c', 'stat -c "%F %a %h" at; cat at; echo; cat other /tmp/target'])
    t.is(stdout, 'regular file 644 1\nnew\nother\ntarget\n', kind)
  }
  await master.run('sh', ['-c', 'rm -rf at; mkdir at; echo kept > at/file'])
  await t.throwsAsync(master.copyIn(Buffer.from('new'), 'at'), { code: 'EISDIR' })
  t.is((await master.run('cat', ['at/file'])).stdout, 'kept\n')
  t.is((await master.run('sh', ['-c', 'ls -A'])).stdout, 'at\nother\n', 'no temporary file is left')
})

test('a file that becomes a pipe, a link or a folder while it is opened is never anything but a file', async (t) => {
  const master = await createMaster(t)
  await master.run('sh', [
    '-c',
    'mkfifo .fifo; ln -s /proc/1/environ .link; mkdir .folder; echo content > .file; ln .file at',
  ])
  const swapping = master.spawn('sh', [
    '-c',
    'echo up; while :; do ln -f .file .a; mv -Tf .a at; ln -f .fifo .a; mv -Tf .a at; ln -sfT /proc/1/environ .a; mv -Tf .a at; rm -f at; mkdir at; rmdir at; done',
  ])
  for await (const _ of swapping.stdout) break
  const before = openFds().size
  let opened = 0
  let slowest = 0
  for (let i = 0; i < 600; i++) {
    const began = performance.now()
    try {
      await using file = await master.open('at', i % 2 === 0 ? 'r' : 'r+')
      t.true((await file.stat()).isFile())
      t.is(await file.readFile('utf8'), 'content\n')
      opened++
    } catch (error) {
      t.true(error instanceof HotcellError && /^(ENOENT|ELOOP|EINVAL|EISDIR|ENXIO)$/.test(error.code), String(error))
    }
    slowest = Math.max(slowest, performance.now() - began)
  }
  t.log(`${opened} of 600 were the file; the slowest took ${slowest.toFixed(1)} ms`)
  t.true(slowest < 2_000)
  await master.ping()
  t.true(openFds().size <= before + 2)
  swapping.kill('SIGKILL')
  await swapping
})

test('a program that holds a lease on a file does not keep the container waiting', async (t) => {
  const master = await createUnfiltered(t)
  await install(master, 'entangle')
  const holder = master.spawn('./entangle', ['lease', '/w/leased'])
  for await (const _ of holder.stdout) break
  // The kernel takes 45 seconds (fs.lease-break-time) until it breaks one by force.
  const opening = within(master.copyOut('leased'), 'copyOut of a leased file', 5_000).then(
    () => undefined,
    (error: Error) => error,
  )
  await within(master.ping(), 'ping meanwhile', 5_000)
  t.like(await opening, { code: 'EAGAIN' })
  holder.kill('SIGKILL')
  await holder
  t.is((await master.copyOut('leased')).length, 0)
})

test('a program that renames without end does not keep the container waiting', async (t) => {
  const master = await createMaster(t)
  await install(master, 'entangle')
  // `..` has to be walked anew whenever anything was renamed meanwhile.
  await master.run('sh', ['-c', `mkdir -p x/y/z; echo found > file; ln -s ${'x/../'.repeat(300)}. up`])
  const renaming = master.spawn('./entangle', ['rename', '/tmp'])
  for await (const _ of renaming.stdout) break
  for (let i = 0; i < 100; i++) {
    const content = await within(master.copyOut('up/file'), 'copyOut', 5_000).catch((error: Error) => error)
    if (content instanceof Error) t.like(content, { code: 'EAGAIN' })
    else t.is(content.toString(), 'found\n')
  }
  await master.ping()
  renaming.kill('SIGKILL')
  await renaming
})

test('a file larger than anything costs nothing to look at', async (t) => {
  const master = await createMaster(t)
  await install(master, 'exhaust')
  t.is((await master.run('./exhaust', ['sparse', '/w/sparse'])).stdout.split(' ')[0], '1')
  const before = process.memoryUsage().rss
  await t.throwsAsync(master.copyOut('sparse', { maxBytes: 1 << 20 }), { code: 'ERR_HOTCELL_TOO_LARGE' })
  await t.throwsAsync(master.copyOut('sparse'), { code: 'ERR_HOTCELL_TOO_LARGE' })
  t.true(process.memoryUsage().rss - before < 64 << 20)
  t.is((await master.run('echo', ['next'])).stdout, 'next\n')
})

test('a tree that is deeper than any path is deleted, and one that grows meanwhile stops nobody', async (t) => {
  const master = await createMaster(t, { tmpfs: { inodes: 30_000 } })
  await install(master, 'tree', '/tmp/tree')
  t.is((await master.run('/tmp/tree', ['deep', '/w/deep', '20000'])).status, 'ok')
  const deleting = master.delete('deep', { recursive: true })
  await within(master.ping(), 'a ping meanwhile', 5_000)
  await deleting
  t.is((await master.run('ls', ['-A'])).stdout, '')
  await master.run('sh', ['-c', 'mkdir -p growing/a'])
  const growing = master.spawn('sh', [
    '-c',
    'echo up; i=0; while :; do i=$((i+1)); mkdir -p growing/a/$((i%50))/b 2>/dev/null; done',
  ])
  for await (const _ of growing.stdout) break
  await within(
    master.delete('growing', { recursive: true }).catch((error: HotcellError) => t.is(error.code, 'ENOTEMPTY')),
    'the deletion',
  )
  await master.ping()
  growing.kill('SIGKILL')
  await growing
})

test('a mounted folder of the host is read as the program would, not as init could', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'hotcell-mounted-'))
  chmodSync(folder, 0o755)
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(join(folder, 'private'), { mode: 0o700 })
  writeFileSync(join(folder, 'private', 'file'), 'private\n', { mode: 0o600 })
  writeFileSync(join(folder, 'own'), 'own\n', { mode: 0o600 })
  const master = await createMaster(t, {
    mounts: [...defaultMounts(), { source: folder, target: '/mounted', readOnly: false }],
  })
  const program = (await master.run('cat', ['/mounted/own'])).status
  // A user whose one id the program has owns these files there, too.
  if (program === 'ok') return t.is((await master.copyOut('/mounted/own')).toString(), 'own\n')
  await master.run('sh', ['-c', 'ln -s /mounted/private out'])
  await t.throwsAsync(master.copyOut('out/file'), { code: 'EACCES' })
  await t.throwsAsync(master.copyOut('/mounted/own'), { code: 'EACCES' })
  await t.throwsAsync(master.copyIn(Buffer.from('x'), 'out/file'), { code: 'EACCES' })
  await t.throwsAsync(master.copyIn(Buffer.from('x'), '/mounted/new'), { code: 'EACCES' })
  await t.throwsAsync(master.delete('/mounted/own'), { code: 'EACCES' })
  await t.throwsAsync(master.delete('/mounted/private', { recursive: true }), { code: 'EACCES' })
  t.is(readFileSync(join(folder, 'private', 'file'), 'utf8'), 'private\n')
  return undefined
})
