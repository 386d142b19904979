// runMany: one program over many inputs, of a pool and of one container.
import { closeSync, openSync } from 'node:fs'
import { PassThrough, Readable } from 'node:stream'
import test, { type ExecutionContext } from 'ava'
import {
  Pool,
  seal,
  type HotcellError,
  type BatchInput,
  type BatchOutcome,
  type Master,
  type PoolOptions,
} from '../index.js'
import { compile } from './support/compile.js'
import { livingDescendantsOf, openFds } from './support/counters.js'
import { aborts, rejects } from './support/errors.js'
import { createMaster, masterOptions } from './support/mode.js'
import { inContainer, requires } from './support/requires.js'
import { deferred, until, within } from './support/waiting.js'

async function createPool(t: ExecutionContext, options: PoolOptions = {}): Promise<Pool> {
  const pool = await Pool.create({ size: 2, ...options, container: masterOptions(options.container) })
  t.teardown(() => pool.destroy())
  return pool
}

const statuses = (outcomes: readonly BatchOutcome[]): string[] => outcomes.map(({ status }) => status)

/** Inputs of `cat` that end when they are told to: the run goes on until then. */
function held(count: number): { inputs: { input: PassThrough }[]; end: (index: number) => void } {
  const inputs = Array.from({ length: count }, () => ({ input: new PassThrough() }))
  return { inputs, end: (index) => inputs[index]?.input.end(String(index)) }
}

/** Exits with the code that it reads; with none it reads for ever. */
const EXIT = ['-c', 'read code && exit $code'] as const

/** The pids of the cells that a batch has used. */
function recorded(): { pids: number[]; prepare: (master: Master) => void } {
  const pids: number[] = []
  return { pids, prepare: (master) => void pids.push(master.pid) }
}

const gcc = requires('gcc', inContainer('gcc'))
gcc('compiled once, run a hundred times, with a verdict each', async (t) => {
  const pool = await createPool(t)
  const source = `
    #include <stdio.h>
    #include <stdlib.h>
    int main(void) {
      long n;
      if (scanf("%ld", &n) != 1) return 2;
      if (n % 10 == 3) abort();
      if (n % 10 == 7) return 5;
      while (n == 44) ;
      printf("%ld\\n", n * n);
      return 0;
    }`
  using build = await pool.build('gcc', ['-O1', '-o', 'squares', 'squares.c'], {
    files: { 'squares.c': Buffer.from(source) },
    outputs: ['squares'],
  })
  if (build.status !== 'ok') return t.fail(build.stderr)
  const inputs = Array.from({ length: 100 }, (_, n) => (n === 55 ? 'no number' : String(n)))
  const outcomes = await pool.runMany('squares', [], inputs, {
    execFile: build.outputs.squares,
    limits: { cpuTimeMs: 200, wallTimeMs: 20_000 },
  })
  t.is(outcomes.length, 100)
  for (const [n, outcome] of outcomes.entries()) {
    t.is(outcome.index, n)
    if (n === 44) t.like(outcome, { status: 'time-limit', limit: 'cpu' })
    else if (n === 55) t.like(outcome, { status: 'nonzero-exit', exitCode: 2 })
    else if (n % 10 === 3) t.like(outcome, { status: 'signaled', signal: 'SIGABRT' })
    else if (n % 10 === 7) t.like(outcome, { status: 'nonzero-exit', exitCode: 5 })
    else t.like(outcome, { status: 'ok', stdout: `${n * n}\n` })
  }
  t.is(pool.stats.runs, 101)
})

const python = requires('python3', inContainer('python3'))
python('a script, its modules as sealed files, and each container prepared once', async (t) => {
  const pool = await createPool(t)
  using module = await seal(Buffer.from('def answer(n): return n * 7\n'))
  const files = { 'main.py': Buffer.from('import tools\nprint(tools.answer(int(input())))'), 'tools.py': module }
  const { pids, prepare } = recorded()
  for (const reset of [true, false]) {
    pids.length = 0
    const outcomes = await pool.runMany('python3', ['main.py'], ['1', '2', '3', '4', 'x'], { files, reset, prepare })
    t.deepEqual(
      outcomes.map((outcome) => (outcome.status === 'ok' ? outcome.stdout : outcome.status)),
      ['7\n', '14\n', '21\n', '28\n', 'nonzero-exit'],
    )
    t.is(pids.length, reset ? 5 : 2)
  }
})

