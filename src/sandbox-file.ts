/**
 * A file of a container, opened inside of it and used from here: the descriptor is this process's own, so reading and
 * writing go past the container.
 *
 * The descriptor is closed exactly once: by `close()`, by a stream's end, by `await using`, or when the object is collected.
 * Its number can be another file's right afterwards, so no operation may be under way then: `close()` waits for those that
 * are (in libuv's thread pool), and refuses new ones.
 */
import {
  createReadStream,
  createWriteStream,
  fstat,
  fsync,
  ftruncate,
  read,
  write,
  type ReadStream,
  type Stats,
  type WriteStream,
} from 'node:fs'
import { promisify } from 'node:util'
import { CHUNK_BYTES, closeFd, discardFd } from './descriptor.js'
import { closedFile } from './errors.js'

const readAsync = promisify(read)
const writeAsync = promisify(write)
const fstatAsync = promisify(fstat)
const fsyncAsync = promisify(fsync)
const ftruncateAsync = promisify(ftruncate)

/** Descriptors of objects that nobody has any more. */
const leaked = new FinalizationRegistry<number>(discardFd)

/** Options of a stream over a {@link SandboxFile}; as those of `fs.createReadStream` and `fs.createWriteStream`. */
export interface SandboxStreamOptions {
  /** Where to begin, in bytes. @default the current position */
  start?: number | undefined
  /** The last byte to read, itself included; reading only. @default the end */
  end?: number | undefined
  /** Whether the end of the stream closes the file. @default true */
  autoClose?: boolean | undefined
  /** How much is buffered, in bytes. @default 65536 for reading, 16384 for writing */
  highWaterMark?: number | undefined
  /** @default none: Buffers */
  encoding?: BufferEncoding | undefined
}

type Callback = (error: Error | null, ...results: unknown[]) => void

/** An open file of a container; from `Master.open()`. Keep the object, not only its `fd`: its collection closes the file. */
export class SandboxFile implements AsyncDisposable {
  /** The descriptor, in this process. Owned by this object: don't close it. */
  readonly fd: number
  /** As given to `open()`. */
  readonly path: string
  #closing: Promise<void> | undefined
  #busy = 0
  #idle: (() => void) | undefined

  /** @internal */
  constructor(fd: number, path: string) {
    this.fd = fd
    this.path = path
    leaked.register(this, fd, this)
  }

  /** Whether `close()` was called. */
  get closed(): boolean {
    return this.#closing !== undefined
  }

  /**
   * Reads up to `length` bytes into `buffer`, beginning at `offset` in it; read(2), or with a `position` pread(2).
   *
   * @param position in the file; `null` for the current one, which moves
   * @returns `bytesRead` is 0 at the end of the file
   * @throws {HotcellError} `EBADF` after `close()`
   */
  async read<T extends NodeJS.ArrayBufferView>(
    buffer: T,
    offset = 0,
    length: number = buffer.byteLength - offset,
    position: number | null = null,
  ): Promise<{ bytesRead: number; buffer: T }> {
    return await this.#use('read', () => readAsync(this.fd, buffer, offset, length, position))
  }

