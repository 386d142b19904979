/**
 * Copies a file into a container. Init makes missing parents and opens a nameless-to-others temporary file beside the
 * target; its content is written from here, by this process; and `commit` renames it over whatever stands at the path. So
 * a program never sees half a file, and a copy that fails or is cancelled leaves what was there.
 */
import { Cancellation, refuseAborted } from './abort.js'
import type { Container } from './binding.js'
import { expect } from './bridge.js'
import { checkSource, openSource, type Chunks, type Content, type CopySource } from './copy-source.js'
import { closeFd, discardFd, writeAll, writeAllSync } from './descriptor.js'
import { failure, hostFailure } from './errors.js'
import { onLoss } from './loss.js'
import { abortSignal, type Cancellable } from './options/cancellable.js'
import { checkNames, names } from './options/names.js'
import { containerPath, display, fileMode, type ContainerPath } from './options/primitives.js'
import { requireFileDescriptors } from './runtime.js'

/** Options of `copyIn()`. */
export interface CopyInOptions extends Cancellable {
  /**
   * Permission bits of the file, exactly: no umask applies. (The set-ID bits mean nothing in a container, and the kernel may drop
   * them: every mount is nosuid.) @default those of the source if it is a path or URL, else
   * 0o644
   */
  mode?: number | undefined
}

const DEFAULT_MODE = 0o644
/** Up to here a write to memory takes less time than a trip to the thread pool and back. */
const SYNC_BYTES = 64 * 1024

const allowed = names<CopyInOptions>('options', { mode: true, signal: true })

class CopyCancellation extends Cancellation {
  chunks: Chunks | undefined

  protected cancel(): void {
    this.chunks?.stop()
  }
}

export async function copyIn(
  container: Container,
  source: CopySource,
  path: ContainerPath,
  options: CopyInOptions = {},
): Promise<void> {
  checkNames(options, allowed)
  checkSource('source', source)
  const target = containerPath('path', path)
  const mode = options.mode === undefined ? undefined : fileMode('mode', options.mode)
  const signal = abortSignal(options.signal)
  requireFileDescriptors('copyIn()')
  refuseAborted(signal)

  const cancellation = new CopyCancellation(signal)
  try {
    const content = await openSource(source)
    if (content.kind === 'bytes') {
      await replace(container, target, mode ?? DEFAULT_MODE, content, cancellation)
      return
    }
    cancellation.chunks = content.chunks
    // While a source takes its time nobody asks the container for anything, and nobody would hear of its end.
    let gone = false
    const stopListening = onLoss(container, () => {
      gone = true
      content.chunks.stop()
    })
    try {
      cancellation.check()
      await replace(container, target, mode ?? content.mode ?? DEFAULT_MODE, content, cancellation)
    } catch (error) {
      if (!gone || cancellation.aborted) throw error
      const { error: reason } = await expect(container, container.ping()).settled
      throw failure(reason ?? { kind: 'lost' })
    } finally {
      stopListening()
      content.chunks.stop()
    }
  } finally {
    cancellation.stop()
  }
}

async function replace(
  container: Container,
  path: ContainerPath,
  mode: number,
  content: Content,
  cancellation: CopyCancellation,
): Promise<void> {
  const { error, fd, ticket } = await expect(container, container.replace(path, mode)).settled
  if (error !== undefined) {
    cancellation.check()
    throw failure(error)
  }
  let open = true
  try {
    cancellation.check()
    await fill(fd, path, content, cancellation)
    // Before the commit: a file that is open for writing cannot be executed (ETXTBSY).
    open = false
    close(fd, path)
  } catch (cause) {
    if (open) discardFd(fd)
    await expect(container, container.discard(ticket)).settled
    throw cause
  }
  const committed = await expect(container, container.commit(ticket)).settled
  // An abort during the commit came too late: the file is there.
  if (committed.error !== undefined) throw failure(committed.error)
}

async function fill(fd: number, path: ContainerPath, content: Content, cancellation: CopyCancellation): Promise<void> {
  const check = (): void => cancellation.check()
  if (content.kind === 'bytes') {
    await write(fd, path, content.bytes, check)
    return
  }
  for (;;) {
    let chunk: Uint8Array | undefined
    try {
      chunk = await content.chunks.next()
    } finally {
      // What a source says when it is torn away is no news.
      check()
    }
    if (chunk === undefined) return
    await write(fd, path, chunk, check)
  }
}

function close(fd: number, path: ContainerPath): void {
  try {
    closeFd(fd)
  } catch (error) {
    throw hostFailure('write the file in the container', display(path), error)
  }
}

async function write(fd: number, path: ContainerPath, bytes: Uint8Array, check: () => void): Promise<void> {
  try {
    if (bytes.length <= SYNC_BYTES) writeAllSync(fd, bytes)
    else await writeAll(fd, bytes, check)
  } catch (error) {
    check()
    throw hostFailure('write the file in the container', display(path), error)
  }
}
