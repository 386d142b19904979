// Type tests: `tsc --noEmit` runs them, nothing else does. Channels and their messages, timelines, OpenTelemetry.
import type { Meter, Tracer } from '@opentelemetry/api'
import type { Channel, TracingChannel } from 'node:diagnostics_channel'
import { expectTypeOf } from 'expect-type'
import {
  channels,
  renderTimeline,
  type AbortError,
  type CloseMessage,
  type ContainerPath,
  type CreateMessage,
  type Limits,
  type Master,
  type Pool,
  type PoolTurnMessage,
  type RunMessage,
  type SyscallClass,
  type Timeline,
  type TimelineOptions,
  type TraceResult,
} from '../../index.js'
import { instrument, type Instrumentation, type InstrumentOptions } from '../../opentelemetry.js'

declare const master: Master
declare const tracer: Tracer
declare const meter: Meter
declare const aborted: AbortError

export function messages(): void {
  expectTypeOf(channels.run).toEqualTypeOf<TracingChannel<unknown, RunMessage>>()
  expectTypeOf(channels.close).toEqualTypeOf<Channel<unknown, CloseMessage>>()
  expectTypeOf<CreateMessage['result']>().toEqualTypeOf<Master | undefined>()
  expectTypeOf<RunMessage['result']>().toEqualTypeOf<TraceResult | undefined>()
  expectTypeOf<RunMessage['args']>().toEqualTypeOf<readonly ContainerPath[]>()
  expectTypeOf<RunMessage['limits']>().toEqualTypeOf<Limits>()
  expectTypeOf<PoolTurnMessage['pool']>().toEqualTypeOf<Pool>()
  const message = {} as RunMessage
  message.within = (fn) => fn()
  // @ts-expect-error
  message.method = 'run'
  // @ts-expect-error
  message.within = () => 7
  // @ts-expect-error
  channels.run = channels.create
}

export async function timelines(): Promise<void> {
  const result = await master.run('true', [], { timeline: true })
  expectTypeOf(result.timeline).toEqualTypeOf<Timeline | undefined>()
  expectTypeOf(renderTimeline(result)).toEqualTypeOf<string>()
  expectTypeOf(renderTimeline(result, { title: 'x' })).toEqualTypeOf<string>()
  if (aborted.result !== undefined) renderTimeline(aborted.result)
  expectTypeOf<NonNullable<Timeline['syscalls']>['counts']>().toEqualTypeOf<Record<SyscallClass, number[]>>()
  expectTypeOf<TimelineOptions>().toEqualTypeOf<{ intervalMs?: number | undefined }>()
  await master.execve({ args: ['true'], timeline: { intervalMs: 10 } })
  await master.spawn('true', [], { timeline: false })
  // @ts-expect-error
  await master.run('true', [], { timeline: { interval: 10 } })
  // @ts-expect-error
  renderTimeline(result, { titel: 'x' })
}

export function telemetry(): void {
  expectTypeOf(instrument).returns.toEqualTypeOf<Instrumentation>()
  expectTypeOf<Instrumentation>().toExtend<Disposable>()
  const given = [
    {},
    { tracer, meter },
    { tracer: false, meter: undefined, arguments: true },
  ] satisfies InstrumentOptions[]
  given.forEach((options) => instrument(options))
  // @ts-expect-error
  instrument({ tracer: true })
}
