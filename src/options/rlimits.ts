import { invalidType, invalidValue, outOfRange } from './invalid.js'
import { checkNames, names } from './names.js'
import { list } from './primitives.js'

/** The resources of setrlimit(2), by the kernel's number (asm-generic/resource.h; the same on x86-64 and arm64). */
const resources = {
  cpu: 0,
  fsize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  nproc: 6,
  nofile: 7,
  memlock: 8,
  as: 9,
  locks: 10,
  sigpending: 11,
  msgqueue: 12,
  nice: 13,
  rtprio: 14,
  rttime: 15,
} as const

/**
 * A resource limit of setrlimit(2), set just before the program is executed.
 *
 * The unit is the kernel's: bytes for `as`, `core`, `data`, `fsize`, `memlock`, `msgqueue`, `rss`, `stack`; seconds for
 * `cpu`; microseconds for `rttime`; counts for `locks`, `nofile`, `nproc`, `sigpending`; priorities for `nice`, `rtprio`.
 * `locks` and `rss` are ignored by every kernel since 2.4.30.
 *
 * The container's own hard limits cannot be raised by a host process that lacks `CAP_SYS_RESOURCE`: `EPERM`.
 */
export interface RLimit {
  /** The name without `RLIMIT_`, in lower case. */
  resource:
    | 'as'
    | 'core'
    | 'cpu'
    | 'data'
    | 'fsize'
    | 'locks'
    | 'memlock'
    | 'msgqueue'
    | 'nice'
    | 'nofile'
    | 'nproc'
    | 'rss'
    | 'rtprio'
    | 'rttime'
    | 'sigpending'
    | 'stack'
  /** The limit in force. */
  soft: number | 'unlimited'
  /** The ceiling up to which the program may raise `soft`. */
  hard: number | 'unlimited'
}

resources satisfies Record<RLimit['resource'], number>

const allowed = names<RLimit>('rlimits[]', { resource: true, soft: true, hard: true })

/** For native: number, soft, hard of each, end to end. */
export function encodeRLimits(value: readonly RLimit[] | undefined): number[] | null {
  if (value === undefined) return null
  const encoded: number[] = []
  list('rlimits', value).forEach((entry, index) => {
    const name = `rlimits[${index}]`
    if (typeof entry !== 'object' || entry === null)
      throw invalidType(name, 'an object { resource, soft, hard }', entry)
    checkNames(entry, allowed)
    const { resource, soft, hard } = entry as RLimit
    if (typeof resource !== 'string') throw invalidType(`${name}.resource`, 'a string', resource)
    if (!Object.hasOwn(resources, resource)) {
      throw invalidValue(`${name}.resource`, resource, `must be one of ${Object.keys(resources).join(', ')}`)
    }
    const softValue = amount(`${name}.soft`, soft)
    const hardValue = amount(`${name}.hard`, hard)
    if (softValue > hardValue) throw invalidValue(`${name}.soft`, soft, `must not be above hard (${hard})`)
    encoded.push(resources[resource], softValue, hardValue)
  })
  return encoded
}

function amount(name: string, value: unknown): number {
  if (value === 'unlimited') return Infinity
  if (typeof value !== 'number') throw invalidType(name, "an integer or 'unlimited'", value)
  if (!Number.isSafeInteger(value) || value < 0) throw outOfRange(name, "an integer >= 0, or 'unlimited'", value)
  return value
}
