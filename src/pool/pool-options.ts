import { availableParallelism } from 'node:os'
import type { Master } from '../master.js'
import { abortSignal, type Cancellable } from '../options/cancellable.js'
import { invalidType } from '../options/invalid.js'
import type { MasterOptions } from '../options/master-options.js'
import { checkNames, names } from '../options/names.js'
import { integer, integerOrInfinity } from '../options/primitives.js'

/** How a pool is made. All of it is optional. `signal` cancels the making of the first containers. */
export interface PoolOptions extends Cancellable {
  /** What each container is made from, as for `Master.create`. @default {} */
  container?: Omit<MasterOptions, 'signal'> | undefined
  /**
   * The most containers that are in use at once, and so the most runs. More than there are processors pay off where programs
   * wait. @default os.availableParallelism()
   */
  size?: number | undefined
  /**
   * How many containers there may be beyond `size`, so that one is ready while another is being reset. They are made when
   * somebody has to wait. An idle container takes about 100 KiB of memory. @default size
   */
  spare?: number | undefined
  /**
   * How many containers are made at the start, and kept however long nobody needs them; up to `size + spare`. 0 makes one at
   * the start, to see that it can be done, and does not keep it. @default size
   */
  min?: number | undefined
  /** How long a container beyond `min` may be idle before it is destroyed, in milliseconds; Infinity for ever. @default 60000 */
  idleMs?: number | undefined
  /**
   * After so many turns a container is destroyed and replaced instead of reset. Nothing is known that would make this
   * necessary. @default Infinity
   */
  maxRunsPerCell?: number | undefined
  /**
   * How many may wait when all containers are in use; one more is refused with `ERR_HOTCELL_POOL_FULL`. A server should have
   * a bound, and answer 503 beyond it. @default Infinity
   */
  maxQueue?: number | undefined
  /**
   * How often idle containers are asked for a sign of life, in milliseconds; Infinity for never. (One that dies is replaced
   * at once in any case; this finds those that hang.) @default 30000
   */
  healthCheckMs?: number | undefined
  /**
   * Called with each new container, and again after each reset, before anybody gets it: a place to put files that every run
   * needs, off the way of those who wait. The container is usable until its promise settles; when it fails, the
   * container is destroyed. @default none
   */
  prepare?: ((master: Master) => void | Promise<void>) | undefined
}

const allowed = names<PoolOptions>('options', {
  signal: true,
  container: true,
  size: true,
  spare: true,
  min: true,
  idleMs: true,
  maxRunsPerCell: true,
  maxQueue: true,
  healthCheckMs: true,
  prepare: true,
})

const SIZE_MAX = 65_536
/** What setTimeout can wait. */
const TIME_MAX_MS = 0x7fff_ffff

/** Checked, with every default filled in. */
export interface PoolPlan {
  readonly container: Omit<MasterOptions, 'signal'>
  readonly size: number
  readonly spare: number
  readonly min: number
  readonly idleMs: number
  readonly maxRunsPerCell: number
  readonly maxQueue: number
  readonly healthCheckMs: number
  readonly prepare: ((master: Master) => void | Promise<void>) | undefined
  readonly signal: AbortSignal | undefined
}

export function planPool(options: PoolOptions = {}): PoolPlan {
  checkNames(options, allowed)
  const { container = {}, prepare } = options
  if (typeof container !== 'object' || container === null) throw invalidType('container', 'an object', container)
  if ('signal' in container && container.signal !== undefined) {
    throw invalidType('container.signal', 'absent, and given as the option "signal" of the pool', container.signal)
  }
  if (prepare !== undefined && typeof prepare !== 'function') throw invalidType('prepare', 'a function', prepare)
  const size = integer('size', options.size ?? availableParallelism(), 1, SIZE_MAX)
  const spare = integer('spare', options.spare ?? size, 0, SIZE_MAX)
  return {
    container: { ...container },
    size,
    spare,
    min: options.min === undefined ? size : integer('min', options.min, 0, size + spare),
    idleMs: integerOrInfinity('idleMs', options.idleMs ?? 60_000, 1, TIME_MAX_MS),
    maxRunsPerCell: integerOrInfinity('maxRunsPerCell', options.maxRunsPerCell ?? Infinity, 1, Number.MAX_SAFE_INTEGER),
    maxQueue: integerOrInfinity('maxQueue', options.maxQueue ?? Infinity, 0, Number.MAX_SAFE_INTEGER),
    healthCheckMs: integerOrInfinity('healthCheckMs', options.healthCheckMs ?? 30_000, 1, TIME_MAX_MS),
    prepare,
    signal: abortSignal(options.signal),
  }
}
