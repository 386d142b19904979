// What a run used in the course of time, and the page that is made of it. Figures are compared with each other, and never with a clock.
import test, { type ExecutionContext } from 'ava'
import {
  pipeline,
  renderTimeline,
  type SyscallClass,
  type Timeline,
  type TimelineSample,
  type TraceResult,
  type Usage,
} from '../index.js'
import { rate, scale, timeScale } from '../src/timeline/page/scale.js'
import { count, percent, size, time } from '../src/timeline/page/units.js'
import { SyscallCounter, syscallClass } from '../src/timeline/syscalls.js'
import { TimelineRecorder } from '../src/timeline/timeline.js'
import { createLimited, onEachBackend } from './support/backend.js'
import { install } from './support/compile.js'
import { aborts } from './support/errors.js'
import { createMaster } from './support/mode.js'

const MB = 1024 * 1024

/** The timeline of a run, in itself and with the result. */
function timelineOf(t: ExecutionContext, result: Usage): Timeline {
  const { timeline, wallTimeMs, cpuTimeMs } = result
  if (timeline === undefined) throw new Error('there is no timeline')
  const { samples } = timeline
  const about = JSON.stringify(samples)
  t.true(samples.length >= 2 && samples.length <= 902, about)
  t.deepEqual(samples[0], { timeMs: 0, cpuTimeMs: 0, memoryBytes: 0, processes: 0 })
  t.deepEqual(samples.at(-1), { timeMs: wallTimeMs, cpuTimeMs, memoryBytes: 0, processes: 0 })
  for (const [index, sample] of samples.slice(1).entries()) {
    const before = samples[index] as TimelineSample
    t.true(sample.timeMs > before.timeMs && sample.cpuTimeMs >= before.cpuTimeMs, about)
    for (const figure of Object.values(sample)) t.true(Number.isFinite(figure) && figure >= 0, about)
  }
  t.like(timeline.marks.at(-1), { type: 'ended', timeMs: wallTimeMs })
  return timeline
}

const measured = ({ samples }: Timeline): TimelineSample[] => samples.slice(1, -1)
const most = (samples: readonly TimelineSample[], of: 'memoryBytes' | 'processes'): number =>
  Math.max(...samples.map((sample) => sample[of]))

onEachBackend('CPU time and memory are seen as they grow', async (t, backend) => {
  const master = await createLimited(t, backend)
  await install(master, 'behave')
  const script = './behave allocate 33554432; ./behave compute 200'
  const limits = { wallTimeMs: 60_000 }
  const result = await master.run('sh', ['-c', script], { timeline: true, limits })
  t.is(result.status, 'ok', result.stderr)
  t.is(result.accounting, backend.name === 'none' ? 'rusage' : result.accounting)
  const timeline = timelineOf(t, result)
  t.deepEqual(timeline.args, ['sh', '-c', script])
  t.deepEqual(timeline.limits, limits)
  const samples = measured(timeline)
  // Half of it, or more: that the rest was used since the last look is the machine's affair.
  t.true((samples.at(-1)?.cpuTimeMs as number) >= result.cpuTimeMs / 2, JSON.stringify(samples.at(-1)))
  t.true(samples.filter(({ cpuTimeMs }) => cpuTimeMs > 0 && cpuTimeMs < result.cpuTimeMs).length >= 5)
  // One that computes has no memory to speak of, and its shell waits.
  t.true(most(samples.slice(-3), 'memoryBytes') < 16 * MB, JSON.stringify(samples.slice(-3)))
})

onEachBackend('memory that is held is seen', async (t, backend) => {
  const master = await createLimited(t, backend)
  await install(master, 'behave')
  // It allocates again and again until its time is over: some look finds it.
  const script = 'while :; do ./behave allocate 33554432; done'
  const result = await master.run('sh', ['-c', script], { timeline: true, limits: { cpuTimeMs: 300 } })
  t.like(result, { status: 'time-limit', limit: 'cpu' })
  const samples = measured(timelineOf(t, result))
  t.true(most(samples, 'memoryBytes') > 8 * MB, String(most(samples, 'memoryBytes')))
  t.true(most(samples, 'memoryBytes') < 64 * MB, String(most(samples, 'memoryBytes')))
  // The looks go on up to the limit. (Where init adds up what it finds in /proc, the last one may be a moment before.)
  t.true((samples.at(-1)?.cpuTimeMs as number) > 280, JSON.stringify(samples.at(-1)))
})

