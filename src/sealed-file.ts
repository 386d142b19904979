/** A file in memory that nobody can change any more: a memfd with every seal, which seal.ts makes. */
import { read } from 'node:fs'
import { promisify } from 'node:util'
import { CHUNK_BYTES, discardFd } from './descriptor.js'
import { closedFile } from './errors.js'

const readAsync = promisify(read)

/** Descriptors of objects that nobody has any more. */
const leaked = new FinalizationRegistry<number>(discardFd)

/**
 * A file in this process's memory whose content nobody can change any more, this process included (memfd_create(2),
 * `F_ADD_SEALS` of fcntl(2)). From `seal()`, `Master.seal()` and `Master.build()`.
 *
 * It can be executed, as `execFile` of any run, and copied, as the source of any `copyIn` or in `files`: by any number of
 * containers at once, which learn nothing of each other by it. Its memory is this process's until it is closed; whoever executes it
 * keeps it a little longer.
 *
 * @example
 * ```ts
 * using program = await seal('/usr/bin/jq')
 * await pool.run('jq', ['.name'], { execFile: program, input: '{ "name": "hotcell" }' })
 * ```
 */
export class SealedFile implements Disposable {
  /** How long it is, in bytes. */
  readonly size: number
  /** The permission bits that a copy of it has, unless it is told otherwise. It can be executed itself, whatever they say. */
  readonly mode: number
  readonly #fd: number
  #closed = false

  /** @internal */
  constructor(fd: number, size: number, mode: number) {
    this.#fd = fd
    this.size = size
    this.mode = mode
    leaked.register(this, fd, this)
  }

  /**
   * The descriptor, in this process. Owned by this object: don't close it, and keep the object, whose collection does.
   *
   * @throws {HotcellError} `EBADF` after `close()`
   */
  get fd(): number {
    if (this.#closed) throw closedFile('sealed file', 'use')
    return this.#fd
  }

  /** Whether `close()` was called. */
  get closed(): boolean {
    return this.#closed
  }

  /**
   * Reads all of it.
   *
   * @throws {HotcellError} `EBADF` if it was closed, also while it is read
   */
  async readFile(): Promise<Buffer> {
    const content = Buffer.allocUnsafe(this.size)
    for (let at = 0; at < this.size;) {
      at += (await readAsync(this.fd, content, at, Math.min(CHUNK_BYTES, this.size - at), at)).bytesRead
    }
    return content
  }

  /** Closes it. What was started with it goes on. Idempotent. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    leaked.unregister(this)
    discardFd(this.#fd)
  }

  /** The same, for `using`. */
  [Symbol.dispose](): void {
    this.close()
  }
}
