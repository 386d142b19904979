/** Writes many short lines in few system calls, and holds whoever writes them back where the reader is slow. */
import type { Sink } from '../sink.js'

const FLUSH_CHARACTERS = 32 * 1024
const HOLD_CHARACTERS = 256 * 1024

export class LineWriter {
  readonly #sink: Sink
  #text = ''
  #pending = 0
  #turn: NodeJS.Immediate | undefined
  #last: Promise<void> = Promise.resolve()

  constructor(sink: Sink) {
    this.#sink = sink
  }

  /** Resolves at once, unless too much is waiting. */
  async write(line: string): Promise<void> {
    this.#text += `${line}\n`
    if (this.#text.length >= FLUSH_CHARACTERS) this.#flush()
    // Whatever came in this turn of the loop goes out together.
    else this.#turn ??= setImmediate(() => this.#flush())
    if (this.#pending > HOLD_CHARACTERS) await this.#last
  }

  /** Everything is written. */
  async end(): Promise<void> {
    this.#flush()
    await this.#last
  }

  #flush(): void {
    clearImmediate(this.#turn)
    this.#turn = undefined
    const text = this.#text
    if (text === '') return
    this.#text = ''
    this.#pending += text.length
    this.#last = this.#sink.write(text).finally(() => (this.#pending -= text.length))
    this.#last.catch(() => undefined)
  }
}