test('each input finds a container in which nothing is left of others, unless it need not', async (t) => {
  const pool = await createPool(t, { size: 1 })
  const args = ['-c', 'cat >> log; cat log'] as const
  const outputs = async (reset: boolean): Promise<unknown[]> =>
    (await pool.runMany('sh', args, ['a', 'b', 'c'], { reset })).map((outcome) => 'stdout' in outcome && outcome.stdout)
  t.deepEqual(await outputs(true), ['a', 'b', 'c'])
  t.deepEqual(await outputs(false), ['a', 'ab', 'abc'])
  t.deepEqual(await outputs(true), ['a', 'b', 'c'])
})

test('what an input may differ in', async (t) => {
  const pool = await createPool(t)
  const inputs: BatchInput[] = [
    'text',
    Buffer.from('bytes'),
    {},
    { input: Readable.from(['a ', 'stream']) },
    { args: ['-c', 'echo "$0"; pwd', 'own'], cwd: '/tmp' },
    { env: { NAME: 'x', PATH: '/usr/bin:/bin' }, args: ['-c', 'echo $NAME'] },
    { files: { own: Buffer.from('own'), both: Buffer.from('mine') }, args: ['-c', 'cat own both common'] },
    { collect: ['made'], args: ['-c', 'cat common > made'] },
    { limits: { outputBytes: 3 }, args: ['-c', 'echo four'] },
    { limits: { outputBytes: undefined }, args: ['-c', 'echo sixteen letters'] },
    { rlimits: [{ resource: 'nofile', soft: 7, hard: 7 }], args: ['-c', 'ulimit -n'] },
  ]
  const outcomes = await pool.runMany('sh', ['-c', 'cat'], inputs, {
    files: { common: Buffer.from('common'), both: Buffer.from('theirs') },
    limits: { outputBytes: 1_000, wallTimeMs: 60_000 },
    encoding: 'utf8',
  })
  t.deepEqual(
    outcomes.map((outcome) => ('stdout' in outcome ? outcome.stdout : outcome)),
    ['text', 'bytes', '', 'a stream', 'own\n/tmp\n', 'x\n', 'ownminecommon', '', 'fou', 'sixteen letters\n', '7\n'],
  )
  t.is(outcomes[8]?.status, 'output-limit')
  const made = outcomes[7]
  t.is(made !== undefined && 'files' in made ? String(made.files['made']) : '', 'common')
  const [bytes] = await pool.runMany('printf', ['\\377'], [''], { encoding: 'buffer' })
  t.deepEqual(bytes !== undefined && 'stdout' in bytes ? bytes.stdout : undefined, Buffer.from([255]))
})

test('results come in the order of the inputs, or as they are over', async (t) => {
  const pool = await createPool(t, { size: 3 })
  for (const order of ['input', 'completion'] as const) {
    const { inputs, end } = held(3)
    const seen: number[] = []
    const iterated = (async () => {
      for await (const { index, status } of pool.runMany('cat', [], inputs, { order })) {
        t.is(status, 'ok')
        seen.push(index)
      }
    })()
    await until(() => pool.stats.busy === 3, 'three runs')
    for (const index of [2, 1, 0]) {
      end(index)
      await until(() => pool.stats.busy === index, 'one run less')
    }
    await within(iterated, 'the batch')
    t.deepEqual(seen, order === 'input' ? [0, 1, 2] : [2, 1, 0])
  }
})

