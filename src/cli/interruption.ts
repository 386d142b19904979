/**
 * Signals to the CLI while a run goes on.
 *
 * A program in a container has a session of its own, so a Ctrl-C on the host's terminal reaches the CLI alone. It is passed on; the second one
 * kills. When the program has died of the signal that was passed on, the CLI dies of it too, so that a shell's loop ends as its user
 * wanted (https://www.cons.org/cracauer/sigint.html); a program that caught it and ended otherwise decides the exit code.
 *
 * Ctrl-Z stops the program's main process together with the CLI, and both go on together. It gets SIGSTOP: SIGTSTP is ignored where nobody outside of
 * a session could let it go on.
 */
import { stderr } from './sink.js'

const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const
type Forwarded = (typeof forwarded)[number]

/** When to tell a person that the program goes on regardless. */
const HINT_MS = 1000

export class Interruption {
  /** Aborted with the first signal: for what goes on before there is a program. */
  readonly signal: AbortSignal
  readonly #before = new AbortController()
  #first: Forwarded | undefined
  #pass: ((signal: NodeJS.Signals) => void) | undefined
  #hint: NodeJS.Timeout | undefined
  readonly #listeners = new Map<Forwarded, () => void>()
  readonly #suspend = (): void => {
    this.#pass?.('SIGSTOP')
    process.kill(process.pid, 'SIGSTOP')
  }
  readonly #continue = (): void => this.#pass?.('SIGCONT')

  constructor() {
    this.signal = this.#before.signal
    for (const name of forwarded) {
      const listener = (): void => this.#receive(name)
      this.#listeners.set(name, listener)
      process.on(name, listener)
    }
    process.on('SIGTSTP', this.#suspend)
    process.on('SIGCONT', this.#continue)
  }

  /** The first signal that came. */
  get received(): NodeJS.Signals | undefined {
    return this.#first
  }

  /** From now on there is a program to pass them on to. */
  passTo(pass: (signal: NodeJS.Signals) => void): void {
    this.#pass = pass
    if (this.#first !== undefined) pass(this.#first)
  }

  /** Signals do what they do by default again. */
  stop(): void {
    clearTimeout(this.#hint)
    for (const [name, listener] of this.#listeners) process.off(name, listener)
    this.#listeners.clear()
    process.off('SIGTSTP', this.#suspend)
    process.off('SIGCONT', this.#continue)
  }

  /** Ends this process by the signal that came. */
  die(): void {
    const signal = this.#first
    if (signal === undefined) return
    this.stop()
    process.kill(process.pid, signal)
  }

  #receive(name: Forwarded): void {
    const isFirst = this.#first === undefined
    this.#first ??= name
    this.#before.abort()
    if (this.#pass === undefined) {
      // What goes on may be waiting for something that nothing interrupts, such as the writer of a fifo that is copied in.
      if (!isFirst) this.die()
      return
    }
    if (!isFirst) {
      this.#pass('SIGKILL')
      return
    }
    this.#pass(name)
    if (name === 'SIGINT' && process.stderr.isTTY) {
      this.#hint = setTimeout(() => void stderr.write('hotcell: the program goes on: Ctrl-C again kills it\n'), HINT_MS)
      this.#hint.unref()
    }
  }
}
