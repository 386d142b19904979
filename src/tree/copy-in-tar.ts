/**
 * Unpacks a tar archive in a container. A native thread reads it from a pipe that is filled here, as fast as it is emptied there.
 */
import { Cancellation, refuseAborted } from '../abort.js'
import type { Container } from '../binding.js'
import { checkSource, chunksOf, openContent, type Chunks, type Content, type CopySource } from '../copy-source.js'
import { abortSignal, type Cancellable } from '../options/cancellable.js'
import { checkNames, names } from '../options/names.js'
import { containerPath, integer, type ContainerPath } from '../options/primitives.js'
import { encodeDirectory, type DirectoryOptions } from './copy-in-directory.js'
import { Transfer } from './transfer.js'

/** Options of `copyInTar()`. */
export interface CopyInTarOptions extends DirectoryOptions, Cancellable {
  /**
   * How many leading parts of each name are dropped, with what has no more than these: 1 for archives that hold everything in one directory.
   *
   * @default 0
   */
  stripComponents?: number | undefined
}

const STRIP_MAX = 4096

const allowed = names<CopyInTarOptions>('options', {
  include: true,
  exclude: true,
  maxEntries: true,
  maxBytes: true,
  stripComponents: true,
  signal: true,
})

class UnpackCancellation extends Cancellation {
  chunks: Chunks | undefined
  transfer: Transfer | undefined

  protected cancel(): void {
    this.transfer?.stop()
    this.chunks?.stop()
  }
}

export async function copyInTar(
  container: Container,
  source: CopySource,
  path: ContainerPath,
  options: CopyInTarOptions = {},
): Promise<void> {
  checkNames(options, allowed)
  checkSource('source', source)
  const target = containerPath('path', path)
  const { include, exclude, maxEntries, maxBytes } = encodeDirectory(options)
  const strip =
    options.stripComponents === undefined ? 0 : integer('stripComponents', options.stripComponents, 0, STRIP_MAX)
  const signal = abortSignal(options.signal)
  refuseAborted(signal)

  const cancellation = new UnpackCancellation(signal)
  let chunks: Chunks | undefined
  try {
    const content = await openContent(source, 'read an archive from')
    chunks = chunksOf(content)
    cancellation.chunks = chunks
    cancellation.check()
    const native = container.copyInArchive(target, include, exclude, strip, maxEntries, maxBytes)
    const transfer = new Transfer(container, native, 'in')
    cancellation.transfer = transfer
    // It may be over before the source is, for whatever is wrong with it.
    let over = false
    const settled = transfer.settled().then((error) => {
      over = true
      chunks?.stop()
      return error
    })
    let broken: unknown
    let isBroken = false
    try {
      await pump(content, chunks, transfer)
    } catch (error) {
      if (!over) {
        isBroken = true
        broken = error
        transfer.stop()
      }
    }
    const error = await settled
    cancellation.check()
    if (isBroken) throw broken
    if (error !== undefined) throw error
  } finally {
    cancellation.stop()
    chunks?.stop()
  }
}

/** Writes all of it into the pipe, as long as somebody reads it, and closes that. */
async function pump(content: Content, chunks: Chunks | undefined, transfer: Transfer): Promise<void> {
  if (content.kind === 'bytes') {
    await write(transfer, content.bytes)
  } else if (chunks !== undefined) {
    for (;;) {
      const chunk = await chunks.next()
      if (chunk === undefined) break
      // A source that always has more would never let the reply through that says why nobody reads.
      if (!(await write(transfer, chunk))) return
    }
  }
  transfer.socket?.end()
}

/** Whether there is somebody who reads; why not is told by the reply. The chunk may be used again afterwards. */
async function write(transfer: Transfer, chunk: Uint8Array): Promise<boolean> {
  const { socket } = transfer
  if (socket === undefined || socket.destroyed) return false
  if (chunk.length === 0) return true
  await new Promise<void>((resolve) => {
    const done = (): void => {
      socket.off('close', done)
      resolve()
    }
    socket.once('close', done)
    socket.write(chunk, done)
  })
  return !socket.destroyed
}
