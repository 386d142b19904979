// What one program can leave to the next, and what a reset makes of it.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { defaultMounts, type Mount } from '../index.js'
import { install } from './support/compile.js'
import { openFds } from './support/counters.js'
import { createUnfiltered, mode } from './support/mode.js'
import { until, within } from './support/waiting.js'

/** The default mounts and a file of this test's own at /locked: locks on the host's files are seen by all containers. */
function lockable(t: ExecutionContext): Mount[] {
  const folder = mkdtempSync(join(tmpdir(), 'hotcell-locked-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  chmodSync(folder, 0o755)
  const source = join(folder, 'file')
  writeFileSync(source, '', { mode: 0o644 })
  chmodSync(source, 0o644)
  return [...defaultMounts(), { source, target: '/locked' }]
}

test.serial('of everything that a program can leave behind, nothing is left after a reset', async (t) => {
  const mounts = lockable(t)
  const master = await createUnfiltered(t, { mounts })
  for (let round = 0; round < 3; round++) {
    await install(master, 'litter', '/tmp/litter')
    const made = await master.run('/tmp/litter', ['make', '/locked'])
    t.is(made.status, 'ok', made.stderr)
    if (round === 0) {
      // That the census would see it.
      const before =
        (await master.run('/tmp/litter', ['census', '/locked']).catch(() => undefined))?.stdout ?? ' shm sem msg /w'
      for (const kind of ['shm', 'sem', 'msg', '/w']) t.true(before.includes(kind), kind)
    }
    await within(master.reset(), 'the reset', 5_000)
    await install(master, 'litter')
    const { stdout } = await master.run('./litter', ['census', '/locked'])
    t.is(stdout, 'LEFT /w/litter\n')
  }
  const permissions = await master.run('stat', ['-c', '%a %n', '/w', '/tmp', '/dev/shm'])
  t.is(permissions.stdout, '755 /w\n1777 /tmp\n1777 /dev/shm\n')
})

test.serial('without a reset, processes and what hangs on them are gone all the same', async (t) => {
  const mounts = lockable(t)
  const master = await createUnfiltered(t, { mounts })
  await install(master, 'litter', '/dev/shm/litter')
  await master.copyIn(Buffer.from(''), '/w/x')
  t.is((await master.run('/dev/shm/litter', ['make', '/locked'])).status, 'ok')
  await master.run('true')
  // The program has closed the directory that it lies in.
  const other = await createUnfiltered(t, { mounts })
  await install(other, 'litter')
  const { stdout } = await other.run('./litter', ['census', '/locked'])
  t.is(stdout, 'LEFT /w/litter\n')
})

test.serial('a reset gives back the memory of what was shared', async (t) => {
  const master = await createUnfiltered(t)
  const shared = async (): Promise<number> => {
    const { stdout } = await master.run('grep', ['Shmem:', '/proc/meminfo'])
    return Number(/\d+/.exec(stdout)?.[0]) * 1024
  }
  const segment = 96 << 20
  // The first reset is special: whatever init starts for it keeps what it was started with.
  await master.reset()
  await install(master, 'exhaust')
  const before = await shared()
  t.is(
    (
      await master.run('python3', [
        '-c',
        `import ctypes; l = ctypes.CDLL(None); i = l.shmget(0, ${segment}, 0o1600); l.shmat.restype = ctypes.c_void_p; ctypes.memset(l.shmat(i, None, 0), 1, ${segment})`,
      ])
    ).status,
    'ok',
  )
  t.true((await shared()) > before + segment / 2)
  await master.reset()
  await until(async () => (await shared()) < before + segment / 2, 'the memory is free again', 10_000)
  t.pass()
})

test('descriptors from before a reset see the old files, new ones the new', async (t) => {
  const master = await createUnfiltered(t)
  await master.copyIn(Buffer.from('old'), 'file')
  await using old = await master.open('file', 'r')
  await master.reset()
  t.is(await old.readFile('utf8'), 'old')
  await t.throwsAsync(master.open('file', 'r'), { code: 'ENOENT' })
  await master.copyIn(Buffer.from('new'), 'file')
  t.is((await master.copyOut('file')).toString(), 'new')
})

test.serial('a reset with 200,000 levels of folders is as quick as without', async (t) => {
  const master = await createUnfiltered(t, { tmpfs: { inodes: 250_000, sizeBytes: 256 << 20 } })
  await install(master, 'tree', '/tmp/tree')
  t.is((await master.run('/tmp/tree', ['deep', '/w/deep', '200000'])).status, 'ok')
  const began = performance.now()
  await master.reset()
  t.true(performance.now() - began < 1_000)
  t.is((await master.run('ls', ['-A', '/w', '/tmp'])).stdout, '/tmp:\n\n/w:\n')
})

test('a reset beside a program that resists', async (t) => {
  const master = await createUnfiltered(t)
  await install(master, 'behave')
  await install(master, 'entangle')
  const runs = [
    master.execve({ args: ['./behave', 'bomb', '10'] }),
    master.execve({ args: ['./behave', 'hold'] }),
    master.execve({ args: ['./entangle', 'traced'] }),
    master.execve({ args: ['sh', '-c', 'while :; do echo x > /w/$$; sh -c "kill -STOP \\$\\$" & done'] }),
  ]
  await within(Promise.all([master.reset(), master.reset(), master.ping()]), 'the resets', 10_000)
  for (const end of await within(Promise.allSettled(runs), 'the runs', 5_000)) t.is(end.status, 'fulfilled')
  t.is((await master.run('ls', ['-A', '/w'])).stdout, '')
})

test.serial('resets by the hundred leave nothing in init', async (t) => {
  const master = await createUnfiltered(t)
  await install(master, 'inherited', '/tmp/inherited')
  await master.reset()
  const fds = openFds().size
  for (let i = 0; i < 200; i++) await master.reset()
  t.is(openFds().size, fds)
  await install(master, 'inherited')
  // A program started now has its own session and limits, as the first one.
  const { stdout } = await master.run('./inherited')
  t.regex(stdout, /^session 1$/m)
  t.regex(stdout, /^core 1 1$/m)
  if (mode === 'root') t.regex(stdout, /^dumpable 1$/m)
})

test('the working directory below a tmpfs is the program’s, before and after a reset', async (t) => {
  const master = await createUnfiltered(t, { workDir: '/w/project' })
  for (const round of ['first', 'second']) {
    const { stdout, stderr } = await master.run('sh', ['-c', `echo ${round} > file; pwd; cat file`])
    t.is(stdout, `/w/project\n${round}\n`, stderr)
    await master.copyIn(Buffer.from('x'), 'copied')
    await master.reset()
    t.is((await master.run('ls', ['-A', '/w/project'])).stdout, '')
  }
})
