/**
 * Where the kernel's numbers become errors.
 *
 * Native reports a failure as data: what was being done (a Step of crates/protocol), errno, and the path or name
 * concerned. It becomes a {@link HotcellError} here and nowhere else; what to do about it is in cures.ts.
 */
import { constants } from 'node:os'
import type { ErrorData } from './binding.js'
import { cure } from './cures.js'
import type { Usage } from './result.js'
import { systemError } from './system-error.js'

/**
 * The codes of hotcell's own.
 *
 * | code | means |
 * |---|---|
 * | `ERR_HOTCELL_ARCHIVE` | a tar archive is malformed, or holds what may not be unpacked |
 * | `ERR_HOTCELL_CGROUP` | a cgroup could not be made, or a limit not be set in it |
 * | `ERR_HOTCELL_CLOSED` | the container or the pool was destroyed, or the turn with a container of a pool is over |
 * | `ERR_HOTCELL_CONTAINER_LOST` | its init died or its socket closed, without `destroy()` |
 * | `ERR_HOTCELL_LAUNCHER` | the process that starts containers could not be started, or died |
 * | `ERR_HOTCELL_NO_TTY` | a run without `tty` has no terminal that could have another size |
 * | `ERR_HOTCELL_POOL_FULL` | as many as `maxQueue` allows wait for a container of the pool already |
 * | `ERR_HOTCELL_PROTOCOL` | something inside spoke out of turn; the container is gone |
 * | `ERR_HOTCELL_TIMEOUT` | init did not answer in time; the container is gone |
 * | `ERR_HOTCELL_TOO_LARGE` | a file or directory is larger than `maxBytes`, or has more in it than `maxEntries` |
 * | `ERR_HOTCELL_TRACE` | a run could not be traced, or no longer: its supervisor could not start, or ended; the run was ended with it |
 * | `ERR_HOTCELL_UNSUPPORTED` | this version, this kernel, or a runtime other than Node.js, does not do what is asked for |
 * | `ERR_HOTCELL_UNSUPPORTED_PLATFORM` | there is no native addon for this platform, or it is missing, damaged or of another version |
 */
export type HotcellErrorCode =
  | 'ERR_HOTCELL_ARCHIVE'
  | 'ERR_HOTCELL_CGROUP'
  | 'ERR_HOTCELL_CLOSED'
  | 'ERR_HOTCELL_CONTAINER_LOST'
  | 'ERR_HOTCELL_LAUNCHER'
  | 'ERR_HOTCELL_NO_TTY'
  | 'ERR_HOTCELL_POOL_FULL'
  | 'ERR_HOTCELL_PROTOCOL'
  | 'ERR_HOTCELL_TIMEOUT'
  | 'ERR_HOTCELL_TOO_LARGE'
  | 'ERR_HOTCELL_TRACE'
  | 'ERR_HOTCELL_UNSUPPORTED'
  | 'ERR_HOTCELL_UNSUPPORTED_PLATFORM'

/** What an error knows beyond its code and message. */
export interface HotcellErrorDetails {
  errno?: number | undefined
  syscall?: string | undefined
  path?: string | undefined
  result?: Usage | undefined
  cause?: unknown
}

/**
 * What every method rejects with, unless the caller's own arguments are at fault (a `TypeError` or `RangeError` with
 * Node's `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`, `ERR_OUT_OF_RANGE`) or a signal was aborted ({@link AbortError}).
 *
 * The container stays usable after any of them but `ERR_HOTCELL_CLOSED`, `…_CONTAINER_LOST`, `…_PROTOCOL` and `…_TIMEOUT`.
 */
export class HotcellError extends Error {
  override readonly name: string = 'HotcellError'
  /** The kernel's word (`'ENOENT'`, errno(3)) where a system call failed, else one of hotcell's own. */
  readonly code: HotcellErrorCode | (string & {})
  /** The kernel's number, negative as Node has it (`util.getSystemErrorName(errno)`). */
  declare readonly errno?: number
  /** The system call that failed, as its man page spells it. */
  declare readonly syscall?: string
  /** The path or name concerned: the container's, unless the message says that it is the host's. */
  declare readonly path?: string
  /** What the run had used, if there was one. */
  declare readonly result?: Usage

