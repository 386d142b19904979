/**
 * What a run used in the course of time.
 *
 * The samples are init's (crates/init/src/timeline.rs), which sends them just before the end of the run; a traced run's calls are counted here as
 * they come. The result has both from the tick in which it is there.
 */
import type { Bytes } from '../binding.js'
import type { Limits } from '../options/limits.js'
import type { Usage } from '../result.js'
import { SyscallCounter, type TimelineSyscalls } from './syscalls.js'

/** What a run had used up to a moment, and had at it. */
export interface TimelineSample {
  /** Since the start of the fork. */
  timeMs: number
  /** CPU time that all processes had used by then. It never falls. */
  cpuTimeMs: number
  /**
   * Bytes of memory. With `accounting: 'cgroup'` what is charged to the run's cgroup; with `'rusage'` the anonymous memory of its living processes,
   * without the pages of files that `memoryBytes` of the result contains.
   */
  memoryBytes: number
  /** Processes and threads. */
  processes: number
}

/** A moment that says something. */
export interface TimelineMark {
  /** Since the start of the fork. */
  timeMs: number
  /** `'executed'`: the program's own first instruction. `'ended'`: the end of its main process. */
  type: 'executed' | 'ended'
}

/** What a run used in the course of time. Plain data, which JSON can hold. */
export interface Timeline {
  /** What was executed, with the program's name first. Bytes that are no UTF-8 are U+FFFD. */
  args: string[]
  /** The limits in force, those of the container included. */
  limits: Limits
  /**
   * At least two, in the order of their times. The first, at the fork, and the last, at the end, are no measurements: nothing was used yet, and nothing is left but
   * the CPU time of the result.
   */
  samples: TimelineSample[]
  marks: TimelineMark[]
  /** Of a run with `trace.syscalls`. */
  syscalls?: TimelineSyscalls
}

/** Numbers of a sample, as native gives them. */
const SAMPLE_NUMBERS = 4

/** Puts one together. */
export class TimelineRecorder {
  readonly #args: Bytes
  readonly #limits: Limits
  readonly #syscalls = new SyscallCounter()
  #samples: Float64Array | undefined

  constructor(args: Bytes, limits: Limits) {
    this.#args = args
    this.#limits = limits
  }

  /** What native has measured. */
  take(samples: Float64Array): void {
    this.#samples = samples
  }

  /** A system call of a traced run, by the time since the start of the trace. */
  count(name: string, startMs: number): void {
    this.#syscalls.count(name, startMs)
  }

  /** Of a run that is over. */
  finish(usage: Usage): Timeline {
    const { wallTimeMs, cpuTimeMs, setupTimeMs } = usage
    const samples: TimelineSample[] = [{ timeMs: 0, cpuTimeMs: 0, memoryBytes: 0, processes: 0 }]
    const numbers = this.#samples ?? []
    for (let at = 0; at + SAMPLE_NUMBERS <= numbers.length; at += SAMPLE_NUMBERS) {
      const timeMs = (numbers[at] as number) / 1000
      // Taken while the last process of the run was looked for: the main one had ended.
      if (timeMs >= wallTimeMs) break
      const used = Math.min((numbers[at + 1] as number) / 1000, cpuTimeMs)
      const [memoryBytes, processes] = [numbers[at + 2] as number, numbers[at + 3] as number]
      samples.push({ timeMs, cpuTimeMs: used, memoryBytes, processes })
    }
    samples.push({ timeMs: wallTimeMs, cpuTimeMs, memoryBytes: 0, processes: 0 })
    const marks: TimelineMark[] = []
    if (setupTimeMs > 0 && setupTimeMs <= wallTimeMs) marks.push({ timeMs: setupTimeMs, type: 'executed' })
    marks.push({ timeMs: wallTimeMs, type: 'ended' })
    return { args: decoded(this.#args), limits: { ...this.#limits }, samples, marks }
  }

  /** Adds the calls, the last of which may have come after the end. */
  addSyscalls(timeline: Timeline): void {
    const syscalls = this.#syscalls.result()
    if (syscalls !== undefined) timeline.syscalls = syscalls
  }
}

/** The recorder of a run that asked for one. */
export function recorder(sampleUs: number, args: Bytes, limits: Limits): TimelineRecorder | undefined {
  return sampleUs === 0 ? undefined : new TimelineRecorder(args, limits)
}

/** Strings laid end to end, each with a NUL behind it. */
function decoded(args: Bytes): string[] {
  const text = typeof args === 'string' ? args : Buffer.from(args).toString()
  return text.split('\0').slice(0, -1)
}
