/**
 * A line on standard error for each thing that hotcell has done, for who looks for a mistake.
 *
 * `DEBUG=hotcell:*` turns it on, as the package `debug` has it (`DEBUG=hotcell:pool`, `DEBUG=*,-hotcell:copy`), and so does `NODE_DEBUG=hotcell`, as
 * util.debuglog has it. Looked at once, when hotcell is imported: the lines are made by subscribers of the channels, so nothing is there that could cost
 * anything where it is off.
 */
import { debuglog, inspect } from 'node:util'
import type { TracingChannel } from 'node:diagnostics_channel'
import type { TraceResult } from '../result.js'
import {
  channels,
  type CloseMessage,
  type CopyMessage,
  type CreateMessage,
  type OperationMessage,
  type PipelineMessage,
  type PoolFailedMessage,
  type PoolLostMessage,
  type PoolTurnMessage,
  type ResetMessage,
  type RunMessage,
} from './channels.js'

/** The parts that can be asked for. */
const areas = ['create', 'run', 'copy', 'reset', 'close', 'pipeline', 'pool'] as const

type Area = (typeof areas)[number]

/** Arguments beyond that are left out of a line. */
const ARGUMENTS = 8
/** And characters of each. */
const CHARACTERS = 80

/** Which parts are asked for. */
export function askedFor(env: NodeJS.ProcessEnv): Area[] {
  const words = (env['DEBUG'] ?? '').split(/[\s,]+/).filter((word) => word !== '')
  const [no, yes] = [words.filter((word) => word.startsWith('-')), words.filter((word) => !word.startsWith('-'))]
  const everything = debuglog('hotcell').enabled
  return areas.filter((area) => {
    const name = `hotcell:${area}`
    if (everything || debuglog(name).enabled) return true
    const isMeant = (pattern: string): boolean => pattern === 'hotcell' || matches(pattern, name)
    return yes.some(isMeant) && !no.some((word) => isMeant(word.slice(1)))
  })
}

/** Begins to write what is asked for. */
export function startLog(env: NodeJS.ProcessEnv, write: (line: string) => void): void {
  for (const area of askedFor(env)) {
    const line = (text: string): void => write(`${new Date().toISOString()} hotcell:${area} ${text}\n`)
    logs[area](line)
  }
}

const logs: Record<Area, (line: (text: string) => void) => void> = {
  create(line) {
    told<CreateMessage>(channels.create, line, ({ result }) => `container ${result?.pid}`)
  },
  run(line) {
    told<RunMessage>(
      channels.run,
      line,
      ({ method, args, initPid, result }) =>
        `${method} ${quoted(args)} in ${initPid}${result === undefined ? '' : `: ${verdict(result)}`}`,
    )
  },
  copy(line) {
    told<CopyMessage>(channels.copy, line, ({ direction, path, initPid }) => {
      return `${quoted([path])} ${direction === 'in' ? 'into' : 'out of'} ${initPid}`
    })
  },
  reset(line) {
    told<ResetMessage>(channels.reset, line, ({ initPid }) => `container ${initPid}`)
  },
  close(line) {
    channels.close.subscribe((message) => {
      const { initPid, requested } = message as CloseMessage
      line(`container ${initPid} ${requested ? 'destroyed' : 'LOST'}`)
    })
  },
  pipeline(line) {
    told<PipelineMessage>(channels.pipeline, line, ({ stages, result }) => {
      const names = stages.map((name) => (typeof name === 'number' ? name : quoted([name]))).join(' | ')
      return `${names}${result === undefined ? '' : `: ${result.ok ? 'ok' : 'failed'}, ${result.cause}`}`
    })
  },
  pool(line) {
    told<PoolTurnMessage>(channels.poolTurn, line, ({ method, queued, waitTimeMs, wanted, pool }) => {
      const { busy, idle } = pool.stats
      const waited = waitTimeMs === undefined ? 'in vain' : `${waitTimeMs.toFixed(1)} ms`
      return `${method} of ${wanted}, behind ${queued}, waited ${waited}; now ${busy} busy, ${idle} idle`
    })
    channels.poolOpen.subscribe(() => line('opened'))
    channels.poolClose.subscribe(() => line('closed'))
    channels.poolLost.subscribe((message) => {
      const { initPid, state } = message as PoolLostMessage
      line(`container ${initPid} LOST while ${state}`)
    })
    channels.poolFailed.subscribe((message) => {
      const { during, error } = message as PoolFailedMessage
      line(`${during} FAILED: ${reason(error)}`)
    })
  },
}

/** A line at the end of each operation, with how long it took. */
function told<M extends OperationMessage>(
  operation: TracingChannel<unknown, M>,
  line: (text: string) => void,
  text: (message: M) => string,
): void {
  const began = new WeakMap<object, number>()
  operation.start.subscribe((message) => began.set(message as M, performance.now()))
  operation.asyncEnd.subscribe((message) => {
    const { error } = message as M
    const ms = performance.now() - (began.get(message as M) ?? performance.now())
    line(`${text(message as M)}${error === undefined ? '' : ` FAILED: ${reason(error)}`} (${ms.toFixed(1)} ms)`)
  })
}

function verdict(result: TraceResult): string {
  const { status, cpuTimeMs, memoryBytes } = result
  const details: Partial<Record<TraceResult['status'], unknown>> = {
    'nonzero-exit': 'exitCode' in result && result.exitCode,
    signaled: 'signal' in result && result.signal,
    'time-limit': 'limit' in result && result.limit,
    'output-limit': 'limit' in result && result.limit,
    'disallowed-syscall': 'syscall' in result && result.syscall,
    'disallowed-file': 'path' in result && quoted([result.path]),
  }
  const detail = details[status]
  const used = `cpu ${cpuTimeMs.toFixed(1)} ms, memory ${(memoryBytes / 2 ** 20).toFixed(1)} MiB`
  return `${detail === undefined ? status : `${status} ${String(detail)}`}, ${used}`
}

/** One line, whatever it says: what programs are called is their authors' choice. */
function quoted(args: readonly (string | Uint8Array)[]): string {
  const shown = args.slice(0, ARGUMENTS).map((arg) => {
    const text = typeof arg === 'string' ? arg : Buffer.from(arg).toString()
    const short = text.length > CHARACTERS ? `${text.slice(0, CHARACTERS)}…` : text
    return /^[\w./:=@%+,-]+$/.test(short) ? short : inspect(short, { breakLength: Infinity })
  })
  return args.length > ARGUMENTS ? `${shown.join(' ')} …` : shown.join(' ')
}

function reason(error: unknown): string {
  return inspect(error instanceof Error ? `${error.name}: ${error.message}` : error, { breakLength: Infinity })
}

/** As the package `debug` has it: `*` stands for anything. */
function matches(pattern: string, name: string): boolean {
  const parts = pattern.split(/\*+/).map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`).test(name)
}
