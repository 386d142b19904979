/**
 * What passes through this process because somebody wants to see it: one descriptor that a program writes to, read here, and
 * written to all who are to have it. It is read no faster than the slowest of them reads, as if they were one.
 *
 * When the last reader has gone, the reading end is closed, so that the writer learns of it (EPIPE, SIGPIPE) as it would
 * without anybody in between. At the end of the file the readers' pipes are closed, once no other writer is left.
 */
import { readSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { adoptFd, disownFd } from '../descriptor.js'
import type { PipePlan } from './stages.js'

/** The usual capacity of a pipe; also a good size to read at once. */
const PIPE_BYTES = 64 * 1024
/** As much as a program can make a pipe hold (/proc/sys/fs/pipe-max-size), in reads of that size. */
const LAST_READS = 16

const ignore = (): void => undefined

/** The pipe to a program, of which this process has the writing end. */
export class Feed {
  readonly socket: Socket
  #writers = 0

  constructor(fd: number) {
    adoptFd(fd)
    this.socket = new Socket({ fd: disownFd(fd), readable: false, writable: true })
    // EPIPE: the program does not read any more. 'close' follows.
    this.socket.on('error', ignore)
  }

  join(): void {
    this.#writers++
  }

  leave(): void {
    if (--this.#writers === 0) this.socket.end()
  }
}

/** What was seen of one pipe. */
export class Tap {
  bytes = 0
  #captured: Buffer[] = []
  #capturedBytes = 0
  readonly plan: PipePlan
  readonly feed: Feed

  constructor(plan: PipePlan, feed: Feed) {
    this.plan = plan
    this.feed = feed
    feed.join()
  }

  /** How much of the chunk may pass. */
  allow(chunk: Buffer): Buffer {
    const left = this.plan.maxBytes - this.bytes
    return chunk.length <= left ? chunk : chunk.subarray(0, left)
  }

  see(chunk: Buffer): void {
    this.bytes += chunk.length
    const kept = chunk.subarray(0, this.plan.captureBytes - this.#capturedBytes)
    if (kept.length === 0) return
    this.#captured.push(kept)
    this.#capturedBytes += kept.length
  }

  captured(): Buffer {
    return Buffer.concat(this.#captured, this.#capturedBytes)
  }
}

export class Relay {
  readonly #fd: number
  readonly #source: Socket
  readonly #taps: readonly Tap[]
  /** Those who still read. */
  readonly #readers: Set<Tap>
  /** Those who have to take what they have before there is more. */
  readonly #full = new Set<Writable>()
  readonly #exceed: () => void
  readonly #fail: (error: Error) => void
  #isOver = false

  /**
   * @param exceed called when more would pass than one of the pipes allows
   * @param fail called when a `tee` fails
   */
  constructor(fd: number, taps: readonly Tap[], exceed: () => void, fail: (error: Error) => void) {
    adoptFd(fd)
    this.#fd = fd
    this.#taps = taps
    this.#readers = new Set(taps)
    this.#exceed = exceed
    this.#fail = fail
    this.#source = new Socket({ fd: disownFd(fd), readable: true, writable: false })
    this.#source.on('error', ignore)
    for (const tap of taps) {
      tap.feed.socket.once('close', () => this.#gone(tap))
      tap.plan.tee?.on('error', fail)
    }
    this.#source.on('data', (chunk: Buffer) => this.#pass(chunk))
    this.#source.once('close', () => this.#end())
  }

  /** The writer is dead, and all readers are: what is still in the pipe was written, and is seen for the record. */
  finish(): void {
    if (!this.#isOver) {
      for (let chunk: Buffer | null; (chunk = this.#source.read() as Buffer | null) !== null;) this.#record(chunk)
      // At the end of the file the stream has closed itself, and the number may be another file's by now.
      if (!this.#source.destroyed && !this.#source.readableEnded) this.#readRest()
      this.#source.destroy()
      this.#end()
    }
    for (const tap of this.#taps) {
      tap.feed.socket.destroy()
      tap.plan.tee?.off('error', this.#fail)
    }
  }

  #record(chunk: Buffer): void {
    const allowed = this.#see(chunk)
    for (const { plan } of this.#taps) if (plan.tee?.writable) plan.tee.write(allowed)
  }

  #pass(chunk: Buffer): void {
    const allowed = this.#see(chunk)
    for (const tap of this.#readers) this.#write(tap.feed.socket, allowed)
    for (const tap of this.#taps) if (tap.plan.tee !== undefined) this.#write(tap.plan.tee, allowed)
    if (allowed.length === chunk.length) return
    this.#source.destroy()
    this.#exceed()
  }

  #see(chunk: Buffer): Buffer {
    let allowed = chunk
    for (const tap of this.#taps) allowed = tap.allow(allowed)
    for (const tap of this.#taps) tap.see(allowed)
    return allowed
  }

  #write(to: Writable, chunk: Buffer): void {
    if (to.destroyed || to.write(chunk) || this.#full.has(to)) return
    this.#full.add(to)
    this.#source.pause()
    to.once('drain', () => this.#taken(to))
  }

  #taken(by: Writable): void {
    if (this.#full.delete(by) && this.#full.size === 0 && !this.#isOver) this.#source.resume()
  }

  #gone(tap: Tap): void {
    this.#readers.delete(tap)
    if (this.#readers.size === 0) this.#source.destroy()
    else this.#taken(tap.feed.socket)
  }

  #end(): void {
    if (this.#isOver) return
    this.#isOver = true
    for (const tap of this.#taps) tap.feed.leave()
  }

  #readRest(): void {
    try {
      for (let reads = 0; reads < LAST_READS; reads++) {
        const buffer = Buffer.allocUnsafe(PIPE_BYTES)
        const bytesRead = readSync(this.#fd, buffer, 0, PIPE_BYTES, null)
        if (bytesRead === 0) return
        this.#record(buffer.subarray(0, bytesRead))
      }
    } catch {
      // EAGAIN: there is no more.
    }
  }
}
