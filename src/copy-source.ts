/**
 * What can be copied into a container, and how it becomes chunks of bytes.
 *
 * A source is opened before anything is made in the container, and always ends closed: streams and iterators are destroyed
 * when the copy fails or is cancelled, files opened here are closed. What the caller opened (a descriptor, a FileHandle)
 * stays open.
 */
import { closeSync, fstatSync, open as openFile, type Stats } from 'node:fs'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { CHUNK_BYTES, readSome } from './descriptor.js'
import { hostFailure } from './errors.js'
import { invalidType, invalidValue } from './options/invalid.js'
import { descriptor, text } from './options/primitives.js'
import { SealedFile } from './sealed-file.js'

/**
 * What can be copied into a container:
 *
 * - a string or a `file:` URL: a file of the host, or for `copyIn()` a directory with all that is in it;
 * - bytes;
 * - an open file, as `{ fd }`, a FileHandle or a {@link SandboxFile} of any container: read from its current position to the end
 *   that it has when the copy begins, and left open there;
 * - a {@link SealedFile}: all of it, any number of times at once;
 * - a Node stream, a web stream, or any async iterable of bytes or strings: read to its end, and destroyed if the copy fails.
 *
 * Regular files are copied by the kernel, without passing through this process: their blocks are shared where the file system
 * can (copy_file_range(2)), and holes stay holes.
 */
export type CopySource =
  | string
  | URL
  | Uint8Array
  | NodeJS.ArrayBufferView
  | { fd: number }
  | SealedFile
  | Readable
  | ReadableStream<Uint8Array>
  | AsyncIterable<string | Uint8Array>

/** A source that is ready to be read. */
export type Content =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | FileContent
  | { readonly kind: 'chunks'; readonly mode: number | undefined; readonly chunks: Chunks }

/** A directory of this side. Whoever opened it closes it. */
export interface Directory {
  readonly kind: 'directory'
  readonly fd: number
}

/** Chunks that can be given up at any moment, also while one is awaited. */
export interface Chunks {
  /** The next one, `undefined` at the end. */
  next(): Promise<Uint8Array | undefined>
  /** Gives up: what `next` awaits rejects. Idempotent. */
  stop(): void
}

/** A regular file of this side, which the kernel can copy. */
export class FileContent {
  readonly kind = 'file'
  readonly fd: number
  readonly mode: number | undefined
  /** All of it, whatever its position is. */
  readonly whole: boolean
  /** The path of a file that was opened here. */
  readonly path: string | undefined
  stopped = false

  constructor(fd: number, mode: number | undefined, whole: boolean, path?: string) {
    this.fd = fd
    this.mode = mode
    this.whole = whole
    this.path = path
  }

  /** Gives up, or is done with it. Idempotent. A copy that goes on has a descriptor of its own. */
  stop(): void {
    if (this.stopped) return
    this.stopped = true
    if (this.path !== undefined) closeSync(this.fd)
  }
}

export const PERMISSIONS = 0o777
const openAsync = promisify(openFile)

/** Checks that `source` is one, without touching it. */
export function checkSource(name: string, source: unknown): void {
  if (typeof source === 'string') {
    text(name, source)
    return
  }
  if (source instanceof URL) {
    if (source.protocol !== 'file:')
      throw invalidValue(name, source.href, 'must be a file: URL; fetch others, and give the body')
    return
  }
  if (typeof source === 'object' && source !== null) {
    if (ArrayBuffer.isView(source) || isIterable(source) || isWebStream(source)) return
    if ('fd' in source) {
      descriptor(name, source)
      return
    }
  }
  throw invalidType(name, 'a path, a file: URL, bytes, an object with an "fd", a stream or an async iterable', source)
}

/** Opens a source that {@link checkSource} took, and that is no directory. `doing` is for messages, to be read after "cannot". */
export async function openContent(source: CopySource, doing: string): Promise<Content> {
  const content = await openSource(source)
  if (content.kind !== 'directory') return content
  closeSync(content.fd)
  const cause = Object.assign(new Error('EISDIR'), { code: 'EISDIR', errno: -21, syscall: 'open' })
  throw hostFailure(doing, source instanceof URL ? fileURLToPath(source) : String(source), cause)
}

/** The same, to be read by this process, whatever it is. `undefined` for bytes. */
export function chunksOf(content: Content): Chunks | undefined {
  if (content.kind === 'bytes') return undefined
  if (content.kind === 'chunks') return content.chunks
  return new FileChunks(content.fd, content.path, content.whole ? 0 : null)
}

/** Opens a source that {@link checkSource} took. */
export async function openSource(source: CopySource): Promise<Content | Directory> {
  if (typeof source === 'string') return await openPath(source)
  if (source instanceof URL) return await openPath(fileURLToPath(source))
  if (source instanceof Uint8Array) return { kind: 'bytes', bytes: source }
  if (ArrayBuffer.isView(source)) {
    return { kind: 'bytes', bytes: new Uint8Array(source.buffer, source.byteOffset, source.byteLength) }
  }
  if (source instanceof SealedFile) return new FileContent(source.fd, source.mode, true)
  // A stream of node:fs has an fd as well, which is not the stream's content.
  if (isIterable(source)) return { kind: 'chunks', mode: undefined, chunks: new IteratedChunks(source) }
  if (isWebStream(source)) return { kind: 'chunks', mode: undefined, chunks: new WebChunks(source) }
  return descriptorContent((source as { fd: number }).fd, undefined)
}

