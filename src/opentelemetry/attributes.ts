/**
 * Attributes of spans and metrics.
 *
 * Names that OpenTelemetry's semantic conventions have (`process.*`, `error.type`, `file.path`) mean what they mean there; all others begin with `hotcell.`, with the
 * unit at the end of the name.
 */
import type { Attributes } from '@opentelemetry/api'
import type { ContainerPath } from '../options/primitives.js'
import type { Limits } from '../options/limits.js'
import type { TraceResult, Usage } from '../result.js'

/** How a run ended: few enough for metrics. */
export function verdict(result: TraceResult): Attributes {
  const attributes: Attributes = { 'hotcell.status': result.status }
  if (result.status === 'time-limit' || result.status === 'output-limit') attributes['hotcell.limit'] = result.limit
  return attributes
}

/** How it ended exactly. */
export function ending(result: TraceResult): Attributes {
  const attributes = verdict(result)
  switch (result.status) {
    case 'ok':
    case 'nonzero-exit':
      attributes['process.exit.code'] = result.exitCode
      break
    case 'signaled':
      attributes['hotcell.signal'] = result.signal
      break
    case 'disallowed-syscall':
      attributes['hotcell.syscall'] = result.syscall
      break
    case 'disallowed-file':
      attributes['hotcell.file.operation'] = result.operation
      break
    default:
  }
  return attributes
}

/** What it used. */
export function usage(used: Usage): Attributes {
  const attributes: Attributes = {
    'hotcell.wall_time_ms': used.wallTimeMs,
    'hotcell.cpu_time_ms': used.cpuTimeMs,
    'hotcell.user_time_ms': used.userTimeMs,
    'hotcell.system_time_ms': used.systemTimeMs,
    'hotcell.setup_time_ms': used.setupTimeMs,
    'hotcell.memory_bytes': used.memoryBytes,
    'hotcell.accounting': used.accounting,
  }
  if (used.processesPeak !== undefined) attributes['hotcell.processes_peak'] = used.processesPeak
  if (used.trace !== undefined) attributes['hotcell.trace.violations'] = used.trace.violations
  return attributes
}

const limitNames: Record<keyof Limits, string> = {
  cpuTimeMs: 'cpu_time_ms',
  wallTimeMs: 'wall_time_ms',
  memoryBytes: 'memory_bytes',
  stackBytes: 'stack_bytes',
  outputBytes: 'output_bytes',
  fileSizeBytes: 'file_size_bytes',
  processes: 'processes',
  openFiles: 'open_files',
  cpuRate: 'cpu_rate',
  cpuSet: 'cpu_set',
}

/** What it may use. They come as the caller gave them, unchecked. */
export function limits(given: Limits): Attributes {
  const attributes: Attributes = {}
  for (const [name, attribute] of Object.entries(limitNames) as [keyof Limits, string][]) {
    const value = given[name]
    if (typeof value === 'number' || typeof value === 'string') attributes[`hotcell.limits.${attribute}`] = value
  }
  return attributes
}

/** What a program is called, without the folders. */
export function executable(args: readonly unknown[]): Attributes {
  const path = shown(args[0])
  return { 'process.executable.name': path.slice(path.lastIndexOf('/') + 1) }
}

/** A path or an argument as text; unchecked as well. */
export function shown(value: unknown): string {
  return typeof value === 'string' ? value : value instanceof Uint8Array ? Buffer.from(value).toString() : ''
}

/** The arguments themselves. */
export function commandArgs(args: readonly ContainerPath[]): Attributes {
  return { 'process.command_args': args.map(shown) }
}

/** What kind of failure it was: a code, else the class. */
export function errorType(error: unknown): string {
  if (!(error instanceof Error)) return '_OTHER'
  const { code } = error as { code?: unknown }
  return typeof code === 'string' ? code : error.name
}
