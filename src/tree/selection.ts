/** Which files of a directory are meant, and how many of them at most: what all copies and listings of directories have in common. */
import { binding } from '../binding.js'
import { invalidValue } from '../options/invalid.js'
import { integer, list, text } from '../options/primitives.js'

/**
 * Globs over paths relative to the directory: `*` and `?` match within a name, `**` across, `[a-z]` one of some characters, `{a,b}` either.
 * One without a slash is about names, in whatever directory (`'*.log'`, `'node_modules'`); one with a slash about paths from the top
 * (`'src/*.c'`, `'/build'`). What matches is meant with all that is below.
 */
export interface TreeSelection {
  /** Only what matches one of these. @default everything */
  include?: readonly string[] | undefined
  /** Not what matches one of these, whatever `include` says; directories among it are not even looked into. @default nothing */
  exclude?: readonly string[] | undefined
}

/** A bound on what is looked at, selected or not. */
export interface EntryBound {
  /** With more files, directories and links than this, it fails with `ERR_HOTCELL_TOO_LARGE`. */
  maxEntries?: number | undefined
}

/** For native. */
export interface EncodedSelection {
  include: string[]
  exclude: string[]
}

/** Checks it. */
export function encodeSelection(options: TreeSelection): EncodedSelection {
  return { include: globs('include', options.include), exclude: globs('exclude', options.exclude) }
}

function globs(name: string, value: unknown): string[] {
  if (value === undefined) return []
  return list(name, value).map((item, index) => {
    const pattern = text(`${name}[${index}]`, item)
    if (!binding().isGlob(pattern)) {
      throw invalidValue(
        `${name}[${index}]`,
        pattern,
        "must be a glob, such as '*.txt' or 'src/**' (not one that begins with '!')",
      )
    }
    return pattern
  })
}

/** A bound, or the default. */
export function bound(name: string, value: unknown, otherwise: number): number {
  return value === undefined ? otherwise : integer(name, value, 0, Number.MAX_SAFE_INTEGER)
}

/** How much is looked at in a container by default: its tmpfs have fewer inodes. */
export const DEFAULT_MAX_ENTRIES = 100_000