/** Of a descriptor that stays open: from its current position on. */
export function descriptorContent(fd: number, mode: number | undefined): Content {
  let stats: Stats
  try {
    stats = fstatSync(fd)
  } catch (error) {
    throw hostFailure("read the host's file", undefined, error)
  }
  if (hasSize(stats)) return new FileContent(fd, mode, false)
  return { kind: 'chunks', mode, chunks: new FileChunks(fd, undefined) }
}

/** Gives up whatever is read. Idempotent. */
export function stopContent(content: Content): void {
  if (content.kind === 'file') content.stop()
  else if (content.kind === 'chunks') content.chunks.stop()
}

async function openPath(path: string): Promise<Content | Directory> {
  let fd: number
  try {
    fd = await openAsync(path, 'r')
  } catch (error) {
    throw hostFailure("open the host's file", path, error)
  }
  const stats = fstatSync(fd)
  if (stats.isDirectory()) return { kind: 'directory', fd }
  const mode = stats.mode & PERMISSIONS
  if (hasSize(stats)) return new FileContent(fd, mode, false, path)
  return { kind: 'chunks', mode, chunks: new FileChunks(fd, path) }
}

/** Whether it is a regular file that says how long it is. Those of /proc do not: they are read until they end. */
function hasSize(stats: Stats): boolean {
  return stats.isFile() && stats.size > 0
}

function isIterable(source: object): source is AsyncIterable<string | Uint8Array> {
  // FileHandle is no iterable; Readable is; web streams are in Node, and in no other realm for sure.
  return Symbol.asyncIterator in source && !isWebStream(source)
}

function isWebStream(source: object): source is ReadableStream<Uint8Array> {
  return 'getReader' in source && typeof source.getReader === 'function'
}

/** A file of the host's that is no regular one, or does not say how long it is: a pipe, a device, something of /proc. */
class FileChunks implements Chunks {
  readonly #fd: number
  /** The path of a file that was opened here. */
  readonly #path: string | undefined
  readonly #buffer = Buffer.allocUnsafe(CHUNK_BYTES)
  /** Where to read next; `null`: where the descriptor is. */
  #position: number | null
  #reading = false
  #stopped = false

  constructor(fd: number, path: string | undefined, position: number | null = null) {
    this.#fd = fd
    this.#path = path
    this.#position = position
  }

  /** The chunk is overwritten by the next one. */
  async next(): Promise<Uint8Array | undefined> {
    this.#reading = true
    try {
      const { bytesRead } = await readSome(this.#fd, this.#buffer, 0, this.#buffer.length, this.#position)
      if (this.#position !== null) this.#position += bytesRead
      return bytesRead === 0 ? undefined : this.#buffer.subarray(0, bytesRead)
    } catch (error) {
      throw hostFailure("read the host's file", this.#path, error)
    } finally {
      this.#reading = false
      if (this.#stopped) this.#close()
    }
  }

  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    // A descriptor that a thread still reads from must not be closed: its number could be another file's by then.
    if (!this.#reading) this.#close()
  }

  #close(): void {
    // By fs, which opened it: a worker's closes at its end what it believes to be open, whoever has the number by then.
    if (this.#path !== undefined) closeSync(this.#fd)
  }
}

/** Whatever can be iterated, streams of Node's included. */
class IteratedChunks implements Chunks {
  readonly #source: AsyncIterable<string | Uint8Array>
  #iterator: AsyncIterator<string | Uint8Array> | undefined
  #interrupt: ((reason: Error) => void) | undefined
  #over = false

  constructor(source: AsyncIterable<string | Uint8Array>) {
    this.#source = source
    // A stream may fail before it is read (a file that does not exist). Its iterator tells then; an event that nobody
    // listens to would end the process.
    if (source instanceof Readable) source.on('error', () => undefined)
  }

  async next(): Promise<Uint8Array | undefined> {
    const iterator = (this.#iterator ??= this.#source[Symbol.asyncIterator]())
    const step = await new Promise<IteratorResult<string | Uint8Array>>((resolve, reject) => {
      this.#interrupt = reject
      iterator.next().then(resolve, reject)
    })
    if (step.done === true) {
      this.#over = true
      return undefined
    }
    return chunkBytes(step.value)
  }

  stop(): void {
    if (this.#over) return
    this.#over = true
    this.#interrupt?.(new Error('the copy was stopped'))
    if (this.#source instanceof Readable) this.#source.destroy()
    // A generator that awaits something gets to its `finally` when it is done with that; nobody waits for it here.
    else this.#iterator?.return?.().then(undefined, () => undefined)
  }
}

/** A web stream. */
class WebChunks implements Chunks {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  #over = false

  constructor(source: ReadableStream<Uint8Array>) {
    this.#reader = source.getReader()
  }

  async next(): Promise<Uint8Array | undefined> {
    const { done, value } = await this.#reader.read()
    if (!done) return chunkBytes(value)
    this.#over = true
    this.#reader.releaseLock()
    return undefined
  }

  stop(): void {
    if (this.#over) return
    this.#over = true
    // Pending reads are answered with "done".
    this.#reader.cancel().then(undefined, () => undefined)
  }
}

function chunkBytes(chunk: unknown): Uint8Array {
  if (typeof chunk === 'string') return Buffer.from(chunk)
  if (!(chunk instanceof Uint8Array)) throw invalidType('source', 'a stream of strings or Uint8Arrays', chunk)
  return chunk
}
