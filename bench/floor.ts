// Drives bench/floor, the small Rust program that measures what the kernel alone costs: one line in, one line out.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { built } from './context.js'

export class Floor implements AsyncDisposable {
  readonly #child = spawn(built('hotcell-bench-floor'), { stdio: ['pipe', 'pipe', 'inherit'] })
  readonly #lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()

  /** `exec PATH`, `repeat COUNT PATH` or `create`; microseconds, measured by the program itself. */
  async sample(command: string): Promise<number> {
    this.#child.stdin.write(`${command}\n`)
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error(`bench/floor ended at: ${command}`)
    const nanoseconds = Number(value)
    if (!Number.isFinite(nanoseconds)) throw new Error(`bench/floor: ${command}: ${String(value)}`)
    return nanoseconds / 1000
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#child, 'exit')
    this.#child.stdin.end()
    await exited
  }
}