test('iterating gives the results of as many inputs as there are', async (t) => {
  const pool = await createPool(t)
  const numbers = [...Array(40).keys()]
  const collected: string[] = []
  for await (const result of pool.runMany('cat', [], numbers.map(String))) {
    if (result.status === 'ok') collected.push(result.stdout)
  }
  t.deepEqual(collected, numbers.map(String))
  t.deepEqual(await pool.runMany('cat', [], []), [])
  for await (const result of pool.runMany('cat', [], [])) t.fail(String(result.index))
  t.deepEqual(statuses(await pool.runMany('cat', [], new Set(['a', 'b']))), ['ok', 'ok'])
})

test('never more at once than are to be', async (t) => {
  const pool = await createPool(t, { size: 3 })
  let most = 0
  const stopWhen = (): boolean => {
    most = Math.max(most, pool.stats.busy)
    return false
  }
  for (const concurrency of [1, 2, 3, 50]) {
    most = 0
    await pool.runMany('cat', [], Array(20).fill('x'), { concurrency, stopWhen })
    t.true(most <= Math.min(3, concurrency), `${concurrency}: ${most}`)
  }
  t.is(most, 3)
})

test('an async iterable is asked for an input when there is room for a run', async (t) => {
  const pool = await createPool(t, { size: 2 })
  const { inputs, end } = held(5)
  let asked = 0
  let isReturned = false
  const source = async function* (): AsyncGenerator<BatchInput> {
    try {
      for (const input of inputs) {
        asked++
        yield input
      }
    } finally {
      isReturned = true
    }
  }
  const results = pool.runMany('cat', [], source()).results
  await until(() => pool.stats.busy === 2, 'two runs')
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
  t.is(asked, 2)
  end(1)
  await until(() => asked === 3 && pool.stats.busy === 2, 'the third')
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
  t.is(asked, 3)
  for (let index = 0; index < 5; index++) end(index)
  t.deepEqual(statuses(await results), Array(5).fill('ok'))
  t.true(isReturned)
})

test('who iterates slowly is waited for', async (t) => {
  const pool = await createPool(t, { size: 2 })
  let asked = 0
  const endless = function* (): Generator<BatchInput> {
    for (;;) yield String(asked++)
  }
  const results = pool.runMany('cat', [], endless())[Symbol.asyncIterator]()
  t.is(asked, 0)
  for (const given of [1, 13]) {
    for (let more = given === 1 ? 1 : 12; more > 0; more--) t.is((await results.next()).done, false)
    // Four times the concurrency ahead of those that were given.
    await until(() => asked === given + 8 && pool.stats.busy === 0, 'idleness')
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
    t.is(asked, given + 8)
  }
  await results.return()
})

test('stops at the first failure: first by input, whichever is over first', async (t) => {
  const pool = await createPool(t, { size: 4 })
  for (const iterate of [false, true]) {
    // The third input fails at once; the first two are told how to end after that.
    const slow = [new PassThrough(), new PassThrough()] as const
    const inputs = [{ input: slow[0] }, { input: slow[1] }, '3\n', { input: new PassThrough() }, '0\n', '0\n', '0\n']
    const batch = pool.runMany('sh', EXIT, inputs, { stopWhen: 'first-failure' })
    const seen: BatchOutcome[] = []
    const all = iterate
      ? (async () => {
          for await (const result of batch) seen.push(result)
          return seen
        })()
      : batch.results
    // The fourth one, which would go on for ever, is killed for it.
    await until(() => pool.stats.busy === 2, 'only two that run')
    slow[1].end('4\n')
    await until(() => pool.stats.busy === 1, 'only one that runs')
    slow[0].end('0\n')
    const outcomes = await within(all, 'the batch')
    t.deepEqual(statuses(outcomes), ['ok', 'nonzero-exit', ...(iterate ? [] : Array(5).fill('skipped'))])
    t.like(outcomes[1], { index: 1, exitCode: 4 })
    t.deepEqual(
      outcomes.map(({ index }) => index),
      [...outcomes.keys()],
    )
  }
})

