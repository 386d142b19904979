// Limits that hold, and verdicts that tell which one was exceeded. Bounds on time are wide: they tell right from wrong.
import { readFileSync } from 'node:fs'
import type { TraceResult } from '../index.js'
import { createLimited, onEachBackend, type Backend } from './support/backend.js'
import { compile, install } from './support/compile.js'
import { createMaster, hostHas } from './support/mode.js'
import { requiresSerial } from './support/requires.js'

const MB = 1024 * 1024
const inCgroup = (backend: Backend): boolean => backend.name !== 'none'
const canCap = await hostHas('cgroup-cpu')
const canPin = await hostHas('cgroup-cpuset')

/** A verdict, to be compared as a whole. */
function verdict(result: TraceResult): unknown {
  const { status } = result
  if (status === 'time-limit' || status === 'output-limit') return `${status} ${result.limit}`
  if (status === 'nonzero-exit') return result.exitCode
  return status === 'signaled' ? result.signal : status
}

onEachBackend('CPU time, of one thread and of eight', async (t, backend) => {
  const master = await createLimited(t, backend)
  await install(master, 'behave')
  for (const args of [['spin'], ['threads', '8']]) {
    const result = await master.execve({ args: ['./behave', ...args], limits: { cpuTimeMs: 100 } })
    t.is(verdict(result), 'time-limit cpu')
    t.true(result.cpuTimeMs > 100 && result.cpuTimeMs < 1000, JSON.stringify(result))
  }
})

onEachBackend('CPU time of children, none of which uses much', async (t, backend) => {
  const master = await createLimited(t, backend)
  await install(master, 'behave')
  const over = await master.execve({ args: ['./behave', 'children', '8', '100'], limits: { cpuTimeMs: 300 } })
  t.is(verdict(over), 'time-limit cpu', JSON.stringify(over))
  t.true(over.cpuTimeMs > 300)
  const under = await master.execve({ args: ['./behave', 'children', '4', '20'], limits: { cpuTimeMs: 2000 } })
  t.is(verdict(under), 'ok', JSON.stringify(under))
  t.true(under.cpuTimeMs >= 75, JSON.stringify(under))
})

onEachBackend('wall time, of a program that waits and of one that is stopped', async (t, backend) => {
  const master = await createLimited(t, backend)
  await install(master, 'behave')
  for (const args of [['hold'], ['raise', '19']]) {
    const result = await master.execve({ args: ['./behave', ...args], limits: { wallTimeMs: 100, cpuTimeMs: 5000 } })
    t.is(verdict(result), 'time-limit wall', JSON.stringify(result))
    t.true(result.wallTimeMs > 100 && result.cpuTimeMs < 100, JSON.stringify(result))
  }
})

onEachBackend('memory: a breach, a program within, and one that is killed by itself', async (t, backend) => {
  const master = await createLimited(t, backend)
  await install(master, 'behave')
  const limits = { memoryBytes: 32 * MB, wallTimeMs: 20_000 }
  const over = await master.execve({ args: ['./behave', 'allocate', String(64 * MB)], limits })
  t.is(verdict(over), 'memory-limit', JSON.stringify(over))
  const within = await master.execve({ args: ['./behave', 'allocate', String(16 * MB)], limits })
  t.is(verdict(within), 'ok', JSON.stringify(within))
  t.true(within.memoryBytes >= 16 * MB && within.memoryBytes <= 32 * MB, JSON.stringify(within))
  t.is(verdict(await master.execve({ args: ['./behave', 'raise', '9'], limits })), 'SIGKILL')
  t.is(within.accounting, inCgroup(backend) ? 'cgroup' : 'rusage')
})

onEachBackend('memory of a child that the main process does not care for', async (t, backend) => {
  const master = await createLimited(t, backend)
  await install(master, 'behave')
  const limits = { memoryBytes: 32 * MB, wallTimeMs: 20_000 }
  const result = await master.execve({ args: ['./behave', 'offend', String(100 * MB)], limits })
  t.is(verdict(result), 'memory-limit', JSON.stringify(result))
  t.is(verdict(await master.execve({ args: ['./behave', 'exit', '3'], limits })), 3)
})

