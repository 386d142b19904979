// Spans and metrics through the real SDK of OpenTelemetry. Channels are global: one test after the other.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { context, metrics, SpanStatusCode, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { AggregationTemporality, MeterProvider, MetricReader, type MetricData } from '@opentelemetry/sdk-metrics'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace-base'
import test, { type ExecutionContext } from 'ava'
import { Master, pipeline, Pool } from '../index.js'
import { instrument } from '../opentelemetry.js'
import { aborts, rejects } from './support/errors.js'
import { createMaster, masterOptions } from './support/mode.js'
import { runNode } from './support/node.js'
import { deferred, within } from './support/waiting.js'

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())

/** Collects when asked to: what there is now, for one that sums up keeps gauges that nobody shows any more. */
class Reader extends MetricReader {
  constructor(temporality: AggregationTemporality) {
    super({ aggregationTemporalitySelector: () => temporality })
  }

  protected override onShutdown = (): Promise<void> => Promise.resolve()
  protected override onForceFlush = (): Promise<void> => Promise.resolve()
}

type Telemetry = {
  exporter: InMemorySpanExporter
  spans: (name?: string) => ReadableSpan[]
  tracer: ReturnType<BasicTracerProvider['getTracer']>
  metric: (name: string) => Promise<MetricData['dataPoints']>
  disable: () => void
}

function observed(
  t: ExecutionContext,
  options: { arguments?: boolean } = {},
  temporality = AggregationTemporality.CUMULATIVE,
): Telemetry {
  const exporter = new InMemorySpanExporter()
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  const reader = new Reader(temporality)
  const meters = new MeterProvider({ readers: [reader] })
  const tracer = provider.getTracer('test')
  const instrumentation = instrument({ tracer, meter: meters.getMeter('test'), ...options })
  t.teardown(() => instrumentation.disable())
  return {
    exporter,
    spans: (name) => exporter.getFinishedSpans().filter((span) => name === undefined || span.name === name),
    tracer,
    disable: () => instrumentation.disable(),
    metric: async (name) => {
      const { resourceMetrics, errors } = await reader.collect()
      t.deepEqual(errors, [])
      const all = resourceMetrics.scopeMetrics.flatMap((scope) => scope.metrics)
      return all.find(({ descriptor }) => descriptor.name === name)?.dataPoints ?? []
    },
  }
}

const one = (spans: ReadableSpan[]): ReadableSpan => {
  if (spans.length !== 1) throw new Error(`${spans.length} spans: ${spans.map(({ name }) => name).join(', ')}`)
  return spans[0] as ReadableSpan
}

const isChildOf = (t: ExecutionContext, child: ReadableSpan, parent: ReadableSpan): void => {
  t.is(child.parentSpanContext?.spanId, parent.spanContext().spanId, `${child.name} of ${parent.name}`)
  t.is(child.spanContext().traceId, parent.spanContext().traceId)
}

test.serial('a run is a span with its verdict, limits and usage', async (t) => {
  const { spans, exporter } = observed(t)
  const master = await createMaster(t, { limits: { wallTimeMs: 20_000 } })
  t.is(one(spans('hotcell.create')).attributes['hotcell.init.pid'], master.pid)
  exporter.reset()
  const result = await master.run('/bin/sh', ['-c', 'exit 3'], { limits: { cpuTimeMs: 5000 } })
  const span = one(spans())
  t.is(span.name, 'hotcell.run')
  t.deepEqual(span.attributes, {
    'hotcell.method': 'run',
    'hotcell.init.pid': master.pid,
    'process.executable.name': 'sh',
    'hotcell.limits.cpu_time_ms': 5000,
    'hotcell.limits.wall_time_ms': 20_000,
    'hotcell.status': 'nonzero-exit',
    'process.exit.code': 3,
    'hotcell.wall_time_ms': result.wallTimeMs,
    'hotcell.cpu_time_ms': result.cpuTimeMs,
    'hotcell.user_time_ms': result.userTimeMs,
    'hotcell.system_time_ms': result.systemTimeMs,
    'hotcell.setup_time_ms': result.setupTimeMs,
    'hotcell.memory_bytes': result.memoryBytes,
    'hotcell.accounting': result.accounting,
    ...(result.processesPeak === undefined ? {} : { 'hotcell.processes_peak': result.processesPeak }),
  })
  // A verdict is no failure of ours.
  t.is(span.status.code, SpanStatusCode.UNSET)
  exporter.reset()
  await master.spawn('sleep', ['10'], { limits: { wallTimeMs: 20 } })
  t.like(one(spans()).attributes, {
    'hotcell.method': 'spawn',
    'hotcell.status': 'time-limit',
    'hotcell.limit': 'wall',
  })
  exporter.reset()
  await master.execve({ args: ['sh', '-c', 'kill -SEGV $$'] })
  t.like(one(spans()).attributes, { 'hotcell.status': 'signaled', 'hotcell.signal': 'SIGSEGV' })
})

