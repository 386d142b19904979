/** Where values lie, and at which ones there are lines. */

/** From 0 to a maximum. */
export interface Scale {
  readonly max: number
  /** Rising; 0 is one, and `max` may be. */
  readonly ticks: readonly number[]
}

/** Steps that people count in. */
const DECIMAL = [1, 2, 2.5, 5, 10]
const BINARY = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]

/** At least up to `most`, with about `wanted` steps, whole ones for things that are counted. */
export function scale(most: number, kind: 'decimal' | 'binary' | 'whole', wanted = 4): Scale {
  const least = kind === 'decimal' ? 1e-6 : 1
  const step = niceStep(Math.max(most, least) / wanted, kind)
  const steps = Math.max(1, Math.ceil(most / step - 1e-9))
  return { max: steps * step, ticks: Array.from({ length: steps + 1 }, (_, index) => index * step) }
}

/** The time axis ends where the run does, wherever the last line is. */
export function timeScale(endMs: number): Scale {
  const end = Math.max(endMs, 1e-3)
  const step = niceStep(end / 7, 'decimal')
  const ticks = Array.from({ length: Math.floor(end / step + 1e-9) + 1 }, (_, index) => index * step)
  return { max: end, ticks }
}

function niceStep(rough: number, kind: 'decimal' | 'binary' | 'whole'): number {
  const base = kind === 'binary' ? 1024 : 10
  const power = base ** Math.floor(Math.log(Math.max(rough, Number.MIN_VALUE)) / Math.log(base))
  const steps = kind === 'binary' ? BINARY : DECIMAL
  const step = (steps.find((each) => each * power >= rough * (1 - 1e-9)) ?? base) * power
  return kind === 'decimal' ? step : Math.max(1, Math.ceil(step))
}

/** Slices of time, and what a sum that only grows has grown by in each, a millisecond. */
export interface Rate {
  readonly sliceMs: number
  readonly values: readonly number[]
}

/** The most slices: one for every few pixels. */
const SLICES = 160
/** The kernel counts the CPU time of a program that runs at timer ticks, which are at most 10 ms apart: what is shorter shows ticks. */
const LEAST_MS = 10
const SLICES_LEAST = 10

/** How fast a sum grows that is known at some moments. In between it is taken to grow evenly. */
export function rate(times: readonly number[], sums: readonly number[]): Rate {
  const end = times.at(-1) ?? 0
  if (end <= 0) return { sliceMs: 1, values: [0] }
  const slices = Math.round(Math.min(SLICES, Math.max(SLICES_LEAST, end / LEAST_MS)))
  const sliceMs = end / slices
  const values: number[] = []
  let [index, before] = [0, 0]
  for (let slice = 1; slice <= slices; slice++) {
    const at = slice === slices ? end : slice * sliceMs
    while (index + 1 < times.length && (times[index + 1] as number) < at) index++
    const [from, to] = [times[index] as number, times[index + 1] ?? (times[index] as number)]
    const [low, high] = [sums[index] as number, sums[index + 1] ?? (sums[index] as number)]
    const now = to > from ? low + ((high - low) * (Math.min(at, to) - from)) / (to - from) : high
    values.push(Math.max(0, now - before) / sliceMs)
    before = now
  }
  return { sliceMs, values }
}
