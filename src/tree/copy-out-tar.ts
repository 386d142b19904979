/** A directory of a container as a stream, which is a tar archive. */
import { Readable } from 'node:stream'
import { AbortError, Cancellation } from '../abort.js'
import type { Container } from '../binding.js'
import { abortSignal, type Cancellable } from '../options/cancellable.js'
import { checkNames, names } from '../options/names.js'
import { containerPath, type ContainerPath } from '../options/primitives.js'
import {
  bound,
  DEFAULT_MAX_ENTRIES,
  encodeSelection,
  type EncodedSelection,
  type EntryBound,
  type TreeSelection,
} from './selection.js'
import { Transfer } from './transfer.js'

/** Options of `copyOutTar()`. */
export interface CopyOutTarOptions extends TreeSelection, EntryBound, Cancellable {
  /** @default 100000 */
  maxEntries?: number | undefined
  /** With an archive of more bytes than this, it fails with `ERR_HOTCELL_TOO_LARGE`; holes do not count. @default 1073741824 (1 GiB) */
  maxBytes?: number | undefined
}

const DEFAULT_MAX_BYTES = 1024 ** 3

const allowed = names<CopyOutTarOptions>('options', {
  include: true,
  exclude: true,
  maxEntries: true,
  maxBytes: true,
  signal: true,
})

/** Destroys a stream. */
class StreamCancellation extends Cancellation {
  readonly #stream: Readable
  readonly #reason: AbortSignal | undefined

  constructor(signal: AbortSignal | undefined, stream: Readable) {
    super(signal)
    this.#stream = stream
    this.#reason = signal
  }

  protected cancel(): void {
    this.#stream.destroy(new AbortError(this.#reason as AbortSignal))
  }
}

/** Begins a copy, which is over when the stream is closed. */
type Around = (begin: () => Transfer, archive: Readable) => Transfer

/** `around` is called when somebody reads, and has to call what it is given. */
export function copyOutTar(
  container: Container,
  path: ContainerPath,
  options: CopyOutTarOptions = {},
  around: Around = (transfer) => transfer(),
): Readable {
  checkNames(options, allowed)
  const source = containerPath('path', path)
  const selection = encodeSelection(options)
  const maxEntries = bound('maxEntries', options.maxEntries, DEFAULT_MAX_ENTRIES)
  const maxBytes = bound('maxBytes', options.maxBytes, DEFAULT_MAX_BYTES)
  const signal = abortSignal(options.signal)
  const start = (): Transfer => begin(container, source, selection, maxEntries, maxBytes)
  const archive: Readable = new Archive(() => around(start, archive), signal)
  return archive
}

function begin(
  container: Container,
  path: ContainerPath,
  { include, exclude }: EncodedSelection,
  maxEntries: number,
  maxBytes: number,
): Transfer {
  return new Transfer(container, container.copyOutArchive(path, include, exclude, maxEntries, maxBytes), 'out')
}

/** Nothing is begun before somebody reads: an archive that nobody wants keeps no thread and no event loop. */
class Archive extends Readable {
  readonly #start: () => Transfer
  readonly #cancellation: Cancellation
  #transfer: Transfer | undefined

  constructor(start: () => Transfer, signal: AbortSignal | undefined) {
    super()
    this.#start = start
    this.#cancellation = new StreamCancellation(signal, this)
    if (signal?.aborted) this.destroy(new AbortError(signal))
  }

  override _read(): void {
    if (this.#transfer !== undefined) {
      this.#transfer.socket?.resume()
      return
    }
    try {
      this.#transfer = this.#start()
    } catch (error) {
      this.destroy(error as Error)
      return
    }
    const { socket } = this.#transfer
    socket?.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) socket.pause()
    })
    void this.#end(this.#transfer)
  }

  /** The end of the pipe is that of the archive only if the reply says so. */
  async #end(transfer: Transfer): Promise<void> {
    const { socket } = transfer
    if (socket !== undefined) await new Promise((resolve) => socket.once('close', resolve))
    const error = await transfer.settled()
    if (this.destroyed) return
    if (error === undefined) this.push(null)
    else this.destroy(error)
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#cancellation.stop()
    const transfer = this.#transfer
    if (transfer === undefined) {
      callback(error)
      return
    }
    transfer.stop()
    void this.#destroyed(transfer, error, callback)
  }

  /** Its end is when nothing of it goes on any more. */
  async #destroyed(transfer: Transfer, error: Error | null, callback: (error?: Error | null) => void): Promise<void> {
    await transfer.settled()
    callback(error)
  }
}
