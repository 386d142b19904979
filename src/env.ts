import { invalidType, invalidValue } from './options/invalid.js'
import { bytes } from './options/primitives.js'
import type { Bytes } from './binding.js'

/** The default `PATH` of a container: `'PATH=/usr/local/bin:/usr/bin:/bin'`. An entry of an environment, not a bare list. */
export const defaultPath = 'PATH=/usr/local/bin:/usr/bin:/bin'

/**
 * An environment: `NAME=value` strings, or a record, whose undefined values are left out. Bytes go through as they are;
 * strings are sent as UTF-8. It is the *whole* environment: nothing of the host's is ever added.
 */
export type EnvInput = readonly (string | Uint8Array)[] | Readonly<Record<string, string | Uint8Array | undefined>>

const EQUALS = 0x3d

/** For native: NUL-terminated strings laid end to end. */
export function encodeEnv(env: EnvInput): Bytes {
  if (Array.isArray(env)) {
    env.forEach(checkEntry)
    return encodeStrings('env', env)
  }
  if (typeof env !== 'object' || env === null) {
    throw invalidType('env', "an array of 'NAME=value' or an object", env)
  }
  const entries: (string | Uint8Array)[] = []
  for (const [name, value] of Object.entries(env as Record<string, unknown>)) {
    if (value === undefined) continue
    if (name === '' || name.includes('='))
      throw invalidValue('env', name, "must have names without '=' that are not empty")
    const given = bytes(`env.${name}`, value)
    entries.push(typeof given === 'string' ? `${name}=${given}` : Buffer.concat([Buffer.from(`${name}=`), given]))
  }
  return encodeStrings('env', entries)
}

function checkEntry(entry: unknown, index: number): void {
  const equals =
    typeof entry === 'string' ? entry.indexOf('=') : entry instanceof Uint8Array ? entry.indexOf(EQUALS) : 1
  if (equals < 1) throw invalidValue(`env[${index}]`, entry, "must be of the form 'NAME=value'")
}

/** For native: NUL-terminated strings laid end to end, as a string where all of them are. */
export function encodeStrings(name: string, strings: readonly unknown[]): Bytes {
  let joined = ''
  for (let index = 0; index < strings.length; index++) {
    const value = strings[index]
    if (typeof value !== 'string') return encodeBytes(name, strings)
    if (value.includes('\0')) throw invalidValue(`${name}[${index}]`, value, 'must be a string without null bytes')
    joined += value + '\0'
  }
  return joined
}

function encodeBytes(name: string, strings: readonly unknown[]): Bytes {
  const terminator = Buffer.from([0])
  const parts: Uint8Array[] = []
  strings.forEach((value, index) => {
    const given = bytes(`${name}[${index}]`, value)
    parts.push(typeof given === 'string' ? Buffer.from(given) : given, terminator)
  })
  return Buffer.concat(parts)
}
