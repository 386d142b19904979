/**
 * A run with streams.
 *
 * The program is asked for before the constructor returns, and the object follows it from there: `#watch` awaits its end,
 * whoever else does, closes what is left of the pipes and settles everything. The result is only put together when
 * somebody asks for it, because asking is what decides who reads the output (see output.ts).
 *
 * Why a run ended is settled by what came first: the output limit, the signal, a failed input stream, or the program.
 */
import type { Readable, Writable } from 'node:stream'
import { AbortError } from './abort.js'
import type { Container } from './binding.js'
import { expect, FLAG_STARTED, type Reply } from './bridge.js'
import { failure } from './errors.js'
import { RunCancellation } from './execve.js'
import { Input } from './input.js'
import { execFileOf, type Command, type Encoding, type OutputOf } from './options/run-options.js'
import { NO_TTY } from './options/tty.js'
import { Output } from './output.js'
import { outputLimit, type RunResult, type TraceResult } from './result.js'
import { signalNumber } from './signals.js'
import { noTerminal, resize, type Terminal } from './terminal.js'
import { recorder } from './timeline/timeline.js'
import { TraceReader, type TraceEvent } from './trace.js'

const ignore = (): void => undefined

/** How an execution ended, or what it failed with; never rejects. Whoever awaits that is not who hears of a failure. @internal */
export let outcomeOf: (execution: Execution) => Promise<TraceResult | Error>

/** Kills the run, and tells those who read its streams at once. */
class ExecutionCancellation extends RunCancellation {
  error: AbortError | undefined
  readonly #signal: AbortSignal | undefined
  readonly #tell: (error: AbortError) => void

  constructor(signal: AbortSignal | undefined, container: Container, run: number, tell: (error: AbortError) => void) {
    super(signal, container, run)
    this.#signal = signal
    this.#tell = tell
  }

  protected override cancel(): void {
    super.cancel()
    this.error = new AbortError(this.#signal as AbortSignal)
    this.#tell(this.error)
  }
}

/**
 * A program that runs, from `Master.spawn()`. Awaiting it gives the {@link RunResult}.
 *
 * A stream whose property was read before the execution is awaited belongs to the caller: it has backpressure and no limit,
 * and is `''` (or an empty Buffer) in the result. The others are collected from the moment the execution is awaited, each
 * up to `limits.outputBytes`, and standard input is closed then if nobody took it. A stream that is neither taken nor
 * awaited holds the program back once its pipe is full (64 KiB), as with `child_process`.
 *
 * If the run fails (it could not be started, was aborted, or the container went away) then `result` and `started` reject.
 * Streams that were taken and have not ended yet are destroyed with the same error, by an abort at once; a program that could not be started
 * may look like one without output there, so await the execution as well. No stream without an `'error'` listener ends the
 * process. When neither a stream nor the result was ever asked for, the failure is an unhandled rejection: never silent.
 */
export class Execution<E extends Encoding = Encoding> implements PromiseLike<RunResult<OutputOf<E>>>, Terminal {
  readonly #container: Container
  readonly #command: Command
  readonly #run: number
  readonly #reply: Reply | undefined
  readonly #cancellation: ExecutionCancellation
  readonly #stdin: Input
  readonly #stdout: Output
  readonly #stderr: Output
  readonly #trace: TraceReader | undefined
  readonly #announced: Promise<number>
  /** How it ended. Never rejects. */
  readonly #ended: Promise<TraceResult | Error>
  #over = false
  #events: AsyncIterable<TraceEvent> | undefined
  /** Whether the caller will hear of a failure. */
  #observed = false
  #breach: 'stdout' | 'stderr' | undefined
  #cause: Error | undefined
  #started: Promise<number> | undefined
  #result: Promise<RunResult<OutputOf<E>>> | undefined

  static {
    outcomeOf = async (execution) => {
      const outcome = await execution.#ended
      return outcome instanceof Error ? outcome : execution.#judged(outcome)
    }
  }

