/** Whether to look at what a run uses while it goes on, see {@link TimelineOptions}. */
import { checkNames, names } from './names.js'
import { integer } from './primitives.js'

/** How a timeline is taken. */
export interface TimelineOptions {
  /**
   * The shortest time between two samples in milliseconds, 1 to 60,000. A long run has at most 900 samples: when there are as many, two become
   * one, with the larger of their figures, and the time between them doubles. @default 1
   */
  intervalMs?: number | undefined
}

const allowed = names<TimelineOptions>('timeline', { intervalMs: true })

const INTERVAL_MS = 1
const INTERVAL_MAX_MS = 60_000

/** Microseconds between two samples, 0 for none. */
export function encodeTimeline(value: boolean | TimelineOptions | undefined): number {
  if (value === undefined || value === false) return 0
  if (value === true) return INTERVAL_MS * 1000
  checkNames(value, allowed)
  const { intervalMs = INTERVAL_MS } = value
  return integer('timeline.intervalMs', intervalMs, 1, INTERVAL_MAX_MS) * 1000
}
