/**
 * The values that options take: how they are written, what they become, what the configuration file's schema says of them and
 * what completes them.
 */
import { resolve } from 'node:path'
import type { SeccompInput } from '../options/seccomp.js'

/** Where a value stands, for what depends on it. */
export interface ValueContext {
  /** Where relative paths of the host start: the working directory, or the folder of the configuration file. */
  base: string
}

/** A schema of JSON Schema's draft-07. */
export type JsonSchema = Readonly<Record<string, unknown>>

export interface ValueType<T> {
  /** As help shows it: `SIZE`. */
  placeholder: string
  /** What it is, for messages: `a size such as 256M`. */
  expected: string
  /** The value, or undefined if it is none. Throws what knows better why. */
  parse(text: string, context: ValueContext): T | undefined
  /** In the configuration file. */
  schema: JsonSchema
  complete: 'file' | 'directory' | 'nothing' | readonly string[]
}

const SIZE = /^(\d+(?:\.\d+)?)(?:B|([KMGT])(B|iB)?)?$/i
const powers: Record<string, number> = { k: 1, m: 2, g: 3, t: 4 }

/** Bytes: K, M, G, T and KiB, … count in steps of 1,024; kB, MB, … in steps of 1,000. */
export const size: ValueType<number> = {
  placeholder: 'SIZE',
  expected: 'a size in bytes, such as 65536, 256M or 1.5GiB',
  parse(given) {
    const match = SIZE.exec(given)
    if (match === null) return undefined
    const [, number, letter, suffix] = match
    const step = suffix?.toLowerCase() === 'b' ? 1000 : 1024
    const factor = letter === undefined ? 1 : step ** (powers[letter.toLowerCase()] as number)
    const bytes = Math.round(Number(number) * factor)
    return Number.isSafeInteger(bytes) ? bytes : undefined
  },
  schema: {
    type: ['string', 'integer'],
    pattern: '^\\d+(\\.\\d+)?([KMGTkmgt]([iI]?[bB])?|[bB])?$',
    minimum: 0,
    examples: ['256M', '1.5GiB', 65_536],
  },
  complete: 'nothing',
}

const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|min|h)$/
const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000 }

/** Milliseconds. A number without a unit is refused: half of all readers would take it for the other one. */
export const duration: ValueType<number> = {
  placeholder: 'TIME',
  expected: 'a time with its unit, such as 500ms, 2s, 1.5s, 10m or 1h',
  parse(given) {
    const match = DURATION.exec(given)
    if (match === null) return undefined
    const ms = Number(match[1]) * (units[match[2] as string] as number)
    const rounded = Math.round(ms)
    return Number.isSafeInteger(rounded) && rounded >= 1 ? rounded : undefined
  },
  schema: { type: 'string', pattern: '^\\d+(\\.\\d+)?(ms|s|m|min|h)$', examples: ['500ms', '2s', '10m'] },
  complete: 'nothing',
}

/** A whole number from `min` on. */
export function count(min: number): ValueType<number> {
  return {
    placeholder: 'N',
    expected: `a whole number from ${min} on`,
    parse(given) {
      const number = /^\d+$/.test(given) ? Number(given) : NaN
      return Number.isSafeInteger(number) && number >= min ? number : undefined
    },
    schema: { type: 'integer', minimum: min },
    complete: 'nothing',
  }
}

/** A number greater than 0. */
export const rate: ValueType<number> = {
  placeholder: 'RATE',
  expected: 'a number greater than 0, such as 0.5',
  parse(given) {
    const number = /^\d*\.?\d+$/.test(given) ? Number(given) : NaN
    return number > 0 ? number : undefined
  },
  schema: { type: 'number', exclusiveMinimum: 0 },
  complete: 'nothing',
}

