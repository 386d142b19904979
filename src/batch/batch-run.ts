/**
 * The work of a batch: takes inputs, has them run, and tells what came of each.
 *
 * One loop (`#take`) takes the inputs, one at a time, when there is room for another run. Each of them is run in a *turn* with a
 * container: in one of its own, or where containers are not reset in between, in one that has done with its last input and is
 * *parked*. What has been taken and is not over yet is in `#inFlight`, each with a controller that ends it alone.
 *
 * The batch ends in one of three ways. All inputs are over. Or it *stops* at an input, and what stands behind that one is
 * ended. Or it *fails* (the signal, a source of inputs that throws, a pool that was closed, an option that is not understood): then
 * everything is ended, and the first cause is what it rejects with. In each case it is over only when every turn is, and so when
 * everything that it has started is dead.
 */
import { AbortError, refuseAborted, ToldCancellation } from '../abort.js'
import { HotcellError } from '../errors.js'
import type { Master } from '../master.js'
import type { ContainerPath } from '../options/primitives.js'
import { execFileOf, type RunOptions } from '../options/run-options.js'
import { sealWhole } from '../seal.js'
import { SealedFile } from '../sealed-file.js'
import { planInput, type BatchInputs, type BatchPlan, type Cells } from './batch-options.js'
import type { BatchOutcome, BatchResult } from './batch-result.js'

/** Who is told. */
export interface Listener {
  /** Of an input that was taken. Once for each, unless the batch fails; in the order in which they are over. */
  settle(outcome: BatchOutcome): void
  /** Whether no more inputs may be taken for now; {@link BatchRun.goOn} says that this has changed. */
  isFull(taken: number): boolean
}

interface Input {
  readonly index: number
  readonly args: readonly ContainerPath[]
  readonly options: RunOptions
  readonly ending: AbortController
}

export class BatchRun {
  readonly #cells: Cells
  readonly #plan: BatchPlan
  readonly #inputs: BatchInputs
  readonly #listener: Listener
  /** Taken and not over. */
  readonly #inFlight = new Map<number, Input>()
  readonly #turns = new Set<Promise<void>>()
  /** Containers that wait for another input. */
  readonly #parked: ((input: Input | undefined) => void)[] = []
  /** Those that found the pool full, and try again when another turn is over. */
  readonly #refused: Input[] = []
  readonly #ending = new AbortController()
  #execFile: unknown
  #taken = 0
  /** No more inputs are asked for. */
  #isTaken = false
  /** Behind this input everything is skipped. */
  #stopAt = Infinity
  #isOver = false
  #failure: { cause: unknown } | undefined
  #wake: (() => void) | undefined

  constructor(cells: Cells, inputs: BatchInputs, plan: BatchPlan, listener: Listener) {
    this.#cells = cells
    this.#inputs = inputs
    this.#plan = plan
    this.#listener = listener
    this.#execFile = plan.execFile
  }

  /** The input that the batch has stopped at; Infinity if it has not. */
  get stopAt(): number {
    return this.#stopAt
  }

