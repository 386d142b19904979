// Resource limits: set, seen from inside, and what reaching them is called.
import test from 'ava'
import type { Master, RLimit } from '../index.js'
import { install } from './support/compile.js'
import { rejects } from './support/errors.js'
import { createMaster, mode } from './support/mode.js'
import { requires } from './support/requires.js'

const resources = [
  'cpu',
  'fsize',
  'data',
  'stack',
  'core',
  'rss',
  'nproc',
  'nofile',
  'memlock',
  'as',
  'locks',
  'sigpending',
  'msgqueue',
  'nice',
  'rtprio',
  'rttime',
] as const

type Limits = Record<(typeof resources)[number], { soft: number | 'unlimited'; hard: number | 'unlimited' }>

async function limitsInside(master: Master, rlimits?: readonly RLimit[]): Promise<Limits> {
  const { status, stdout } = await master.run('/w/report', ['rlimits'], rlimits === undefined ? {} : { rlimits })
  if (status !== 'ok') throw new Error(status)
  const amount = (text: string | undefined): number | 'unlimited' => (text === '-1' ? 'unlimited' : Number(text))
  const lines = stdout.trim().split('\n')
  return Object.fromEntries(
    lines.map((line) => {
      const [number, soft, hard] = line.split(' ')
      return [resources[Number(number)], { soft: amount(soft), hard: amount(hard) }]
    }),
  ) as Limits
}

test('each of the sixteen, soft and hard', async (t) => {
  const master = await createMaster(t)
  await install(master, 'report')
  const before = await limitsInside(master)
  t.deepEqual(Object.keys(before), [...resources])
  // Lower than what anybody has; enough for the program to run.
  const values: Limits = {
    cpu: { soft: 100, hard: 101 },
    fsize: { soft: 1_000_000, hard: 2_000_000 },
    data: { soft: 100_000_000, hard: 200_000_000 },
    stack: { soft: 1_000_000, hard: 2_000_000 },
    core: { soft: 1, hard: 1 },
    rss: { soft: 1_000_000, hard: 2_000_000 },
    nproc: { soft: 100, hard: 200 },
    nofile: { soft: 20, hard: 30 },
    memlock: { soft: 1000, hard: 2000 },
    as: { soft: 500_000_000, hard: 600_000_000 },
    locks: { soft: 10, hard: 20 },
    sigpending: { soft: 10, hard: 20 },
    msgqueue: { soft: 1000, hard: 2000 },
    nice: { soft: 0, hard: 0 },
    rtprio: { soft: 0, hard: 0 },
    rttime: { soft: 1_000_000, hard: 2_000_000 },
  }
  for (const resource of resources) {
    const { soft, hard } = values[resource]
    const inside = await limitsInside(master, [{ resource, soft, hard }])
    t.deepEqual(inside, { ...before, [resource]: { soft, hard } }, resource)
  }
  const all = resources.map((resource): RLimit => ({ resource, ...values[resource] }))
  t.deepEqual(await limitsInside(master, all), values)
  // None of them sticks to the container.
  t.deepEqual(await limitsInside(master), before)
})

test('of two for one resource the last one stands', async (t) => {
  const master = await createMaster(t)
  await install(master, 'report')
  const { nofile } = await limitsInside(master, [
    { resource: 'nofile', soft: 100, hard: 100 },
    { resource: 'nofile', soft: 50, hard: 60 },
  ])
  t.deepEqual(nofile, { soft: 50, hard: 60 })
})

test('unlimited, and numbers beyond 32 bits', async (t) => {
  const master = await createMaster(t)
  await install(master, 'report')
  const { fsize, as } = await limitsInside(master, [
    { resource: 'fsize', soft: 2 ** 40, hard: 'unlimited' },
    { resource: 'as', soft: 'unlimited', hard: 'unlimited' },
  ])
  t.deepEqual(fsize, { soft: 2 ** 40, hard: 'unlimited' })
  t.deepEqual(as, { soft: 'unlimited', hard: 'unlimited' })
})

test('no core is ever dumped, and no handler of the host’s is run for one', async (t) => {
  const master = await createMaster(t)
  await install(master, 'report')
  // core(5): with a pipe in core_pattern a limit of 0 still runs the handler, one of 1 does not.
  t.deepEqual((await limitsInside(master)).core, { soft: 1, hard: 1 })
  t.deepEqual((await limitsInside(master, [{ resource: 'core', soft: 0, hard: 0 }])).core, { soft: 1, hard: 1 })
})

test('a program cannot raise its hard limits', async (t) => {
  const master = await createMaster(t)
  await install(master, 'report')
  const result = await master.run('./report', ['rlimit-raise'], {
    rlimits: [{ resource: 'nofile', soft: 10, hard: 20 }],
  })
  t.like(result, { exitCode: 1 })
})