/** A TCP port. */
export const port: ValueType<number> = {
  placeholder: 'PORT',
  expected: 'a TCP port from 0 to 65535',
  parse(given) {
    const number = /^\d{1,5}$/.test(given) ? Number(given) : NaN
    return number <= 65_535 ? number : undefined
  },
  schema: { type: 'integer', minimum: 0, maximum: 65_535 },
  complete: 'nothing',
}

/** Any text that is not empty. */
export function text(placeholder: string, expected = 'a text that is not empty'): ValueType<string> {
  return {
    placeholder,
    expected,
    parse: (given) => (given === '' || given.includes('\0') ? undefined : given),
    schema: { type: 'string', minLength: 1 },
    complete: 'nothing',
  }
}

/** One of some words. */
export function word<const T extends string>(placeholder: string, words: readonly T[]): ValueType<T> {
  return {
    placeholder,
    expected: `one of ${words.join(', ')}`,
    parse: (given) => words.find((candidate) => candidate === given),
    schema: { enum: [...words] },
    complete: words,
  }
}

/** A path of the host, made absolute. */
export function hostPath(
  kind: 'file' | 'directory',
  placeholder = kind === 'file' ? 'FILE' : 'DIR',
): ValueType<string> {
  return {
    placeholder,
    expected: `a path of the host`,
    parse: (given, { base }) => (given === '' || given.includes('\0') ? undefined : resolve(base, given)),
    schema: { type: 'string', minLength: 1 },
    complete: kind,
  }
}

/** A variable of the environment. */
export interface Variable {
  name: string
  /** Undefined: the host's. */
  value: string | undefined
}

export const variable: ValueType<Variable> = {
  placeholder: 'NAME[=VALUE]',
  expected: "NAME=VALUE, or NAME for the host's value",
  parse(given) {
    const equals = given.indexOf('=')
    const name = equals === -1 ? given : given.slice(0, equals)
    if (name === '' || given.includes('\0')) return undefined
    return { name, value: equals === -1 ? undefined : given.slice(equals + 1) }
  },
  schema: { type: 'string', pattern: '^[^=]+(=|$)' },
  complete: 'nothing',
}

/** Something of the host's with a place in the container, or the other way round. */
export interface PathPair {
  /** As given before the colon; of the host, made absolute. */
  host: string
  container: string
}

/** `SOURCE[:TARGET]`, with the host's path first; without a target, the same path. */
export const hostToContainer: ValueType<PathPair> = {
  placeholder: 'SOURCE[:TARGET]',
  expected: 'SOURCE or SOURCE:TARGET, a path of the host and one of the container',
  parse(given, { base }) {
    const [source, target] = split(given)
    if (source === undefined || source === '' || target === '' || given.includes('\0')) return undefined
    const host = resolve(base, source)
    return { host, container: target ?? host }
  },
  schema: { type: 'string', minLength: 1 },
  complete: 'file',
}

/** The same for files that are copied in: without a target, its name in the container's working directory. */
export const copyIn: ValueType<PathPair> = {
  ...hostToContainer,
  parse(given, { base }) {
    const [source, target] = split(given)
    if (source === undefined || source === '' || target === '' || given.includes('\0')) return undefined
    const host = resolve(base, source)
    return { host, container: target ?? lastPart(host) }
  },
}

/** `SOURCE[:TARGET]`, with the container's path first; without a target, its name in the working directory. */
export const containerToHost: ValueType<PathPair> = {
  placeholder: 'SOURCE[:TARGET]',
  expected: 'SOURCE or SOURCE:TARGET, a path of the container and one of the host',
  parse(given, { base }) {
    const [source, target] = split(given)
    if (source === undefined || source === '' || target === '' || given.includes('\0')) return undefined
    return { host: resolve(base, target ?? lastPart(source)), container: source }
  },
  schema: { type: 'string', minLength: 1 },
  complete: 'file',
}

/** At the first colon; a colon in a path is written `\:`. */
function split(given: string): [string | undefined, string | undefined] {
  const parts = given.split(/(?<!\\):/)
  const [first, second] = parts.map((part) => part.replaceAll('\\:', ':'))
  return parts.length > 2 ? [undefined, undefined] : [first, second]
}

