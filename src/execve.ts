import { AbortError, Cancellation, refuseAborted } from './abort.js'
import type { Container } from './binding.js'
import { expect, FLAG_SYNC, type Reply } from './bridge.js'
import { failure } from './errors.js'
import { cancellableSignal, type Cancellable } from './options/cancellable.js'
import { encodeExecve, type ExecveParam } from './options/execve-param.js'
import type { EncodedLimits } from './options/limits.js'
import type { TraceResult } from './result.js'
import { ExecveTerminal, type Terminal } from './terminal.js'
import { recorder } from './timeline/timeline.js'
import { TraceReader } from './trace.js'

/** Ends a run when the signal comes; native sees to it that the run's end is reported after all. */
export class RunCancellation extends Cancellation {
  readonly #container: Container
  readonly #run: number

  constructor(signal: AbortSignal | undefined, container: Container, run: number) {
    super(signal)
    this.#container = container
    this.#run = run
  }

  protected cancel(): void {
    this.#container.cancel(this.#run)
  }
}

/** The seed's primitive. */
export async function execve(
  container: Container,
  param: ExecveParam,
  options: Cancellable | undefined,
  defaults: EncodedLimits,
): Promise<TraceResult> {
  const {
    args,
    env,
    cwd,
    fds,
    execFile,
    rlimits,
    limits,
    seccomp,
    landlock,
    trace,
    tty,
    sampleUs,
    onTerminal,
    syncFunc,
  } = encodeExecve(param, defaults)
  const signal = cancellableSignal(options)
  refuseAborted(signal)
  const flags = syncFunc === undefined ? 0 : FLAG_SYNC
  const terminal = onTerminal === undefined ? undefined : new ExecveTerminal(container)
  const timeline = recorder(sampleUs, args, limits.given)
  const reader = trace === null ? undefined : new TraceReader(trace, timeline)
  const start = (): number =>
    container.execve(
      args,
      env,
      cwd,
      terminal === undefined ? fds : [...terminal.fds],
      execFile,
      rlimits,
      limits.numbers,
      limits.cpuSet,
      seccomp,
      landlock,
      reader?.run ?? null,
      tty,
      sampleUs,
      flags,
    )
  const run = terminal === undefined ? start() : terminal.begin(start)
  const reply = expect(container, run)
  reply.timeline = timeline
  if (signal === undefined && syncFunc === undefined && reader === undefined && terminal === undefined) {
    return ended(await reply.settled)
  }
  reader?.start(() => container.cancel(run))

  const cancellation = new RunCancellation(signal, container, run)
  try {
    if (terminal !== undefined) await present(terminal, onTerminal as (terminal: Terminal) => void, container, reply)
    if (syncFunc !== undefined) await synchronise(container, reply, syncFunc, cancellation)
    await reply.settled
    reader?.finish(reply.result)
    if (cancellation.aborted) throw new AbortError(signal as AbortSignal, reply.result)
    if (reader?.error !== undefined) throw reader.error
    const result = ended(reply)
    terminal?.end()
    return result
  } catch (error) {
    terminal?.end(error as Error)
    throw error
  } finally {
    cancellation.stop()
    // Once more is no harm, and after a failure it is the first time.
    reader?.finish(undefined)
  }
}

/** Gives the terminal to the caller. What that throws is thrown once the run is gone. */
async function present(
  terminal: Terminal,
  onTerminal: (terminal: Terminal) => void,
  container: Container,
  reply: Reply,
): Promise<void> {
  try {
    onTerminal(terminal)
  } catch (error) {
    container.cancel(reply.id)
    await reply.settled
    throw error
  }
}

/**
 * Lets `syncFunc` decide at the sync point. Its error is thrown once the run, never executed, is gone; if the signal or the
 * container's end came first, that is the cause, and what `syncFunc` does afterwards is nobody's concern.
 */
async function synchronise(
  container: Container,
  reply: Reply,
  syncFunc: (pid: number) => void | Promise<void>,
  cancellation: Cancellation,
): Promise<void> {
  const pid = await reply.announced()
  if (pid === 0 || cancellation.aborted) return
  let over = false
  const ending = reply.settled.then(() => {
    over = true
  })
  try {
    // The race also keeps a syncFunc that never settles from hanging a run that was cancelled.
    await Promise.race([syncFunc(pid), ending])
  } catch (error) {
    if (over || cancellation.aborted) return
    cancellation.stop()
    container.abort(reply.id)
    await reply.settled
    throw error
  }
  if (!over && !cancellation.aborted) container.resume(reply.id)
}

/** The result of a run that is over, or its error. */
export function ended(reply: Reply): TraceResult {
  if (reply.error !== undefined) throw failure(reply.error)
  return reply.result as TraceResult
}
