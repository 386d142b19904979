import type { Usage } from './result.js'

/**
 * What an aborted operation rejects with, of the shape of Node's own (which no module exports): tell it by
 * `error.name === 'AbortError'` or `error.code === 'ABORT_ERR'`.
 */
export class AbortError extends Error {
  override readonly name = 'AbortError' as const
  readonly code = 'ABORT_ERR' as const
  /** What an aborted run had used when it was dead; absent if nothing was executed. */
  declare readonly result?: Usage

  /** @internal */
  constructor(signal: AbortSignal, result?: Usage) {
    super('The operation was aborted', { cause: signal.reason })
    this.used(result)
  }

  /** Adds what the run had used, once that is known. @internal */
  used(result: Usage | undefined): this {
    if (result !== undefined) (this as { result?: Usage }).result = result
    return this
  }
}

/**
 * Listens to one signal during one operation. `aborted` says that the signal came while the operation went on, which from
 * then on is the operation's cause of ending, whatever else it reports.
 */
export abstract class Cancellation {
  aborted = false
  readonly #signal: AbortSignal | undefined

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal
    // An object with handleEvent instead of a function spares a closure and finds itself again when it is removed.
    signal?.addEventListener('abort', this)
  }

  /** Called once, synchronously, when the signal is aborted. */
  protected abstract cancel(): void

  /** @internal */
  handleEvent(): void {
    this.stop()
    this.aborted = true
    this.cancel()
  }

  /** Stops listening. Every operation ends with it. */
  stop(): void {
    this.#signal?.removeEventListener('abort', this)
  }

  /** Throws the AbortError if the signal came. */
  check(result?: Usage): void {
    if (this.aborted) throw new AbortError(this.#signal as AbortSignal, result)
  }
}

/** A cancellation that is looked at between steps. */
export class Checkpoint extends Cancellation {
  protected cancel(): void {}
}

/** A cancellation that somebody is told of. */
export class ToldCancellation extends Cancellation {
  readonly #tell: () => void

  constructor(signal: AbortSignal | undefined, tell: () => void) {
    super(signal)
    this.#tell = tell
  }

  protected cancel(): void {
    this.#tell()
  }
}

/** Throws if the signal is aborted already: then nothing is started. */
export function refuseAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new AbortError(signal)
}