onEachBackend('processes are counted, and nobody else’s', async (t, backend) => {
  const master = await createLimited(t, backend)
  const others = master.spawn('sh', ['-c', 'sleep 60 & sleep 60 & sleep 60 & wait'])
  await others.started
  // They are there when the last one says so.
  const script = 'sleep 60 & sleep 60 & i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; kill $!'
  const result = await master.run('sh', ['-c', script], { timeline: true })
  const samples = measured(timelineOf(t, result))
  t.is(most(samples, 'processes'), 3, JSON.stringify(samples.map(({ processes }) => processes)))
  others.kill('SIGKILL')
  await others
})

test('every way to run has one, if it asks', async (t) => {
  const master = await createMaster(t)
  const timeline = true
  const script = ['-c', 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'] as const
  timelineOf(t, await master.run('sh', script, { timeline }))
  timelineOf(t, await master.run('sh', script, { timeline, input: (async function* () {})() }))
  timelineOf(t, await master.spawn('sh', script, { timeline }))
  timelineOf(t, await master.execve({ args: ['sh', ...script], timeline }))
  timelineOf(t, await master.execve({ args: ['sh', ...script], timeline, syncFunc: () => undefined }))
  const { stages } = await pipeline([
    { args: ['sh', ...script], master, timeline },
    { args: ['true'], master },
  ])
  timelineOf(t, stages[0] as TraceResult)
  t.is(stages[1].timeline, undefined)
  const [first, second] = await master.runMany('sh', [...script], ['a', { input: 'b', timeline: false }], { timeline })
  timelineOf(t, first as unknown as Usage)
  t.is((second as unknown as Usage).timeline, undefined)
  for (const without of [undefined, false] as const) {
    t.is((await master.run('true', [], { timeline: without })).timeline, undefined)
  }
  t.is((await master.spawn('true')).timeline, undefined)
  t.is((await master.execve({ args: ['true'] })).timeline, undefined)
})

test('an aborted run has one, one that could not be started none, and the container goes on', async (t) => {
  const master = await createMaster(t)
  const controller = new AbortController()
  const execution = master.spawn('sleep', ['60'], { timeline: true, signal: controller.signal })
  await execution.started
  controller.abort('enough')
  const error = await aborts(t, execution, 'enough')
  timelineOf(t, error.result as Usage)
  t.true(renderTimeline(error.result as Usage).includes('Ended by SIGKILL'))
  await t.throwsAsync(master.run('absent', [], { timeline: true }), { code: 'ENOENT' })
  t.is((await master.run('true')).status, 'ok')
  await master.reset()
  timelineOf(t, await master.run('true', [], { timeline: true }))
})

test('arguments are those of the run, whatever they are', async (t) => {
  const master = await createMaster(t)
  const args = ['', 'a b', 'ä', "'", '\n', Buffer.from([0x66, 0xff])]
  const result = await master.execve({ args: ['true', ...args], timeline: true })
  t.deepEqual(result.timeline?.args, ['true', '', 'a b', 'ä', "'", '\n', 'f\ufffd'])
})

test('an interval is the least time between two samples, and is checked', async (t) => {
  const master = await createMaster(t)
  const result = await master.run('sleep', ['0.3'], { timeline: { intervalMs: 100 } })
  const samples = measured(timelineOf(t, result))
  t.true(samples.length >= 1 && samples.length <= result.wallTimeMs / 100, JSON.stringify(samples))
  for (const [index, { timeMs }] of samples.entries()) {
    t.true(timeMs - (samples[index - 1]?.timeMs ?? 0) >= 100, JSON.stringify(samples))
  }
  t.is((await master.run('true', [], { timeline: {} })).status, 'ok')
  const wrong = async (timeline: unknown, message: RegExp): Promise<void> => {
    const options = { timeline } as never
    await t.throwsAsync(master.run('true', [], options), { message })
    await t.throwsAsync(master.execve({ args: ['true'], timeline } as never), { message })
    t.throws(() => master.spawn('true', [], options), { message })
  }
  await wrong({ interval: 1 }, /There is no option "timeline\.interval"\. Did you mean "intervalMs"\?/)
  await wrong('yes', /The "timeline" option must be an object/)
  await wrong(null, /The "timeline" option must be an object/)
  for (const intervalMs of [0, -1, 0.5, Number.NaN, 60_001]) await wrong({ intervalMs }, /"timeline\.intervalMs"/)
  await wrong({ intervalMs: '1' }, /"timeline\.intervalMs" option must be an integer/)
})

test('a run of overlapping ones is seen alone', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const [busy, idle] = await Promise.all([
    master.run('./behave', ['compute', '200'], { timeline: true }),
    master.run('sleep', ['0.3'], { timeline: true }),
  ])
  t.true((measured(timelineOf(t, busy)).at(-1)?.cpuTimeMs as number) > 50)
  for (const sample of measured(timelineOf(t, idle))) {
    t.true(sample.cpuTimeMs < 50 && sample.processes <= 1, JSON.stringify(sample))
  }
})

