/** How a run ended, in words. */
import type { TraceResult, Usage } from '../../result.js'
import { visible } from './html.js'
import { cores, size, time } from './units.js'

/** What there is to tell: a result, or what an aborted run had used. */
export type Told = Usage & { status?: string }

export interface Verdict {
  /** For colours: `fine`, what the program made of itself, what it was ended for, or neither. */
  readonly tone: 'good' | 'odd' | 'bad' | 'none'
  readonly headline: string
}

const PATH_LENGTH = 200
const HABIT_MS = 20

/** The headline. */
export function verdict(told: Told): Verdict {
  const result = told as Partial<TraceResult>
  switch (result.status) {
    case 'ok':
      return { tone: 'good', headline: 'Finished' }
    case 'nonzero-exit':
      return { tone: 'odd', headline: `Finished with exit code ${result.exitCode}` }
    case 'signaled':
      return { tone: 'odd', headline: `Ended by ${result.signal}` }
    case 'time-limit':
      return { tone: 'bad', headline: result.limit === 'cpu' ? 'Over the CPU time limit' : 'Over the wall time limit' }
    case 'memory-limit':
      return { tone: 'bad', headline: 'Over the memory limit' }
    case 'output-limit':
      return { tone: 'bad', headline: `Over the output limit: ${result.limit}` }
    case 'disallowed-syscall':
      return { tone: 'bad', headline: `System call not allowed: ${visible(String(result.syscall), PATH_LENGTH)}` }
    case 'disallowed-file': {
      const path = visible(String(result.path), PATH_LENGTH)
      return { tone: 'bad', headline: `File not allowed: ${result.operation} ${path}` }
    }
    default:
      return { tone: 'none', headline: told.status === 'killed' ? 'Ended with its pipeline' : 'Aborted' }
  }
}

/** What it was like, in a sentence or two. */
export function story(told: Told): string {
  const { wallTimeMs, cpuTimeMs, memoryBytes, accounting } = told
  const figures = `It ran for ${time(wallTimeMs)}, used ${time(cpuTimeMs)} of CPU time and ${size(memoryBytes)} of memory ${accounting === 'cgroup' ? 'at most' : 'in its largest process'}.`
  // Too short for habits: most of it is starting and ending.
  if (wallTimeMs < HABIT_MS) return figures
  const share = wallTimeMs > 0 ? cpuTimeMs / wallTimeMs : 0
  const habit =
    share >= 1.15
      ? `It kept ${cores(share)} cores busy.`
      : share >= 0.85
        ? 'It kept one core busy.'
        : share >= 0.15
          ? `It computed for ${Math.round(100 * share)} % of the time and waited for the rest.`
          : 'It waited most of the time.'
  return `${figures} ${habit}`
}
