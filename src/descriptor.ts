/** Reading and writing of whole contents through descriptors, which `node:fs` has for paths and FileHandles only. */
import { closeSync, read, write, writeSync } from 'node:fs'
import { promisify } from 'node:util'
import { isMainThread } from 'node:worker_threads'
import { binding } from './binding.js'

/** How much is read or written at once; between two of them a copy can be cancelled. */
export const CHUNK_BYTES = 1024 * 1024

export const readSome = promisify(read)
const writeSome = promisify(write)

/** Writes all of it, at the current position. `check` is called between the chunks, and may throw. */
export async function writeAll(fd: number, bytes: Uint8Array, check: () => void): Promise<void> {
  for (let offset = 0; offset < bytes.length;) {
    const { bytesWritten } = await writeSome(fd, bytes, offset, Math.min(CHUNK_BYTES, bytes.length - offset), null)
    offset += bytesWritten
    check()
  }
}

/** The same on the spot, for what takes less time than a trip to the thread pool. */
export function writeAllSync(fd: number, bytes: Uint8Array): void {
  for (let offset = 0; offset < bytes.length;) offset += writeSync(fd, bytes, offset)
}

/** Who closes what this thread still has as a bare number when it is terminated. */
interface Owner {
  adopt(fd: number): void
  disown(fd: number): void
}

/** Only in a worker: the end of the main thread is that of the process. */
let owner: Owner | undefined

export function setOwner(bridge: Owner): void {
  if (!isMainThread) owner = bridge
}

/** Takes a descriptor that native has just given away. */
export function adoptFd(fd: number): void {
  if (fd !== -1) owner?.adopt(fd)
}

/** Gives one to somebody who closes it at the end of the thread as well: a stream of Node's. */
export function disownFd(fd: number): number {
  owner?.disown(fd)
  return fd
}

/**
 * Closes a descriptor of ours. A worker's `fs.close` prints a warning for each that its `fs` did not open, and Deno's does not know
 * it.
 */
export function closeFd(fd: number): void {
  if (owner === undefined && process.versions['deno'] === undefined) {
    closeSync(fd)
  } else {
    owner?.disown(fd)
    binding().closeDescriptor(fd)
  }
}

/** Closes a descriptor of ours whose content does not matter any more. */
export function discardFd(fd: number): void {
  try {
    closeFd(fd)
  } catch {
    // close(2) releases the descriptor even when it reports what an earlier write ran into.
  }
}
