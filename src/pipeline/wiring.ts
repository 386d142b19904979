/**
 * The pipes of a pipeline, made: which descriptors each program gets, and what passes through this process.
 *
 * A descriptor that a program writes to is *direct* if it has one reader and nobody who watches: then the program has the
 * writing end of the reader's own pipe, and this process has neither end once the programs are started. Else it is *relayed*. The
 * writers of one reader are all direct or all relayed, for an end that a program shares with us could not be blocking there and
 * non-blocking here.
 */
import { openSync } from 'node:fs'
import { adoptFd, discardFd } from '../descriptor.js'
import { Input } from '../input.js'
import { Output } from '../output.js'
import { makePipe, OURS } from './pipe.js'
import { Feed, Relay, Tap } from './relay.js'
import { endKey, type EndPlan, type PipelinePlan, type PipePlan } from './stages.js'

/** What a pipe is, for those who see a program wait for it. */
export interface Known {
  /** The first of those that it stands for; undefined if the other end is here. */
  pipe: number | undefined
  readers: readonly number[]
  writers: readonly number[]
}

/** One stage's descriptors, and our ends of them. */
export interface StageWires {
  readonly fds: number[]
  readonly stdin: Input | undefined
  readonly stdout: Output | undefined
  readonly stderr: Output | undefined
}

export class Wiring {
  readonly stages: StageWires[] = []
  /** By inode. */
  readonly known = new Map<number, Known>()
  /** By the index of the pipe; undefined for those that are direct. */
  readonly taps: (Tap | undefined)[] = []
  readonly #relays: Relay[] = []
  readonly #feeds: Feed[] = []
  /** What the programs get; to be closed here once they have it. */
  readonly #theirs: number[] = []

  /**
   * @param exceed a stage has written more than a pipe of its allows
   * @param fail a `tee` failed
   * @throws {HotcellError} `EMFILE`, `ENFILE`
   */
  constructor(plan: PipelinePlan, exceed: (stage: number, fd: number) => void, fail: (error: Error) => void) {
    try {
      this.#connect(plan, exceed, fail)
    } catch (error) {
      this.handOver()
      this.finish()
      for (const { stdin, stdout, stderr } of this.stages) {
        stdin?.finish()
        stdout?.finish()
        stderr?.finish()
      }
      throw error
    }
  }

  /** The programs have their descriptors: ours would keep pipes open that nobody writes to any more. */
  handOver(): void {
    for (const fd of this.#theirs.splice(0)) discardFd(fd)
  }

  /** All stages are over. */
  finish(): void {
    for (const relay of this.#relays) relay.finish()
    for (const { socket } of this.#feeds) socket.destroy()
  }

  #connect(plan: PipelinePlan, exceed: (stage: number, fd: number) => void, fail: (error: Error) => void): void {
    const { pipes } = plan
    const byWriter = group(pipes, ({ from }) => from)
    const byReader = group(pipes, ({ to }) => to)
    const relayed = new Set<number>()
    for (const [key, indexes] of byWriter) {
      if (indexes.length > 1 || indexes.some((index) => isWatched(pipes[index] as PipePlan))) relayed.add(key)
    }
    const writersOf = (indexes: readonly number[]): EndPlan[] => indexes.map((index) => (pipes[index] as PipePlan).from)
    for (const indexes of byReader.values()) {
      const writers = writersOf(indexes).map(endKey)
      if (writers.some((key) => relayed.has(key))) for (const key of writers) relayed.add(key)
    }

    const given = plan.stages.map((): Map<number, number> => new Map())
    const give = ({ stage, fd }: EndPlan, end: number): void => void given[stage]?.set(fd, end)
    const feeds = new Map<number, Feed>()
    for (const [key, indexes] of byReader) {
      const { to } = pipes[indexes[0] as number] as PipePlan
      const writers = writersOf(indexes)
      const isRelayed = relayed.has(endKey(writers[0] as EndPlan))
      const { read, write, inode } = makePipe(isRelayed ? OURS.write : OURS.neither)
      this.#own(read)
      give(to, read)
      this.known.set(inode, { pipe: indexes[0], readers: [to.stage], writers: writers.map(({ stage }) => stage) })
      if (isRelayed) {
        const feed = new Feed(write)
        this.#feeds.push(feed)
        feeds.set(key, feed)
      } else {
        this.#own(write)
        for (const writer of writers) give(writer, write)
      }
    }
    for (const [index, pipe] of pipes.entries()) {
      const feed = feeds.get(endKey(pipe.to))
      this.taps[index] = feed === undefined ? undefined : new Tap(pipe, feed)
    }
    for (const [key, indexes] of byWriter) {
      if (!relayed.has(key)) continue
      const { from } = pipes[indexes[0] as number] as PipePlan
      const { read, write, inode } = makePipe(OURS.read)
      this.#own(write)
      give(from, write)
      const readers = indexes.map((index) => (pipes[index] as PipePlan).to.stage)
      this.known.set(inode, { pipe: indexes[0], readers, writers: [from.stage] })
      const taps = indexes.map((index) => this.taps[index] as Tap)
      this.#relays.push(new Relay(read, taps, () => exceed(from.stage, from.fd), fail))
    }
    const nowhere = openSync('/dev/null', 'r+')
    this.#own(nowhere)
    for (const [index, { input }] of plan.stages.entries())
      this.#standard(given[index] as Map<number, number>, input, nowhere)
  }

  /** The standard streams that no pipe leads to. */
  #standard(given: Map<number, number>, input: unknown, nowhere: number): void {
    const here = { pipe: undefined, readers: [], writers: [] }
    let stdin: Input | undefined
    if (!given.has(0) && input !== undefined) {
      const { read, write, inode } = makePipe(OURS.write)
      this.#own(read)
      given.set(0, read)
      this.known.set(inode, here)
      stdin = new Input(write)
    }
    const [stdout, stderr] = [1, 2].map((fd) => {
      if (given.has(fd)) return undefined
      const { read, write, inode } = makePipe(OURS.read)
      this.#own(write)
      given.set(fd, write)
      this.known.set(inode, here)
      return new Output(read)
    })
    const count = Math.max(...given.keys()) + 1
    const fds = Array.from({ length: count }, (_, fd) => given.get(fd) ?? nowhere)
    this.stages.push({ fds, stdin, stdout, stderr })
  }

  #own(fd: number): void {
    adoptFd(fd)
    this.#theirs.push(fd)
  }
}

function isWatched({ captureBytes, maxBytes, tee }: PipePlan): boolean {
  return captureBytes > 0 || maxBytes !== Infinity || tee !== undefined
}

/** The indexes of the pipes at each descriptor. */
function group(pipes: readonly PipePlan[], end: (pipe: PipePlan) => EndPlan): Map<number, number[]> {
  const groups = new Map<number, number[]>()
  for (const [index, pipe] of pipes.entries()) {
    const key = endKey(end(pipe))
    const indexes = groups.get(key)
    if (indexes === undefined) groups.set(key, [index])
    else indexes.push(index)
  }
  return groups
}
