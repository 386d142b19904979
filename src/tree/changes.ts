/** What programs have changed in an overlay. */
import { refuseAborted } from '../abort.js'
import type { Container } from '../binding.js'
import { abortSignal, type Cancellable } from '../options/cancellable.js'
import { checkNames, names } from '../options/names.js'
import { containerPath, type ContainerPath } from '../options/primitives.js'
import { collect } from './collect.js'
import { bound, DEFAULT_MAX_ENTRIES, type EntryBound } from './selection.js'

/** Options of `changes()`. */
export interface ChangesOptions extends EntryBound, Cancellable {
  /** @default 100000 */
  maxEntries?: number | undefined
}

/**
 * What differs in an overlay from the directory that it lies on: relative paths, sorted. Each path is in one of the lists at most.
 */
export interface Changes {
  /** What was not there: files, links, and directories with all that is in them. */
  readonly added: readonly string[]
  /** Files with another content, mode, time or type, and directories with another mode. */
  readonly changed: readonly string[]
  /** What is not there any more. A directory stands for all that was in it. */
  readonly deleted: readonly string[]
}

const allowed = names<ChangesOptions>('options', { maxEntries: true, signal: true })

export async function changes(
  container: Container,
  path: ContainerPath,
  options: ChangesOptions = {},
): Promise<Changes> {
  checkNames(options, allowed)
  const target = containerPath('path', path)
  const maxEntries = bound('maxEntries', options.maxEntries, DEFAULT_MAX_ENTRIES)
  const signal = abortSignal(options.signal)
  refuseAborted(signal)
  const fields = await collect(container, container.changes(target, maxEntries), signal)
  const lists: Record<keyof Changes, string[]> = { added: [], changed: [], deleted: [] }
  for (let at = 0; at + 1 < fields.length; at += 2) {
    lists[String(fields[at]) as keyof Changes].push(String(fields[at + 1]))
  }
  return lists
}
