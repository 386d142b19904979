// Programs that take all there is of something: they get what the limits allow, the verdict is true, and the next program and
// the host have what they had before.
import test, { type ExecutionContext } from 'ava'
import { HotcellError, type Master, type RLimit } from '../index.js'
import { install } from './support/compile.js'
import { descendantsOf, openFds } from './support/counters.js'
import { createMaster, createUnfiltered, mode } from './support/mode.js'
import { until, within } from './support/waiting.js'

const EAGAIN = 11
const EMFILE = 24
const ENOSPC = 28

async function exhaust(
  master: Master,
  what: string,
  path = '',
  rlimits: RLimit[] = [],
): Promise<{ count: number; errno: number }> {
  await install(master, 'exhaust', '/dev/shm/exhaust')
  const { stdout } = await within(master.run('/dev/shm/exhaust', [what, path], { rlimits }), what, 20_000)
  const [count, errno] = stdout.split(' ').map(Number)
  return { count: count ?? -1, errno: errno ?? -1 }
}

async function asBefore(t: ExecutionContext, master: Master): Promise<void> {
  t.deepEqual(descendantsOf(master.pid), [])
  await within(master.ping(), 'a ping', 2_000)
  t.is((await master.run('echo', ['next'])).stdout, 'next\n')
}

test.serial('a tmpfs that is full: bytes', async (t) => {
  const master = await createMaster(t, { tmpfs: { sizeBytes: 8 << 20 } })
  const { count, errno } = await exhaust(master, 'bytes', '/w/file')
  t.is(errno, ENOSPC)
  t.true(count > 7 << 20 && count <= 8 << 20)
  const before = openFds().size
  await t.throwsAsync(master.copyIn(Buffer.alloc(1 << 20), 'other'), { instanceOf: HotcellError, code: 'ENOSPC' })
  t.is(openFds().size, before)
  t.is((await master.run('ls', ['-A'])).stdout, 'file\n', 'nothing is left of the attempt')
  // Others have theirs, and this one has it again.
  await master.copyIn(Buffer.alloc(1 << 20), '/tmp/other')
  await master.delete('file')
  await master.copyIn(Buffer.alloc(1 << 20), 'other')
  await asBefore(t, master)
})

test.serial('a tmpfs that is full: inodes', async (t) => {
  const master = await createMaster(t, { tmpfs: { inodes: 2_000 } })
  const { count, errno } = await exhaust(master, 'files', '/w')
  t.is(errno, ENOSPC)
  t.true(count > 1_900 && count < 2_000)
  await t.throwsAsync(master.copyIn(Buffer.from('x'), 'other'), { instanceOf: HotcellError, code: 'ENOSPC' })
  await t.throwsAsync(master.symlink('x', 'y'), { instanceOf: HotcellError, code: 'ENOSPC' })
  await t.throwsAsync(master.open('new', 'w'), { instanceOf: HotcellError, code: 'ENOSPC' })
  await asBefore(t, master)
  await master.reset()
  await master.copyIn(Buffer.from('x'), 'other')
  await asBefore(t, master)
})

test.serial('descriptors', async (t) => {
  const master = await createMaster(t)
  const before = openFds().size
  const { count, errno } = await exhaust(master, 'descriptors')
  t.is(errno, EMFILE)
  t.is(count, 256 - 3)
  const flight = await exhaust(master, 'flight')
  t.true(flight.count > 0 && flight.count < 20_000, String(flight.count))
  await asBefore(t, master)
  t.true(openFds().size <= before + 1)
})

for (const what of ['processes', 'threads']) {
  test.serial(`${what}, under RLIMIT_NPROC`, async (t) => {
    // A filter is installed on a thread of init's.
    const master = await createUnfiltered(t)
    const limit = 40
    const { count, errno } = await exhaust(master, what, '', [{ resource: 'nproc', soft: limit, hard: limit }])
    t.is(errno, EAGAIN)
    // With a single id init is one of them.
    t.is(count, limit - (mode === 'rootless' ? 2 : 1))
    await asBefore(t, master)
    // That limit was the run's alone.
    t.is(
      (await master.run('sh', ['-c', 'for i in 1 2 3 4 5 6 7 8 9 10; do true & done; wait; echo done'])).stdout,
      'done\n',
    )
  })
}

