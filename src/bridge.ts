/**
 * The JS end of the one channel between this thread and the native reactor.
 *
 * Runs on the JS thread only. A request is a plain call into the addon, which writes to the container's socket before it
 * returns and hands back an id; no thread is hopped. Completions come in batches: native fills `rows` with STRIDE doubles
 * each, and calls `#onBatch` once. What does not fit a double (output, error data) is in `extras`.
 *
 * Every id maps to one {@link Reply}, whose promise *always resolves*, with the reply itself: who awaits looks at `error`
 * and throws. So no rejection is ever left unhandled in here, and errors are made where V8 knows the asynchronous callers.
 *
 * The event loop stays alive while a counted reply is pending (0 -> 1: ref, 1 -> 0: unref). Watching for a container's
 * end is not counted: a program that forgot `destroy()` still exits.
 *
 * Late completions of forgotten ids own nothing but, possibly, a descriptor, which is closed.
 */
import {
  binding,
  type Container,
  type ErrorData,
  type Extra,
  type NativeBridge,
  type NativeSeccomp,
  type NativeTrace,
  type SetupInput,
} from './binding.js'
import { adoptFd, discardFd, setOwner } from './descriptor.js'
import { HotcellError } from './errors.js'
import { invalidPolicy, invalidTrace } from './options/invalid.js'
import { traceResult, type TraceResult } from './result.js'
import type { TimelineRecorder } from './timeline/timeline.js'

/** Doubles in a row: id, kind, and ten of the kind's own. */
const STRIDE = 12
/** Completions in a batch. More of them make more batches. */
const ROWS = 256

/** Kinds of completions; all but STARTED, SYNC and TIMELINE are final. */
const ERROR = 1
const RESULT = 2
const STARTED = 3
const SYNC = 4
const FILE = 5
const CREATED = 6
const CLOSED = 7
const TIMELINE = 8

/** Makes the run stop before `execve` and report its pid (native `execve`, `flags`). */
export const FLAG_SYNC = 1
/** Makes the run report its pid once the program runs (native `execve`, `flags`). */
export const FLAG_STARTED = 2

/** What became of one request. */
export class Reply {
  readonly id: number
  /** Kept from being collected meanwhile: native kills a container that nobody has any more. */
  readonly container: Container | undefined
  /** Whether it keeps the event loop alive. */
  counted: boolean
  /** Why it failed, if it did. */
  error: ErrorData | undefined = undefined
  /** How a run ended. */
  result: TraceResult | undefined = undefined
  /** What a run wrote, if it was collected. */
  extra: Extra | undefined = undefined
  /** A descriptor that was opened; whoever awaits owns it. */
  fd = -1
  /** What `commit` and `discard` want. */
  ticket = 0
  /** The pid of a new container's init, or of a run's main process. */
  pid = 0
  /** Whether the end of a container was asked for. */
  requested = false
  settle!: (reply: Reply) => void
  readonly settled: Promise<Reply>
  announce: ((pid: number) => void) | undefined = undefined
  /** Of a run that asked for a timeline. */
  timeline: TimelineRecorder | undefined = undefined

  constructor(id: number, container: Container | undefined) {
    this.id = id
    this.container = container
    this.counted = container !== undefined
    this.settled = new Promise((resolve) => {
      this.settle = resolve
    })
  }

  /** Resolves with the pid at STARTED or SYNC, and with 0 when the run ends without it. To be called at once. */
  announced(): Promise<number> {
    return new Promise((resolve) => {
      this.announce = resolve
    })
  }
}

class Bridge {
  readonly #rows = new Float64Array(STRIDE * ROWS)
  readonly #pending = new Map<number, Reply>()
  readonly #native: NativeBridge
  #counted = 0
  #referenced = false