test.serial('what fails is an error, with its code', async (t) => {
  const { spans, exporter } = observed(t)
  const master = await createMaster(t)
  exporter.reset()
  await rejects(t, master.run('absent'), 'ENOENT')
  const span = one(spans())
  t.is(span.status.code, SpanStatusCode.ERROR)
  t.is(span.attributes['error.type'], 'ENOENT')
  t.is(span.events[0]?.name, 'exception')
  exporter.reset()
  t.throws(() => master.spawn('true', [], { unknown: 1 } as never), { instanceOf: TypeError })
  t.is(one(spans()).attributes['error.type'], 'ERR_INVALID_ARG_VALUE')
  exporter.reset()
  const controller = new AbortController()
  const execution = master.spawn('sleep', ['60'], { signal: controller.signal })
  await execution.started
  controller.abort()
  await aborts(t, execution, controller.signal.reason)
  t.is(one(spans()).attributes['error.type'], 'ABORT_ERR')
  t.true((one(spans()).attributes['hotcell.wall_time_ms'] as number) > 0)
})

test.serial('spans are children of what was active, and parents of what is done in them', async (t) => {
  const { spans, tracer, exporter } = observed(t)
  const pool = await Pool.create({ size: 1, spare: 0, container: masterOptions() })
  t.teardown(() => pool.destroy())
  exporter.reset()
  await tracer.startActiveSpan('request', async (request) => {
    await pool.use(async (master) => {
      await tracer.startActiveSpan('inner', async (inner) => {
        await master.run('cp', ['a', 'b'], { files: { a: Buffer.from('a') }, collect: ['b'] })
        inner.end()
      })
      await master.execve({ args: ['true'], syncFunc: () => tracer.startSpan('sync').end() })
    })
    request.end()
  })
  const [request, turn, inner] = [one(spans('request')), one(spans('hotcell.pool.turn')), one(spans('inner'))]
  const [run, execve] = spans('hotcell.run') as [ReadableSpan, ReadableSpan]
  isChildOf(t, turn, request)
  isChildOf(t, inner, turn)
  isChildOf(t, run, inner)
  isChildOf(t, execve, turn)
  isChildOf(t, one(spans('sync')), execve)
  t.deepEqual(
    spans('hotcell.copy').map(({ attributes }) => attributes['hotcell.direction']),
    ['in', 'out'],
  )
  for (const copy of spans('hotcell.copy')) isChildOf(t, copy, run)
  t.is(trace.getActiveSpan(), undefined)
})

test.serial('waiting for a container is a span in the turn', async (t) => {
  const { spans, exporter } = observed(t)
  const pool = await Pool.create({ size: 1, spare: 0, container: masterOptions() })
  t.teardown(() => pool.destroy())
  exporter.reset()
  const [got, release] = [deferred(), deferred()]
  const first = pool.use(async () => {
    got.resolve()
    await release.promise
  })
  await within(got.promise, 'the container')
  const second = pool.run('true')
  release.resolve()
  await Promise.all([first, second])
  const wait = one(spans('hotcell.pool.wait'))
  const turns = spans('hotcell.pool.turn')
  const waiting = turns.find(({ attributes }) => attributes['hotcell.method'] === 'run') as ReadableSpan
  t.is(turns.length, 2)
  isChildOf(t, wait, waiting)
  isChildOf(t, one(spans('hotcell.run')), waiting)
  t.true((waiting.attributes['hotcell.pool.wait_time_ms'] as number) > 0)
})

