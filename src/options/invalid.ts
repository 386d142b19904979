/** Errors about what the caller wrote. They name the option, what is expected and what came, as Node's own do. */
import { inspect } from 'node:util'
import { HotcellError } from '../errors.js'

type Coded<T extends Error> = T & { code: string }

function coded<T extends Error>(error: T, code: string): Coded<T> {
  return Object.assign(error, { code })
}

function received(value: unknown): string {
  if (value === null || value === undefined) return `received ${value}`
  if (typeof value === 'function') return `received function ${value.name}`.trimEnd()
  if (typeof value === 'object') {
    const name = (value as { constructor?: { name?: string } }).constructor?.name
    return name !== undefined && name !== ''
      ? `received an instance of ${name}`
      : `received ${inspect(value, { depth: -1 })}`
  }
  return `received type ${typeof value} (${short(value)})`
}

function short(value: unknown): string {
  const text = inspect(value, { depth: 0, breakLength: Infinity, maxStringLength: 80 })
  return text.length > 128 ? `${text.slice(0, 125)}...` : text
}

/** `name` has another type than `expected` says. */
export function invalidType(name: string, expected: string, value: unknown): Coded<TypeError> {
  return coded(new TypeError(`The "${name}" option must be ${expected}; ${received(value)}`), 'ERR_INVALID_ARG_TYPE')
}

/** `name` has the right type, and a value that breaks the `rule`. */
export function invalidValue(name: string, value: unknown, rule: string): Coded<TypeError> {
  return coded(new TypeError(`The "${name}" option ${rule}; received ${short(value)}`), 'ERR_INVALID_ARG_VALUE')
}

/** `name` is a number outside of `range`. */
export function outOfRange(name: string, range: string, value: unknown): Coded<RangeError> {
  return coded(new RangeError(`The "${name}" option must be ${range}; received ${short(value)}`), 'ERR_OUT_OF_RANGE')
}

/** A policy that native refused, for a reason that names file, rule and field. */
export function invalidPolicy(cause: unknown): Coded<TypeError> {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return coded(new TypeError(`The "seccomp" option is no policy: ${reason}`, { cause }), 'ERR_INVALID_ARG_VALUE')
}

/** A trace that native refused, for a reason that names the rule or call. */
export function invalidTrace(cause: unknown): Coded<TypeError> {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return coded(new TypeError(`The "trace" option cannot be used: ${reason}`, { cause }), 'ERR_INVALID_ARG_VALUE')
}

/** There is no option of that name. */
export function unknownName(name: string, nearest: string | undefined, known: Iterable<string>): Coded<TypeError> {
  const cure = nearest === undefined ? `Known are: ${[...known].join(', ')}` : `Did you mean "${nearest}"?`
  return coded(new TypeError(`There is no option "${name}". ${cure}`), 'ERR_INVALID_ARG_VALUE')
}

/** The option exists in hotcell's design, and this version would not do what it says. A sandbox says so rather than ignore it. */
export function unsupported(name: string, cure: string): HotcellError {
  return new HotcellError(
    'ERR_HOTCELL_UNSUPPORTED',
    `This version of hotcell does not enforce the "${name}" option. ${cure}`,
  )
}