onEachBackend(
  'memory that is shared, and files on a tmpfs',
  async (t, backend) => {
    const master = await createLimited(t, backend)
    await install(master, 'behave')
    const limits = { memoryBytes: 32 * MB, wallTimeMs: 20_000 }
    for (const args of [
      ['share', String(64 * MB)],
      ['grow', 'file', String(60 * MB)],
    ]) {
      const result = await master.execve({ args: ['./behave', ...args], limits })
      t.is(verdict(result), 'memory-limit', `${args}: ${JSON.stringify(result)}`)
      await master.delete('file', { recursive: true })
    }
  },
  inCgroup,
)

onEachBackend('what one run left on a tmpfs is not counted against the next', async (t, backend) => {
  const master = await createLimited(t, backend)
  await install(master, 'behave')
  t.is(verdict(await master.execve({ args: ['./behave', 'grow', 'file', String(48 * MB)] })), 'ok')
  for (let i = 0; i < 3; i++) {
    const limits = { memoryBytes: 32 * MB }
    const result = await master.execve({ args: ['./behave', 'allocate', String(16 * MB)], limits })
    t.is(verdict(result), 'ok', JSON.stringify(result))
    t.true(result.memoryBytes <= 32 * MB, JSON.stringify(result))
  }
  const { size } = await (await master.open('file')).stat()
  t.is(size, 48 * MB)
})

onEachBackend('a small static program runs within 1 MB, a dynamic one within 4 MB', async (t, backend) => {
  const master = await createLimited(t, backend)
  await install(master, 'behave')
  // What is resident counts pages of the program's file as well, of which the kernel maps more than were touched if it has them
  // in memory already: up to the whole file, which has 0.9 MB.
  const tinyBytes = inCgroup(backend) ? 1_000_000 : 2_000_000
  for (let i = 0; i < 5; i++) {
    const tiny = await master.execve({ args: ['./behave', 'exit', '0'], limits: { memoryBytes: tinyBytes } })
    t.is(verdict(tiny), 'ok', JSON.stringify(tiny))
    const small = await master.execve({ args: ['/bin/true'], limits: { memoryBytes: 4_000_000 } })
    t.is(verdict(small), 'ok', JSON.stringify(small))
  }
})

onEachBackend('processes: no fewer than allowed, whatever policies the runs before had', async (t, backend) => {
  const master = await createLimited(t, backend)
  await install(master, 'behave')
  // Some policies, so that there are several filters; and the first one again at the end.
  const policies = [undefined, 'off', { defaultAction: 'SCMP_ACT_ALLOW' }, undefined] as const
  for (const seccomp of policies) {
    const result = await master.execve({ args: ['./behave', 'forks', '40'], limits: { processes: 8 }, seccomp })
    // One more where a thread that is accounted for has yet to enter a group that was just made.
    t.true([7, 8].includes(Number(verdict(result))), JSON.stringify(result))
    if (result.processesPeak !== undefined) t.true(result.processesPeak <= 9, JSON.stringify(result))
  }
})

onEachBackend('processes: as many as allowed, and not one more', async (t, backend) => {
  const master = await createLimited(t, backend)
  await install(master, 'behave')
  for (const processes of [1, 8, 30]) {
    const result = await master.execve({ args: ['./behave', 'forks', '40'], limits: { processes } })
    t.is(verdict(result), processes === 1 ? 'ok' : processes - 1, JSON.stringify(result))
    if (result.processesPeak !== undefined) t.is(result.processesPeak, processes)
  }
})

onEachBackend('a fork bomb ends in bounded time, and the container goes on', async (t, backend) => {
  const master = await createLimited(t, backend)
  await install(master, 'behave')
  for (let i = 0; i < 3; i++) {
    const limits = { processes: 64, wallTimeMs: 1000, cpuTimeMs: 10_000 }
    const result = await master.execve({ args: ['./behave', 'siege', '40'], limits })
    t.is(verdict(result), 'time-limit wall', JSON.stringify(result))
    t.is(verdict(await master.execve({ args: ['true'], limits })), 'ok')
  }
})

onEachBackend('overlapping runs have limits of their own, and are killed apart', async (t, backend) => {
  const master = await createLimited(t, backend)
  await install(master, 'behave')
  const spin = (cpuTimeMs: number): Promise<TraceResult> =>
    master.execve({ args: ['./behave', 'spin'], limits: { cpuTimeMs, memoryBytes: 16 * MB, processes: 4 } })
  const [short, long, hog, quiet] = await Promise.all([
    spin(50),
    spin(300),
    master.execve({ args: ['./behave', 'allocate', String(64 * MB)], limits: { memoryBytes: 20 * MB } }),
    master.execve({ args: ['sleep', '0.3'], limits: { memoryBytes: 16 * MB } }),
  ])
  t.deepEqual([short, long, hog, quiet].map(verdict), ['time-limit cpu', 'time-limit cpu', 'memory-limit', 'ok'])
  t.true(short.cpuTimeMs < 300 && long.cpuTimeMs > 300, JSON.stringify([short, long]))
})

