import { invalidType, unsupported } from './invalid.js'
import { checkNames, names } from './names.js'
import { integer } from './primitives.js'

/** What `limits.outputBytes` is where nobody says otherwise: 64 MiB. */
export const DEFAULT_OUTPUT_BYTES = 64 * 1024 * 1024

/** Limits of a run. Each one that is given is enforced, and its breach told apart in the result. */
export interface Limits {
  /**
   * How much is collected of standard output, and as much of standard error, in bytes. Beyond it the run is killed and its
   * status is `output-limit`. It bounds what hotcell collects (`run`, and `spawn` where the stream was not taken), so it
   * has no meaning for `execve`, whose descriptors are the caller's.
   *
   * @default 67108864 (64 MiB)
   */
  outputBytes?: number | undefined
}

/** Those of the design that need cgroups or a supervisor, which this version does not have. */
const later = [
  'cpuTimeMs',
  'wallTimeMs',
  'memoryBytes',
  'stackBytes',
  'fileSizeBytes',
  'processes',
  'openFiles',
  'cpuRate',
  'cpuSet',
]
const allowed = names<Limits>('limits', { outputBytes: true }, later)

/** The bound of collected output in bytes. */
export function outputLimitBytes(limits: Limits | undefined, otherwise: number): number {
  if (limits === undefined) return otherwise
  checkNames(limits, allowed)
  if (limits.outputBytes === undefined) return otherwise
  // A Buffer holds at most 4 GiB on the oldest Node that is supported.
  return integer('limits.outputBytes', limits.outputBytes, 0, 0xffffffff)
}

/** `execve` gives no output to hotcell, so there is nothing that it could enforce here. */
export function refuseLimits(limits: unknown): void {
  if (limits === undefined) return
  if (typeof limits !== 'object' || limits === null) throw invalidType('limits', 'an object', limits)
  checkNames(limits, allowed)
  if ((limits as Limits).outputBytes !== undefined) {
    throw unsupported(
      'limits.outputBytes',
      'Use run() or spawn(), which collect the output, or count what you read from your descriptors',
    )
  }
}
