/** Checks of single values. Each gives back what it was given, typed, or throws an error that names the option. */
import { invalidType, invalidValue, outOfRange } from './invalid.js'

/** A path inside of a container, or one argument: a string (sent as UTF-8), or bytes as they are. */
export type ContainerPath = string | Uint8Array

/** A string without NUL, which no kernel interface could carry. */
export function text(name: string, value: unknown): string {
  if (typeof value !== 'string') throw invalidType(name, 'a string', value)
  if (value.includes('\0')) throw invalidValue(name, value, 'must be a string without null bytes')
  return value
}

/** A string or bytes, without NUL. */
export function bytes(name: string, value: unknown): string | Uint8Array {
  if (typeof value === 'string') {
    if (value.includes('\0')) throw invalidValue(name, value, 'must be a string without null bytes')
    return value
  }
  if (!(value instanceof Uint8Array)) throw invalidType(name, 'a string or a Uint8Array', value)
  if (value.includes(0)) throw invalidValue(name, value, 'must be without null bytes')
  return value
}

/** A path inside of the container: not empty. */
export function containerPath(name: string, value: unknown): string | Uint8Array {
  const path = bytes(name, value)
  if (path.length === 0) throw invalidValue(name, value, 'must not be empty')
  return path
}

/** A path as it is shown in messages. */
export function display(path: ContainerPath): string {
  return typeof path === 'string' ? path : Buffer.from(path).toString()
}

/** A boolean, or the default where it is absent. */
export function flag(name: string, value: unknown, otherwise: boolean): boolean {
  if (value === undefined) return otherwise
  if (typeof value !== 'boolean') throw invalidType(name, 'a boolean', value)
  return value
}

/** An integer from `min` to `max`. */
export function integer(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== 'number') throw invalidType(name, 'an integer', value)
  if (!Number.isInteger(value) || value < min || value > max) {
    throw outOfRange(name, `an integer >= ${min} and <= ${max}`, value)
  }
  return value
}

/** The same, or Infinity. */
export function integerOrInfinity(name: string, value: unknown, min: number, max: number): number {
  return value === Infinity ? Infinity : integer(name, value, min, max)
}

/** One of a few words. */
export function oneOf<T extends string>(name: string, value: unknown, words: readonly T[]): T {
  if (!words.includes(value as T)) {
    throw invalidValue(name, value, `must be one of ${words.map((word) => `'${word}'`).join(', ')}`)
  }
  return value as T
}

/** An array. */
export function list(name: string, value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw invalidType(name, 'an array', value)
  return value
}

/** A file descriptor of this process, as a number or as something that has one, such as a FileHandle. */
export function descriptor(name: string, value: unknown): number {
  const fd = typeof value === 'object' && value !== null ? (value as { fd?: unknown }).fd : value
  if (typeof fd !== 'number') throw invalidType(name, 'a file descriptor or an object with an "fd"', value)
  return integer(name, fd, 0, 0x7fffffff)
}

/** Permission bits of a file. */
export function fileMode(name: string, value: unknown): number {
  return integer(name, value, 0, 0o7777)
}