test('system calls of a traced run are counted by what they are about', async (t) => {
  const master = await createMaster(t)
  const script = 'for i in 1 2 3 4 5 6 7 8 9 10; do : > /w/file; done; sleep 0.01'
  const result = await master.run('sh', ['-c', script], { timeline: true, trace: { syscalls: true } })
  t.is(result.status, 'ok', result.stderr)
  const { syscalls } = timelineOf(t, result)
  const sums = new Map<SyscallClass, number>()
  for (const [name, { count: calls }] of Object.entries(result.trace?.calls ?? {})) {
    const kind = syscallClass(name)
    sums.set(kind, (sums.get(kind) ?? 0) + calls)
  }
  t.true((sums.get('file') as number) >= 10 && (sums.get('process') as number) >= 1, JSON.stringify([...sums]))
  for (const [kind, counts] of Object.entries(syscalls?.counts ?? {})) {
    const sum = counts.reduce((all, number) => all + number, 0)
    t.is(sum, sums.get(kind as SyscallClass) ?? 0, kind)
  }
  const files = await master.run('true', [], { timeline: true, trace: { files: { read: ['/**'] } } })
  t.is(files.timeline?.syscalls, undefined)
})

// ── parts ──────────────────────────────────────────────────────────────────

test('system calls are what their names say', (t) => {
  const kinds: Record<SyscallClass, string[]> = {
    file: [
      'open',
      'openat',
      'read',
      'pwrite64',
      'close',
      'newfstatat',
      'statx',
      'unlinkat',
      'dup2',
      'pipe2',
      'poll',
      'epoll_wait',
      'fsync',
      'getdents64',
      'chdir',
    ],
    memory: ['mmap', 'munmap', 'brk', 'mprotect', 'madvise', 'memfd_create', 'mremap', 'shmat'],
    process: [
      'execve',
      'fork',
      'vfork',
      'clone',
      'clone3',
      'wait4',
      'exit_group',
      'futex',
      'getpid',
      'getppid',
      'getuid',
      'setresuid',
      'prctl',
      'rseq',
      'sched_yield',
      'prlimit64',
    ],
    network: ['socket', 'connect', 'accept4', 'sendto', 'recvmsg', 'bind', 'listen', 'setsockopt'],
    signal: ['rt_sigaction', 'rt_sigprocmask', 'kill', 'tgkill', 'pause', 'sigaltstack'],
    time: ['clock_gettime', 'clock_nanosleep', 'nanosleep', 'gettimeofday', 'timer_create', 'timerfd_settime'],
    other: ['bpf', 'keyctl', 'reboot', 'getrandom', 'made_up'],
  }
  for (const [kind, names] of Object.entries(kinds)) {
    for (const name of names) t.is(syscallClass(name), kind as SyscallClass, name)
  }
})

test('calls of a long run are counted in as many slices as those of a short one', (t) => {
  const counter = new SyscallCounter()
  t.is(counter.result(), undefined)
  for (let ms = 0; ms < 100_000; ms += 10) counter.count('read', ms)
  counter.count('mmap', 5)
  for (const refused of [-1, Number.NaN, Infinity]) counter.count('read', refused)
  const result = counter.result()
  t.is(result?.intervalMs, 512)
  t.is(result?.counts.file.length, Math.ceil(100_000 / 512))
  t.is(
    result?.counts.file.reduce((sum, number) => sum + number, 0),
    10_000,
  )
  t.deepEqual(result?.counts.memory.slice(0, 2), [1, 0])
  t.is(result?.counts.memory.length, result?.counts.file.length)
})

