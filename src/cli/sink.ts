/**
 * Where the CLI writes what is not the program's: reports, traces. And the writing itself.
 *
 * Writes go through libuv's thread pool and not through `process.stdout`, whose writes to pipes and terminals are synchronous: a reader that has
 * stopped reading would stop this process's signals as well.
 */
import { closeSync, fstatSync, openSync, write } from 'node:fs'
import { setTimeout as timeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import { UsageError } from './usage-error.js'
import type { Destination } from './values.js'

const writeAsync = promisify(write)
/** How long to wait for somebody else's non-blocking pipe to have room. */
const AGAIN_MS = 5

/** Whether a write failed because nobody reads any more. A socket that was closed with something left to read says it in its own way. */
export function isReaderGone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'EPIPE' || code === 'ECONNRESET'
}

/** Writes all of it. Rejects with what write(2) says. */
export async function writeFully(fd: number, content: Uint8Array | string): Promise<void> {
  let rest = typeof content === 'string' ? Buffer.from(content) : content
  while (rest.length > 0) {
    try {
      const { bytesWritten } = await writeAsync(fd, rest)
      rest = rest.subarray(bytesWritten)
    } catch (error) {
      // The descriptor is shared with whoever gave it to us, and may be non-blocking: nothing says when there is room.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      await timeout(AGAIN_MS)
    }
  }
}

/** Something to write lines to, one after the other. */
export class Sink {
  readonly fd: number
  readonly #own: boolean
  #last: Promise<void> = Promise.resolve()

  constructor(fd: number, own: boolean) {
    this.fd = fd
    this.#own = own
  }

  /** Whether a person looks at it. */
  get isTTY(): boolean {
    return this.fd === 2 ? process.stderr.isTTY : this.fd === 1 && process.stdout.isTTY
  }

  /** Resolves when it is written. A reader that went away is no failure: then it is said to nobody. */
  write(text: string): Promise<void> {
    this.#last = this.#last.then(() => writeFully(this.fd, text)).catch(ignoreClosed)
    return this.#last
  }

  /** What was written is. */
  async close(): Promise<void> {
    await this.#last
    if (this.#own) closeSync(this.fd)
  }
}

function ignoreClosed(error: unknown): void {
  if (!isReaderGone(error)) throw error
}

/** For what the CLI says to people. */
export const stderr = new Sink(2, false)
/** For what a command was asked for. */
export const stdout = new Sink(1, false)

/** Opens it: now, so that it fails before anything has run. @param option for messages */
export function openSink(option: string, destination: Destination): Sink {
  if ('fd' in destination) {
    const { fd } = destination
    if (fd === 1) return stdout
    if (fd === 2) return stderr
    try {
      fstatSync(fd)
    } catch {
      throw new UsageError(
        `${option} fd:${fd}: that descriptor is not open. Open it, as in ${option}=fd:${fd} ${fd}>verdict.json`,
      )
    }
    return new Sink(fd, false)
  }
  try {
    return new Sink(openSync(destination.path, 'w'), true)
  } catch (error) {
    throw new UsageError(`${option}: ${(error as Error).message}`)
  }
}
