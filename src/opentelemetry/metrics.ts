/**
 * Counters, histograms and gauges. Times are seconds and sizes bytes, as OpenTelemetry has it; no attribute has more values than there are verdicts, codes and pools.
 */
import { ValueType, type BatchObservableCallback, type Meter, type MetricOptions } from '@opentelemetry/api'
import type { Channel, TracingChannel } from 'node:diagnostics_channel'
import {
  channels,
  type OperationMessage,
  type PoolFailedMessage,
  type PoolLostMessage,
  type PoolMessage,
  type PoolTurnMessage,
  type RunMessage,
  type CloseMessage,
  type CreateMessage,
} from '../diagnostics/channels.js'
import type { Pool } from '../pool/pool.js'
import { errorType, verdict } from './attributes.js'

/** From a tenth of a millisecond to minutes. */
const SECONDS = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100]
const BYTES = Array.from({ length: 16 }, (_, power) => 2 ** (18 + power))

const seconds = (description: string): MetricOptions => ({
  description,
  unit: 's',
  advice: { explicitBucketBoundaries: SECONDS },
})

/** Begins to measure; the function that is returned ends that. */
export function measure(meter: Meter): () => void {
  const whole = { valueType: ValueType.INT }
  const containers = meter.createUpDownCounter('hotcell.containers', {
    ...whole,
    description: 'Containers that there are',
    unit: '{container}',
  })
  const lost = meter.createCounter('hotcell.containers.lost', {
    ...whole,
    description: 'Containers that went away without being asked to',
    unit: '{container}',
  })
  const createTime = meter.createHistogram('hotcell.create.duration', seconds('Making a container'))
  const resetTime = meter.createHistogram('hotcell.reset.duration', seconds('Resetting a container'))
  const active = meter.createUpDownCounter('hotcell.runs.active', {
    ...whole,
    description: 'Runs that go on',
    unit: '{run}',
  })
  const runs = meter.createCounter('hotcell.runs', { ...whole, description: 'Runs that are over', unit: '{run}' })
  const runTime = meter.createHistogram('hotcell.run.duration', seconds('From the call to the settled promise'))
  const wallTime = meter.createHistogram('hotcell.run.wall_time', seconds('Wall time of programs'))
  const cpuTime = meter.createHistogram('hotcell.run.cpu_time', seconds('CPU time of programs'))
  const memory = meter.createHistogram('hotcell.run.memory', {
    description: 'The most memory that programs had',
    unit: 'By',
    advice: { explicitBucketBoundaries: BYTES },
  })
  const waitTime = meter.createHistogram('hotcell.pool.wait_time', seconds('Waiting for a container of a pool'))
  const poolLost = meter.createCounter('hotcell.pool.lost', {
    ...whole,
    description: 'Containers of pools that went away',
    unit: '{container}',
  })
  const poolFailed = meter.createCounter('hotcell.pool.failures', {
    ...whole,
    description: 'Containers of pools that could not be made, or not be reset',
    unit: '{container}',
  })

  const pools = new Pools(meter)
  // Only those whose making was seen are taken off again.
  const known = new Set<number>()
  const ends = [
    timed<CreateMessage>(channels.create, ({ result, error }, took) => {
      createTime.record(took, error === undefined ? {} : { 'error.type': errorType(error) })
      if (result === undefined) return
      known.add(result.pid)
      containers.add(1)
    }),
    on<CloseMessage>(channels.close, ({ initPid, requested }) => {
      if (!requested) lost.add(1)
      if (known.delete(initPid)) containers.add(-1)
    }),
    timed(channels.reset, ({ error }, took) => {
      resetTime.record(took, error === undefined ? {} : { 'error.type': errorType(error) })
    }),
    timed<RunMessage>(
      channels.run,
      ({ method, result, error }, took) => {
        active.add(-1, { 'hotcell.method': method })
        const how =
          result === undefined ? { 'hotcell.status': 'error', 'error.type': errorType(error) } : verdict(result)
        runs.add(1, { 'hotcell.method': method, ...how })
        runTime.record(took, { 'hotcell.method': method, ...how })
        if (result === undefined) return
        wallTime.record(result.wallTimeMs / 1000, how)
        cpuTime.record(result.cpuTimeMs / 1000, how)
        memory.record(result.memoryBytes, how)
      },
      ({ method }) => active.add(1, { 'hotcell.method': method }),
    ),
    timed<PoolTurnMessage>(
      channels.poolTurn,
      ({ waitTimeMs, method }) => {
        if (waitTimeMs !== undefined) waitTime.record(waitTimeMs / 1000, { 'hotcell.method': method })
      },
      ({ pool }) => pools.meet(pool),
    ),
    on<PoolMessage>(channels.poolOpen, ({ pool }) => pools.meet(pool)),
    on<PoolMessage>(channels.poolClose, ({ pool }) => pools.leave(pool)),
    on<PoolLostMessage>(channels.poolLost, ({ pool, state }) => {
      poolLost.add(1, { 'hotcell.pool': pools.meet(pool), 'hotcell.pool.state': state })
    }),
    on<PoolFailedMessage>(channels.poolFailed, ({ pool, during, error }) => {
      poolFailed.add(1, { 'hotcell.pool': pools.meet(pool), 'hotcell.during': during, 'error.type': errorType(error) })
    }),
  ]
  return () => {
    for (const end of ends) end()
    pools.forgetAll()
  }
}