  /** Does it; resolves with how many inputs were taken, and rejects with what it failed for. To be called once. */
  async work(): Promise<number> {
    const { signal } = this.#plan
    refuseAborted(signal)
    const cancellation = new ToldCancellation(signal, () => this.#fail(new AbortError(signal as AbortSignal)))
    let sealed: SealedFile | undefined
    try {
      sealed = await this.#seal()
      await this.#take()
    } catch (error) {
      this.#fail(error)
    } finally {
      this.#isTaken = true
      for (const unpark of this.#parked.splice(0)) unpark(undefined)
      while (this.#turns.size > 0) await Promise.all(this.#turns)
      cancellation.stop()
      sealed?.close()
      this.#isOver = true
    }
    if (this.#failure !== undefined) throw this.#failure.cause
    return this.#taken
  }

  /** There may be room for another input again. */
  goOn(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }

  /** Ends everything; nobody wants to know. */
  giveUp(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#ending.abort()
    for (const { ending } of this.#inFlight.values()) ending.abort()
    this.goOn()
  }

  #fail(cause: unknown): void {
    if (this.#isOver) return
    this.#failure = { cause }
    this.giveUp()
  }

  /** What several containers execute must be nothing that one of them could change. */
  async #seal(): Promise<SealedFile | undefined> {
    if (this.#execFile === undefined || this.#execFile instanceof SealedFile) return undefined
    const sealed = await sealWhole(execFileOf({ execFile: this.#execFile }), this.#ending.signal)
    this.#execFile = sealed
    return sealed
  }

  // ── inputs ───────────────────────────────────────────────────────────────

  async #take(): Promise<void> {
    const iterator =
      Symbol.asyncIterator in this.#inputs ? this.#inputs[Symbol.asyncIterator]() : this.#inputs[Symbol.iterator]()
    let isExhausted = false
    try {
      for (;;) {
        while (!this.#isEnding() && this.#isFull()) await this.#change()
        if (this.#isEnding()) return
        const step = await this.#next(iterator)
        if (step === undefined) return
        isExhausted = step.done === true
        if (isExhausted) return
        this.#begin(step.value)
      }
    } catch (error) {
      // An iterator that has thrown is not to be returned.
      isExhausted = true
      throw error
    } finally {
      if (!isExhausted) leave(iterator)
    }
  }

  #isEnding(): boolean {
    return this.#isOver || this.#stopAt !== Infinity
  }

  #isFull(): boolean {
    // Not what is in flight: a container is in use until its turn is over, which is a little later.
    const used = this.#turns.size - this.#parked.length + this.#refused.length
    return used >= this.#plan.concurrency || this.#listener.isFull(this.#taken)
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  /** The next input; undefined if the batch ends while it is awaited. */
  async #next(iterator: Iterator<unknown> | AsyncIterator<unknown>): Promise<IteratorResult<unknown> | undefined> {
    const asked = iterator.next()
    if (!(asked instanceof Promise) && !isThenable(asked)) return asked
    let step: IteratorResult<unknown> | undefined
    let failure: { cause: unknown } | undefined
    void Promise.resolve(asked).then(
      (given) => {
        step = given
        this.goOn()
      },
      (cause: unknown) => {
        failure = { cause }
        this.goOn()
      },
    )
    const isOpen = (): boolean => step === undefined && failure === undefined
    while (isOpen() && !this.#isEnding()) await this.#change()
    if (failure !== undefined) throw (failure as { cause: unknown }).cause
    return this.#isEnding() ? undefined : step
  }

  #begin(value: unknown): void {
    const input = { index: this.#taken, ...planInput(this.#plan, value), ending: new AbortController() }
    this.#taken++
    this.#inFlight.set(input.index, input)
    this.#serve(input)
  }

  #serve(input: Input): void {
    const parked = this.#parked.shift()
    if (parked !== undefined) {
      parked(input)
      return
    }
    const turn = this.#turn(input).then((refusal) => {
      this.#turns.delete(turn)
      const refused = refusal === undefined && !this.#isOver ? this.#refused.shift() : undefined
      if (refused !== undefined) this.#serve(refused)
      // Nothing of ours is in the pool that could make room: it is full of others.
      else if (refusal !== undefined && this.#turns.size === 0) this.#fail(refusal)
      this.goOn()
    })
    this.#turns.add(turn)
  }

  // ── containers ───────────────────────────────────────────────────────────

  /** One turn with a container. Never rejects; resolves with the error if the pool was full. */
  async #turn(first: Input): Promise<unknown> {
    let isGiven = false
    try {
      await this.#cells.use(async (master) => {
        isGiven = true
        await this.#runIn(master, first)
      }, first.ending.signal)
    } catch (error) {
      if (!isGiven) return this.#notGiven(first, error)
      this.#fail(error)
    }
    return undefined
  }

  async #runIn(master: Master, first: Input): Promise<void> {
    const { isPool } = this.#cells
    const { reset } = this.#plan
    let isGone = false
    let leavePark = (): void => undefined
    void master.closed.then(() => {
      isGone = true
      leavePark()
    })
    let isPrepared = false
    for (let input: Input | undefined = first; input !== undefined;) {
      isPrepared = await this.#run(master, input, isPrepared && !reset)
      const isDone = isPool && (reset || !isPrepared)
      if (isDone || isGone || this.#isOver) return
      input = this.#refused.shift()
      if (input !== undefined) continue
      if (this.#isTaken) return
      input = await new Promise<Input | undefined>((resolve) => {
        this.#parked.push(resolve)
        leavePark = () => {
          const place = this.#parked.indexOf(resolve)
          if (place !== -1) this.#parked.splice(place, 1)
          resolve(undefined)
        }
        this.goOn()
      })
      if (input !== undefined && isGone && isPool) {
        // It was lost while it waited: that is no concern of this input.
        this.#serve(input)
        return
      }
    }
  }

  /** Runs one, and says whether the container is as it should be for another one. */
  async #run(master: Master, input: Input, isPrepared: boolean): Promise<boolean> {
    const { file } = this.#plan
    let isDone = isPrepared
    try {
      if (!isPrepared) await this.#prepare(master, input.ending.signal)
      isDone = true
      const options = {
        ...input.options,
        signal: input.ending.signal,
        execFile: this.#execFile as SealedFile | undefined,
      }
      const result = await master.run(file, input.args, options)
      this.#settle(input, { index: input.index, ...result })
      return true
    } catch (error) {
      this.#settleError(input, error)
      return isDone && !isLoss(error)
    }
  }

  async #prepare(master: Master, signal: AbortSignal): Promise<void> {
    const { reset, files, prepare } = this.#plan
    if (reset && !this.#cells.isPool) await master.reset({ signal })
    for (const [path, source] of Object.entries(files)) await master.copyIn(source, path, { signal })
    try {
      await prepare?.(master)
    } catch (error) {
      if (!(error instanceof HotcellError)) this.#fail(error)
      throw error
    }
    refuseAborted(signal)
  }

  /** No container was to be had. Returns the error if that was for lack of room, and the input is to try again. */
  #notGiven(input: Input, error: unknown): unknown {
    const code = error instanceof HotcellError ? error.code : undefined
    if (code === 'ERR_HOTCELL_CLOSED') this.#fail(error)
    if (code !== 'ERR_HOTCELL_POOL_FULL' || input.index > this.#stopAt || this.#isOver) {
      this.#settleError(input, error)
      return undefined
    }
    if (this.#parked.length > 0) {
      this.#serve(input)
      return undefined
    }
    this.#refused.push(input)
    return error
  }

  // ── results ──────────────────────────────────────────────────────────────

  #settleError(input: Input, error: unknown): void {
    const isLost = !this.#cells.isPool && isLoss(error)
    if (input.index <= this.#stopAt && (isLost || isCallersFault(error))) this.#fail(error)
    this.#settle(input, {
      index: input.index,
      status: 'failed',
      error: error instanceof Error ? error : new Error('something that is no Error was thrown', { cause: error }),
    })
  }

