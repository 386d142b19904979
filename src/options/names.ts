import { invalidType, unknownName, unsupported } from './invalid.js'
import { nearest } from './nearest.js'

/**
 * The names that an options object may have.
 *
 * `later` are those of the design that this version does not do: they are refused by name, never silently accepted, for a
 * wall that somebody believes in must be there.
 */
export interface Names {
  /** Of the object as a whole, for messages: `'options'`, `'param'`, `'limits'`. */
  readonly of: string
  readonly known: ReadonlySet<string>
  readonly later: ReadonlySet<string>
}

/** Declares them; the record's type keeps them equal to those of the interface `T`. */
export function names<T extends object>(
  of: string,
  known: Record<keyof T & string, true>,
  later: readonly string[] = [],
): Names {
  return { of, known: new Set(Object.keys(known)), later: new Set(later) }
}

/** Checks that `options` is an object with none but these names. */
export function checkNames(options: unknown, allowed: Names): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw invalidType(allowed.of, 'an object', options)
  }
  for (const name in options) {
    if (!allowed.known.has(name)) refuse(options as Record<string, unknown>, name, allowed)
  }
}

function refuse(options: Record<string, unknown>, name: string, allowed: Names): void {
  const value = options[name]
  if (allowed.later.has(name)) {
    if (value === undefined || value === false) return
    throw unsupported(full(allowed, name), 'Leave it out')
  }
  throw unknownName(full(allowed, name), nearest(name, allowed.known), allowed.known)
}

function full(allowed: Names, name: string): string {
  return allowed.of === 'options' || allowed.of === 'param' ? name : `${allowed.of}.${name}`
}