onEachBackend('a run with every limit behaves as without', async (t, backend) => {
  const master = await createLimited(t, backend)
  const limits = {
    cpuTimeMs: 10_000,
    wallTimeMs: 20_000,
    memoryBytes: 64 * MB,
    stackBytes: 4 * MB,
    fileSizeBytes: MB,
    processes: 16,
    openFiles: 32,
    outputBytes: 1000,
    ...(inCgroup(backend) && canCap ? { cpuRate: 2 } : {}),
    ...(inCgroup(backend) && canPin ? { cpuSet: '0' } : {}),
  }
  for (let i = 0; i < 10; i++) {
    const result = await master.run('sh', ['-c', 'echo $(ulimit -n) $(ulimit -s); exit 7'], { limits })
    t.is(verdict(result), 7, JSON.stringify(result))
    t.is(result.stdout, '32 4096\n')
  }
  const { outputBytes: _, ...rest } = limits
  t.is(verdict(await master.execve({ args: ['false'], limits: rest })), 1)
  t.is(verdict(await master.spawn('true', [], { limits })), 'ok')
})

onEachBackend('files, stack and output have limits with statuses of their own', async (t, backend) => {
  const master = await createLimited(t, backend)
  await install(master, 'behave')
  const grow = (bytes: number): Promise<TraceResult> =>
    master.execve({ args: ['./behave', 'grow', 'file', String(bytes)], limits: { fileSizeBytes: 100_000 } })
  t.is(verdict(await grow(100_000)), 'ok')
  t.is(verdict(await grow(100_001)), 'output-limit file-size')
  const deep = 'f() { f; }; f'
  t.is(verdict(await master.execve({ args: ['bash', '-c', deep], limits: { stackBytes: 256 * 1024 } })), 'SIGSEGV')
  const many = 'for i in $(seq 3 40); do eval "exec $i</dev/null" || exit 9; done'
  t.is(verdict(await master.execve({ args: ['bash', '-c', many], limits: { openFiles: 16 } })), 9)
  const flood = await master.run('yes', [], { limits: { outputBytes: 1000, cpuTimeMs: 10_000, memoryBytes: 64 * MB } })
  t.is(verdict(flood), 'output-limit stdout')
})

onEachBackend('CPU rate and CPU set; without cgroups they are refused by name', async (t, backend) => {
  const master = await createLimited(t, backend)
  await install(master, 'behave')
  const slow = master.execve({ args: ['./behave', 'compute', '200'], limits: { cpuRate: 0.25 } })
  if (inCgroup(backend) && canCap) {
    const result = await slow
    t.is(verdict(result), 'ok')
    t.true(result.wallTimeMs > 2.5 * result.cpuTimeMs, JSON.stringify(result))
  } else {
    await t.throwsAsync(slow, { code: 'ERR_HOTCELL_UNSUPPORTED', message: /limits\.cpuRate/ })
  }
  const pinned = master.run('nproc', [], { limits: { cpuSet: '0' } })
  if (inCgroup(backend) && canPin) {
    t.is((await pinned).stdout, '1\n')
    await t.throwsAsync(master.run('nproc', [], { limits: { cpuSet: '4000' } }), {
      code: 'ERR_HOTCELL_UNSUPPORTED',
      message: /limits\.cpuSet.*4000/,
    })
  } else {
    await t.throwsAsync(pinned, { code: 'ERR_HOTCELL_UNSUPPORTED', message: /limits\.cpuSet/ })
  }
  t.is(verdict(await master.execve({ args: ['true'] })), 'ok')
})

/** The CPUs that this process may use, of which a run can have some. */
function allowedCpus(): number[] {
  const list = /^Cpus_allowed_list:\s+(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  })
}

const [one, other] = allowedCpus()

