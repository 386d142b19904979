import { Socket } from 'node:net'
import { Writable } from 'node:stream'
import { adoptFd, discardFd, disownFd } from './descriptor.js'

const ignore = (): void => undefined

/**
 * Standard input of a spawned run: the writing end of a pipe. A program that ends without having read everything is
 * nothing unusual, so the `EPIPE` that a writer gets then is for those who listen, and ends no process.
 */
export class Input {
  /** -1 once it is closed, or where there is no pipe; the socket's, if there is one. */
  #fd: number
  #stream: Writable | undefined

  constructor(fd: number) {
    this.#fd = fd
    adoptFd(fd)
  }

  /** The stream, for the caller. */
  take(): Writable {
    if (this.#stream === undefined) {
      this.#stream =
        this.#fd === -1
          ? new Writable({ write: (_chunk, _encoding, callback) => callback() })
          : new Socket({ fd: disownFd(this.#fd), readable: false, writable: true })
      this.#stream.on('error', ignore)
    }
    return this.#stream
  }

  /** Nobody will write: the program reads the end of the file. */
  closeUntaken(): void {
    if (this.#stream !== undefined || this.#fd === -1) return
    discardFd(this.#fd)
    this.#fd = -1
  }

  /** The run is over. */
  finish(error?: Error): void {
    this.closeUntaken()
    if (this.#fd !== -1) this.#stream?.destroy(error)
  }
}
