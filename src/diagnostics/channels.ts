/**
 * What hotcell tells whoever wants to watch it: channels of node:diagnostics_channel.
 *
 * Everything here runs on the JS thread, in the call that it tells of. An operation is told of on a `TracingChannel`, a moment on a plain channel. Nothing is put together
 * for a channel that nobody listens to: the methods look at {@link isObserved} and go their way. Messages are objects of their own, so
 * whoever writes to them harms nobody; but what they refer to (results, options) is the caller's.
 */
import { channel, tracingChannel, type Channel, type TracingChannel } from 'node:diagnostics_channel'
import type { ContainerPath } from '../options/primitives.js'
import type { Limits } from '../options/limits.js'
import type { MasterOptions } from '../options/master-options.js'
import type { Master } from '../master.js'
import type { PipelineResult } from '../pipeline/result.js'
import type { Pool } from '../pool/pool.js'
import type { TraceResult } from '../result.js'

/** What all messages of a `TracingChannel` have in common. */
export interface OperationMessage {
  /**
   * A subscriber of `start` may set it: what is done then is done through it, so that it is in a context of the subscriber's. It has to call the function
   * once, and return what that returns. (Whoever owns an `AsyncLocalStorage` has `channel.start.bindStore` for that.) One that is there
   * already is to be called by the one that takes its place.
   */
  within?: (<T>(fn: () => T) => T) | undefined
  /** What it failed with, from `error` on. */
  error?: unknown
}

/** `tracing:hotcell:create:*`: a container is made. */
export interface CreateMessage extends OperationMessage {
  /** As they were given. */
  readonly options: MasterOptions | undefined
  /** From `asyncStart` on, if it did not fail. */
  result?: Master
}

/** `tracing:hotcell:run:*`: a program is run, by `Master.run`, `spawn` or `execve`, whoever calls these: a pool and a pipeline do, too. */
export interface RunMessage extends OperationMessage {
  readonly method: 'run' | 'spawn' | 'execve'
  /** The pid of the container's init. */
  readonly initPid: number
  /** The program and its arguments, as they were given. */
  readonly args: readonly ContainerPath[]
  /** As they were given, with those of the container. */
  readonly limits: Limits
  /** How it ended, from `asyncStart` on, if it did not fail. Of `Master.run` with the output. */
  result?: TraceResult
}

/**
 * `tracing:hotcell:copy:*`: a file or a directory is copied into or out of a container. `files` and `collect` of a run do that as well. An archive that
 * comes out is told of from the moment when somebody reads it until it is closed.
 */
export interface CopyMessage extends OperationMessage {
  readonly direction: 'in' | 'out'
  /** The pid of the container's init. */
  readonly initPid: number
  /** In the container, as it was given. */
  readonly path: ContainerPath
}

/** `tracing:hotcell:reset:*`: a container is reset. */
export interface ResetMessage extends OperationMessage {
  /** The pid of the container's init. */
  readonly initPid: number
}

/** `hotcell:close`: a container is gone, with every process in it. */
export interface CloseMessage {
  /** The pid that its init had. */
  readonly initPid: number
  /** Whether it was asked for, by `destroy()`; else it was lost. */
  readonly requested: boolean
}

/** `tracing:hotcell:pool:turn:*`: somebody waits for containers of a pool, has them, and gives them back. */
export interface PoolTurnMessage extends OperationMessage {
  readonly pool: Pool
  /** Who: `Pool.run`, `Pool.use`, or a pipeline with the option `pool`. */
  readonly method: 'run' | 'use' | 'pipeline'
  /** How many containers are wanted at once. */
  readonly wanted: number
  /** How many others waited when it came. */
  readonly queued: number
  /** How long it waited in milliseconds, once it had what it wanted. */
  waitTimeMs?: number
  /** What came of it: of `Pool.use` what the function returned. */
  result?: unknown
}

/** `hotcell:pool:open`, `hotcell:pool:close`: a pool has its first containers; or it has none any more, and never will. */
export interface PoolMessage {
  readonly pool: Pool
}

/** `hotcell:pool:lost`: a container of a pool went away by itself, or a user destroyed it. */
export interface PoolLostMessage extends PoolMessage {
  /** The pid that its init had. */
  readonly initPid: number
  /** What it was doing. */
  readonly state: 'idle' | 'busy' | 'resetting'
}

