/** Makes sealed files: of anything that can be copied, and of a file that a container has. */
import { constants, fstatSync } from 'node:fs'
import { refuseAborted } from './abort.js'
import { binding, type Container } from './binding.js'
import { ensureBridge, expect } from './bridge.js'
import {
  checkSource,
  descriptorContent,
  FileContent,
  openContent,
  PERMISSIONS,
  stopContent,
  type Content,
  type CopySource,
} from './copy-source.js'
import { adoptFd, discardFd } from './descriptor.js'
import { failure } from './errors.js'
import { ContentCancellation, fill } from './fill.js'
import { abortSignal, type Cancellable } from './options/cancellable.js'
import { checkNames, names } from './options/names.js'
import { containerPath, display, fileMode, integerOrInfinity, type ContainerPath } from './options/primitives.js'
import { SealedFile } from './sealed-file.js'

/** Options of `seal()` and `Master.seal()`. */
export interface SealOptions extends Cancellable {
  /** A larger source is `ERR_HOTCELL_TOO_LARGE`: a sealed file is this process's memory. @default 67108864 (64 MiB) */
  maxBytes?: number | undefined
  /** Permission bits of copies that are made of it. @default those of a source that has some, else 0o644 */
  mode?: number | undefined
}

const DEFAULT_MAX_BYTES = 64 * 1024 * 1024
const DEFAULT_MODE = 0o644
const DOING = 'write the sealed file'

const allowed = names<SealOptions>('options', { signal: true, maxBytes: true, mode: true })

interface Plan {
  maxBytes: number
  mode: number | undefined
  signal: AbortSignal | undefined
}

function plan(options: SealOptions): Plan {
  checkNames(options, allowed)
  const { maxBytes, mode } = options
  return {
    maxBytes: integerOrInfinity('maxBytes', maxBytes ?? DEFAULT_MAX_BYTES, 0, Number.MAX_SAFE_INTEGER),
    mode: mode === undefined ? undefined : fileMode('mode', mode),
    signal: abortSignal(options.signal),
  }
}

/**
 * Copies into a file in memory that nobody can change any more, to be executed or copied by any number of containers.
 *
 * What is a regular file goes through the kernel alone. An open file is read from its current position on.
 *
 * @param source as of `copyIn`
 * @throws {HotcellError} `ERR_HOTCELL_TOO_LARGE` beyond `maxBytes`; the kernel's code
 * @see memfd_create(2)
 */
export async function seal(source: CopySource, options: SealOptions = {}): Promise<SealedFile> {
  const planned = plan(options)
  checkSource('source', source)
  refuseAborted(planned.signal)
  return await sealContent(() => openContent(source, 'seal'), planned)
}

/** All of what an open file holds, whatever its position is. Only of a regular file: `EINVAL`. */
export async function sealWhole(fd: number, signal: AbortSignal | undefined): Promise<SealedFile> {
  refuseAborted(signal)
  const open = async (): Promise<Content> => new FileContent(fd, undefined, true)
  return await sealContent(open, { ...plan({}), signal })
}

/** A file of a container. A program that has it open for writing, and writes on, does not change the copy. */
export async function sealFrom(
  container: Container,
  path: ContainerPath,
  options: SealOptions = {},
): Promise<SealedFile> {
  const planned = plan(options)
  const source = containerPath('path', path)
  refuseAborted(planned.signal)
  const { error, fd } = await expect(container, container.open(source, constants.O_RDONLY, 0)).settled
  try {
    refuseAborted(planned.signal)
    if (error !== undefined) throw failure(error)
    const mode = planned.mode ?? fstatSync(fd).mode & PERMISSIONS
    return await sealContent(async () => descriptorContent(fd, mode), planned, display(source))
  } finally {
    if (fd !== -1) discardFd(fd)
  }
}

async function sealContent(open: () => Promise<Content>, planned: Plan, path?: string): Promise<SealedFile> {
  const cancellation = new ContentCancellation(planned.signal)
  const check = (): void => cancellation.check()
  let content: Content | undefined
  let fd = -1
  try {
    content = await open()
    cancellation.content = content
    check()
    fd = memfd()
    await fill({ fd, doing: DOING, path, maxBytes: planned.maxBytes }, content, check)
    const errno = -binding().sealMemfd(fd)
    if (errno !== 0) throw memfdFailure('fcntl', 'seal the file', errno)
    const sealed = new SealedFile(fd, fstatSync(fd).size, planned.mode ?? modeOf(content))
    fd = -1
    return sealed
  } finally {
    cancellation.stop()
    if (fd !== -1) discardFd(fd)
    if (content !== undefined) stopContent(content)
  }
}

function modeOf(content: Content): number {
  return (content.kind === 'bytes' ? undefined : content.mode) ?? DEFAULT_MODE
}

function memfd(): number {
  ensureBridge()
  const fd = binding().makeMemfd()
  if (fd < 0) throw memfdFailure('memfd_create', 'make a file in memory', -fd)
  adoptFd(fd)
  return fd
}

function memfdFailure(syscall: string, doing: string, errno: number): Error {
  return failure({ kind: 'failure', step: syscall, syscall, doing, errno })
}
