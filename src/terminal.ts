/**
 * The caller's side of a terminal: two pipes, whose other ends init has. For `spawn` they are those of the {@link Execution}; what is here
 * is for `execve`, which has none by itself.
 */
import type { Readable, Writable } from 'node:stream'
import type { Container } from './binding.js'
import { discardFd } from './descriptor.js'
import { HotcellError } from './errors.js'
import { Input } from './input.js'
import { terminalSide } from './options/tty.js'
import { Output } from './output.js'
import { makePipe, OURS } from './pipeline/pipe.js'

/**
 * What a run with `tty` is operated by: the {@link Execution} of `spawn`, or what `execve` gives to `onTerminal`.
 *
 * The terminal is in the container. Its kernel echoes what is typed, edits lines, makes signals of ^C and ^Z, and tells programs its size; here are
 * a keyboard and a screen. What is shown is the program's: written to a real terminal, it may contain escape sequences that this one obeys, or answers.
 */
export interface Terminal {
  /**
   * What is typed: `'\r'` is the return key, `'\x03'` ^C, `'\x04'` ^D. Ending it types the end of the file, once the program has read what came
   * before, and again after ever longer pauses: a program that does not read lines just then takes no notice of it.
   */
  readonly stdin: Writable
  /** What is shown, echoes included. Destroying it hangs the terminal up: the programs on it get SIGHUP. */
  readonly stdout: Readable
  /**
   * Gives the terminal another size. Its foreground programs get SIGWINCH.
   *
   * @param columns characters in a line, 1 to 65,535
   * @param rows lines, 1 to 65,535
   * @returns whether the run went on
   * @throws {RangeError} (or TypeError) for what is no size
   */
  resize(columns: number, rows: number): boolean
}

/** Has native give the terminal of a run another size, unless the run is `over`; whether it was not. */
export function resize(container: Container, run: number, over: boolean, columns: number, rows: number): boolean {
  const size = [terminalSide('columns', columns), terminalSide('rows', rows)] as const
  if (!over) container.resize(run, ...size)
  return !over
}

/** For a run without one. */
export function noTerminal(): HotcellError {
  return new HotcellError(
    'ERR_HOTCELL_NO_TTY',
    'This run has no terminal that could have another size. Give it one: tty: { columns, rows }',
  )
}

/** The terminal of an `execve`. */
export class ExecveTerminal implements Terminal {
  /** For native's `fds`. */
  readonly fds: readonly [keyboard: number, screen: number]
  readonly #container: Container
  readonly #input: Input
  readonly #output: Output
  #run = 0
  #over = false

  /** @throws {HotcellError} `EMFILE`, `ENFILE` */
  constructor(container: Container) {
    const keyboard = makePipe(OURS.write)
    this.#input = new Input(keyboard.write)
    try {
      const screen = makePipe(OURS.read)
      this.#output = new Output(screen.read)
      this.fds = [keyboard.read, screen.write]
    } catch (error) {
      this.#input.closeUntaken()
      discardFd(keyboard.read)
      throw error
    }
    this.#container = container
  }

  get stdin(): Writable {
    return this.#input.take()
  }

  get stdout(): Readable {
    return this.#output.take()
  }

  resize(columns: number, rows: number): boolean {
    return resize(this.#container, this.#run, this.#over, columns, rows)
  }

  /** Has the run asked for, with {@link fds}. */
  begin(execve: () => number): number {
    try {
      this.#run = execve()
      return this.#run
    } catch (error) {
      this.end(error as Error)
      throw error
    } finally {
      // Native has passed them on, or never will.
      for (const fd of this.fds) discardFd(fd)
    }
  }

  /** The run is over, or has failed. */
  end(error?: Error): void {
    this.#over = true
    this.#input.finish(error)
    if (error === undefined) this.#output.finish()
    else this.#output.fail(error)
  }
}