test('stops where a function says so, and asks an iterable no further', async (t) => {
  const pool = await createPool(t, { size: 1 })
  let isReturned = false
  const source = function* (): Generator<string> {
    try {
      for (let n = 0; ; n++) yield String(n)
    } finally {
      isReturned = true
    }
  }
  const outcomes = await pool.runMany('cat', [], source(), {
    stopWhen: (result) => result.status === 'ok' && result.stdout === '4',
  })
  t.deepEqual(statuses(outcomes), Array(5).fill('ok'))
  t.true(isReturned)
  const thrown = new Error('no verdict')
  const judge = (): never => {
    throw thrown
  }
  t.is(await t.throwsAsync(async () => await pool.runMany('cat', [], ['a', 'b'], { stopWhen: judge })), thrown)
})

test.serial('an abort ends everything, and rejects when it is dead', async (t) => {
  const pool = await createPool(t, { size: 2 })
  const before = openFds().size
  for (const iterate of [false, true]) {
    const { inputs } = held(100)
    const { pids, prepare } = recorded()
    let isReturned = false
    const source = async function* (): AsyncGenerator<BatchInput> {
      try {
        yield* inputs
      } finally {
        isReturned = true
      }
    }
    const controller = new AbortController()
    const batch = pool.runMany('sh', ['-c', 'sleep 1000 & cat'], source(), { signal: controller.signal, prepare })
    const iterated = async (): Promise<void> => {
      for await (const result of batch) t.fail(String(result))
    }
    const rejected = aborts(t, iterate ? iterated() : batch, 'enough')
    await until(() => pids.length === 2 && pids.every((pid) => livingDescendantsOf(pid).length === 3), 'both runs')
    controller.abort('enough')
    await within(rejected, 'the end')
    for (const pid of pids) t.deepEqual(livingDescendantsOf(pid), [])
    t.true(isReturned)
  }
  t.is((await pool.run('echo', ['x'])).stdout, 'x\n')
  await until(() => openFds().size === before, 'closed descriptors')
  await aborts(t, pool.runMany('cat', [], ['x'], { signal: AbortSignal.abort('early') }), 'early')
})

test('an abort while inputs are awaited that never come', async (t) => {
  const pool = await createPool(t)
  const controller = new AbortController()
  const asked = deferred()
  const source: AsyncIterable<string> = {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        asked.resolve()
        return new Promise(() => undefined)
      },
    }),
  }
  const rejected = aborts(t, pool.runMany('cat', [], source, { signal: controller.signal }), 'enough')
  await asked.promise
  controller.abort('enough')
  await within(rejected, 'the end')
})

test('leaving the loop ends what still runs', async (t) => {
  const pool = await createPool(t, { size: 2 })
  let isReturned = false
  const { inputs, end } = held(10)
  const source = function* (): Generator<BatchInput> {
    try {
      yield* inputs
    } finally {
      isReturned = true
    }
  }
  end(0)
  for await (const { index } of pool.runMany('cat', [], source())) {
    t.is(index, 0)
    break
  }
  t.true(isReturned)
  t.is(pool.stats.busy, 0)
})

test('a lost container is the failure of one input', async (t) => {
  const pool = await createPool(t, { size: 2, spare: 0 })
  for (const reset of [true, false]) {
    const { inputs, end } = held(6)
    const { pids, prepare } = recorded()
    const results = pool.runMany('cat', [], inputs, { reset, prepare }).results
    await until(() => pids.length === 2 && pids.every((pid) => livingDescendantsOf(pid).length === 1), 'two runs')
    process.kill(pids[1] as number, 'SIGKILL')
    for (let index = 0; index < 6; index++) if (index !== 1) end(index)
    const outcomes = await within(results, 'the batch')
    t.deepEqual(statuses(outcomes), ['ok', 'failed', 'ok', 'ok', 'ok', 'ok'])
    const [, lost] = outcomes
    t.is(lost?.status === 'failed' && (lost.error as HotcellError).code, 'ERR_HOTCELL_CONTAINER_LOST')
  }
})