  #settle(input: Input, result: BatchResult): void {
    const { index } = input
    this.#inFlight.delete(index)
    if (!this.#isOver) {
      if (index < this.#stopAt) this.#judge(result)
      // It may have been judged to be the end of the batch, or the judge may have failed.
      if (!this.#isOver) this.#listener.settle(index <= this.#stopAt ? result : { index, status: 'skipped' })
    }
    this.goOn()
  }

  #judge(result: BatchResult): void {
    try {
      if (this.#plan.isStop?.(result) !== true) return
    } catch (error) {
      this.#fail(error)
      return
    }
    this.#stopAt = result.index
    for (const { index, ending } of this.#inFlight.values()) if (index > this.#stopAt) ending.abort()
  }
}

/** After these a container is of no use any more. */
const losses: ReadonlySet<string> = new Set([
  'ERR_HOTCELL_CLOSED',
  'ERR_HOTCELL_CONTAINER_LOST',
  'ERR_HOTCELL_PROTOCOL',
  'ERR_HOTCELL_TIMEOUT',
])

function isLoss(error: unknown): boolean {
  return error instanceof HotcellError && losses.has(error.code)
}

/** An option that is not understood: no input will fare better. */
function isCallersFault(error: unknown): boolean {
  const code =
    error instanceof TypeError || error instanceof RangeError ? (error as { code?: unknown }).code : undefined
  return typeof code === 'string' && (code.startsWith('ERR_INVALID_ARG_') || code === 'ERR_OUT_OF_RANGE')
}

function isThenable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'then' in value
}

/** Has an iterator give up what it holds. One that is asked for its next value does so when it is done with that; nobody waits. */
function leave(iterator: Iterator<unknown> | AsyncIterator<unknown>): void {
  try {
    Promise.resolve(iterator.return?.()).catch(() => undefined)
  } catch {
    // The batch has another cause of ending.
  }
}
