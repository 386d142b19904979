/**
 * The trace of a run: events while it goes on, a summary at its end.
 *
 * The supervisor in the container writes to a pipe, and stands still with the traced program while that is full. It is read here from the start, whoever
 * listens; only whoever has taken the iterable and is too slow holds it back. When the run is over the supervisor is, too, so what is in the
 * pipe then is all there will be: it is read off on the spot, for a copy of the other end may be in a program that is about to be executed.
 */
import { readSync } from 'node:fs'
import { Socket } from 'node:net'
import type { NativeTraceRun } from './binding.js'
import { adoptFd, discardFd, disownFd } from './descriptor.js'
import { failure, HotcellError } from './errors.js'
import { Learned } from './learned.js'
import type { EncodedTrace } from './options/trace.js'
import type { FileOperation, TraceResult } from './result.js'
import { requirePipeDescriptors } from './runtime.js'
import { signalName } from './signals.js'
import { systemError } from './system-error.js'
import type { TimelineRecorder } from './timeline/timeline.js'

/** A thread, and the process that it belongs to, by the numbers of the container. */
export interface TraceSubject {
  pid: number
  tid: number
}

/**
 * Something that happened in a traced run.
 *
 * Arguments of calls are numbers, or strings: of the program, names of constants, hexadecimal for addresses, octal for modes, decimal beyond 2⁵³; null
 * is a null pointer.
 */
export type TraceEvent =
  /** A system call came to its end: with a `result` or an `error`, or with neither if the thread ended in it. */
  | (TraceSubject & {
      type: 'syscall'
      name: string
      args: (number | string | null)[]
      result?: number | string
      error?: string
      /** From the start of the trace. */
      startMs: number
      durationMs: number
    })
  /** A file was used that no rule allows. */
  | (TraceSubject & {
      type: 'violation'
      name: string
      operation: FileOperation
      path: string
      response: 'deny' | 'kill' | 'log'
    })
  /** A call was refused because it leads to where nobody could watch: io_uring, an untraced child, another architecture's calls. */
  | (TraceSubject & { type: 'refused'; name: string; error: string })
  /** A seccomp filter ended a process, or sent it SIGSYS. */
  | (TraceSubject & { type: 'disallowed'; name: string; args: string[]; fatal: boolean })
  /** A process or thread began. `parent` made it, 0 for the program itself. */
  | (TraceSubject & { type: 'start'; parent: number })
  /** A process or thread ended. */
  | (TraceSubject & { type: 'exit'; exitCode?: number; signal?: NodeJS.Signals })
  /** So many events before this one were dropped. */
  | { type: 'lost'; count: number }

/** What a trace came to. */
export interface Trace {
  /** Calls by name, of those that were to become events. Times contain what tracing added. */
  calls: Record<string, { count: number; errors: number; totalTimeMs: number }>
  /** Threads and processes that there were. */
  threads: number
  /** Uses of files that no rule allows. */
  violations: number
  /** Events that were dropped. */
  lost: number
  /** Whether the supervisor came to an end by itself. Where it did not, because the container was reset, figures are missing. */
  complete: boolean
  /** With `learn`. */
  learned?: Learned
}

/** What native tells. */
interface Summary extends Omit<Trace, 'complete' | 'learned'> {
  fatal: { path: string; operation: FileOperation } | null
}

/** As native tells them: with numbers for errors and signals. */
type RawEvent = Record<string, unknown> & { errno?: number; error?: string; signal?: unknown }

/** How many events wait for who iterates, until the pipe is left alone. */
const WAITING_MAX = 4096
const READ_BYTES = 64 * 1024

const ignore = (): void => undefined

/** errno(3) of the kernel's own, which say whether a call that a signal interrupted is made again. */
const restarts: Partial<Record<number, string>> = {
  512: 'ERESTARTSYS',
  513: 'ERESTARTNOINTR',
  514: 'ERESTARTNOHAND',
  516: 'ERESTART_RESTARTBLOCK',
}

export class TraceReader {
  /** For native. */
  readonly run: NativeTraceRun
  /** What went wrong with listening, if anything did. */
  error: Error | undefined
  readonly #fd: number
  readonly #onEvent: ((event: TraceEvent) => void) | undefined
  readonly #timeline: TimelineRecorder | undefined
  #socket: Socket | undefined
  #fail: (error: Error) => void = ignore
  #over = false
  #taken = false
  #waiting: TraceEvent[] = []
  #wake: () => void = ignore