test('what init says is put into the bounds of the result', (t) => {
  const recorder = new TimelineRecorder('a\0b\0', { cpuTimeMs: 5 })
  // More CPU time than there was in the end, and a look after it.
  recorder.take(new Float64Array([1000, 500, 10, 1, 2000, 9000, 20, 2, 12_000, 9000, 30, 3, 13_000, 1]))
  const usage = { wallTimeMs: 10, cpuTimeMs: 8, setupTimeMs: 0.5, memoryBytes: 20 } as Usage
  t.deepEqual(recorder.finish(usage), {
    args: ['a', 'b'],
    limits: { cpuTimeMs: 5 },
    samples: [
      { timeMs: 0, cpuTimeMs: 0, memoryBytes: 0, processes: 0 },
      { timeMs: 1, cpuTimeMs: 0.5, memoryBytes: 10, processes: 1 },
      { timeMs: 2, cpuTimeMs: 8, memoryBytes: 20, processes: 2 },
      { timeMs: 10, cpuTimeMs: 8, memoryBytes: 0, processes: 0 },
    ],
    marks: [
      { timeMs: 0.5, type: 'executed' },
      { timeMs: 10, type: 'ended' },
    ],
  })
})

test('figures are for people', (t) => {
  t.deepEqual([0, 0.0005, 0.2504, 1, 12.345, 999.4, 1000, 61_500, 180_000].map(time), [
    '0 ms',
    '0.50 µs',
    '250 µs',
    '1 ms',
    '12.3 ms',
    '999 ms',
    '1 s',
    '61.5 s',
    '3 min',
  ])
  t.deepEqual([0, 0.5, 1023, 1024, 1536, 96 * MB, 2 ** 62].map(size), [
    '0 B',
    '0.50 B',
    '1,023 B',
    '1 KiB',
    '1.50 KiB',
    '96 MiB',
    '4,194,304 TiB',
  ])
  t.deepEqual([0, 0.004, 0.5, 3].map(percent), ['0 %', '0.4 %', '50 %', '300 %'])
  t.is(count(1234567), '1,234,567')
})

test('axes have round figures and end where they should', (t) => {
  t.deepEqual(scale(96 * MB, 'binary'), { max: 96 * MB, ticks: [0, 32, 64, 96].map((mb) => mb * MB) })
  t.deepEqual(scale(3, 'whole', 2), { max: 4, ticks: [0, 2, 4] })
  t.deepEqual(scale(0, 'binary'), { max: 1, ticks: [0, 1] })
  t.deepEqual(timeScale(950).ticks, [0, 200, 400, 600, 800])
  t.is(timeScale(950).max, 950)
  for (const kind of ['decimal', 'binary', 'whole'] as const) {
    for (const value of [0, 1e-9, 0.001, 0.3, 1, 7, 1023, 1024, 1e6, 3e9, 2 ** 53, 2 ** 64]) {
      const { max, ticks } = scale(value, kind)
      t.true(max >= value * (1 - 1e-9) && max > 0 && Number.isFinite(max), `${kind} ${value}`)
      t.true(ticks.length >= 2 && ticks.length <= 12, `${kind} ${value}: ${ticks.join()}`)
    }
  }
})

test('a rate is what a sum grows by', (t) => {
  const even = rate([0, 1000], [0, 500])
  t.is(even.values.length, 100)
  for (const value of even.values) t.true(Math.abs(value - 0.5) < 1e-9)
  const late = rate([0, 500, 1000], [0, 0, 500])
  t.true(late.values.slice(0, 50).every((value) => value < 1e-9))
  t.true(late.values.slice(50).every((value) => Math.abs(value - 1) < 1e-9))
  const sum = (values: readonly number[], each: number): number => values.reduce((all, value) => all + value * each, 0)
  for (const [times, sums] of [
    [
      [0, 3, 3.5, 77, 1234],
      [0, 1, 1, 60, 99],
    ],
    [
      [0, 0.2],
      [0, 0.1],
    ],
  ] as const) {
    const { values, sliceMs } = rate(times, sums)
    t.true(Math.abs(sum(values, sliceMs) - (sums.at(-1) as number)) < 1e-6, JSON.stringify(values))
  }
  t.deepEqual(rate([0, 0], [0, 0]).values, [0])
})

// ── the page, as text ──────────────────────────────────────────────────────