/** `hotcell:pool:failed`: a container could not be made, or not be made ready for the next user. */
export interface PoolFailedMessage extends PoolMessage {
  readonly during: 'create' | 'reset'
  readonly error: unknown
}

/** `tracing:hotcell:pipeline:*`: a pipeline runs. */
export interface PipelineMessage extends OperationMessage {
  /** The names of the stages, or their numbers. */
  readonly stages: readonly (string | number)[]
  /** From `asyncStart` on, if it did not fail. */
  result?: Pick<PipelineResult, 'ok' | 'cause' | 'deadlock' | 'wallTimeMs'>
}

function tracing<M extends OperationMessage>(name: string): TracingChannel<unknown, M> {
  return tracingChannel<unknown, M>(`hotcell:${name}`)
}

function plain<M>(name: string): Channel<unknown, M> {
  return channel(`hotcell:${name}`) as Channel<unknown, M>
}

/**
 * The channels, with the types of their messages. They are those that `node:diagnostics_channel` has under the same names
 * (`tracing:hotcell:run:start`, `hotcell:close`, …), so whoever cannot import hotcell listens there.
 *
 * | channel | tells of |
 * |---|---|
 * | `create`, `reset` | a container that is made, or reset |
 * | `run` | a program, from the call to its verdict |
 * | `copy` | a file, a directory or an archive that goes in or comes out |
 * | `close` | a container that is gone |
 * | `pipeline` | a pipeline |
 * | `poolTurn` | a turn with a container of a pool, the waiting for it included |
 * | `poolOpen`, `poolClose`, `poolLost`, `poolFailed` | what becomes of a pool and its containers |
 *
 * @example
 * ```ts
 * import { channels } from 'hotcell'
 *
 * channels.run.asyncEnd.subscribe((message) => {
 *   const { args, result, error } = message as RunMessage
 *   console.log(args[0], result?.status ?? error)
 * })
 * ```
 */
export const channels = {
  create: tracing<CreateMessage>('create'),
  run: tracing<RunMessage>('run'),
  copy: tracing<CopyMessage>('copy'),
  reset: tracing<ResetMessage>('reset'),
  pipeline: tracing<PipelineMessage>('pipeline'),
  poolTurn: tracing<PoolTurnMessage>('pool:turn'),
  close: plain<CloseMessage>('close'),
  poolOpen: plain<PoolMessage>('pool:open'),
  poolClose: plain<PoolMessage>('pool:close'),
  poolLost: plain<PoolLostMessage>('pool:lost'),
  poolFailed: plain<PoolFailedMessage>('pool:failed'),
} as const

/** The channels of an operation. */
type Operation = Readonly<
  Record<'start' | 'end' | 'asyncStart' | 'asyncEnd' | 'error', { readonly hasSubscribers: boolean }>
>

/** Whether anybody listens. (Not every runtime that has TracingChannels has such a getter on them.) */
export function isObserved(operation: Operation): boolean {
  return (
    operation.start.hasSubscribers ||
    operation.asyncEnd.hasSubscribers ||
    operation.error.hasSubscribers ||
    operation.end.hasSubscribers ||
    operation.asyncStart.hasSubscribers
  )
}

/** Does something that is observed, and tells of it. */
export function observe<M extends OperationMessage, T>(
  operation: TracingChannel<unknown, M>,
  message: M,
  fn: () => Promise<T>,
): Promise<T> {
  return operation.tracePromise(() => inContext(message, fn), message)
}

/**
 * The same for what returns at once and ends later: `ended` gives a promise of its result, which never rejects, or of the error that it failed
 * with.
 */
export function observeLater<M extends OperationMessage & { result?: unknown }, T>(
  operation: TracingChannel<unknown, M>,
  message: M,
  fn: () => T,
  ended: (made: T) => Promise<unknown>,
): T {
  const { start, end, asyncStart, asyncEnd, error } = operation
  const begun = start.runStores(message, () => {
    try {
      return inContext(message, fn)
    } catch (cause) {
      message.error = cause
      error.publish(message)
      throw cause
    } finally {
      end.publish(message)
    }
  }) as T
  void ended(begun).then((outcome) => {
    if (outcome instanceof Error) {
      message.error = outcome
      error.publish(message)
    } else if (outcome !== undefined) {
      message.result = outcome
    }
    asyncStart.publish(message)
    asyncEnd.publish(message)
  })
  return begun
}

function inContext<T>(message: OperationMessage, fn: () => T): T {
  return message.within === undefined ? fn() : message.within(fn)
}
