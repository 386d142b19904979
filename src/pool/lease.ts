/**
 * A container as one user of a pool has it: a {@link Master} that ends with the user's turn.
 *
 * A reference that was kept, a copy that still goes on, an interval that was not cleared: none of them may reach the program
 * of whoever has the container next. So this Master stands on a container that passes on what it is asked for only as long as
 * the turn lasts. It is at this level, below the methods, that it has to be: `run` with files asks for several things one
 * after the other, and the turn may end between them. What was asked for before the end is undone by the reset.
 *
 * `Pool.run` needs none of this: nothing of it goes on when its promise has settled.
 */
import type { Container } from '../binding.js'
import { Reply } from '../bridge.js'
import { HotcellError } from '../errors.js'
import { faceOf, type Master } from '../master.js'

/**
 * About runs, by their ids, which are never used twice: they reach none but the turn's own, also when it is over. Everything
 * else, also what the addon might learn in future, is refused then.
 */
const ABOUT_RUNS: ReadonlySet<PropertyKey> = new Set(['kill', 'cancel', 'resume', 'abort', 'resize'])

/** No request has this id. */
const NO_ID = -1

export class Lease {
  /** For the user. */
  readonly master: Master
  readonly #owner: Master
  /** Settles `closed` of the user's Master. */
  readonly #closed = new Reply(NO_ID, undefined)
  #over = false

  constructor(owner: Master) {
    this.#owner = owner
    this.master = faceOf(owner, (container) => new Proxy(container, { get: this.#get }), this.#closed)
  }

  /** The turn is over: nothing reaches the container any more. */
  end(): void {
    this.#over = true
    this.lose()
  }

  /** The container is gone, as the user's Master is to learn. */
  lose(): void {
    this.#closed.settle(this.#closed)
  }

  readonly #get = (container: Container, name: string | symbol): unknown => {
    // By the owner's method, which waits for the end and keeps the event loop alive meanwhile.
    if (name === 'destroy') return this.#destroy
    const value: unknown = Reflect.get(container, name, container)
    if (typeof value !== 'function') return value
    return (...args: unknown[]): unknown => {
      if (this.#over && !ABOUT_RUNS.has(name)) throw turnOver()
      return Reflect.apply(value, container, args)
    }
  }

  readonly #destroy = (): void => {
    if (!this.#over) void this.#owner.destroy()
  }
}

function turnOver(): HotcellError {
  return new HotcellError(
    'ERR_HOTCELL_CLOSED',
    'The turn with this container of the pool is over, for the function given to use() has settled. Do all of the work inside ' +
      'of that function, or call use() again',
  )
}