  /** @internal */
  constructor(container: Container, command: Command, pipes: number) {
    this.#container = container
    this.#command = command
    const { signal } = command
    if (signal?.aborted) {
      this.#run = 0
      this.#over = true
      this.#reply = undefined
      this.#stdin = new Input(-1)
      this.#stdout = new Output(-1)
      this.#stderr = new Output(-1)
      this.#trace = undefined
      this.#announced = Promise.resolve(0)
      this.#cancellation = new ExecutionCancellation(undefined, container, 0, ignore)
      this.#ended = Promise.resolve(this.#report(new AbortError(signal)))
      return
    }
    const { args, env, cwd, rlimits, limits, seccomp, landlock, trace, tty, sampleUs } = command
    const timeline = recorder(sampleUs, args, limits.given)
    this.#trace = trace === null ? undefined : new TraceReader(trace, timeline)
    const spawned = container.spawn(
      args,
      env,
      cwd,
      execFileOf(command),
      pipes,
      rlimits,
      limits.numbers,
      limits.cpuSet,
      seccomp,
      landlock,
      this.#trace?.run ?? null,
      tty,
      sampleUs,
      FLAG_STARTED,
    )
    this.#run = spawned.id
    this.#reply = expect(container, spawned.id)
    this.#reply.timeline = timeline
    this.#stdin = new Input(spawned.stdin)
    this.#stdout = new Output(spawned.stdout)
    this.#stderr = new Output(spawned.stderr)
    this.#announced = this.#reply.announced()
    this.#cancellation = new ExecutionCancellation(signal, container, spawned.id, (error) => {
      this.#stdout.abort(error)
      this.#stderr.abort(error)
    })
    this.#trace?.start((error) => this.fail(error))
    this.#ended = this.#watch(this.#reply)
  }

  /** The pid of the main process as the host sees it; undefined until the program runs, see {@link started}. */
  get pid(): number | undefined {
    return this.#reply?.pid || undefined
  }

  /** The same, once it runs. Rejects as `result` does if it never does. */
  get started(): Promise<number> {
    this.#observed = true
    if (this.#started === undefined) {
      this.#started = this.#start()
      this.#started.catch(ignore)
    }
    return this.#started
  }

  /** Standard input; with `tty` what is typed, see {@link Terminal.stdin}. With `stdin: 'ignore'`, and after the end, what is written goes nowhere. */
  get stdin(): Writable {
    return this.#stdin.take()
  }

  /** Standard output; with `tty` what is shown, see {@link Terminal.stdout}. Empty with `stdout: 'ignore'`. */
  get stdout(): Readable {
    this.#observed = true
    return this.#stdout.take()
  }

  /** Standard error; empty with `stderr: 'ignore'`, and with `tty`. */
  get stderr(): Readable {
    this.#observed = true
    return this.#stderr.take()
  }

  /**
   * What happens in it, with the `trace` option; to be iterated once. Reading the property takes the events from then on: whoever does not iterate, or is too
   * slow, holds the program back, as with a stream. Ends with the run, and throws if `trace.onEvent` did.
   */
  get trace(): AsyncIterable<TraceEvent> {
    return (this.#events ??= this.#trace?.take() ?? none())
  }

  /**
   * How it ended, and the output that nobody took. Rejects with a {@link HotcellError} if the program could not be started
   * or the container was lost, and with an {@link AbortError} if the signal was aborted.
   */
  get result(): Promise<RunResult<OutputOf<E>>> {
    this.#observed = true
    return (this.#result ??= this.#collect())
  }

  /**
   * Sends a signal to the main process, kill(2). Everything else that belongs to the run dies with it.
   *
   * @param signal name or number; 0 sends none
   * @returns whether the run went on
   * @throws {TypeError} if there is no such signal
   */
  kill(signal: NodeJS.Signals | number = 'SIGTERM'): boolean {
    const number = signalNumber(signal)
    if (this.#over) return false
    if (number !== 0) this.#container.kill(this.#run, number)
    return true
  }

  /**
   * Gives the terminal another size; its foreground programs get SIGWINCH.
   *
   * @param columns characters in a line, 1 to 65,535
   * @param rows lines, 1 to 65,535
   * @returns whether the run went on
   * @throws {RangeError} (or TypeError) for what is no size
   * @throws {HotcellError} `ERR_HOTCELL_NO_TTY`: the run was started without `tty`
   */
  resize(columns: number, rows: number): boolean {
    if (this.#command.tty === NO_TTY) throw noTerminal()
    return resize(this.#container, this.#run, this.#over, columns, rows)
  }

  /** Awaits {@link result}. */
  // oxlint-disable-next-line unicorn/no-thenable -- it is the contract that an execution can be awaited
  then<Fulfilled = RunResult<OutputOf<E>>, Rejected = never>(
    onfulfilled?: ((result: RunResult<OutputOf<E>>) => Fulfilled | PromiseLike<Fulfilled>) | null,
    onrejected?: ((reason: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<Fulfilled | Rejected> {
    return this.result.then(onfulfilled, onrejected)
  }

  /** Awaits {@link result}. */
  catch<Rejected = never>(
    onrejected?: ((reason: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<RunResult<OutputOf<E>> | Rejected> {
    return this.result.catch(onrejected)
  }

  /** Awaits {@link result}. */
  finally(onfinally?: (() => void) | null): Promise<RunResult<OutputOf<E>>> {
    return this.result.finally(onfinally)
  }

  /** Kills the run, which then fails for this reason, unless it has another one already. @internal */
  fail(cause: Error): void {
    if (this.#over || this.#cause !== undefined || this.#breach !== undefined || this.#cancellation.aborted) return
    this.#cause = cause
    this.#cancel()
  }

  async #watch(reply: Reply): Promise<TraceResult | Error> {
    await reply.settled
    this.#over = true
    this.#cancellation.stop()
    this.#trace?.finish(reply.result)
    return this.#report(this.#outcome(reply))
  }

  #outcome(reply: Reply): TraceResult | Error {
    if (this.#cancellation.error !== undefined) return this.#cancellation.error.used(reply.result)
    if (this.#cause !== undefined) return this.#cause
    if (this.#trace?.error !== undefined) return this.#trace.error
    if (reply.error !== undefined) return failure(reply.error)
    return reply.result as TraceResult
  }

  #report(outcome: TraceResult | Error): TraceResult | Error {
    if (!(outcome instanceof Error)) {
      this.#stdin.finish()
      this.#stdout.finish()
      this.#stderr.finish()
      return outcome
    }
    this.#stdin.finish(outcome)
    this.#stdout.fail(outcome)
    this.#stderr.fail(outcome)
    // Later than whatever the caller does right after spawn(), should the failure have come before that.
    setImmediate(() => {
      if (!this.#observed) void this.result
    })
    return outcome
  }

  async #start(): Promise<number> {
    const pid = await this.#announced
    if (pid !== 0) return pid
    const outcome = await this.#ended
    if (outcome instanceof Error) throw outcome
    return (this.#reply as Reply).pid
  }

  async #collect(): Promise<RunResult<OutputOf<E>>> {
    const { limits, encoding } = this.#command
    this.#stdin.closeUntaken()
    this.#stdout.collect(limits.outputBytes, () => this.#exceed('stdout'))
    this.#stderr.collect(limits.outputBytes, () => this.#exceed('stderr'))
    const outcome = await this.#ended
    if (outcome instanceof Error) throw outcome
    const output = (bytes: Buffer): string | Buffer => (encoding === 'buffer' ? bytes : bytes.toString())
    return Object.assign(this.#judged(outcome), {
      stdout: output(this.#stdout.collected()),
      stderr: output(this.#stderr.collected()),
      files: {},
    }) as RunResult<OutputOf<E>>
  }

  /** Of a run that was ended for another limit there may be more than was to be kept. */
  #judged(outcome: TraceResult): TraceResult {
    const isLimited = outcome.status === 'time-limit' || outcome.status === 'memory-limit'
    return this.#breach === undefined || isLimited ? outcome : outputLimit(outcome, this.#breach)
  }

  #exceed(which: 'stdout' | 'stderr'): void {
    if (this.#breach !== undefined || this.#cause !== undefined || this.#cancellation.aborted) return
    this.#breach = which
    if (!this.#over) this.#cancel()
  }

  #cancel(): void {
    this.#cancellation.stop()
    this.#container.cancel(this.#run)
  }
}

/** Of a run that is not traced. */
async function* none(): AsyncGenerator<never, void, undefined> {}