test('a container that is lost while it waits for an input is nobody’s failure', async (t) => {
  const pool = await createPool(t, { size: 1, spare: 0 })
  const { pids, prepare } = recorded()
  const next = deferred()
  const source = async function* (): AsyncGenerator<string> {
    yield 'first'
    await next.promise
    yield 'second'
  }
  const results = pool.runMany('cat', [], source(), { reset: false, prepare })[Symbol.asyncIterator]()
  t.like((await results.next()).value, { status: 'ok', stdout: 'first' })
  process.kill(pids[0] as number, 'SIGKILL')
  await until(() => pool.stats.lost === 1, 'the loss')
  next.resolve()
  t.like((await results.next()).value, { status: 'ok', stdout: 'second' })
  t.is((await results.next()).done, true)
  t.is(pids.length, 2)
})

test('what cannot be started, or copied, is a failure of that input', async (t) => {
  const pool = await createPool(t)
  const failure = new Error('the stream failed')
  const failing = Readable.from(
    (async function* () {
      yield 'some'
      throw failure
    })(),
  )
  const outcomes = await pool.runMany(
    'cat',
    [],
    ['a', { cwd: '/nowhere' }, { files: { '/usr/x': Buffer.from('x') } }, { input: failing }, 'b'],
  )
  t.deepEqual(statuses(outcomes), ['ok', 'failed', 'failed', 'failed', 'ok'])
  const errors = outcomes.map((outcome) => (outcome.status === 'failed' ? outcome.error : undefined))
  t.is((errors[1] as HotcellError).code, 'ENOENT')
  t.is((errors[2] as HotcellError).code, 'EROFS')
  t.is(errors[3], failure)
  const none = await pool.runMany('absent', [], ['a', 'b'])
  t.deepEqual(statuses(none), ['failed', 'failed'])
})

test('prepare: what it makes is there; what it rejects with is a failure, or the end', async (t) => {
  const pool = await createPool(t, { size: 1 })
  const prepare = async (master: Master): Promise<void> => {
    const { stdout } = await master.run('cat', ['common'])
    await master.copyIn(Buffer.from(`${stdout} prepared`), 'made')
  }
  const options = { files: { common: Buffer.from('given') }, prepare }
  for (const reset of [true, false]) {
    const outcomes = await pool.runMany('cat', ['made'], ['', ''], { ...options, reset })
    t.deepEqual(
      outcomes.map((outcome) => 'stdout' in outcome && outcome.stdout),
      ['given prepared', 'given prepared'],
    )
  }
  let calls = 0
  const failing = async (master: Master): Promise<void> => {
    if (calls++ === 0) await master.copyOut('absent')
  }
  for (const reset of [true, false]) {
    calls = 0
    t.deepEqual(statuses(await pool.runMany('true', [], ['', '', ''], { prepare: failing, reset })), [
      'failed',
      'ok',
      'ok',
    ])
    t.is(calls, reset ? 3 : 2)
  }
  const thrown = new Error('not prepared')
  const throwing = (): never => {
    throw thrown
  }
  t.is(await t.throwsAsync(async () => await pool.runMany('true', [], ['', ''], { prepare: throwing })), thrown)
  t.is((await pool.run('true')).status, 'ok')
})

test('inputs that throw end the batch', async (t) => {
  const pool = await createPool(t)
  const thrown = new Error('no more inputs')
  const { inputs } = held(1)
  const sources = [
    function* (): Generator<BatchInput> {
      yield* inputs
      throw thrown
    },
    async function* (): AsyncGenerator<BatchInput> {
      yield new PassThrough() as never as BatchInput
      throw thrown
    },
  ] as const
  t.is(await t.throwsAsync(async () => await within(pool.runMany('cat', [], sources[0]()), 'the end')), thrown)
  // Of an input that is none, the option is told.
  await t.throwsAsync(async () => await pool.runMany('cat', [], sources[1]()), { instanceOf: TypeError })
  t.is(pool.stats.busy, 0)
})