test.serial('a pipeline is a span above its stages', async (t) => {
  const { spans, exporter } = observed(t)
  const [one_, other] = [await createMaster(t), await createMaster(t)]
  exporter.reset()
  await pipeline({ maker: { args: ['seq', '3'], master: one_ }, taker: { args: ['cat'], master: other } })
  const above = one(spans('hotcell.pipeline'))
  t.like(above.attributes, { 'hotcell.ok': true, 'hotcell.cause': 'all-ended', 'hotcell.deadlock': false })
  t.deepEqual(above.attributes['hotcell.stages'], ['maker', 'taker'])
  t.is(spans('hotcell.run').length, 2)
  for (const run of spans('hotcell.run')) isChildOf(t, run, above)
})

test.serial('arguments and paths are there for who asks', async (t) => {
  const { spans, exporter, disable } = observed(t, { arguments: true })
  const master = await createMaster(t)
  exporter.reset()
  await master.copyIn(Buffer.from('x'), 'secret')
  await master.run('cat', ['secret', Buffer.from('secret')])
  t.is(one(spans('hotcell.copy')).attributes['file.path'], 'secret')
  t.deepEqual(one(spans('hotcell.run')).attributes['process.command_args'], ['cat', 'secret', 'secret'])
  disable()
  const without = observed(t)
  await master.copyIn(Buffer.from('x'), 'secret')
  await master.run('cat', ['secret'])
  t.false(JSON.stringify(without.spans().map(({ attributes }) => attributes)).includes('secret'))
})

test.serial('metrics count verdicts, containers, and what was used', async (t) => {
  const { metric } = observed(t)
  const master = await Master.create(masterOptions())
  await master.run('true')
  await master.run('false')
  await master.run('false')
  await rejects(t, master.run('absent'), 'ENOENT')
  await master.reset()
  const runs = await metric('hotcell.runs')
  const counted = runs.map(({ attributes, value }) => [attributes['hotcell.status'], attributes['error.type'], value])
  t.deepEqual(counted, [
    ['ok', undefined, 1],
    ['nonzero-exit', undefined, 2],
    ['error', 'ENOENT', 1],
  ])
  const active = await metric('hotcell.runs.active')
  t.deepEqual(
    active.map(({ value }) => value),
    [0],
  )
  const count = async (name: string): Promise<number> =>
    (await metric(name)).reduce((sum, { value }) => sum + (value as { count: number }).count, 0)
  for (const name of ['wall_time', 'cpu_time', 'memory']) t.is(await count(`hotcell.run.${name}`), 3, name)
  t.is(await count('hotcell.run.duration'), 4)
  t.is(await count('hotcell.create.duration'), 1)
  t.is(await count('hotcell.reset.duration'), 1)
  const value = async (name: string): Promise<unknown> => (await metric(name))[0]?.value
  t.is(await value('hotcell.containers'), 1)
  await master.destroy()
  t.is(await value('hotcell.containers'), 0)
  t.is(await value('hotcell.containers.lost'), undefined)
  const lost = await createMaster(t)
  process.kill(lost.pid, 'SIGKILL')
  await within(lost.closed, 'the end of the container')
  await new Promise(setImmediate)
  t.is(await value('hotcell.containers.lost'), 1)
  t.is(await value('hotcell.containers'), 0)
})