  /**
   * Writes bytes, or a string as UTF-8; write(2), or with a `position` pwrite(2). Fewer bytes than asked for may be written.
   *
   * @param position in the file; `null` for the current one, which moves
   * @throws {HotcellError} `EBADF` after `close()`
   */
  async write(
    data: string | NodeJS.ArrayBufferView,
    position: number | null = null,
  ): Promise<{ bytesWritten: number }> {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data
    return await this.#use('write', async () => {
      const { bytesWritten } = await writeAsync(this.fd, bytes, 0, bytes.byteLength, position)
      return { bytesWritten }
    })
  }

  /**
   * Reads from the current position to the end. A program may write as fast as this reads: where it is not trusted,
   * `maxBytes` of `copyOut()` is the better choice.
   *
   * @throws {HotcellError} `EBADF` after `close()`
   */
  readFile(options?: { encoding?: null | undefined } | null): Promise<Buffer>
  readFile(options: { encoding: BufferEncoding } | BufferEncoding): Promise<string>
  async readFile(
    options?: { encoding?: BufferEncoding | null | undefined } | BufferEncoding | null,
  ): Promise<string | Buffer> {
    const encoding = typeof options === 'string' ? options : options?.encoding
    const chunks: Buffer[] = []
    let next = (await this.stat()).size + 1
    for (;;) {
      const buffer = Buffer.allocUnsafe(Math.min(next, CHUNK_BYTES))
      const { bytesRead } = await this.read(buffer)
      if (bytesRead === 0) break
      chunks.push(buffer.subarray(0, bytesRead))
      next = CHUNK_BYTES
    }
    const content = Buffer.concat(chunks)
    return encoding ? content.toString(encoding) : content
  }

  /**
   * Writes all of it at the current position (at the end, if opened for appending). Nothing is cut off behind it.
   *
   * @throws {HotcellError} `EBADF` after `close()`
   */
  async writeFile(data: string | NodeJS.ArrayBufferView): Promise<void> {
    const bytes =
      typeof data === 'string' ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    for (let offset = 0; offset < bytes.length;) {
      const { bytesWritten } = await this.write(bytes.subarray(offset, offset + CHUNK_BYTES))
      offset += bytesWritten
    }
  }

  /** fstat(2). Owner and group are the host's ids. @throws {HotcellError} `EBADF` after `close()` */
  async stat(): Promise<Stats> {
    return await this.#use('fstat', () => fstatAsync(this.fd))
  }

  /** ftruncate(2). @throws {HotcellError} `EBADF` after `close()` */
  async truncate(length = 0): Promise<void> {
    await this.#use('ftruncate', () => ftruncateAsync(this.fd, length))
  }

  /** fsync(2). @throws {HotcellError} `EBADF` after `close()` */
  async sync(): Promise<void> {
    await this.#use('fsync', () => fsyncAsync(this.fd))
  }

  /** A stream of what is read; its end or failure closes the file, unless `autoClose: false`. */
  createReadStream(options: SandboxStreamOptions = {}): ReadStream {
    this.#checkOpen('read')
    return createReadStream('', this.#streamOptions(options))
  }

  /** A stream that writes; its end or failure closes the file, unless `autoClose: false`. */
  createWriteStream(options: Omit<SandboxStreamOptions, 'end'> = {}): WriteStream {
    this.#checkOpen('write')
    return createWriteStream('', this.#streamOptions(options))
  }

  /** Closes the file once nothing uses it any more. Idempotent. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  /** The same, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    if (this.#busy > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve
      })
    }
    leaked.unregister(this)
    closeFd(this.fd)
  }

  #checkOpen(syscall: string): void {
    if (this.#closing !== undefined) throw closedFile(this.path, syscall)
  }

  async #use<T>(syscall: string, operation: () => Promise<T>): Promise<T> {
    this.#checkOpen(syscall)
    this.#busy++
    try {
      return await operation()
    } finally {
      this.#release()
    }
  }

  #release(): void {
    if (--this.#busy === 0) this.#idle?.()
  }

  #streamOptions(options: SandboxStreamOptions): object {
    return { ...defined(options), fd: this.fd, fs: this.#functions() }
  }

  /** What the streams of `node:fs` call, so that they count as users of this file, and close it by `close()`. */
  #functions(): Record<string, unknown> {
    const counted =
      (operation: (fd: number, ...args: never[]) => void, syscall: string) =>
      (fd: number, ...args: unknown[]): void => {
        const callback = args.pop() as Callback
        if (this.#closing !== undefined) {
          process.nextTick(callback, closedFile(this.path, syscall))
          return
        }
        this.#busy++
        const done: Callback = (...results) => {
          this.#release()
          callback(...results)
        }
        operation(fd, ...([...args, done] as never[]))
      }
    return {
      read: counted(read, 'read'),
      write: counted(write, 'write'),
      fsync: counted(fsync, 'fsync'),
      close: (_fd: number, callback: Callback) => {
        this.close().then(() => callback(null), callback)
      },
    }
  }
}

/** Without the options that are there and undefined, some of which Node's streams do not take. */
function defined(options: SandboxStreamOptions): SandboxStreamOptions {
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  return Object.fromEntries(given) as SandboxStreamOptions
}
