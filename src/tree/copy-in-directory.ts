/** Copies a directory of the host into a container: what `copyIn()` does with a path that is one. */
import type { Container } from '../binding.js'
import { discardFd } from '../descriptor.js'
import type { ContainerPath } from '../options/primitives.js'
import { finish } from './collect.js'
import { bound, encodeSelection, type EntryBound, type TreeSelection } from './selection.js'

/** What `copyIn()` takes for a directory only. */
export interface DirectoryOptions extends TreeSelection, EntryBound {
  /** @default 1000000 */
  maxEntries?: number | undefined
  /** With more bytes in its files than this, it fails with `ERR_HOTCELL_TOO_LARGE`; holes do not count. @default no bound but what the target holds */
  maxBytes?: number | undefined
}

const DEFAULT_MAX_ENTRIES = 1_000_000

/** For native. */
export interface EncodedDirectory {
  include: string[]
  exclude: string[]
  maxEntries: number
  maxBytes: number
}

/** Checks them. */
export function encodeDirectory(options: DirectoryOptions): EncodedDirectory {
  return {
    ...encodeSelection(options),
    maxEntries: bound('maxEntries', options.maxEntries, DEFAULT_MAX_ENTRIES),
    maxBytes: bound('maxBytes', options.maxBytes, Number.MAX_SAFE_INTEGER),
  }
}

/** `fd` is of the directory, and closed here. */
export async function copyInDirectory(
  container: Container,
  fd: number,
  path: ContainerPath,
  { include, exclude, maxEntries, maxBytes }: EncodedDirectory,
  mode: number | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  let native
  try {
    native = container.copyInDirectory(fd, path, include, exclude, mode ?? -1, maxEntries, maxBytes)
  } finally {
    discardFd(fd)
  }
  await finish(container, native, signal)
}
