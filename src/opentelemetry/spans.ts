/**
 * A span for each operation.
 *
 * It is made in `start`, where the caller's context is active, and what the operation does is done in a context of its own, so that spans of users and of
 * hotcell within it are its children.
 */
import {
  context,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type Span,
  type Tracer,
} from '@opentelemetry/api'
import type { TracingChannel } from 'node:diagnostics_channel'
import { channels, type OperationMessage } from '../diagnostics/channels.js'
import type { Usage } from '../result.js'
import { commandArgs, ending, errorType, executable, limits, shown, usage } from './attributes.js'

/** What one kind of operation is called, and what is known at its beginning and at its end. */
interface Kind<M extends OperationMessage> {
  name: string
  begin(message: M): Attributes
  end?(message: M, span: Span): Attributes
}

interface Begun {
  span: Span
  within: Context
}

/** Begins to make them; the function that is returned ends that. */
export function traceOperations(tracer: Tracer, withArguments: boolean): () => void {
  const pid = (initPid: number): Attributes => ({ 'hotcell.init.pid': initPid })
  const ends = [
    follow(tracer, channels.create, {
      name: 'hotcell.create',
      begin: () => ({}),
      end: ({ result }) => (result === undefined ? {} : pid(result.pid)),
    }),
    follow(tracer, channels.run, {
      name: 'hotcell.run',
      begin: ({ method, initPid, args, limits: given }) => ({
        'hotcell.method': method,
        ...pid(initPid),
        ...executable(args),
        ...(withArguments ? commandArgs(args) : {}),
        ...limits(given),
      }),
      end: ({ result, error }) => {
        if (result !== undefined) return { ...ending(result), ...usage(result) }
        // What an aborted run had used.
        const used = (error as { result?: Usage } | undefined)?.result
        return used === undefined ? {} : usage(used)
      },
    }),
    follow(tracer, channels.copy, {
      name: 'hotcell.copy',
      begin: ({ direction, initPid, path }) => ({
        'hotcell.direction': direction,
        ...pid(initPid),
        ...(withArguments ? { 'file.path': shown(path) } : {}),
      }),
    }),
    follow(tracer, channels.reset, { name: 'hotcell.reset', begin: ({ initPid }) => pid(initPid) }),
    follow(tracer, channels.pipeline, {
      name: 'hotcell.pipeline',
      begin: ({ stages }) => ({ 'hotcell.stages': stages.map(String) }),
      end: ({ result }) =>
        result === undefined
          ? {}
          : {
              'hotcell.ok': result.ok,
              'hotcell.cause': result.cause,
              'hotcell.deadlock': result.deadlock,
              'hotcell.wall_time_ms': result.wallTimeMs,
            },
    }),
    followTurns(tracer),
  ]
  return () => {
    for (const end of ends) end()
  }
}

/** A turn, and in it the waiting for it, if there was any. */
function followTurns(tracer: Tracer): () => void {
  const began = new WeakMap<object, number>()
  return follow(tracer, channels.poolTurn, {
    name: 'hotcell.pool.turn',
    begin: (message) => {
      began.set(message, Date.now())
      const { method, wanted, queued } = message
      return { 'hotcell.method': method, 'hotcell.pool.wanted': wanted, 'hotcell.pool.queued': queued }
    },
    end: (message, span) => {
      const { waitTimeMs } = message
      if (waitTimeMs === undefined) return {}
      const startTime = began.get(message)
      if (waitTimeMs > 0 && startTime !== undefined) {
        const parent = trace.setSpan(context.active(), span)
        tracer
          .startSpan('hotcell.pool.wait', { kind: SpanKind.INTERNAL, startTime }, parent)
          .end(startTime + waitTimeMs)
      }
      return { 'hotcell.pool.wait_time_ms': waitTimeMs }
    },
  })
}

function follow<M extends OperationMessage>(
  tracer: Tracer,
  operation: TracingChannel<unknown, M>,
  kind: Kind<M>,
): () => void {
  const spans = new WeakMap<object, Begun>()
  const start = (data: unknown): void => {
    const message = data as M
    const attributes = kind.begin(message)
    const span = tracer.startSpan(kind.name, { kind: SpanKind.INTERNAL, attributes })
    const within = trace.setSpan(context.active(), span)
    spans.set(message, { span, within })
    const other = message.within
    message.within = (fn) => context.with(within, other === undefined ? fn : () => other(fn))
  }
  const finish = (data: unknown): void => {
    const message = data as M
    const begun = spans.get(message)
    if (begun === undefined) return
    spans.delete(message)
    const { span, within } = begun
    span.setAttributes(context.with(within, () => kind.end?.(message, span) ?? {}))
    const { error } = message
    if (error !== undefined) {
      span.recordException(error instanceof Error ? error : String(error))
      span.setAttribute('error.type', errorType(error))
      span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message : String(error) })
    }
    span.end()
  }
  // What fails before it returns has no end of its own.
  const returned = (data: unknown): void => {
    if ((data as M).error !== undefined) finish(data)
  }
  operation.start.subscribe(start)
  operation.end.subscribe(returned)
  operation.asyncEnd.subscribe(finish)
  return () => {
    operation.start.unsubscribe(start)
    operation.end.unsubscribe(returned)
    operation.asyncEnd.unsubscribe(finish)
  }
}