/** The pools that gauges look at. One that nobody has any more is collected all the same. */
class Pools {
  readonly #numbers = new WeakMap<Pool, number>()
  readonly #living = new Set<WeakRef<Pool>>()
  readonly #stopGauges: () => void
  #next = 1

  constructor(meter: Meter) {
    const gauge = (name: string, description: string, unit: string) =>
      meter.createObservableGauge(name, { description, unit, valueType: ValueType.INT })
    const cells = gauge('hotcell.pool.containers', 'Containers of a pool, by what they do', '{container}')
    const queued = gauge('hotcell.pool.queued', 'How many wait for a container of a pool', '{waiter}')
    const look: BatchObservableCallback = (result) => {
      for (const { number, pool } of this.#all()) {
        const { busy, idle, resetting, creating, queued: waiting } = pool.stats
        const of = { 'hotcell.pool': number }
        for (const [state, amount] of Object.entries({ busy, idle, resetting, creating })) {
          result.observe(cells, amount, { ...of, 'hotcell.pool.state': state })
        }
        result.observe(queued, waiting, of)
      }
    }
    meter.addBatchObservableCallback(look, [cells, queued])
    this.#stopGauges = () => meter.removeBatchObservableCallback(look, [cells, queued])
  }

  /** Its number; the first time it is heard of, it gets one. */
  meet(pool: Pool): number {
    let number = this.#numbers.get(pool)
    if (number === undefined) {
      number = this.#next++
      this.#numbers.set(pool, number)
      this.#living.add(new WeakRef(pool))
    }
    return number
  }

  leave(pool: Pool): void {
    for (const weak of this.#living) if (weak.deref() === pool) this.#living.delete(weak)
  }

  forgetAll(): void {
    this.#stopGauges()
    this.#living.clear()
  }

  *#all(): Generator<{ number: number; pool: Pool }> {
    for (const weak of this.#living) {
      const pool = weak.deref()
      if (pool === undefined) this.#living.delete(weak)
      else yield { number: this.#numbers.get(pool) as number, pool }
    }
  }
}

function on<M>(channel: Channel<unknown, M>, listener: (message: M) => void): () => void {
  const hear = (message: unknown): void => listener(message as M)
  channel.subscribe(hear)
  return () => channel.unsubscribe(hear)
}

/** Calls `done` when an operation is over, with the seconds that it took. One that failed before it returned is over then. */
function timed<M extends OperationMessage>(
  operation: TracingChannel<unknown, M>,
  done: (message: M, seconds: number) => void,
  begun?: (message: M) => void,
): () => void {
  const began = new WeakMap<object, number>()
  const end = (message: M): void => {
    const at = began.get(message)
    if (at === undefined) return
    began.delete(message)
    done(message, (performance.now() - at) / 1000)
  }
  const stops = [
    on<M>(operation.start, (message) => {
      began.set(message, performance.now())
      begun?.(message)
    }),
    on<M>(operation.end, (message) => {
      if (message.error !== undefined) end(message)
    }),
    on<M>(operation.asyncEnd, end),
  ]
  return () => {
    for (const stop of stops) stop()
  }
}
