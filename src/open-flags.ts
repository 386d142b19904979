import { constants } from 'node:fs'
import { invalidType, invalidValue } from './options/invalid.js'
import { integer } from './options/primitives.js'

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_SYNC } = constants

/** The flags of `fs.open`, as Node documents them. */
const flags: Readonly<Record<string, number>> = {
  r: O_RDONLY,
  rs: O_RDONLY | O_SYNC,
  'r+': O_RDWR,
  'rs+': O_RDWR | O_SYNC,
  w: O_TRUNC | O_CREAT | O_WRONLY,
  wx: O_TRUNC | O_CREAT | O_WRONLY | O_EXCL,
  'w+': O_TRUNC | O_CREAT | O_RDWR,
  'wx+': O_TRUNC | O_CREAT | O_RDWR | O_EXCL,
  a: O_APPEND | O_CREAT | O_WRONLY,
  ax: O_APPEND | O_CREAT | O_WRONLY | O_EXCL,
  as: O_APPEND | O_CREAT | O_WRONLY | O_SYNC,
  'a+': O_APPEND | O_CREAT | O_RDWR,
  'ax+': O_APPEND | O_CREAT | O_RDWR | O_EXCL,
  'as+': O_APPEND | O_CREAT | O_RDWR | O_SYNC,
}

/** The flags of open(2), from Node's words or as a number. */
export function openFlags(value: unknown): number {
  if (typeof value === 'number') return integer('flags', value, 0, 0x7fffffff)
  if (typeof value !== 'string') throw invalidType('flags', 'a string or an integer', value)
  // Node also takes the letters in the other order: 'xw', 'sr+', 'xa', …
  const usual = value.replace(/^([sx])([rwa])/, '$2$1')
  if (!Object.hasOwn(flags, usual))
    throw invalidValue('flags', value, `must be one of ${Object.keys(flags).join(', ')}`)
  return flags[usual] as number
}