test('a pool that is closed ends the batch, and one that is full only if nothing of it runs', async (t) => {
  const pool = await createPool(t, { size: 2, maxQueue: 0 })
  t.deepEqual(statuses(await pool.runMany('cat', [], Array(10).fill('x'))), Array(10).fill('ok'))
  t.deepEqual(statuses(await pool.runMany('cat', [], Array(10).fill('x'), { reset: false })), Array(10).fill('ok'))

  const release = [deferred(), deferred()] as const
  const others = release.map(({ promise }) => pool.use(() => promise))
  await rejects(t, pool.runMany('cat', [], ['a', 'b', 'c']), 'ERR_HOTCELL_POOL_FULL')
  release[0].resolve()
  await others[0]
  // One container is all there is: the other inputs wait for it.
  await until(() => pool.stats.resetting === 0, 'a reset')
  t.deepEqual(statuses(await pool.runMany('cat', [], ['a', 'b', 'c'])), ['ok', 'ok', 'ok'])
  release[1].resolve()
  await Promise.all(others)

  const { inputs } = held(5)
  const rejected = rejects(t, pool.runMany('cat', [], inputs), 'ERR_HOTCELL_CLOSED')
  await until(() => pool.stats.busy === 2, 'two runs')
  await pool.destroy()
  await within(rejected, 'the end')
})

test('several inputs that find the pool full', async (t) => {
  const pool = await createPool(t, { size: 4, maxQueue: 0 })
  const release = Array.from({ length: 4 }, () => deferred())
  const others = release.map(({ promise }) => pool.use(() => promise))
  const full = rejects(t, pool.runMany('cat', [], Array(20).fill('x')), 'ERR_HOTCELL_POOL_FULL')
  await within(full, 'the refusal')

  release[0]?.resolve()
  await others[0]
  await until(() => pool.stats.resetting === 0, 'a reset')
  t.deepEqual(statuses(await within(pool.runMany('cat', [], Array(9).fill('x')), 'the batch')), Array(9).fill('ok'))
  await until(() => pool.stats.resetting === 0, 'a reset')
  const { inputs, end } = held(9)
  const stopped = pool.runMany('cat', [], inputs, { stopWhen: ({ index }) => index === 0 }).results
  await until(() => pool.stats.busy === 4, 'a run')
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
  end(0)
  t.deepEqual(statuses(await within(stopped, 'the batch')), ['ok', ...Array(8).fill('skipped')])
  for (const { resolve } of release) resolve()
  await Promise.all(others)
})

test.serial('an executable is sealed before anybody executes it', async (t) => {
  const pool = await createPool(t)
  const maker = await createMaster(t)
  await maker.copyIn(await compile('behave'), 'behave', { mode: 0o755 })
  await using writer = await maker.open('behave', 'r+')
  await using reader = await maker.open('behave')
  await reader.read(Buffer.alloc(100))
  const before = openFds().size
  const inputs = [{ args: ['exit', '3'] }, { args: ['write', '2'] }, { args: ['exit', '4'] }]
  const outcomes = await pool.runMany('behave', [], inputs, { execFile: reader })
  t.deepEqual(statuses(outcomes), ['nonzero-exit', 'ok', 'nonzero-exit'])
  t.is(openFds().size, before)
  await writer.truncate()
  await rejects(t, pool.runMany('behave', [], inputs, { execFile: 999_999 }), 'EBADF')
  const zero = openSync('/dev/zero', 'r')
  const error = await rejects(t, pool.runMany('behave', [], inputs, { execFile: zero }), 'EINVAL')
  closeSync(zero)
  t.regex(error.message, /not a regular file/)
  const controller = new AbortController()
  const aborted = pool.runMany('behave', [], inputs, { execFile: reader, signal: controller.signal }).results
  controller.abort('enough')
  await aborts(t, aborted, 'enough')
})