const usage: Usage = {
  userTimeMs: 5,
  systemTimeMs: 3,
  cpuTimeMs: 8,
  wallTimeMs: 10,
  memoryBytes: 2 * MB,
  setupTimeMs: 0.5,
  accounting: 'cgroup',
}
const timeline: Timeline = {
  args: ['program'],
  limits: {},
  samples: [
    { timeMs: 0, cpuTimeMs: 0, memoryBytes: 0, processes: 0 },
    { timeMs: 5, cpuTimeMs: 4, memoryBytes: 2 * MB, processes: 1 },
    { timeMs: 10, cpuTimeMs: 8, memoryBytes: 0, processes: 0 },
  ],
  marks: [],
}

test('a page has a headline for every verdict', (t) => {
  const headline = (told: object): string | undefined =>
    /<title>(.*?) · program<\/title>/.exec(renderTimeline({ ...usage, timeline, ...told }))?.[1]
  t.is(headline({ status: 'ok', exitCode: 0 }), 'Finished')
  t.is(headline({ status: 'nonzero-exit', exitCode: 7 }), 'Finished with exit code 7')
  t.is(headline({ status: 'signaled', signal: 'SIGSEGV' }), 'Ended by SIGSEGV')
  t.is(headline({ status: 'time-limit', limit: 'cpu' }), 'Over the CPU time limit')
  t.is(headline({ status: 'time-limit', limit: 'wall' }), 'Over the wall time limit')
  t.is(headline({ status: 'memory-limit' }), 'Over the memory limit')
  t.is(headline({ status: 'output-limit', limit: 'stderr' }), 'Over the output limit: stderr')
  t.is(headline({ status: 'disallowed-syscall', syscall: 'ptrace' }), 'System call not allowed: ptrace')
  t.is(headline({ status: 'disallowed-file', path: '/x', operation: 'write' }), 'File not allowed: write /x')
  t.is(headline({ status: 'killed' }), 'Ended with its pipeline')
  t.is(headline({}), 'Aborted')
})

test('a page can be made of what JSON has kept, and is the same each time', async (t) => {
  const master = await createMaster(t)
  const result = await master.run('sh', ['-c', 'sleep 0.05'], { timeline: true, trace: { syscalls: true } })
  const page = renderTimeline(result)
  t.is(renderTimeline(JSON.parse(JSON.stringify(result)) as typeof result), page)
  t.true(page.startsWith('<!doctype html>'))
  t.deepEqual(page.match(/(?:src|href)=|url\(|@import|https?:/g), null)
})

test('a page is refused without a timeline, and options are checked', (t) => {
  for (const result of [usage, {}, null, undefined]) {
    t.throws(() => renderTimeline(result as Usage), { instanceOf: TypeError, message: /timeline: true/ })
  }
  const result = { ...usage, timeline }
  t.throws(() => renderTimeline(result, { titel: 'x' } as never), { message: /no option "titel"/ })
  t.throws(() => renderTimeline(result, { title: 7 } as never), { instanceOf: TypeError, message: /"title"/ })
  t.true(renderTimeline(result, { title: 'Test 3' }).includes('<title>Aborted · Test 3</title>'))
})

test('what could deceive is shown as what it is', (t) => {
  const args = ['a\u202eb', '\u0000\u001b[2J', 'x\ny']
  const page = renderTimeline({ ...usage, timeline: { ...timeline, args } }, { title: 'a\u2066b\r\n' })
  t.true(page.includes('a\\u202eb') && page.includes('\\u001b[2J') && page.includes('a\\u2066b\\u000d\\u000a'))
  // oxlint-disable-next-line no-control-regex -- none of them may be there
  t.false(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069]/.test(page))
})

test('no figure makes a page that is broken', (t) => {
  for (const extreme of [0, 1e-9, 2 ** 64, Number.MAX_SAFE_INTEGER]) {
    const samples = [
      timeline.samples[0],
      ...[1, 2].map((part) => ({
        timeMs: extreme * part,
        cpuTimeMs: extreme * part,
        memoryBytes: extreme,
        processes: extreme,
      })),
    ]
    const told = { ...usage, wallTimeMs: extreme, cpuTimeMs: extreme, memoryBytes: extreme, setupTimeMs: extreme }
    const limits = { cpuTimeMs: 1, wallTimeMs: 1, memoryBytes: extreme, processes: 1, cpuRate: 0.5 }
    const page = renderTimeline({ ...told, timeline: { ...timeline, samples: samples as TimelineSample[], limits } })
    t.deepEqual(page.match(/.{0,40}(?:NaN|Infinity|undefined|\[object).{0,40}/g), null, String(extreme))
  }
})
