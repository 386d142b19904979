/**
 * Copies a file into a container. Init makes missing parents and opens a nameless-to-others temporary file beside the
 * target; its content is written from here, by this process or for it by the kernel; and `commit` renames it over whatever stands at the path. So
 * a program never sees half a file, and a copy that fails or is cancelled leaves what was there.
 */
import { refuseAborted } from './abort.js'
import type { Container } from './binding.js'
import { expect } from './bridge.js'
import { checkSource, openSource, stopContent, type Content, type CopySource } from './copy-source.js'
import { closeFd, discardFd } from './descriptor.js'
import { failure, hostFailure } from './errors.js'
import { ContentCancellation, fill } from './fill.js'
import { onLoss } from './loss.js'
import { abortSignal, type Cancellable } from './options/cancellable.js'
import { checkNames, names } from './options/names.js'
import { containerPath, display, fileMode, type ContainerPath } from './options/primitives.js'
import { requireFileDescriptors } from './runtime.js'
import { copyInDirectory, encodeDirectory, type DirectoryOptions } from './tree/copy-in-directory.js'

/** Options of `copyIn()`. */
export interface CopyInOptions extends DirectoryOptions, Cancellable {
  /**
   * Permission bits of the file, exactly: no umask applies. (The set-ID bits mean nothing in a container, and the kernel may drop
   * them: every mount is nosuid.) @default those of the source if it is a path, a URL or a SealedFile, else
   * 0o644. Of a directory: those of each file in it, and directories may be entered by whoever may read
   */
  mode?: number | undefined
  /**
   * A larger source is `ERR_HOTCELL_TOO_LARGE`. Of a directory: all of its files together, holes not counted.
   * @default Infinity: as much as the container's file system takes
   */
  maxBytes?: number | undefined
}

const DEFAULT_MODE = 0o644
const DOING = 'write the file in the container'

const allowed = names<CopyInOptions>('options', {
  mode: true,
  include: true,
  exclude: true,
  maxEntries: true,
  maxBytes: true,
  signal: true,
})

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
  const directory = encodeDirectory(options)
  const maxBytes = directory.maxBytes
  const signal = abortSignal(options.signal)
  requireFileDescriptors('copyIn()')
  refuseAborted(signal)

  const cancellation = new ContentCancellation(signal)
  try {
    const content = await openSource(source)
    if (content.kind === 'directory') {
      if (cancellation.aborted) discardFd(content.fd)
      cancellation.check()
      await copyInDirectory(container, content.fd, target, directory, mode, signal)
      return
    }
    if (content.kind === 'bytes') {
      await replace(container, target, mode ?? DEFAULT_MODE, content, maxBytes, cancellation)
      return
    }
    cancellation.content = content
    // While a source takes its time nobody asks the container for anything, and nobody would hear of its end.
    let gone = false
    const stopListening = onLoss(container, () => {
      gone = true
      stopContent(content)
    })
    try {
      cancellation.check()
      await replace(container, target, mode ?? content.mode ?? DEFAULT_MODE, content, maxBytes, cancellation)
    } catch (error) {
      if (!gone || cancellation.aborted) throw error
      const { error: reason } = await expect(container, container.ping()).settled
      throw failure(reason ?? { kind: 'lost' })
    } finally {
      stopListening()
      stopContent(content)
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
  maxBytes: number,
  cancellation: ContentCancellation,
): Promise<void> {
  const { error, fd, ticket } = await expect(container, container.replace(path, mode)).settled
  if (error !== undefined) {
    cancellation.check()
    throw failure(error)
  }
  let open = true
  try {
    cancellation.check()
    const target = { fd, doing: DOING, path: display(path), maxBytes }
    await fill(target, content, () => cancellation.check())
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

function close(fd: number, path: ContainerPath): void {
  try {
    closeFd(fd)
  } catch (error) {
    throw hostFailure(DOING, display(path), error)
  }
}