test('programs that would change what others are made from', async (t) => {
  const pool = await createPool(t)
  using program = await seal(await compile('tamper'))
  const before = await program.readFile()
  const inputs = Array.from({ length: 10 }, (_, i) => ({ args: i % 2 === 0 ? [] : ['again'] }))
  const outcomes = await pool.runMany('tamper', [], inputs, { execFile: program })
  t.deepEqual(statuses(outcomes), Array(10).fill('ok'))
  for (const outcome of outcomes) t.notRegex('stdout' in outcome ? outcome.stdout : '', /write|truncate|grow|map|seal/)
  t.true(before.equals(await program.readFile()))
})

test('one container: one after the other, overlapping, or reset before each', async (t) => {
  const master = await createMaster(t)
  await master.copyIn(Buffer.from('kept'), 'kept')
  const args = ['-c', 'cat >> log; cat log; ls'] as const
  const outputs = (outcomes: readonly BatchOutcome[]): unknown[] =>
    outcomes.map((outcome) => 'stdout' in outcome && outcome.stdout)
  t.deepEqual(outputs(await master.runMany('sh', args, ['a\n', 'b\n'])), ['a\nkept\nlog\n', 'a\nb\nkept\nlog\n'])

  const { inputs, end } = held(3)
  const seen: number[] = []
  end(2)
  for await (const { index } of master.runMany('cat', [], inputs, { concurrency: 3, order: 'completion' })) {
    seen.push(index)
    end(2 - seen.length)
  }
  t.deepEqual(seen, [2, 1, 0])

  const { pids, prepare } = recorded()
  const options = { reset: true, files: { given: Buffer.from('x') }, prepare }
  t.deepEqual(outputs(await master.runMany('sh', args, ['a\n', 'b\n'], options)), [
    'a\ngiven\nlog\n',
    'b\ngiven\nlog\n',
  ])
  t.is(pids.length, 2)
  const kept = await master.runMany('sh', args, ['', ''], { files: { given: Buffer.from('x') }, prepare })
  t.is(kept.length, 2)
  t.is(pids.length, 3)
})

test('one container that is lost ends the batch', async (t) => {
  const master = await createMaster(t)
  const { inputs, end } = held(3)
  end(0)
  const batch = master.runMany('cat', [], inputs)[Symbol.asyncIterator]()
  t.like((await batch.next()).value, { index: 0, status: 'ok' })
  await until(() => livingDescendantsOf(master.pid).length === 1, 'the second run')
  process.kill(master.pid, 'SIGKILL')
  await rejects(t, within(batch.next(), 'the end'), 'ERR_HOTCELL_CONTAINER_LOST')
  await rejects(t, master.runMany('cat', [], ['x']), 'ERR_HOTCELL_CONTAINER_LOST')
})

test('a lent container: the batch ends with the turn', async (t) => {
  const pool = await createPool(t, { size: 1 })
  const outcomes = await pool.use((master) => master.runMany('cat', [], ['a', 'b']).results)
  t.deepEqual(statuses(outcomes), ['ok', 'ok'])
  const late = await pool.use((master) => ({ batch: master.runMany('cat', [], ['a', 'b']) }))
  await rejects(t, late.batch, 'ERR_HOTCELL_CLOSED')
})

test('it can be awaited again, and iterated once', async (t) => {
  const pool = await createPool(t)
  const batch = pool.runMany('cat', [], ['a', 'b'])
  const outcomes = await batch
  t.is(await batch, outcomes)
  t.is(await batch.results, outcomes)
  t.is(await batch.finally(() => undefined), outcomes)
  t.is(await batch.catch(() => []), outcomes)
  t.is(pool.stats.runs, 2)
  const again: number[] = []
  for await (const { index } of batch) again.push(index)
  t.deepEqual(again, [0, 1])
  t.throws(() => batch[Symbol.asyncIterator](), { code: 'ERR_INVALID_STATE' })

  const iterated = pool.runMany('cat', [], ['a'])
  for await (const { status } of iterated) t.is(status, 'ok')
  await t.throwsAsync(async () => await iterated, { code: 'ERR_INVALID_STATE' })
  t.is(pool.stats.runs, 3)
})