test.serial('queued signals, message queues and locked memory are bounded without asking', async (t) => {
  const master = await createMaster(t)
  const { count, errno } = await exhaust(master, 'signals')
  t.is(errno, EAGAIN)
  t.true(count <= 256)
  await install(master, 'report')
  const limits = (await master.run('./report', ['rlimits'])).stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' ').map(Number))
  const hard = (resource: number): number => limits.find(([number]) => number === resource)?.[2] as number
  t.true(hard(12) === 0 && hard(8) <= 65536 && hard(14) === 0 && hard(13) === 0 && hard(7) <= 1024)
  await asBefore(t, master)
})

test.serial('output that never ends is cut, and the program with it', async (t) => {
  const master = await createMaster(t)
  const outputBytes = 65_536
  for (const [script, limit] of [
    ['yes', 'stdout'],
    ['yes >&2', 'stderr'],
    ['trap "" PIPE TERM; while :; do echo x; done', 'stdout'],
    ['setsid sh -c "while :; do echo x; done" & sleep 100', 'stdout'],
  ] as const) {
    const began = performance.now()
    const result = await within(master.run('sh', ['-c', script], { limits: { outputBytes } }), script, 10_000)
    t.like(result, { status: 'output-limit', limit })
    t.is(result[limit].length, outputBytes)
    t.true(performance.now() - began < 3_000)
    await asBefore(t, master)
  }
})

test.serial('a daemon that keeps the output open does not keep the result', async (t) => {
  const master = await createMaster(t)
  const began = performance.now()
  const result = await master.run('sh', ['-c', 'setsid sleep 100 & echo done'])
  t.like(result, { status: 'ok', stdout: 'done\n' })
  t.true(performance.now() - began < 2_000)
  const spawned = master.spawn('sh', ['-c', 'setsid sleep 100 & echo done'])
  t.is((await within(spawned.result, 'the spawned one')).stdout, 'done\n')
  await asBefore(t, master)
})

test.serial('input that nobody reads holds nothing up', async (t) => {
  const master = await createMaster(t)
  const input = Buffer.alloc(8 << 20, 'x')
  const before = openFds().size
  t.is((await within(master.run('true', [], { input }), 'true')).status, 'ok')
  t.is((await within(master.run('sh', ['-c', 'exec 0<&-; sleep 0.05'], { input }), 'a closed input')).status, 'ok')
  t.is((await within(master.run('sh', ['-c', 'head -c 10 >/dev/null'], { input }), 'ten bytes')).status, 'ok')
  await asBefore(t, master)
  t.is(openFds().size, before)
})

test.serial('a program that fills pipes of the host’s size', async (t) => {
  const master = await createMaster(t)
  const { count } = await exhaust(master, 'pipes', '', [{ resource: 'nofile', soft: 1024, hard: 1024 }])
  t.true(count >= 0)
  await asBefore(t, master)
  // The pipes of the next run hold what they have always held.
  const { stdout } = await master.run('sh', ['-c', 'head -c 1000000 /dev/zero'])
  t.is(stdout.length, 1_000_000)
})

test.serial('keys and inotify instances, then the next program', async (t) => {
  const master = await createMaster(t)
  for (const what of ['keys', 'inotify']) {
    const first = await exhaust(master, what)
    t.true(first.count >= 0 && first.errno > 0)
    await asBefore(t, master)
    await master.reset()
    // The kernel frees keys some time after they were removed.
    await until(
      async () => (await exhaust(master, what)).count >= first.count - 2,
      `as much of ${what} as before`,
      15_000,
    )
    await master.reset()
  }
})

test.serial('five hundred runs at once', async (t) => {
  const master = await createMaster(t)
  const results = await within(
    Promise.all(
      Array.from({ length: 500 }, (_, index) => master.run('sh', ['-c', `echo ${index}; exit ${index % 7}`])),
    ),
    'all of them',
    60_000,
  )
  t.deepEqual(
    results.map((result) => [
      result.stdout,
      result.status === 'ok' || result.status === 'nonzero-exit' ? result.exitCode : result.status,
    ]),
    results.map((_, index) => [`${index}\n`, index % 7]),
  )
  await asBefore(t, master)
})
