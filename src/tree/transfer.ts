/**
 * One copy or listing of a directory, which a native thread works at: what it reads or writes goes through a pipe, whose other end is here.
 *
 * Who gives up sets a flag and closes the pipe; the thread notices the one between two pieces of work and the other when it reads or
 * writes. Nothing goes on any more when `settled` is there.
 */
import { Socket } from 'node:net'
import type { Container, NativeTransfer } from '../binding.js'
import { expect, type Reply } from '../bridge.js'
import { failure, type HotcellError } from '../errors.js'
import { onLoss } from '../loss.js'

const ignore = (): void => undefined

export class Transfer {
  /** Our end of the pipe. Its errors say nothing that the reply does not say better. */
  readonly socket: Socket | undefined
  readonly #native: NativeTransfer
  readonly #reply: Reply
  readonly #stopListening: () => void
  #lost = false

  constructor(container: Container, native: NativeTransfer, direction: 'in' | 'out') {
    this.#native = native
    this.#reply = expect(container, native.id)
    if (native.fd !== -1) {
      this.socket = new Socket({ fd: native.fd, readable: direction === 'out', writable: direction === 'in' })
      this.socket.on('error', ignore)
    }
    // A thread that waits for its pipe asks the container for nothing, and does not hear of its end.
    this.#stopListening = onLoss(container, () => {
      this.#lost = true
      this.stop()
    })
  }

  /** Ends it soon. Idempotent. */
  stop(): void {
    this.#native.stop()
    this.socket?.destroy()
  }

  /** When it is over: why it failed, if it did. Never rejects. */
  async settled(): Promise<HotcellError | undefined> {
    await this.#reply.settled
    this.#stopListening()
    this.socket?.destroy()
    const { error } = this.#reply
    if (error === undefined) return undefined
    return failure(error.kind === 'stopped' && this.#lost ? { kind: 'lost' } : error)
  }
}
