/**
 * Standard output or error of a spawned run: the reading end of a pipe, which may go three ways.
 *
 * - *taken*: the caller has the stream, with its backpressure, and hotcell never looks at it.
 * - *collected*: the caller awaits the run without having taken it; it is read as it comes, up to a limit.
 * - *neither*: it waits in the pipe, whose capacity (64 KiB, pipe(7)) holds the program back.
 *
 * When the run is over, all who could write are dead, so what is in the pipe then is all there will be. It is read off on
 * the spot and the descriptor is closed, instead of waiting for an end of file that a descriptor smuggled into another run
 * of the same container could put off for ever.
 */
import { readSync } from 'node:fs'
import { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { adoptFd, discardFd, disownFd } from './descriptor.js'

/** The usual capacity of a pipe; also a good size to read at once. */
const PIPE_BYTES = 64 * 1024
/**
 * How often that is read when a run is over: as much as a program can make the pipe hold (/proc/sys/fs/pipe-max-size), and
 * no more, for somebody with a smuggled descriptor may write as fast as this reads.
 */
const LAST_READS = 16

const ignore = (): void => undefined

export class Output {
  /** -1 once it is closed, or where there is no pipe. */
  #fd: number
  #socket: Socket | undefined
  /** What stands in for a stream when there is no pipe (any more). */
  #rest: Readable | undefined
  #taken = false
  #over: boolean
  #chunks: Buffer[] = []
  #bytes = 0
  #limit = Infinity
  #full = false
  #breached: (() => void) | undefined

  constructor(fd: number) {
    this.#fd = fd
    adoptFd(fd)
    this.#over = fd === -1
  }

  /** The stream, for the caller. */
  take(): Readable {
    if (this.#socket !== undefined) return this.#socket
    if (this.#rest !== undefined) return this.#rest
    // Once it is being collected, a stream is only a second look at it.
    this.#taken = this.#breached === undefined
    if (!this.#over) return this.#open()
    this.#rest = Readable.from(this.#chunks, { objectMode: false })
    return this.#rest
  }

  /** Reads it from now on, unless it was taken, and calls `breached` when there are more bytes than `limit`. */
  collect(limit: number, breached: () => void): void {
    if (this.#taken) return
    this.#limit = limit
    this.#breached = breached
    if (this.#over) this.#cut()
    else this.#open().on('data', (chunk: Buffer) => this.#add(chunk))
  }

  /** The run is over. */
  finish(): void {
    if (this.#over) return
    this.#over = true
    if (this.#taken) {
      // As child_process does: what nobody listens to would keep the descriptor open for ever.
      const socket = this.#socket as Socket
      if (socket.readableFlowing === null && socket.listenerCount('readable') === 0) socket.resume()
      return
    }
    // At the end of the file the stream has closed itself, and the number may be another file's by now.
    if (this.#socket === undefined || !this.#socket.destroyed) this.#readRest()
    this.#cut()
    if (this.#socket !== undefined) this.#socket.destroy()
    else discardFd(this.#fd)
    this.#socket = undefined
    this.#fd = -1
  }

  /** The run was aborted: whoever reads the stream learns it now, before the end of the file that the program's death will be. */
  abort(error: Error): void {
    if (this.#taken) this.#socket?.destroy(error)
  }

  /** The run failed: whoever reads the stream learns why. */
  fail(error: Error): void {
    this.abort(error)
    this.finish()
  }

  /** What was collected. */
  collected(): Buffer {
    return this.#taken ? Buffer.alloc(0) : Buffer.concat(this.#chunks, this.#bytes)
  }

  #open(): Socket {
    this.#socket = new Socket({ fd: disownFd(this.#fd), readable: true, writable: false })
    // An error is for those who listen. It may not end the process where nobody does.
    this.#socket.on('error', ignore)
    return this.#socket
  }

  #add(chunk: Buffer): void {
    if (this.#full) return
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    this.#cut()
  }

  #cut(): void {
    if (this.#full || this.#bytes <= this.#limit) return
    const whole = Buffer.concat(this.#chunks, this.#bytes)
    this.#chunks = [whole.subarray(0, this.#limit)]
    this.#bytes = this.#limit
    this.#full = true
    this.#breached?.()
  }

  #readRest(): void {
    try {
      for (let reads = 0; reads < LAST_READS && !this.#full && this.#bytes <= this.#limit; reads++) {
        const buffer = Buffer.allocUnsafe(PIPE_BYTES)
        const bytesRead = readSync(this.#fd, buffer, 0, PIPE_BYTES, null)
        if (bytesRead === 0) return
        this.#chunks.push(buffer.subarray(0, bytesRead))
        this.#bytes += bytesRead
      }
    } catch {
      // EAGAIN: there is no more, and somebody has the other end.
    }
  }
}
