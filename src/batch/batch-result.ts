import type { RunResult } from '../result.js'

/**
 * How one input came out, told apart by `status`: the result of its run, or `failed` where there is none, because the program
 * could not be started, a file could not be copied, or the container was lost. The other inputs go on.
 */
export type BatchResult<Output extends string | Buffer = string | Buffer> = {
  /** Which of the inputs, from 0 on. */
  index: number
} & (
  | RunResult<Output>
  | {
      status: 'failed'
      /** A {@link HotcellError}, or what a stream failed with that was the input's own. */
      error: Error
    }
)

/** The same, or `skipped`: the batch had stopped at an input before this one. */
export type BatchOutcome<Output extends string | Buffer = string | Buffer> =
  BatchResult<Output> | { index: number; status: 'skipped' }
