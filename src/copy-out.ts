import { constants, fstatSync, readSync } from 'node:fs'
import { Checkpoint, refuseAborted } from './abort.js'
import type { Container } from './binding.js'
import { expect } from './bridge.js'
import { CHUNK_BYTES, discardFd, readSome } from './descriptor.js'
import { failure, HotcellError, hostFailure } from './errors.js'
import { abortSignal, type Cancellable } from './options/cancellable.js'
import { checkNames, names } from './options/names.js'
import { containerPath, display, integer, type ContainerPath } from './options/primitives.js'
import { requireFileDescriptors } from './runtime.js'

/** Options of `copyOut()`. */
export interface CopyOutOptions extends Cancellable {
  /** A larger file is `ERR_HOTCELL_TOO_LARGE`. @default 67108864 (64 MiB) */
  maxBytes?: number | undefined
}

const DEFAULT_MAX_BYTES = 64 * 1024 * 1024
/** A Buffer holds at most 4 GiB on the oldest Node that is supported. */
const MAX_BYTES_MAX = 0xffffffff
/** Up to here a read from memory takes less time than a trip to the thread pool and back. */
const SYNC_BYTES = 64 * 1024

const allowed = names<CopyOutOptions>('options', { maxBytes: true, signal: true })

export async function copyOut(
  container: Container,
  path: ContainerPath,
  options: CopyOutOptions = {},
): Promise<Buffer> {
  checkNames(options, allowed)
  const source = containerPath('path', path)
  const maxBytes =
    options.maxBytes === undefined ? DEFAULT_MAX_BYTES : integer('maxBytes', options.maxBytes, 0, MAX_BYTES_MAX)
  const signal = abortSignal(options.signal)
  requireFileDescriptors('copyOut()')
  refuseAborted(signal)

  const checkpoint = new Checkpoint(signal)
  try {
    const { error, fd } = await expect(container, container.open(source, constants.O_RDONLY, 0)).settled
    try {
      checkpoint.check()
      if (error !== undefined) throw failure(error)
      return await readAll(fd, display(source), maxBytes, checkpoint)
    } finally {
      if (fd !== -1) discardFd(fd)
    }
  } finally {
    checkpoint.stop()
  }
}

/**
 * Reads to the end. The size that fstat tells is a hint for the first chunk: a program may make the file longer or
 * shorter meanwhile, and files of /proc have none.
 */
async function readAll(fd: number, path: string, maxBytes: number, checkpoint: Checkpoint): Promise<Buffer> {
  const chunks: Buffer[] = []
  let total = 0
  try {
    const { size } = fstatSync(fd)
    if (size > maxBytes) throw tooLarge(path, maxBytes)
    for (let next = size + 1; ; next = CHUNK_BYTES) {
      // One byte more than is allowed, to see that there is more.
      const buffer = Buffer.allocUnsafe(Math.min(next, CHUNK_BYTES, maxBytes - total + 1))
      const bytesRead =
        size <= SYNC_BYTES && total <= SYNC_BYTES
          ? readSync(fd, buffer, 0, Math.min(buffer.length, SYNC_BYTES), null)
          : (await readSome(fd, buffer, 0, buffer.length, null)).bytesRead
      checkpoint.check()
      if (bytesRead === 0) break
      chunks.push(buffer.subarray(0, bytesRead))
      total += bytesRead
      if (total > maxBytes) throw tooLarge(path, maxBytes)
    }
  } catch (error) {
    throw hostFailure('read the file of the container', path, error)
  }
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, total)
}

function tooLarge(path: string, maxBytes: number): HotcellError {
  return new HotcellError(
    'ERR_HOTCELL_TOO_LARGE',
    `The file '${path}' is larger than maxBytes (${maxBytes}). Raise maxBytes, or read it piece by piece with open()`,
    { path },
  )
}
