// Programs against init, against each other, and against the next one in the same container.
import { once, setMaxListeners } from 'node:events'
import { getSystemErrorName } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { SeccompPolicy, type Execution, type Master, type TraceResult } from '../index.js'
import { install } from './support/compile.js'
import { descendantsOf, processStatus, zombies } from './support/counters.js'
import { createUnfiltered, mode } from './support/mode.js'
import { requiresSerial } from './support/requires.js'
import { until, within } from './support/waiting.js'

const severalIds = mode !== 'rootless'
/** What it writes first: then it is as far as the test wants it. */
async function firstLine(run: Execution): Promise<string> {
  const [chunk] = (await within(once(run.stdout, 'data'), 'the first line')) as [Buffer]
  return String(chunk)
}

/** Starts one that is there when this is done. (In an object: to await an execution itself is to await its end.) */
async function entangle(t: ExecutionContext, master: Master, ...args: string[]): Promise<{ run: Execution }> {
  await install(master, 'entangle', '/tmp/entangle')
  const run = master.spawn('/tmp/entangle', args)
  // What becomes of it in the end is not every test's affair.
  run.result.catch(() => undefined)
  t.not(await within(firstLine(run), `${args[0]} is up`), '')
  return { run }
}

async function stillWorks(t: ExecutionContext, master: Master): Promise<void> {
  await within(master.ping(), 'a ping', 2_000)
  t.is((await within(master.run('echo', ['next']), 'the next run', 5_000)).stdout, 'next\n')
}

/** Aborts a run once it has said something and is ready; how long it took until every process of it was dead. */
async function abortTime(start: (signal: AbortSignal) => Execution, ready: () => boolean): Promise<number> {
  const controller = new AbortController()
  const run = start(controller.signal)
  const running = run.result.then(
    () => 'ended',
    (error: Error) => error.name,
  )
  await firstLine(run)
  await until(ready, 'the run is ready')
  const began = performance.now()
  controller.abort()
  const name = await within(running, 'the aborted run')
  if (name !== 'AbortError') throw new Error(`the run ended with ${name}`)
  return performance.now() - began
}

/** What `intrude` could do, by name. */
function successes(stdout: string): string[] {
  const lines = stdout.trimEnd().split('\n')
  return [...new Set(lines.filter((line) => line.endsWith(' 0')).map((line) => line.slice(0, -2)))]
}

test.serial('a program can neither look into init nor change it', async (t) => {
  const master = await createUnfiltered(t)
  const look = (): unknown =>
    ['Uid', 'Gid', 'Cpus_allowed_list', 'Threads'].map((name) => processStatus(master.pid)?.get(name))
  await master.ping()
  const before = look()
  await install(master, 'intrude')
  const { status, stdout } = await master.run('./intrude', ['1'])
  t.is(status, 'ok')
  for (const line of stdout.trimEnd().split('\n')) {
    const errno = Number(line.split(' ')[1])
    if (errno !== 0)
      t.regex(getSystemErrorName(-errno), /^(EPERM|EACCES|ENOENT|EROFS|ESRCH|ENOSYS|EINVAL|ENODEV)$/, line)
  }
  // With a single id the limits of init can be changed by whoever has that id; only a filter would prevent it.
  const allowed = severalIds ? [] : ['prlimit-nofile', 'prlimit-cpu', 'prlimit-as']
  t.deepEqual(
    successes(stdout).filter((name) => !allowed.includes(name)),
    [],
  )
  t.deepEqual(look(), before)
  await stillWorks(t, master)
})

requiresSerial('several ids', severalIds)('limits of init are out of reach', async (t) => {
  const master = await createUnfiltered(t)
  const result = await master.run('sh', ['-c', 'prlimit --pid 1 --nofile=4:4; prlimit --pid 1 --cpu=1:1; true'])
  t.is(result.status, 'ok')
  await stillWorks(t, master)
})

test.serial('no signal reaches init, and kill(-1) reaches nobody but the program', async (t) => {
  const master = await createUnfiltered(t)
  await master.run('sh', ['-c', 'i=1; while [ $i -le 64 ]; do kill -$i 1; i=$((i+1)); done 2>/dev/null; true'])
  await stillWorks(t, master)
  const all = await master.run('sh', ['-c', 'sleep 100 & sleep 100 & kill -9 -1; echo alive'])
  t.is(all.status, 'ok')
  t.is(all.stdout, 'alive\n')
  t.is(descendantsOf(master.pid).length, 0)
  await stillWorks(t, master)
})

test.serial('a program that kills itself has no limit to blame', async (t) => {
  const master = await createUnfiltered(t)
  await install(master, 'behave')
  const limits = [{ resource: 'cpu' as const, soft: 5, hard: 6 }]
  for (const [number, signal] of [
    [9, 'SIGKILL'],
    [24, 'SIGXCPU'],
    [25, 'SIGXFSZ'],
    [6, 'SIGABRT'],
    [15, 'SIGTERM'],
    [11, 'SIGSEGV'],
  ] as const) {
    const result: TraceResult = await master.execve({ args: ['./behave', 'raise', String(number)], rlimits: limits })
    t.like(result, { status: 'signaled', signal })
  }
})

