/**
 * The standard streams between the outside and a run.
 *
 * The program never gets a descriptor of ours. The host's terminal would let it type for the user (TIOCSTI), a regular file could be opened anew with
 * other modes through /proc/self/fd, and a socket could be spoken to in its own protocol. It has pipes, or a terminal of the container's, and what goes
 * through them is copied here, as fast as the slower side takes it.
 */
import type { Readable, Writable } from 'node:stream'
import { isReaderGone, writeFully } from './sink.js'

/**
 * Passes on what the program writes, and resolves when all of it was, or nobody wants it any more. If the reader of ours went away (EPIPE), the program's
 * pipe is closed, so that the program gets SIGPIPE as if there were nobody in between.
 *
 * @param limit beyond so many bytes nothing is passed on, and `exceeded` is called
 */
export async function relayOutput(source: Readable, fd: number, limit: number, exceeded: () => void): Promise<void> {
  let room = limit
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      const passed = chunk.length > room ? chunk.subarray(0, room) : chunk
      await writeFully(fd, passed)
      if (chunk.length > room) {
        exceeded()
        return
      }
      room -= passed.length
    }
  } catch (error) {
    // Leaving the loop has destroyed the source. What the run failed of, the run tells.
    if ((error as NodeJS.ErrnoException).syscall === 'write' && !isReaderGone(error)) throw error
  }
}

/**
 * Passes on what is written to us, until `stop`. A program that does not read it, or ends before its end, is nothing unusual.
 *
 * @param inspect sees each chunk before
 * @param failed hears of a failure to read; the program gets the end of the file then
 */
export function relayInput(
  source: Readable,
  target: Writable,
  failed: (error: Error) => void,
  inspect?: (chunk: Buffer) => void,
): { stop(): void } {
  const resume = (): void => void source.resume()
  const data = (chunk: Buffer): void => {
    inspect?.(chunk)
    if (!target.write(chunk)) source.pause()
  }
  const end = (): void => void target.end()
  const error = (cause: Error): void => {
    failed(cause)
    end()
  }
  const stop = (): void => {
    source.off('data', data).off('end', end)
    target.off('drain', resume).off('close', stop)
    // A terminal, pipe or socket that is read from would keep the process from ending.
    source.destroy()
  }
  source.on('data', data).on('end', end).on('error', error)
  target.on('drain', resume).on('close', stop)
  return { stop }
}
