/** What is in a directory of a container, and below. */
import { refuseAborted } from '../abort.js'
import type { Container } from '../binding.js'
import { abortSignal, type Cancellable } from '../options/cancellable.js'
import { checkNames, names } from '../options/names.js'
import { containerPath, type ContainerPath } from '../options/primitives.js'
import { collect } from './collect.js'
import { bound, DEFAULT_MAX_ENTRIES, encodeSelection, type EntryBound, type TreeSelection } from './selection.js'

/** Options of `list()`. */
export interface ListOptions extends TreeSelection, EntryBound, Cancellable {
  /** @default 100000 */
  maxEntries?: number | undefined
}

/** What a file is; inode(7). */
export type FileType = 'file' | 'directory' | 'symlink' | 'fifo' | 'socket' | 'character-device' | 'block-device'

/** Something in a directory of a container. */
export interface FileEntry {
  /** Relative to the directory. Bytes that are no UTF-8 are U+FFFD; then `rawPath` has them. */
  readonly path: string
  /** The path as it is, only where it is no UTF-8. Every method takes one. */
  readonly rawPath?: Buffer
  readonly type: FileType
  /** Bytes, holes included. */
  readonly size: number
  /** Permission bits. */
  readonly mode: number
  /** When it was changed last, in milliseconds since 1970. */
  readonly mtimeMs: number
  /** What a symbolic link says. */
  readonly target?: string
}

const allowed = names<ListOptions>('options', { include: true, exclude: true, maxEntries: true, signal: true })
const FIELDS = 6

export async function list(container: Container, path: ContainerPath, options: ListOptions = {}): Promise<FileEntry[]> {
  checkNames(options, allowed)
  const directory = containerPath('path', path)
  const { include, exclude } = encodeSelection(options)
  const maxEntries = bound('maxEntries', options.maxEntries, DEFAULT_MAX_ENTRIES)
  const signal = abortSignal(options.signal)
  refuseAborted(signal)
  const native = container.listDirectory(directory, include, exclude, maxEntries)
  const fields = await collect(container, native, signal)
  const rows: Buffer[][] = []
  for (let at = 0; at + FIELDS <= fields.length; at += FIELDS) rows.push(fields.slice(at, at + FIELDS))
  return rows.sort((a, b) => Buffer.compare(a[4] as Buffer, b[4] as Buffer)).map(entry)
}

function entry(row: Buffer[]): FileEntry {
  const [type, size, mode, mtime, raw, target] = row as [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer]
  const path = raw.toString()
  return {
    path,
    ...(Buffer.from(path).equals(raw) ? {} : { rawPath: Buffer.from(raw) }),
    type: type.toString() as FileType,
    size: Number(size.toString()),
    mode: Number(mode.toString()),
    mtimeMs: Number(mtime.toString()) / 1e6,
    ...(target.length === 0 ? {} : { target: target.toString() }),
  }
}