requiresSerial('cpuset', canPin && other !== undefined)('runs at the same time have CPUs of their own', async (t) => {
  const master = await createMaster(t, { cgroup: { name: `hotcell-test-${process.pid}` } })
  const script = 'sed -n "s/^Cpus_allowed_list:.//p" /proc/self/status; exec nproc'
  const pinned = async (cpuSet: string): Promise<string> =>
    (await master.run('sh', ['-c', script], { limits: { cpuSet } })).stdout
  const [first, second, both] = await Promise.all([pinned(`${one}`), pinned(`${other}`), pinned(`${one},${other}`)])
  t.is(first, `${one}\n1\n`)
  t.is(second, `${other}\n1\n`)
  t.regex(both, /\n2\n$/)
})

onEachBackend('limits of the container are the defaults of its runs, one by one', async (t, backend) => {
  const master = await createLimited(t, backend, { limits: { cpuTimeMs: 100, memoryBytes: 32 * MB } })
  await install(master, 'behave')
  const run = (args: [string, ...string[]], limits = {}): Promise<TraceResult> =>
    master.execve({ args: ['./behave', ...args], limits })
  t.is(verdict(await run(['spin'])), 'time-limit cpu')
  t.is(verdict(await run(['compute', '200'], { cpuTimeMs: 5000 })), 'ok')
  t.is(verdict(await run(['allocate', String(64 * MB)], { cpuTimeMs: 5000 })), 'memory-limit')
  t.is(verdict(await run(['allocate', String(48 * MB)], { cpuTimeMs: 5000, memoryBytes: 64 * MB })), 'ok')
})

onEachBackend('a limited run is aborted, synchronised, reset and lost like any other', async (t, backend) => {
  const master = await createLimited(t, backend)
  await install(master, 'behave')
  const limits = { cpuTimeMs: 60_000, memoryBytes: 32 * MB, processes: 8 }
  const controller = new AbortController()
  const aborted = master.spawn('./behave', ['hold'], { limits, signal: controller.signal })
  await aborted.started
  controller.abort()
  const error = await t.throwsAsync(aborted.result, { name: 'AbortError' })
  t.true((error as { result?: TraceResult }).result!.wallTimeMs > 0)

  let pid = 0
  const synchronised = await master.execve({
    args: ['true'],
    limits,
    syncFunc: (told) => {
      pid = told
    },
  })
  t.is(verdict(synchronised), 'ok')
  t.true(pid > 0)
  const refused = master.execve({
    args: ['true'],
    limits,
    syncFunc: () => {
      throw new Error('no')
    },
  })
  await t.throwsAsync(refused, { message: 'no' })
  await t.throwsAsync(master.execve({ args: ['absent'], limits }), { code: 'ENOENT' })

  await master.reset()
  await install(master, 'behave')
  t.is(verdict(await master.execve({ args: ['./behave', 'exit', '5'], limits })), 5)
  const lost = master.execve({ args: ['./behave', 'hold'], limits })
  process.kill(master.pid, 'SIGKILL')
  await t.throwsAsync(lost, { code: 'ERR_HOTCELL_CONTAINER_LOST' })
  await master.closed
})

onEachBackend('a hundred runs in a row, and forty at once', async (t, backend) => {
  const master = await createLimited(t, backend)
  await install(master, 'behave')
  const limits = { cpuTimeMs: 5000, wallTimeMs: 20_000, memoryBytes: 16 * MB, processes: 4 }
  for (let i = 0; i < 100; i++) {
    t.is(verdict(await master.execve({ args: ['./behave', 'exit', String(i)], limits })), i === 0 ? 'ok' : i)
  }
  // RLIMIT_NPROC counts what other runs have, too.
  const { processes: _, ...others } = limits
  const together = inCgroup(backend) ? limits : others
  const results = await Promise.all(
    Array.from({ length: 40 }, (_none, i) =>
      master.execve({ args: ['./behave', 'exit', String(i + 1)], limits: together }),
    ),
  )
  t.deepEqual(
    results.map(verdict),
    results.map((_result, i) => i + 1),
  )
})

onEachBackend('dynamic programs are measured and limited alike', async (t, backend) => {
  const master = await createLimited(t, backend)
  await compile('behave')
  const script = 'x = bytearray(200_000_000)'
  const limits = { memoryBytes: 100 * MB, wallTimeMs: 20_000 }
  const result = await master.run('python3', ['-c', script], { limits })
  // Where nothing counts the memory an allocation may fail first.
  if (inCgroup(backend)) t.is(verdict(result), 'memory-limit', JSON.stringify(result))
  else t.true(['memory-limit', 1].includes(verdict(result) as string), JSON.stringify(result))
  t.is(verdict(await master.run('python3', ['-c', 'print(1)'], { limits })), 'ok')
})
