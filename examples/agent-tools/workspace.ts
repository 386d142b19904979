// The place where an agent works: one container, whose files stay from call to call.
//
// It is one domain of trust: everything in it is of the same agent. It may be lost at any time (the host's OOM killer, an
// administrator); the next call gets an empty one, and is told.

import { defaultPath, HotcellError, Master, type Limits, type MasterOptions, type RunResult } from 'hotcell'

/** What one call may use. Time is the caller's choice. */
const limits: Limits = {
  memoryBytes: 512 * 1024 * 1024,
  processes: 128,
  outputBytes: 1024 * 1024,
  fileSizeBytes: 64 * 1024 * 1024,
}

export interface Command {
  readonly args: readonly [string, ...string[]]
  /** For this call alone: container path to content. */
  readonly files?: Readonly<Record<string, Uint8Array>>
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

export class Workspace implements AsyncDisposable {
  readonly #options: MasterOptions
  #master: Promise<Master> | undefined
  #ended = false

  private constructor(options: MasterOptions) {
    this.#options = options
  }

  /** Makes the container at once: a host that does not allow one is to be known before an agent is. */
  static async create(options: MasterOptions = {}): Promise<Workspace> {
    const workspace = new Workspace({
      env: [defaultPath, 'HOME=/w', 'LANG=C.UTF-8', 'PYTHONPATH=/w'],
      tmpfs: { sizeBytes: 256 * 1024 * 1024 },
      limits,
      ...options,
    })
    await workspace.#container()
    return workspace
  }

  /** Runs a program in /w to its end, and what it started too. */
  async run({ args: [file, ...args], files = {}, timeoutMs, signal }: Command): Promise<RunResult<string>> {
    const time = { cpuTimeMs: timeoutMs, wallTimeMs: timeoutMs }
    return await this.#withContainer(async (master) => {
      try {
        return await master.run(file, args, { files, limits: time, signal })
      } finally {
        // They were for this call alone. With the container they are gone anyway.
        const deleted = Object.keys(files).map((path) => master.delete(path, { recursive: true }))
        await Promise.allSettled(deleted)
      }
    })
  }

  /** @param path relative to /w */
  async write(path: string, content: string, signal: AbortSignal): Promise<void> {
    await this.#withContainer((master) => master.copyIn(Buffer.from(content), path, { signal }))
  }

  /** @param path relative to /w */
  async read(path: string, maxBytes: number, signal: AbortSignal): Promise<string> {
    return String(await this.#withContainer((master) => master.copyOut(path, { maxBytes, signal })))
  }

  /** Empty again, with nothing running. */
  async reset(signal: AbortSignal): Promise<void> {
    await this.#withContainer((master) => master.reset({ signal }))
  }

  async #withContainer<T>(work: (master: Master) => Promise<T>): Promise<T> {
    const container = this.#container()
    try {
      return await work(await container)
    } catch (error) {
      if (error instanceof HotcellError && error.code === 'ERR_HOTCELL_CONTAINER_LOST') {
        this.#forget(container)
        throw new Error('The workspace was lost with all its files. There is a new, empty one', { cause: error })
      }
      throw error
    }
  }

  #container(): Promise<Master> {
    if (this.#ended) throw new Error('The workspace has ended')
    if (this.#master !== undefined) return this.#master
    const made = Master.create(this.#options)
    this.#master = made
    const forget = (): void => this.#forget(made)
    made.then((master) => master.closed).then(forget, forget)
    return made
  }

  /** The next call makes another one. */
  #forget(container: Promise<Master>): void {
    if (this.#master === container) this.#master = undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true
    const master = await this.#master?.catch(() => undefined)
    await master?.destroy()
  }
}