test.serial('daemons, stopped ones and such without a leader end with the run', async (t) => {
  const master = await createUnfiltered(t)
  await install(master, 'behave')
  await install(master, 'litter')
  await master.run('sh', [
    '-c',
    'for i in 1 2 3 4 5 6 7 8; do setsid sh -c "kill -STOP \\$\\$; sleep 100" & done; setsid sleep 100 & (sleep 100 &)',
  ])
  t.deepEqual(descendantsOf(master.pid), [])
  t.is((await master.run('./behave', ['bomb', '20'])).status, 'ok')
  t.deepEqual(descendantsOf(master.pid), [])
  t.is((await master.run('./litter', ['make'])).status, 'ok')
  t.deepEqual(descendantsOf(master.pid), [])
  await stillWorks(t, master)
})

test.serial('a run ends when its main process is seen by nobody but its tracer', async (t) => {
  const master = await createUnfiltered(t)
  await install(master, 'entangle')
  const time = await abortTime(
    (signal) => master.spawn('./entangle', ['traced'], { signal }),
    () => zombies(master.pid).length > 0,
  )
  t.true(time < 1_000, `${time} ms`)
  t.deepEqual(descendantsOf(master.pid), [])
  await stillWorks(t, master)
})

test.serial('a run whose main thread has ended goes on, and can be aborted', async (t) => {
  const master = await createUnfiltered(t)
  await install(master, 'entangle')
  const time = await abortTime(
    (signal) => master.spawn('./entangle', ['thread'], { signal }),
    () => zombies(master.pid).length > 0,
  )
  t.true(time < 1_000, `${time} ms`)
  await stillWorks(t, master)
})

test.serial('a fork bomb under RLIMIT_NPROC is aborted in no time, and the container goes on', async (t) => {
  const master = await createUnfiltered(t)
  await install(master, 'exhaust')
  for (const nproc of [50, 200]) {
    const rlimits = [{ resource: 'nproc' as const, soft: nproc, hard: nproc }]
    const time = await abortTime(
      (signal) => master.spawn('./exhaust', ['forkbomb'], { signal, rlimits }),
      () => descendantsOf(master.pid).length >= nproc - 10,
    )
    t.true(time < 5_000, `${nproc}: ${time} ms`)
    t.deepEqual(descendantsOf(master.pid), [])
    await stillWorks(t, master)
  }
})

// ── runs that overlap in one container ─────────────────────────────────────

test.serial('what a run leaves behind dies with it while another one goes on', async (t) => {
  const master = await createUnfiltered(t)
  const { run: other } = await entangle(t, master, 'thread')
  // The hogs make it likely that init comes late to look at a program that is gone already.
  const hogs = master.spawn('sh', ['-c', 'for i in 1 2 3 4; do while :; do :; done & done; echo up; wait'])
  await firstLine(hogs)
  for (let i = 0; i < 100; i++) {
    t.is((await master.execve({ args: ['/tmp/entangle', 'daemon'] })).status, 'ok')
  }
  t.is((await master.run('/tmp/entangle', ['survivors'])).stdout, '0')
  t.is((await master.run('sh', ['-c', 'setsid sleep 1234 & (setsid sleep 1234 &) ; :'])).status, 'ok')
  t.notRegex(
    (await master.run('sh', ['-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" " "'])).stdout,
    /sleep 1234 sleep 1234/,
  )
  t.true(other.kill(0) && hogs.kill('SIGKILL'))
  await hogs
  other.kill('SIGKILL')
  await other.result
})

test.serial(
  'a long chain of processes that trace each other dies with its run while another one goes on',
  async (t) => {
    const master = await createUnfiltered(t)
    const { run: other } = await entangle(t, master, 'thread')
    for (const levels of ['1', '6', '40']) {
      const result = await within(
        master.execve({ args: ['/tmp/entangle', 'chain', levels] }),
        `a chain of ${levels}`,
        4_000,
      )
      t.is(result.status, 'ok')
      await within(master.ping(), 'a ping', 2_000)
      t.is(descendantsOf(master.pid).length, 1, 'nobody but the other run')
    }
    t.true(other.kill('SIGKILL'))
    t.like(await other, { status: 'signaled' })
  },
)

test.serial('a fork bomb that ends while another run goes on is gone', async (t) => {
  const master = await createUnfiltered(t)
  await install(master, 'behave')
  const { run: other } = await entangle(t, master, 'thread')
  t.is((await within(master.execve({ args: ['./behave', 'bomb', '8'] }), 'the bomb', 10_000)).status, 'ok')
  t.is(descendantsOf(master.pid).length, 1)
  await within(master.ping(), 'a ping', 2_000)
  t.true(other.kill('SIGKILL'))
  await other
})

