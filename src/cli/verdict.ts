/** How a run ended: an exit code, a line for people, an object for programs. */
import type { Limits } from '../options/limits.js'
import type { TraceResult, Usage } from '../result.js'
import { signalNumber } from '../signals.js'
import { DISALLOWED_FILE, DISALLOWED_SYSCALL, MEMORY_LIMIT, OUTPUT_LIMIT, SIGNALED, TIME_LIMIT } from './exit-codes.js'
import { bytes, harmless, milliseconds } from './style.js'

const ofStatus = {
  'time-limit': TIME_LIMIT,
  'memory-limit': MEMORY_LIMIT,
  'output-limit': OUTPUT_LIMIT,
  'disallowed-syscall': DISALLOWED_SYSCALL,
  'disallowed-file': DISALLOWED_FILE,
} as const

/** The exit code for a verdict. */
export function exitCodeOf(result: TraceResult): number {
  if (result.status === 'ok' || result.status === 'nonzero-exit') return result.exitCode
  if (result.status === 'signaled') return SIGNALED + signalNumber(result.signal)
  return ofStatus[result.status]
}

/** Signals by which programs end as a matter of course: a shell does not mention them either. */
const ordinary: ReadonlySet<string> = new Set(['SIGINT', 'SIGPIPE', 'SIGTERM', 'SIGHUP'])

/** A line about how it ended, where the exit code alone would not tell; undefined where it does. */
export function verdictLine(result: TraceResult, limits: Limits): string | undefined {
  switch (result.status) {
    case 'ok':
    case 'nonzero-exit':
      return undefined
    case 'signaled':
      return ordinary.has(result.signal) ? undefined : `signaled: ended by ${result.signal}`
    case 'time-limit':
      return result.limit === 'cpu'
        ? `time-limit: more than ${amount(limits.cpuTimeMs, milliseconds)} of CPU time`
        : `time-limit: more than ${amount(limits.wallTimeMs, milliseconds)} of wall time`
    case 'memory-limit':
      return `memory-limit: more than ${amount(limits.memoryBytes, bytes)} of memory`
    case 'output-limit':
      return result.limit === 'file-size'
        ? `output-limit: a file of more than ${amount(limits.fileSizeBytes, bytes)}`
        : `output-limit: more than ${amount(limits.outputBytes, bytes)} on ${result.limit}`
    case 'disallowed-syscall': {
      const { syscall, args } = result
      return `disallowed-syscall: ${syscall}(${args?.join(', ') ?? '…'})`
    }
    case 'disallowed-file':
      return `disallowed-file: ${result.operation} ${harmless(result.path)}`
  }
}

function amount(limit: number | undefined, show: (value: number) => string): string {
  return limit === undefined ? 'was allowed' : show(limit)
}

/** What it used, for people. */
export function usageLine(usage: Usage): string {
  const { cpuTimeMs, userTimeMs, systemTimeMs, wallTimeMs, memoryBytes, processesPeak, accounting } = usage
  const parts = [
    `${milliseconds(wallTimeMs)} wall`,
    `${milliseconds(cpuTimeMs)} CPU (${milliseconds(userTimeMs)} user, ${milliseconds(systemTimeMs)} system)`,
    `${bytes(memoryBytes)} memory`,
  ]
  if (processesPeak !== undefined) parts.push(`${processesPeak} process${processesPeak === 1 ? '' : 'es'} at once`)
  return `${parts.join(', ')} (by ${accounting === 'cgroup' ? 'cgroup' : 'wait4'})`
}

/** What it is for programs: the API's result without the output. */
export function verdictObject(command: readonly string[], result: TraceResult, exitCode: number): object {
  const { trace, ...rest } = result as TraceResult & Record<string, unknown>
  for (const name of ['stdout', 'stderr', 'files']) delete (rest as Record<string, unknown>)[name]
  const summary = trace === undefined ? {} : { trace: { ...trace, learned: undefined } }
  return { command, ...rest, ...summary, hotcellExitCode: exitCode }
}

/** The same for what did not run. */
export function failureObject(command: readonly string[], error: unknown, exitCode: number): object {
  const { code, syscall, path, message } = error as NodeJS.ErrnoException
  return { command, status: 'error', error: { code, syscall, path, message }, hotcellExitCode: exitCode }
}