  /** Makes the pipe. */
  constructor(trace: EncodedTrace, timeline: TimelineRecorder | undefined) {
    requirePipeDescriptors('trace')
    this.run = trace.native.begin()
    this.#onEvent = trace.onEvent
    this.#timeline = timeline
    this.#fd = this.run.fd
    if (this.#fd < 0) {
      throw failure({ kind: 'failure', doing: 'make a pipe for the trace', syscall: 'pipe2', errno: -this.#fd })
    }
    adoptFd(this.#fd)
  }

  /** Reads from now on; calls `fail` if that is to be the end of the run. */
  start(fail: (error: Error) => void): this {
    this.#fail = fail
    this.#socket = new Socket({ fd: disownFd(this.#fd), readable: true, writable: false })
    this.#socket.on('error', ignore)
    this.#socket.on('data', (chunk: Buffer) => this.#push(chunk))
    return this
  }

  /** Never read: nothing was asked for. */
  discard(): void {
    discardFd(this.#fd)
  }

  /** The events from now on, to be iterated once. */
  async *events(): AsyncGenerator<TraceEvent, void, undefined> {
    try {
      for (;;) {
        const batch = this.#waiting
        this.#waiting = []
        yield* batch
        if (this.#waiting.length > 0) continue
        if (this.#over) {
          if (this.error !== undefined) throw this.error
          return
        }
        this.#socket?.resume()
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    } finally {
      this.#taken = false
      this.#waiting = []
      this.#socket?.resume()
    }
  }

  /** Says that somebody will iterate. */
  take(): AsyncGenerator<TraceEvent, void, undefined> {
    this.#taken = true
    return this.events()
  }

  /** The run is over: reads what there is, and adds what it came to to the result. */
  finish(result: TraceResult | undefined): void {
    this.#readRest()
    this.#over = true
    this.#wake()
    if (result === undefined) return
    const text = this.run.summary()
    const summary = text === null ? undefined : (JSON.parse(text) as Summary)
    const { calls = {}, threads = 0, violations = 0, lost = 0, fatal = null } = summary ?? {}
    const trace: Trace = { calls, threads, violations, lost, complete: summary !== undefined }
    const learned = this.run.learned()
    if (learned !== null) trace.learned = new Learned(learned)
    result.trace = trace
    if (result.timeline !== undefined) this.#timeline?.addSyscalls(result.timeline)
    if (result.status === 'disallowed-file' && fatal !== null) {
      result.path = fatal.path
      result.operation = fatal.operation
    }
  }

  #readRest(): void {
    const socket = this.#socket
    if (socket === undefined) return
    // At the end of the file the stream has closed itself, and the number may be another file's by now.
    if (!socket.destroyed) {
      socket.pause()
      for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
        this.#push(chunk)
      }
      try {
        for (;;) {
          const buffer = Buffer.allocUnsafe(READ_BYTES)
          const bytesRead = readSync(this.#fd, buffer, 0, READ_BYTES, null)
          if (bytesRead === 0) break
          this.#push(buffer.subarray(0, bytesRead))
        }
      } catch {
        // EAGAIN: there is no more, and somebody has the other end.
      }
      socket.destroy()
    }
    this.#socket = undefined
  }

  #push(chunk: Buffer): void {
    if (this.error !== undefined) return
    let text: string | null
    try {
      text = this.run.push(chunk, this.#onEvent !== undefined || this.#taken || this.#timeline !== undefined)
    } catch (cause) {
      const message = 'The supervisor of the run spoke out of turn, so the run was ended'
      this.#refuse(new HotcellError('ERR_HOTCELL_TRACE', message, { cause }))
      return
    }
    if (text === null) return
    const events = (JSON.parse(text) as RawEvent[]).map(translate)
    if (this.#timeline !== undefined) {
      for (const event of events) if (event.type === 'syscall') this.#timeline.count(event.name, event.startMs)
    }
    if (this.#taken) {
      for (const event of events) this.#waiting.push(event)
      if (this.#waiting.length > WAITING_MAX && !this.#over) this.#socket?.pause()
      this.#wake()
    }
    if (this.#onEvent === undefined) return
    try {
      for (const event of events) this.#onEvent(event)
    } catch (error) {
      this.#refuse(error instanceof Error ? error : new Error('trace.onEvent failed', { cause: error }))
    }
  }

  #refuse(error: Error): void {
    this.error = error
    this.#fail(error)
  }
}

function translate(raw: RawEvent): TraceEvent {
  if (raw.errno !== undefined) {
    raw.error = restarts[raw.errno] ?? systemError(raw.errno).code
    delete raw.errno
  }
  if (typeof raw.signal === 'number') raw.signal = signalName(raw.signal)
  return raw as unknown as TraceEvent
}