  /** @internal */
  constructor(code: HotcellErrorCode | (string & {}), message: string, details: HotcellErrorDetails = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined)
    this.code = code
    if (details.errno !== undefined) this.errno = details.errno
    if (details.syscall !== undefined) this.syscall = details.syscall
    if (details.path !== undefined) this.path = details.path
    if (details.result !== undefined) this.result = details.result
  }
}

/** How much of a path is in a message. */
const QUOTED_MAX = 256

/** The error for what native reported. */
export function failure(data: ErrorData): HotcellError {
  const { syscall, errno: number, path: subject } = data
  const path = subject === undefined || subject === null || subject.length === 0 ? undefined : subject.toString()
  const errno = number === undefined || number === null ? undefined : -number
  if (data.kind === 'failure' && errno !== undefined) {
    const { code, description } = systemError(-errno)
    const what = `cannot ${data.doing ?? 'do it'}${place(data)}${quoted(path)}`
    const message = sentences(`${code}: ${what}: ${description}`, cure(data.step ?? '', code))
    const isTrace = tracing.has(data.step ?? '')
    return new HotcellError(isTrace ? 'ERR_HOTCELL_TRACE' : code, message, { errno, syscall, path })
  }
  const [code, said] = conditions[data.kind === 'failure' ? 'protocol' : data.kind]
  // Native's sentence has the particulars, and the cure where there is one.
  const what = said ?? (data.detail === undefined ? 'The container failed' : capitalised(data.detail))
  return new HotcellError(code, sentences(what, cure(code, '')), { errno, syscall, path })
}

/** Steps of a supervisor, whose failures say nothing of the program. */
const tracing: ReadonlySet<string> = new Set(['StartSupervisor', 'SeizeProgram', 'UseTrace', 'Supervise', 'TraceMe'])

type Condition = Exclude<ErrorData['kind'], 'failure'>

const conditions: Record<Condition, readonly [code: HotcellErrorCode, said?: string]> = {
  archive: ['ERR_HOTCELL_ARCHIVE'],
  cgroup: ['ERR_HOTCELL_CGROUP'],
  closed: ['ERR_HOTCELL_CLOSED', 'The container was destroyed'],
  lost: ['ERR_HOTCELL_CONTAINER_LOST', 'The container is gone: its init ended without being asked to'],
  launcher: ['ERR_HOTCELL_LAUNCHER'],
  protocol: ['ERR_HOTCELL_PROTOCOL'],
  stopped: ['ERR_HOTCELL_CLOSED', 'The copy was stopped'],
  'too-large': ['ERR_HOTCELL_TOO_LARGE'],
  unsupported: ['ERR_HOTCELL_UNSUPPORTED'],
  timeout: ['ERR_HOTCELL_TIMEOUT'],
}

/** The error for a failed operation of `node:fs` on this side, with Node's own as its cause. */
export function hostFailure(doing: string, path: string | undefined, cause: unknown): unknown {
  if (!(cause instanceof Error)) return cause
  const { code, errno, syscall } = cause as NodeJS.ErrnoException
  if (code === undefined || errno === undefined) return cause
  const { description } = systemError(-errno)
  const what = `cannot ${doing}${quoted(path)}`
  return new HotcellError(code, sentences(`${code}: ${what}: ${description}`, cure(syscall ?? '', code)), {
    errno,
    syscall,
    path,
    cause,
  })
}

/** A use of something that was closed, as a descriptor would say it. */
export function closedFile(path: string, syscall: string): HotcellError {
  const number = constants.errno.EBADF
  return new HotcellError('EBADF', `EBADF: cannot ${syscall} '${path}': the file was closed`, {
    errno: -number,
    syscall,
    path,
  })
}

/** Which of several, where the number tells the caller more than the subject does. */
function place(data: ErrorData): string {
  if (data.index === undefined || data.index === null) return ''
  if (data.step === 'DupDescriptor') return ` (fds[${data.index}])`
  // One that comes from `limits` is named so.
  const isOwn = data.path?.toString().startsWith('limits.')
  if (data.step === 'SetRlimit' && !isOwn) return ` (rlimits[${data.index}])`
  return ''
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

/** A path for a message. `error.path` has all of it. */
function quoted(path: string | undefined): string {
  if (path === undefined) return ''
  return path.length > QUOTED_MAX ? ` '${path.slice(0, QUOTED_MAX)}…'` : ` '${path}'`
}

function sentences(what: string, remedy: string | undefined): string {
  return remedy === undefined ? what : `${what}. ${remedy}`
}
