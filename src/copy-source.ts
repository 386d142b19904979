/**
 * What can be copied into a container, and how it becomes chunks of bytes.
 *
 * A source is opened before anything is made in the container, and always ends closed: streams and iterators are destroyed
 * when the copy fails or is cancelled, files opened here are closed. What the caller opened (a descriptor, a FileHandle)
 * stays open.
 */
import { closeSync, fstatSync, open as openFile } from 'node:fs'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { CHUNK_BYTES, readSome } from './descriptor.js'
import { hostFailure } from './errors.js'
import { invalidType, invalidValue } from './options/invalid.js'
import { descriptor, text } from './options/primitives.js'

/**
 * What can be copied into a container:
 *
 * - a string or a `file:` URL: a file of the host, or for `copyIn()` a directory with all that is in it;
 * - bytes;
 * - an open file, as `{ fd }` or a FileHandle: read from its current position to its end, and left open there;
 * - a Node stream, a web stream, or any async iterable of bytes or strings: read to its end, and destroyed if the copy fails.
 */
export type CopySource =
  | string
  | URL
  | Uint8Array
  | NodeJS.ArrayBufferView
  | { fd: number }
  | Readable
  | ReadableStream<Uint8Array>
  | AsyncIterable<string | Uint8Array>

/** A source that is ready to be read. */
export type Content =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'directory'; readonly path: string; readonly fd: number }
  | { readonly kind: 'chunks'; readonly mode: number | undefined; readonly chunks: Chunks }

/** Chunks that can be given up at any moment, also while one is awaited. */
export interface Chunks {
  /** The next one, `undefined` at the end. */
  next(): Promise<Uint8Array | undefined>
  /** Gives up: what `next` awaits rejects. Idempotent. */
  stop(): void
}

const PERMISSIONS = 0o777
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

/** Opens a source that {@link checkSource} took. */
export async function openSource(source: CopySource): Promise<Content> {
  if (typeof source === 'string') return await openPath(source)
  if (source instanceof URL) return await openPath(fileURLToPath(source))
  if (source instanceof Uint8Array) return { kind: 'bytes', bytes: source }
  if (ArrayBuffer.isView(source)) {
    return { kind: 'bytes', bytes: new Uint8Array(source.buffer, source.byteOffset, source.byteLength) }
  }
  // A stream of node:fs has an fd as well, which is not the stream's content.
  if (isIterable(source)) return { kind: 'chunks', mode: undefined, chunks: new IteratedChunks(source) }
  if (isWebStream(source)) return { kind: 'chunks', mode: undefined, chunks: new WebChunks(source) }
  return {
    kind: 'chunks',
    mode: undefined,
    chunks: new FileChunks((source as { fd: number }).fd, undefined, CHUNK_BYTES),
  }
}

async function openPath(path: string): Promise<Content> {
  let fd: number
  try {
    fd = await openAsync(path, 'r')
  } catch (error) {
    throw hostFailure("open the host's file", path, error)
  }
  const stat = fstatSync(fd)
  if (stat.isDirectory()) return { kind: 'directory', path, fd }
  const { mode, size } = stat
  return { kind: 'chunks', mode: mode & PERMISSIONS, chunks: new FileChunks(fd, path, size) }
}

function isIterable(source: object): source is AsyncIterable<string | Uint8Array> {
  // FileHandle is no iterable; Readable is; web streams are in Node, and in no other realm for sure.
  return Symbol.asyncIterator in source && !isWebStream(source)
}

function isWebStream(source: object): source is ReadableStream<Uint8Array> {
  return 'getReader' in source && typeof source.getReader === 'function'
}

/** A file of the host's. */
class FileChunks implements Chunks {
  readonly #fd: number
  /** The path of a file that was opened here. */
  readonly #path: string | undefined
  readonly #buffer: Buffer
  #reading = false
  #stopped = false

  constructor(fd: number, path: string | undefined, sizeHint: number) {
    this.#fd = fd
    this.#path = path
    // One byte more than there should be, so that a second read finds the end of a small file.
    this.#buffer = Buffer.allocUnsafe(Math.min(sizeHint + 1, CHUNK_BYTES))
  }

  /** The chunk is overwritten by the next one. */
  async next(): Promise<Uint8Array | undefined> {
    this.#reading = true
    try {
      const { bytesRead } = await readSome(this.#fd, this.#buffer, 0, this.#buffer.length, null)
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
