/** First in, first out, and out of the middle for those who give up: a doubly linked ring through its own head. */

class Link {
  before: Link = this
  after: Link = this
}

/** What can be queued; in one queue at a time. */
export class Queued extends Link {}

export class Queue<T extends Queued> {
  readonly #head = new Link()
  #size = 0

  get size(): number {
    return this.#size
  }

  /** The one whose turn is next. */
  get first(): T | undefined {
    return this.#size === 0 ? undefined : (this.#head.after as T)
  }

  push(item: T): void {
    const last = this.#head.before
    item.before = last
    item.after = this.#head
    last.after = item
    this.#head.before = item
    this.#size++
  }

  /** Takes one out, wherever it stands. One that is in no queue stays as it is; whether it was in one. */
  remove(item: T): boolean {
    if (item.after === item) return false
    item.before.after = item.after
    item.after.before = item.before
    item.before = item
    item.after = item
    this.#size--
    return true
  }
}