test.serial('an aborted run takes its own processes along and nobody else’s', async (t) => {
  const master = await createUnfiltered(t)
  const { run: other } = await entangle(t, master, 'thread')
  const time = await abortTime(
    (signal) => master.spawn('/tmp/entangle', ['traced'], { signal }),
    () => zombies(master.pid).length > 1,
  )
  t.true(time < 1_500, `${time} ms`)
  t.is(descendantsOf(master.pid).length, 1)
  t.true(other.kill('SIGKILL'))
  t.like(await other, { status: 'signaled' })
})

test.serial('a program that stops all others does not stop init', async (t) => {
  const master = await createUnfiltered(t)
  const { run: stopper } = await entangle(t, master, 'stop')
  const controller = new AbortController()
  setMaxListeners(20, controller.signal)
  const victims = Array.from({ length: 20 }, () =>
    master.execve({ args: ['true'] }, { signal: controller.signal }).catch((error: Error) => error.name),
  )
  await within(master.ping(), 'a ping', 5_000)
  controller.abort()
  for (const end of await within(Promise.all(victims), 'the stopped runs', 5_000))
    t.true(end === 'AbortError' || typeof end === 'object')
  t.true(stopper.kill('SIGKILL'))
  await stopper
  await stillWorks(t, master)
})

test.serial('a program that holds a lease on another one’s executable does not stop init', async (t) => {
  const master = await createUnfiltered(t)
  await install(master, 'report', '/w/program')
  const { run: holder } = await entangle(t, master, 'lease', '/w/program')
  const controller = new AbortController()
  const victim = master
    .execve({ args: ['./program', 'cwd'] }, { signal: controller.signal })
    .catch((error: Error) => error.name)
  await within(master.ping(), 'a ping', 5_000)
  controller.abort()
  await within(victim, 'the waiting run', 5_000)
  t.true(holder.kill('SIGKILL'))
  await holder
  t.is((await master.run('./program', ['cwd'])).stdout, '/w')
})

test.serial('orphans without end do not keep init from answering', async (t) => {
  const master = await createUnfiltered(t)
  const { run: maker } = await entangle(t, master, 'orphans', '4')
  let slowest = 0
  for (let i = 0; i < 50; i++) {
    const began = performance.now()
    await within(master.ping(), 'a ping', 5_000)
    slowest = Math.max(slowest, performance.now() - began)
  }
  t.true(slowest < 1_000, `${slowest} ms`)
  t.true(maker.kill('SIGKILL'))
  t.like(await within(maker.result, 'its end', 5_000), { status: 'signaled' })
  t.deepEqual(descendantsOf(master.pid), [])
})

test.serial('programs of two containers do not see each other', async (t) => {
  const [one, two] = [await createUnfiltered(t), await createUnfiltered(t)]
  await install(one, 'behave')
  const held = one.spawn('./behave', ['hold'])
  await held.started
  const { stdout } = await two.run('sh', ['-c', 'echo /proc/[0-9]*'])
  t.is(stdout.trim().split(' ').length, 1)
  held.kill('SIGKILL')
  await held
})

requiresSerial('several ids', severalIds)('limits of a user are each container’s own', async (t) => {
  const [one, two] = [await createUnfiltered(t), await createUnfiltered(t)]
  for (const master of [one, two]) await install(master, 'exhaust')
  // What a user namespace uses is charged to who made it, too: to the user that makes all of them, where that is no root.
  const kinds = ['keys', 'signals', 'pipes', 'flight', ...(mode === 'rootless-ranges' ? [] : ['inotify'])]
  for (const what of kinds) {
    const hog = one.spawn('./exhaust', [what, 'hold'])
    const taken = Number((await firstLine(hog)).split(' ')[0])
    const [count, errno] = (await two.run('./exhaust', [what])).stdout.split(' ').map(Number)
    t.true((count as number) > 0, `${what}: ${count}, errno ${errno}, beside ${taken}`)
    hog.kill('SIGKILL')
    await hog
  }
})

test('a program that makes init its tracer is ended when it stops, and nobody else is', async (t) => {
  // By pid 1 itself, and by a thread of its: a run with a policy of its own.
  for (const seccomp of ['off', SeccompPolicy.allowAll().kill('reboot')] as const) {
    const master = await createUnfiltered(t, { seccomp })
    await install(master, 'behave')
    for (const signal of ['10', '19', '5']) {
      const beside = master.spawn('sleep', ['0.05'])
      const result = await within(master.run('./behave', ['traceme', signal]), 'the end of a program that is traced')
      t.is(result.status, 'signaled', JSON.stringify(result))
      t.is((await beside).status, 'ok')
    }
    t.is((await master.run('./behave', ['exit', '3'])).status, 'nonzero-exit')
  }
})