function lastPart(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** `TARGET[:SIZE]`. */
export const tmpfs: ValueType<{ target: string; sizeBytes: number | undefined }> = {
  placeholder: 'TARGET[:SIZE]',
  expected: 'TARGET or TARGET:SIZE, a path of the container and a size such as 16M',
  parse(given, context) {
    const [target, limit] = split(given)
    if (target === undefined || target === '' || given.includes('\0')) return undefined
    const sizeBytes = limit === undefined ? undefined : size.parse(limit, context)
    return limit !== undefined && sizeBytes === undefined ? undefined : { target, sizeBytes }
  },
  schema: { type: 'string', minLength: 1 },
  complete: 'nothing',
}

/** `TARGET:PATH`, as `ln -s TARGET PATH`. */
export const link: ValueType<{ target: string; path: string }> = {
  placeholder: 'TARGET:PATH',
  expected: 'TARGET:PATH, what the link says and where it is in the container',
  parse(given) {
    const [target, path] = split(given)
    if (target === undefined || target === '' || path === undefined || path === '' || given.includes('\0'))
      return undefined
    return { target, path }
  },
  schema: { type: 'string', pattern: '.:.' },
  complete: 'nothing',
}

/** `UID[:GID]`. */
export const identity: ValueType<{ uid: number; gid: number }> = {
  placeholder: 'UID[:GID]',
  expected: 'UID or UID:GID, as numbers',
  parse(given) {
    const match = /^(\d{1,10})(?::(\d{1,10}))?$/.exec(given)
    if (match === null) return undefined
    const uid = Number(match[1])
    return { uid, gid: match[2] === undefined ? uid : Number(match[2]) }
  },
  schema: { type: 'string', pattern: '^\\d{1,10}(:\\d{1,10})?$' },
  complete: 'nothing',
}

/** Where something is written to. */
export type Destination = { fd: number } | { path: string }

/** `stderr`, `stdout`, `fd:N` or a file. */
export const destination: ValueType<Destination> = {
  placeholder: 'WHERE',
  expected: 'stderr, stdout, fd:N or a file',
  parse(given, { base }) {
    if (given === '' || given.includes('\0')) return undefined
    if (given === 'stdout') return { fd: 1 }
    if (given === 'stderr') return { fd: 2 }
    const descriptor = /^fd:(\d{1,7})$/.exec(given)
    if (descriptor !== null) return { fd: Number(descriptor[1]) }
    return given.startsWith('fd:') ? undefined : { path: resolve(base, given) }
  },
  schema: { type: 'string', minLength: 1 },
  complete: 'file',
}

/** The names of profiles; that they are those of the API, the compiler checks in one direction and a test in the other. */
export const profileNames = ['default', 'judge', 'strict', 'off'] as const satisfies readonly SeccompInput[]

/** A built-in profile by its name, or the absolute path of a file. */
export const seccompProfile: ValueType<string> = {
  placeholder: 'PROFILE',
  expected: `${profileNames.join(', ')} or a file`,
  parse(given, { base }) {
    if (given === '' || given.includes('\0')) return undefined
    return profileNames.find((name) => name === given) ?? resolve(base, given)
  },
  schema: { type: 'string', minLength: 1, examples: [...profileNames, 'seccomp.json'] },
  complete: profileNames,
}

/** Where cgroups are made. */
export const cgroupChoice: ValueType<'auto' | 'require' | 'off' | { base: string }> = {
  placeholder: 'WHERE',
  expected: 'auto, require, off or a cgroup that begins with a slash',
  parse(given) {
    if (given === 'auto' || given === 'require' || given === 'off') return given
    return given.startsWith('/') && !given.includes('\0') ? { base: given } : undefined
  },
  schema: { type: 'string', pattern: '^(auto|require|off|/.*)$' },
  complete: ['auto', 'require', 'off'],
}
