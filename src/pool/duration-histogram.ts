/**
 * Durations, counted in buckets whose width grows with the value: eight to each doubling, from a microsecond up. So a
 * percentile is exact to 9 %, whether it is of 300 µs or of 30 s, recording is one increment, and a copy is 2 KiB.
 */

/** Buckets to each doubling. */
const PER_OCTAVE = 8
/** 2^36 µs are 19 hours; what takes longer is counted as that. */
const OCTAVES = 36
const BUCKETS = PER_OCTAVE * OCTAVES

/** How long things took: what {@link PoolStats} has of a pool's life. A copy, which does not change any more. */
export class DurationHistogram {
  readonly #counts: Float64Array
  /** How many there were. */
  readonly count: number
  /** The shortest, in milliseconds; 0 if there were none. */
  readonly minMs: number
  /** The longest, in milliseconds; 0 if there were none. */
  readonly maxMs: number
  /** Their mean, in milliseconds; 0 if there were none. */
  readonly meanMs: number

  /** @internal */
  constructor(counts: Float64Array, count: number, sumMs: number, minMs: number, maxMs: number) {
    this.#counts = counts
    this.count = count
    this.minMs = count === 0 ? 0 : minMs
    this.maxMs = maxMs
    this.meanMs = count === 0 ? 0 : sumMs / count
  }

  /**
   * The duration in milliseconds that `percent` of them did not exceed; 0 if there were none. At most 9 % too high, never too
   * low.
   *
   * @param percent from 0 to 100, such as 99.9
   * @throws {RangeError} for any other number
   */
  percentile(percent: number): number {
    if (!(percent >= 0 && percent <= 100)) throw new RangeError(`percentile: 0 to 100 is possible; received ${percent}`)
    const rank = Math.max(1, Math.ceil((this.count * percent) / 100))
    let seen = 0
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += this.#counts[bucket] as number
      if (seen >= rank) return Math.min(this.maxMs, Math.max(this.minMs, upperMs(bucket)))
    }
    return this.maxMs
  }

  /** The buckets that hold any, in rising order: `count` durations of up to `upToMs`, and of more than the one before. */
  buckets(): { upToMs: number; count: number }[] {
    return Array.from(this.#counts, (count, bucket) => ({ upToMs: upperMs(bucket), count })).filter(
      ({ count }) => count > 0,
    )
  }
}

/** What durations are recorded in. */
export class DurationRecorder {
  readonly #counts = new Float64Array(BUCKETS)
  #count = 0
  #sumMs = 0
  #minMs = Infinity
  #maxMs = 0

  record(ms: number): void {
    const bucket = Math.floor(Math.log2(ms * 1000) * PER_OCTAVE)
    // Below a microsecond, and 0 with its logarithm of -Infinity: the first.
    const index = bucket > 0 ? Math.min(bucket, BUCKETS - 1) : 0
    this.#counts[index] = (this.#counts[index] as number) + 1
    this.#count++
    this.#sumMs += ms
    if (ms < this.#minMs) this.#minMs = ms
    if (ms > this.#maxMs) this.#maxMs = ms
  }

  snapshot(): DurationHistogram {
    return new DurationHistogram(this.#counts.slice(), this.#count, this.#sumMs, this.#minMs, this.#maxMs)
  }
}

function upperMs(bucket: number): number {
  return 2 ** ((bucket + 1) / PER_OCTAVE) / 1000
}