test.serial('gauges show each pool until it is closed', async (t) => {
  const { metric } = observed(t, {}, AggregationTemporality.DELTA)
  const gauge = async (): Promise<Record<string, unknown>> => {
    const points = await metric('hotcell.pool.containers')
    return Object.fromEntries(
      points.map(({ attributes, value }) => [
        `${String(attributes['hotcell.pool'])} ${String(attributes['hotcell.pool.state'])}`,
        value,
      ]),
    )
  }
  const first = await Pool.create({ size: 2, min: 2, spare: 0, container: masterOptions() })
  t.teardown(() => first.destroy())
  t.deepEqual(await gauge(), { '1 busy': 0, '1 idle': 2, '1 resetting': 0, '1 creating': 0 })
  const second = await Pool.create({ size: 1, spare: 0, container: masterOptions() })
  await second.use(async (master) => {
    t.like(await gauge(), { '1 idle': 2, '2 busy': 1, '2 idle': 0 })
    const waiting = second.run('true')
    t.deepEqual(
      (await metric('hotcell.pool.queued')).map(({ value }) => value),
      [0, 1],
    )
    process.kill(master.pid, 'SIGKILL')
    await within(master.closed, 'the end of the container')
    t.is((await within(waiting, 'the one that waits')).status, 'ok')
  })
  const [lost] = await metric('hotcell.pool.lost')
  t.like(lost, { value: 1, attributes: { 'hotcell.pool': 2, 'hotcell.pool.state': 'busy' } })
  await second.destroy()
  t.deepEqual(
    Object.keys(await gauge()).filter((key) => key.startsWith('2')),
    [],
  )
})

test.serial('a pool that was there before is known from its next turn on', async (t) => {
  const pool = await Pool.create({ size: 1, spare: 0, container: masterOptions() })
  t.teardown(() => pool.destroy())
  const { metric } = observed(t)
  t.deepEqual(await metric('hotcell.pool.containers'), [])
  await pool.run('true')
  t.is((await metric('hotcell.pool.containers')).length, 4)
})

test.serial('what was disabled tells of nothing, and what is refused is not observed', async (t) => {
  const { spans, metric, disable } = observed(t)
  const master = await createMaster(t)
  const before = spans().length
  const going = master.run('true')
  disable()
  disable()
  await going
  await master.run('true')
  t.is(spans().length, before)
  t.deepEqual(await metric('hotcell.runs'), [])
  {
    using _ = { [Symbol.dispose]: instrument({ tracer: false, meter: false })[Symbol.dispose] }
    t.is((await master.run('true')).status, 'ok')
  }
  t.throws(() => instrument({ trace: true } as never), { instanceOf: TypeError, message: /"trace"/ })
  t.throws(() => instrument({ tracer: {} } as never), {
    instanceOf: TypeError,
    message: /"tracer" option must be a Tracer/,
  })
  t.throws(() => instrument({ meter: 1 } as never), {
    instanceOf: TypeError,
    message: /"meter" option must be a Meter/,
  })
  t.throws(() => instrument({ arguments: 'no' } as never), { instanceOf: TypeError, message: /"arguments"/ })
})

test.serial('without providers it costs nothing but calls', async (t) => {
  metrics.disable()
  const instrumentation = instrument()
  const master = await createMaster(t)
  t.is((await master.run('true')).status, 'ok')
  instrumentation.disable()
})

test('hotcell itself needs no OpenTelemetry', async (t) => {
  const hook = `export const resolve = (name, context, next) => {
    if (name.startsWith('@opentelemetry')) throw new Error('asked for ' + name)
    return next(name, context)
  }`
  const folder = mkdtempSync(join(tmpdir(), 'hotcell-hook-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'hook.mjs')
  writeFileSync(file, hook)
  const { code, stdout, stderr } = await runNode(`
    import { register } from 'node:module'
    register(${JSON.stringify(pathToFileURL(file).href)}, ${JSON.stringify(pathToFileURL(file).href)})
    const { Master } = await import('./index.js')
    console.log(typeof Master)
    await import('./opentelemetry.js').catch((error) => console.log(error.message))
  `)
  t.like({ code, stdout }, { code: 0, stdout: 'function\nasked for @opentelemetry/api\n' }, stderr)
})
