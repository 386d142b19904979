/** One program over many inputs, as the caller has it. batch-run.ts does the work. */
import type { ContainerPath } from '../options/primitives.js'
import type { Encoding, OutputOf } from '../options/run-options.js'
import {
  checkInputs,
  planBatch,
  type BatchInputs,
  type BatchOptions,
  type BatchPlan,
  type Cells,
} from './batch-options.js'
import type { BatchOutcome, BatchResult } from './batch-result.js'
import { BatchRun } from './batch-run.js'

/** How far the inputs taken may be ahead of the results given to who iterates, as a multiple of the concurrency. */
const AHEAD = 4

/**
 * One program over many inputs, from `Pool.runMany()` or `Master.runMany()`. Nothing starts before one of these is asked for:
 *
 * - Awaiting it gives an array with an outcome for each input, in their order. Inputs that an iterable was not asked for because the
 *   batch had stopped are not in it; those of an array are, as `skipped`.
 * - Iterating over it gives the results as they come, or in the order of the inputs, without those that are skipped. No more than four times
 *   the concurrency of inputs are taken ahead of a slow consumer. Leaving the loop ends what still runs, and waits for that.
 *
 * It can be iterated once; and awaited as often as one likes, unless it was iterated first: then nothing is kept.
 *
 * Both reject when the signal is aborted, when the pool is closed, or full while nothing of the batch runs, when the only container
 * is lost, when the inputs themselves, `prepare` or `stopWhen` throw, and for an option that is not understood. Everything that was
 * started is dead by then. All else is the result of one input.
 */
export class Batch<E extends Encoding = Encoding>
  implements AsyncIterable<BatchResult<OutputOf<E>>>, PromiseLike<BatchOutcome<OutputOf<E>>[]>
{
  readonly #cells: Cells
  readonly #inputs: BatchInputs
  readonly #plan: BatchPlan
  #results: Promise<BatchOutcome[]> | undefined
  #isIterated = false

  /** @internal */
  constructor(
    cells: Cells,
    file: ContainerPath,
    args: readonly ContainerPath[],
    inputs: BatchInputs,
    options: BatchOptions<E>,
  ) {
    this.#inputs = checkInputs(inputs)
    // What `stopWhen` is asked about has the encoding that the runs are told.
    this.#plan = planBatch(cells, file, args, options as BatchOptions)
    this.#cells = cells
  }

  /** All outcomes, in the order of the inputs. */
  get results(): Promise<BatchOutcome<OutputOf<E>>[]> {
    this.#results ??= this.#isIterated ? Promise.reject(iterated()) : this.#collect()
    return this.#results as Promise<BatchOutcome<OutputOf<E>>[]>
  }

  /** Awaits {@link results}. */
  // oxlint-disable-next-line unicorn/no-thenable -- it is the contract that a batch can be awaited
  then<Fulfilled = BatchOutcome<OutputOf<E>>[], Rejected = never>(
    onfulfilled?: ((outcomes: BatchOutcome<OutputOf<E>>[]) => Fulfilled | PromiseLike<Fulfilled>) | null,
    onrejected?: ((reason: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<Fulfilled | Rejected> {
    return this.results.then(onfulfilled, onrejected)
  }

  /** Awaits {@link results}. */
  catch<Rejected = never>(
    onrejected?: ((reason: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<BatchOutcome<OutputOf<E>>[] | Rejected> {
    return this.results.catch(onrejected)
  }

  /** Awaits {@link results}. */
  finally(onfinally?: (() => void) | null): Promise<BatchOutcome<OutputOf<E>>[]> {
    return this.results.finally(onfinally)
  }

  [Symbol.asyncIterator](): AsyncGenerator<BatchResult<OutputOf<E>>, void, undefined> {
    if (this.#isIterated) throw iterated()
    this.#isIterated = true
    const results = this.#results === undefined ? this.#iterate() : kept(this.#results)
    return results as AsyncGenerator<BatchResult<OutputOf<E>>, void, undefined>
  }

  async #collect(): Promise<BatchOutcome[]> {
    const outcomes: BatchOutcome[] = []
    const settle = (outcome: BatchOutcome): void => {
      outcomes[outcome.index] = outcome
    }
    const run = new BatchRun(this.#cells, this.#inputs, this.#plan, { settle, isFull: () => false })
    const taken = await run.work()
    // What was over before the batch stopped further ahead is as if it had never been.
    const all = Array.isArray(this.#inputs) ? this.#inputs.length : taken
    for (let index = run.stopAt + 1; index < all; index++) settle({ index, status: 'skipped' })
    return outcomes
  }

  async *#iterate(): AsyncGenerator<BatchResult, void, undefined> {
    const { order, concurrency } = this.#plan
    const ready: BatchResult[] = []
    /** Over, and behind one that is not. */
    const early = new Map<number, BatchResult>()
    let [given, isOver] = [0, false]
    let news: (() => void) | undefined
    const tell = (): void => news?.()
    const isFull = (taken: number): boolean => taken - given >= AHEAD * concurrency
    const settle = (outcome: BatchOutcome): void => {
      if (outcome.status === 'skipped') return
      if (order === 'completion') ready.push(outcome)
      else early.set(outcome.index, outcome)
      for (let next = given + ready.length; early.has(next) && next <= run.stopAt; next++) {
        ready.push(early.get(next) as BatchResult)
        early.delete(next)
      }
      tell()
    }
    const run = new BatchRun(this.#cells, this.#inputs, this.#plan, { settle, isFull })
    const work = run.work().finally(() => {
      isOver = true
      tell()
    })
    // Whoever iterates hears of it, at the end.
    work.catch(() => undefined)
    try {
      for (;;) {
        for (let result = ready.shift(); result !== undefined; result = ready.shift()) {
          given++
          run.goOn()
          yield result
        }
        if (isOver) break
        await new Promise<void>((resolve) => {
          news = resolve
        })
      }
      await work
    } finally {
      run.giveUp()
      await work.catch(() => undefined)
    }
  }
}

async function* kept(results: Promise<BatchOutcome[]>): AsyncGenerator<BatchResult, void, undefined> {
  for (const outcome of await results) if (outcome.status !== 'skipped') yield outcome
}

function iterated(): Error {
  const message = 'The batch was iterated already, and keeps no results then. Await it first, or keep them in the loop'
  return Object.assign(new Error(message), { code: 'ERR_INVALID_STATE' })
}
