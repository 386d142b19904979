/**
 * Writes a source into a file that was opened for it: a new one of a container's, or one in memory that is to be sealed.
 *
 * What is a regular file on this side goes through the kernel alone, part by part in libuv's thread pool (native `FileCopy`);
 * everything else passes through this process's memory. Between two parts or chunks the copy can be given up.
 */
import { Cancellation } from './abort.js'
import { binding } from './binding.js'
import { stopContent, type Content, type FileContent } from './copy-source.js'
import { writeAll, writeAllSync } from './descriptor.js'
import { failure, HotcellError, hostFailure } from './errors.js'

/** Up to here a write to memory takes less time than a trip to the thread pool and back. */
const SYNC_BYTES = 64 * 1024
/** A few milliseconds' worth. */
const PART_BYTES = 8 * 1024 * 1024

/** Gives up a source that is being read. */
export class ContentCancellation extends Cancellation {
  content: Content | undefined

  protected cancel(): void {
    if (this.content !== undefined) stopContent(this.content)
  }
}

/** Where a source is written to. */
export interface Target {
  readonly fd: number
  /** For messages, to be read after "cannot". */
  readonly doing: string
  /** The path concerned. */
  readonly path: string | undefined
  /** More is `ERR_HOTCELL_TOO_LARGE`. */
  readonly maxBytes: number
}

/** Writes all of it. `check` is called after whatever is awaited, and may throw. */
export async function fill(target: Target, content: Content, check: () => void): Promise<void> {
  if (content.kind === 'file') {
    await copyFile(target, content, check)
    return
  }
  if (content.kind === 'bytes') {
    if (content.bytes.byteLength > target.maxBytes) throw tooLarge(target.maxBytes)
    await write(target, content.bytes, check)
    return
  }
  let total = 0
  for (;;) {
    let chunk: Uint8Array | undefined
    try {
      chunk = await content.chunks.next()
    } finally {
      // What a source says when it is torn away is no news.
      check()
    }
    if (chunk === undefined) return
    total += chunk.length
    if (total > target.maxBytes) throw tooLarge(target.maxBytes)
    await write(target, chunk, check)
  }
}

async function copyFile(target: Target, source: FileContent, check: () => void): Promise<void> {
  checkStopped(source)
  const copy = new (binding().FileCopy)(source.fd, target.fd, source.whole)
  try {
    if (copy.length > target.maxBytes) throw tooLarge(target.maxBytes)
    for (;;) {
      const { over, errno, syscall } = await copy.advance(PART_BYTES)
      check()
      checkStopped(source)
      if (errno !== 0) throw copyFailure(target, source, errno, syscall)
      if (over) return
    }
  } finally {
    // With its own descriptor of the target, which cannot be executed while that is open.
    copy.close()
  }
}

/** One that was stopped may be closed, and its number another file's. Why it was, whoever did it tells. */
function checkStopped(source: FileContent): void {
  if (source.stopped) throw new Error('the copy was stopped')
}

/** What native's calls are about, where it is not the target. */
const aboutSource: Readonly<Record<string, string>> = {
  fcntl: 'use the descriptor to copy from',
  fstat: 'copy what is not a regular file',
  read: 'read the file to copy',
}

function copyFailure(target: Target, source: FileContent, errno: number, syscall: string): HotcellError {
  const doing = aboutSource[syscall]
  const path = doing === undefined ? target.path : source.path
  return failure({
    kind: 'failure',
    step: syscall,
    syscall,
    doing: doing ?? target.doing,
    errno,
    ...(path === undefined ? {} : { path: Buffer.from(path) }),
  })
}

async function write({ fd, doing, path }: Target, bytes: Uint8Array, check: () => void): Promise<void> {
  try {
    if (bytes.length <= SYNC_BYTES) writeAllSync(fd, bytes)
    else await writeAll(fd, bytes, check)
  } catch (error) {
    check()
    throw hostFailure(doing, path, error)
  }
}

function tooLarge(maxBytes: number): HotcellError {
  return new HotcellError('ERR_HOTCELL_TOO_LARGE', `The source is larger than maxBytes (${maxBytes}). Raise maxBytes`)
}