  constructor() {
    this.#native = new (binding().Bridge)(this.#rows, (count, extras) => this.#onBatch(count, extras))
    setOwner(this.#native)
  }

  launch(setup: SetupInput, seccomp: NativeSeccomp): Container {
    return this.#native.launch(setup, seccomp)
  }

  expect(id: number, container: Container | undefined): Reply {
    const reply = new Reply(id, container)
    this.#pending.set(id, reply)
    if (reply.counted) this.#count()
    return reply
  }

  keepAlive(reply: Reply): void {
    if (reply.counted || !this.#pending.has(reply.id)) return
    reply.counted = true
    this.#count()
  }

  forget(reply: Reply): void {
    if (!this.#pending.delete(reply.id)) return
    if (reply.counted) this.#counted--
    this.#release()
  }

  #count(): void {
    if (this.#counted++ === 0 && !this.#referenced) {
      this.#referenced = true
      this.#native.ref()
    }
  }

  #release(): void {
    if (this.#counted === 0 && this.#referenced) {
      this.#referenced = false
      this.#native.unref()
    }
  }

  #onBatch(count: number, extras: (Extra | null)[] | null): void {
    const rows = this.#rows
    for (let i = 0, at = 0; i < count; i++, at += STRIDE) {
      const id = rows[at] as number
      const kind = rows[at + 1] as number
      const a = rows[at + 2] as number
      const reply = this.#pending.get(id)
      if (reply === undefined) {
        if (kind === FILE) discardFd(a)
        continue
      }
      if (kind === STARTED || kind === SYNC) {
        reply.pid = a
        reply.announce?.(a)
        continue
      }
      if (kind === TIMELINE) {
        reply.timeline?.take(extras?.[i]?.samples ?? new Float64Array())
        continue
      }
      this.#pending.delete(id)
      if (reply.counted) this.#counted--
      if (kind === RESULT) {
        const extra = extras?.[i] ?? undefined
        reply.result = traceResult(rows, at + 2, extra)
        reply.extra = extra
        if (reply.timeline !== undefined) reply.result.timeline = reply.timeline.finish(reply.result)
      } else if (kind === FILE) {
        adoptFd(a)
        reply.fd = a
        reply.ticket = rows[at + 3] as number
      } else if (kind === CREATED) {
        reply.pid = a
      } else if (kind === CLOSED) {
        reply.requested = a === 1
      } else if (kind === ERROR) {
        reply.error = extras?.[i]?.error ?? {
          kind: 'protocol',
          detail: 'the addon reported an error without saying which',
        }
      }
      reply.announce?.(0)
      reply.settle(reply)
    }
    // After the batch, not at each completion: whoever awaited asks for the next thing before the loop could end.
    this.#release()
  }
}

let current: Bridge | undefined

/** Makes this thread's bridge, for those who need what comes with it: somebody who closes descriptors at the end of a worker. */
export function ensureBridge(): void {
  current ??= new Bridge()
}

/** Starts to make a container, on this thread's bridge, which is made with the first one. */
export function launch(setup: SetupInput, seccomp: NativeSeccomp): Container {
  current ??= new Bridge()
  return current.launch(setup, seccomp)
}

/** Compiles a policy: a profile by name, or JSON, which `file` names in messages. */
export function compileSeccomp(profile: string | null, json: string | null, file: string | undefined): NativeSeccomp {
  try {
    return new (binding().Seccomp)(profile, json, file ?? null)
  } catch (error) {
    // What is wrong with it, and where, is all that native has to say.
    throw error instanceof HotcellError ? error : invalidPolicy(error)
  }
}

/** Checks what is to be traced. The parameters are native's. */
export function makeTrace(...options: ConstructorParameters<typeof NativeTrace>): NativeTrace {
  try {
    return new (binding().Trace)(...options)
  } catch (error) {
    throw error instanceof HotcellError ? error : invalidTrace(error)
  }
}

/**
 * The reply to the request with this id, keeping the event loop and the container alive until it is there. To be called at
 * once.
 */
export function expect(container: Container, id: number): Reply {
  return (current as Bridge).expect(id, container)
}

/** The same without keeping anything alive. */
export function watch(id: number): Reply {
  return (current as Bridge).expect(id, undefined)
}

/** Makes a watched reply keep the event loop alive. */
export function keepAlive(reply: Reply): void {
  current?.keepAlive(reply)
}

/** Stops waiting; its promise never settles. */
export function forget(reply: Reply): void {
  current?.forget(reply)
}