test('wrong options and inputs', async (t) => {
  const pool = await createPool(t, { size: 2 })
  const master = await createMaster(t)
  for (const [options, message] of [
    [null, /"options"/],
    [{ concurency: 1 }, /"concurency".*Did you mean "concurrency"/],
    [{ concurrency: 0 }, /"concurrency"/],
    [{ concurrency: 1.5 }, /"concurrency"/],
    [{ order: 'random' }, /"order" option must be one of 'input', 'completion'/],
    [{ stopWhen: 'failure' }, /"stopWhen" option must be one of 'first-failure'/],
    [{ reset: 1 }, /"reset"/],
    [{ prepare: {} }, /"prepare"/],
    [{ input: 'x' }, /"input"/],
    [{ files: [] }, /"files"/],
    [{ files: { x: 7 } }, /"files\['x'\]"/],
    [{ files: { x: Readable.from(['x']) } }, /"files\['x'\]".*read many times.*seal/],
    [{ files: { x: { fd: 0 } } }, /"files\['x'\]".*read many times/],
    [{ execFile: '/bin/true' }, /"execFile"/],
    [{ signal: 1 }, /"signal"/],
  ] as const) {
    for (const on of [pool, master]) t.throws(() => on.runMany('true', [], ['x'], options as never), { message })
  }
  t.throws(() => master.runMany('true', [], ['x'], { reset: true, concurrency: 2 }), { message: /"reset"/ })
  t.throws(() => pool.runMany('', [], ['x']), { message: /"file"/ })
  t.throws(() => pool.runMany('true', 'x' as never, ['x']), { message: /"args"/ })
  for (const inputs of ['text', Buffer.from('bytes'), undefined, null, 7, {}]) {
    t.throws(() => pool.runMany('true', [], inputs as never), { instanceOf: TypeError, message: /"inputs"/ })
  }
  // Of what is only known when a run is asked for, the batch rejects with the same errors.
  for (const [input, message] of [
    [7, /"inputs\[\]"/],
    [null, /"inputs\[\]"/],
    [{ inputs: 'x' }, /"inputs\[\]\.inputs".*Did you mean "inputs\[\]\.input"|"inputs\[\]\.inputs".*"input"/],
    [{ signal: AbortSignal.abort() }, /signal/],
    [{ encoding: 'buffer' }, /encoding/],
    [{ execFile: 0 }, /execFile/],
    [{ args: 'x' }, /"args"/],
    [{ input: 7 }, /"input"/],
    [{ limits: { cpuTime: 1 } }, /"limits\.cpuTime"/],
    [{ limits: { cpuTimeMs: -1 } }, /"limits\.cpuTimeMs"/],
  ] as const) {
    const { inputs } = held(1)
    const error = await t.throwsAsync(
      async () => await within(pool.runMany('cat', [], [...(inputs as BatchInput[]), input as never]), 'the end'),
      { message },
      JSON.stringify(input),
    )
    t.true(error instanceof TypeError || error instanceof RangeError)
    t.is(pool.stats.busy, 0)
  }
})

test.serial('hundreds of inputs leave nothing behind', async (t) => {
  const pool = await createPool(t, { size: 2, spare: 1 })
  using program = await seal(await compile('behave'))
  const inputs = Array.from({ length: 300 }, (_, i) => ({ args: ['exit', String(i % 3)] }))
  await pool.runMany('behave', [], inputs.slice(0, 10), { execFile: program })
  await until(() => pool.stats.resetting === 0 && pool.stats.creating === 0, 'idleness')
  const before = openFds().size
  const outcomes = await pool.runMany('behave', [], inputs, { execFile: program })
  t.deepEqual(
    statuses(outcomes),
    inputs.map((_, i) => (i % 3 === 0 ? 'ok' : 'nonzero-exit')),
  )
  await until(() => pool.stats.resetting === 0 && pool.stats.creating === 0, 'idleness')
  t.is(openFds().size, before)
  t.is(pool.stats.lost, 0)
})
