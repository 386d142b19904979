/**
 * The terminal that the CLI was started on, while the program has one of its own in the container: every key goes to the program, which has its own line
 * discipline, so this one is put into raw mode, and put back however the CLI ends.
 */
import { CliError } from './usage-error.js'
import { HOTCELL_FAILED } from './exit-codes.js'

/** Ctrl-], as of telnet(1) and systemd-nspawn(1): three times within a second end a run that takes every other key. */
const ESCAPE = 0x1d
const ESCAPES = 3
const ESCAPE_MS = 1000

/** Counts the keys that end a run. */
export function escapeKeys(end: () => void): (chunk: Buffer) => void {
  let times: number[] = []
  return (chunk) => {
    for (const byte of chunk) {
      if (byte !== ESCAPE) {
        times = []
        continue
      }
      const now = performance.now()
      times = [...times.filter((time) => now - time < ESCAPE_MS), now]
      if (times.length >= ESCAPES) end()
    }
  }
}

export class HostTerminal {
  readonly #restore = (): void => this.restore()
  #resized: (() => void) | undefined
  #raw = false

  /** @throws {CliError} if standard input or output is none */
  static require(): HostTerminal {
    if (process.stdin.isTTY && process.stdout.isTTY) return new HostTerminal()
    const missing = process.stdin.isTTY ? 'output' : 'input'
    throw new CliError(
      `standard ${missing} is no terminal. Without one, use hotcell run without --tty: hotcell run -- sh -c '…'`,
      'ERR_HOTCELL_NO_TERMINAL',
      HOTCELL_FAILED,
    )
  }

  get size(): { columns: number; rows: number } {
    // A terminal that does not know its size says 0.
    return { columns: process.stdout.columns || 80, rows: process.stdout.rows || 24 }
  }

  /** Every key to the program, and every change of the window's size to `resized`. */
  enter(resized: (columns: number, rows: number) => void): void {
    process.on('exit', this.#restore)
    process.stdin.setRawMode(true)
    this.#raw = true
    this.#resized = () => resized(this.size.columns, this.size.rows)
    process.stdout.on('resize', this.#resized)
    // It may have changed since its size was asked for.
    this.#resized()
  }

  /** As it was. Idempotent. */
  restore(): void {
    if (!this.#raw) return
    this.#raw = false
    process.off('exit', this.#restore)
    if (this.#resized !== undefined) process.stdout.off('resize', this.#resized)
    try {
      process.stdin.setRawMode(false)
    } catch {
      // The terminal is gone (SIGHUP).
    }
  }
}