test('a limit above what can be had is an error that names it, and where it stood', async (t) => {
  const master = await createMaster(t)
  const rlimits: RLimit[] = [
    { resource: 'cpu', soft: 10, hard: 10 },
    { resource: 'nofile', soft: 1, hard: 'unlimited' },
  ]
  for (const way of [
    () => master.execve({ args: ['true'], rlimits }),
    () => master.run('true', [], { rlimits }),
    () => master.spawn('true', [], { rlimits }),
  ]) {
    const error = await rejects(t, way(), 'EPERM')
    t.is(error.path, 'nofile')
    t.is(error.syscall, 'prlimit')
    t.regex(error.message, /rlimits\[1\].*hard limit/i)
  }
  t.is((await master.execve({ args: ['true'] })).status, 'ok')
})

const withoutPrivileges = requires('a hard limit that cannot be raised', mode !== 'degraded')

withoutPrivileges('a hard limit of the host’s own is the ceiling', async (t) => {
  const master = await createMaster(t)
  // An unprivileged host has little of this; root in a user namespace may not raise it either.
  const error = await rejects(
    t,
    master.execve({ args: ['true'], rlimits: [{ resource: 'nofile', soft: 1, hard: 2 ** 30 + 1 }] }),
    'EPERM',
  )
  t.is(error.path, 'nofile')
})

test('RLIMIT_CPU is a time limit, by SIGXCPU and by SIGKILL', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const [soft, hard] = await Promise.all([
    master.execve({ args: ['./behave', 'spin'], rlimits: [{ resource: 'cpu', soft: 1, hard: 5 }] }),
    master.execve({ args: ['./behave', 'spin'], rlimits: [{ resource: 'cpu', soft: 1, hard: 1 }] }),
  ])
  for (const result of [soft, hard]) {
    t.like(result, { status: 'time-limit', limit: 'cpu' })
    // The kernel samples at its ticks what the limit is compared with, and counts what it reports.
    t.true(result.cpuTimeMs >= 300 && result.cpuTimeMs < 4000, String(result.cpuTimeMs))
  }
})

test('SIGXCPU and SIGXFSZ from anywhere else are just signals', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  t.like(await master.execve({ args: ['./behave', 'raise', '24'] }), { status: 'signaled', signal: 'SIGXCPU' })
  t.like(await master.execve({ args: ['./behave', 'raise', '25'] }), { status: 'signaled', signal: 'SIGXFSZ' })
  const rlimits = [{ resource: 'cpu', soft: 10, hard: 10 }] as const
  t.like(await master.execve({ args: ['./behave', 'raise', '24'], rlimits }), { status: 'signaled', signal: 'SIGXCPU' })
  t.like(await master.execve({ args: ['./behave', 'raise', '9'], rlimits }), { status: 'signaled', signal: 'SIGKILL' })
})

test('RLIMIT_FSIZE is an output limit', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const rlimits = [{ resource: 'fsize', soft: 100_000, hard: 100_000 }] as const
  t.like(await master.execve({ args: ['./behave', 'grow', 'x', '100001'], rlimits }), {
    status: 'output-limit',
    limit: 'file-size',
  })
  t.is((await master.copyOut('x')).length, 100_000)
  t.like(await master.execve({ args: ['./behave', 'grow', 'x', '100000'], rlimits }), { status: 'ok' })
  // Pipes are no files.
  t.like(await master.run('./behave', ['write', '200000'], { rlimits }), { status: 'ok' })
})

test('RLIMIT_NOFILE and RLIMIT_AS are felt', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const rlimits = [{ resource: 'as', soft: 64 * 1024 * 1024, hard: 64 * 1024 * 1024 }] as const
  t.like(await master.execve({ args: ['./behave', 'allocate', String(128 * 1024 * 1024)], rlimits }), { exitCode: 12 })
  t.like(await master.execve({ args: ['./behave', 'allocate', String(8 * 1024 * 1024)], rlimits }), { status: 'ok' })
  const { status, stderr } = await master.run(
    '/bin/sh',
    ['-c', 'exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null'],
    {
      rlimits: [{ resource: 'nofile', soft: 5, hard: 5 }],
    },
  )
  t.is(status, 'nonzero-exit')
  t.not(stderr, '')
})

test('SIGSYS is a disallowed system call', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const result = await master.execve({ args: ['./behave', 'seccomp'] })
  t.like(result, { status: 'disallowed-syscall' })
  t.is(typeof (result as { syscall?: unknown }).syscall, 'string')
})
