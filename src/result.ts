import type { Extra } from './binding.js'
import { signalName } from './signals.js'
import type { Timeline } from './timeline/timeline.js'
import type { Trace } from './trace.js'

/** What a run used. Times are milliseconds with microsecond resolution, sizes are bytes. */
export interface Usage {
  /** CPU time in user mode. */
  userTimeMs: number
  /** CPU time in the kernel. */
  systemTimeMs: number
  /** The sum of both. */
  cpuTimeMs: number
  /** From the start of the fork to the end of the main process (`CLOCK_MONOTONIC`). */
  wallTimeMs: number
  /**
   * With `accounting: 'cgroup'` the most memory that all processes had at once, of every kind: heap, page cache that they
   * were the first to fill, tmpfs, shared memory, the kernel's own for them.
   *
   * With `'rusage'` the largest resident set of any one process (`ru_maxrss`, getrusage(2)). The kernel counts the moment
   * between fork and exec in, so it is never below the few hundred kilobytes of the container's init.
   */
  memoryBytes: number
  /** The most processes and threads at once, where the kernel tells: in a cgroup, and if it were more than in earlier runs. */
  processesPeak?: number
  /** What of `wallTimeMs` passed before the program's first instruction, a `syncFunc` included. */
  setupTimeMs: number
  /**
   * Where the figures come from. `'rusage'`: from wait4(2), so they cover the main process and each descendant that was
   * waited for, while one that was left behind is not counted. `'cgroup'`: from the cgroup that the run was in, so they
   * cover every process. Which it is depends on the limits of the run, and on `cgroup` of the container.
   */
  accounting: 'cgroup' | 'rusage'
  /** Of a traced run. */
  trace?: Trace
  /** Of a run with the option `timeline`. */
  timeline?: Timeline
}

/** What a program tried to do with a file. */
export type FileOperation = 'read' | 'write' | 'stat' | 'execute'

/**
 * How a run ended, told apart by `status`.
 *
 * | status | means |
 * |---|---|
 * | `ok` | exit code 0 |
 * | `nonzero-exit` | any other exit code |
 * | `signaled` | ended by this signal, for no reason of ours |
 * | `time-limit` | `limits.cpuTimeMs` or `RLIMIT_CPU` (SIGXCPU) as `cpu`, `limits.wallTimeMs` as `wall` |
 * | `memory-limit` | `limits.memoryBytes`: the OOM killer, or what was found to be in use |
 * | `output-limit` | `limits.outputBytes`, or `RLIMIT_FSIZE` (SIGXFSZ) as `file-size` |
 * | `disallowed-syscall` | its seccomp policy kills for `syscall`, made with these `args` (six, in hexadecimal: `'0x7'`); the name is `'unknown'`, and without arguments, where a filter of the program's own, or a trap, ended it by SIGSYS |
 * | `disallowed-file` | with `trace.onViolation: 'kill'`: it would have done `operation` to `path`, which no rule of `trace.files` allows |
 *
 * A program that could not be started has no result: that is a rejected promise.
 */
export type TraceResult = Usage &
  (
    | { status: 'ok'; exitCode: 0 }
    | { status: 'nonzero-exit'; exitCode: number }
    | { status: 'signaled'; signal: NodeJS.Signals }
    | { status: 'time-limit'; limit: 'cpu' | 'wall' }
    | { status: 'memory-limit' }
    | { status: 'output-limit'; limit: 'stdout' | 'stderr' | 'file-size' }
    | { status: 'disallowed-syscall'; syscall: string; args?: readonly string[] }
    | { status: 'disallowed-file'; path: string; operation: FileOperation }
  )

/** How a run ended, and what was collected from it. */
export type RunResult<Output extends string | Buffer = string | Buffer> = TraceResult & {
  /** What it wrote to descriptor 1; cut at `limits.outputBytes`. */
  stdout: Output
  /** What it wrote to descriptor 2; cut at `limits.outputBytes`. */
  stderr: Output
  /** The files named by `collect`, by the names given there. A file that does not exist is absent. */
  files: Record<string, Buffer>
}

/** The verdicts of a RESULT row. */
const EXITED = 0
const SIGNALED = 1
const CPU_TIME_LIMIT = 2
const FILE_SIZE_LIMIT = 3
const DISALLOWED_SYSCALL = 4
const STDOUT_LIMIT = 5
const STDERR_LIMIT = 6
const WALL_TIME_LIMIT = 7
const MEMORY_LIMIT = 8
const DISALLOWED_FILE = 9

/** Reads a result off the nine doubles that begin at `at`. */
export function traceResult(rows: Float64Array, at: number, extra?: Extra): TraceResult {
  const detail = rows[at + 1] as number
  const userUs = rows[at + 2] as number
  const systemUs = rows[at + 3] as number
  const usage: Usage = {
    userTimeMs: userUs / 1000,
    systemTimeMs: systemUs / 1000,
    cpuTimeMs: (userUs + systemUs) / 1000,
    wallTimeMs: (rows[at + 4] as number) / 1000,
    memoryBytes: rows[at + 5] as number,
    setupTimeMs: (rows[at + 6] as number) / 1000,
    accounting: rows[at + 7] === 1 ? 'cgroup' : 'rusage',
  }
  const processesPeak = rows[at + 8] as number
  if (processesPeak >= 0) usage.processesPeak = processesPeak
  switch (rows[at]) {
    case EXITED:
      return detail === 0
        ? { status: 'ok', exitCode: 0, ...usage }
        : { status: 'nonzero-exit', exitCode: detail, ...usage }
    case CPU_TIME_LIMIT:
      return { status: 'time-limit', limit: 'cpu', ...usage }
    case WALL_TIME_LIMIT:
      return { status: 'time-limit', limit: 'wall', ...usage }
    case MEMORY_LIMIT:
      return { status: 'memory-limit', ...usage }
    case FILE_SIZE_LIMIT:
      return { status: 'output-limit', limit: 'file-size', ...usage }
    case DISALLOWED_SYSCALL:
      return { status: 'disallowed-syscall', ...disallowed(extra), ...usage }
    case DISALLOWED_FILE:
      // Which file, the summary of the trace tells.
      return { status: 'disallowed-file', path: '', operation: 'read', ...usage }
    case STDOUT_LIMIT:
      return { status: 'output-limit', limit: 'stdout', ...usage }
    case STDERR_LIMIT:
      return { status: 'output-limit', limit: 'stderr', ...usage }
    case SIGNALED:
    default:
      return { status: 'signaled', signal: signalName(detail), ...usage }
  }
}

/** Which call it was, if native knows. */
function disallowed(extra: Extra | undefined): { syscall: string; args?: readonly string[] } {
  if (extra?.syscall === undefined || extra.args === undefined) return { syscall: 'unknown' }
  return { syscall: extra.syscall, args: extra.args.split(' ') }
}

/** The same run judged anew: what it used stays. */
export function outputLimit(result: Usage, limit: 'stdout' | 'stderr'): TraceResult {
  return { status: 'output-limit', limit, ...usageOf(result) }
}

/** What a run used, without how it ended. */
export function usageOf(result: Usage): Usage {
  const { userTimeMs, systemTimeMs, cpuTimeMs, wallTimeMs, memoryBytes, setupTimeMs, accounting } = result
  const usage: Usage = { userTimeMs, systemTimeMs, cpuTimeMs, wallTimeMs, memoryBytes, setupTimeMs, accounting }
  if (result.processesPeak !== undefined) usage.processesPeak = result.processesPeak
  if (result.trace !== undefined) usage.trace = result.trace
  if (result.timeline !== undefined) usage.timeline = result.timeline
  return usage
}
