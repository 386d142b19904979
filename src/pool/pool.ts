/**
 * Many containers, each of which has one user at a time.
 *
 * Everything runs on the JS thread that made the pool, so nothing happens between two lines of a synchronous method. A cell
 * goes round in these states, and is in no list but that of its state:
 *
 *     made ─▶ idle ─▶ busy ─▶ resetting ─▶ idle …        at any moment ─▶ gone
 *
 * It is asked to reset in the same tick in which its user's promise settles, before that user hears of it, and is nobody's
 * until init has answered. Meanwhile a spare one takes its place: as long as there are any, the reset delays nobody. Whoever waits
 * is served first come, first served; so there are idle cells only while nobody waits, or as many are in use as may be. The most recently used cell goes first: its pages are warm, and those that nobody needs get old enough to be trimmed.
 *
 * Nothing but work keeps the event loop alive: timers are unref'ed, and those who wait are nothing that libuv knows of. Timers
 * and the container's `closed` hold the pool weakly, so that one which nobody has any more is collected with its containers.
 */
import { AbortError, refuseAborted, ToldCancellation, type Cancellation } from '../abort.js'
import { Batch } from '../batch/batch.js'
import type { BatchInputs, BatchOptions, Cells } from '../batch/batch-options.js'
import { build, type BuildOptions, type BuildResult } from '../build.js'
import { channels, isObserved, observe, type PoolTurnMessage } from '../diagnostics/channels.js'
import { HotcellError } from '../errors.js'
import { isUntouched, Master } from '../master.js'
import { abortSignal, cancellableSignal, type Cancellable } from '../options/cancellable.js'
import { invalidType, outOfRange } from '../options/invalid.js'
import type { ContainerPath } from '../options/primitives.js'
import type { Encoding, OutputOf, RunOptions } from '../options/run-options.js'
import type { RunResult } from '../result.js'
import { DurationRecorder, type DurationHistogram } from './duration-histogram.js'
import { Lease } from './lease.js'
import { planPool, type PoolOptions, type PoolPlan } from './pool-options.js'
import { Queue, Queued } from './queue.js'

/** What a pool is doing, and has done. A copy. */
export interface PoolStats {
  /** The containers that there are: `busy`, `idle` and `resetting` ones. */
  size: number
  /** Those in use. */
  busy: number
  /** Those that wait for somebody. */
  idle: number
  /** Those between two users. */
  resetting: number
  /** Those that are being made, beyond `size`. */
  creating: number
  /** How many wait for a container. */
  queued: number
  /** How many containers were made so far. */
  created: number
  /** How many were lost: killed, hung, or destroyed by a user. */
  lost: number
  /** How many times one could not be made, or not be reset. */
  failed: number
  /** How many turns are over: calls of `run` and `use` that had a container, however they ended. */
  runs: number
  /** How long these had it. */
  runTime: DurationHistogram
  /** How long these waited for it. */
  waitTime: DurationHistogram
}

/** One container. */
class Cell {
  readonly master: Master
  readonly pool: Pool
  state: 'idle' | 'busy' | 'resetting' | 'gone' = 'resetting'
  turns = 0
  /** When its turn began, or it became idle; `performance.now()`. */
  since = 0
  /** What its user has of it. */
  lease: Lease | undefined
  /** Who has it without having all that they wait for. */
  waiter: Waiter | undefined

  constructor(master: Master, pool: Pool) {
    this.master = master
    this.pool = pool
  }
}

/** Somebody who waits for cells. */
class Waiter extends Queued {
  readonly wanted: number
  /** What there is for them already; only the first of the queue has any. */
  cells: Cell[] = []
  readonly granted: Promise<Cell[]>
  grant!: (cells: Cell[]) => void
  refuse!: (error: Error) => void
  readonly cancellation: Cancellation

  constructor(wanted: number, signal: AbortSignal | undefined, give: (waiter: Waiter, error: Error) => void) {
    super()
    this.wanted = wanted
    this.granted = new Promise((resolve, reject) => {
      this.grant = resolve
      this.refuse = reject
    })
    this.cancellation = new ToldCancellation(signal, () => give(this, new AbortError(signal as AbortSignal)))
  }
}

/**
 * Lends containers of a pool to somebody who needs several at once: all of them, or none yet, so that two who need two each
 * do not wait for each other for ever. @internal
 */
export let useSeveral: <T>(
  pool: Pool,
  count: number,
  fn: (masters: Master[]) => Promise<T>,
  signal: AbortSignal | undefined,
) => Promise<T>

/**
 * Containers that are there already, for runs that must not see each other. Each has one user at a time and is reset before
 * the next one gets it: /w and /tmp are empty then, and nothing runs.
 *
 * Whoever finds all of them in use waits, first come, first served. A container that goes away takes the run in it along
 * (`ERR_HOTCELL_CONTAINER_LOST`), and no other; it is replaced.
 *
 * A program that forgot `destroy()` still exits, as with {@link Master}. Each thread has its own pools.
 *
 * @example
 * ```ts
 * await using pool = await Pool.create({ container: { limits: { wallTimeMs: 10_000 } }, maxQueue: 1_000 })
 *
 * const { status, stdout } = await pool.run('python3', ['-c', 'print(6 * 7)'], { signal: request.signal })
 *
 * const verdicts = await pool.use(async (master) => {
 *   const build = await master.run('gcc', ['main.c'], { files: { 'main.c': source } })
 *   if (build.status !== 'ok') return [build]
 *   return [await master.run('./a.out', [], { input: '1' }), await master.run('./a.out', [], { input: '2' })]
 * })
 * ```
 */
export class Pool implements AsyncDisposable {
  readonly #plan: PoolPlan
  readonly #cells = new Set<Cell>()
  /** By when they became so; the last one is taken first. */
  readonly #idle: Cell[] = []
  readonly #queue = new Queue<Waiter>()
  /** How many cells those in the queue still lack. */
  #wanted = 0
  #busy = 0
  #resetting = 0
  #creating = 0
  #created = 0
  #lost = 0
  #failed = 0
  readonly #runTime = new DurationRecorder()
  readonly #waitTime = new DurationRecorder()
  readonly #creations = new Set<Promise<unknown>>()
  readonly #endings = new Set<Promise<void>>()
  /** Aborted by `destroy()`. */
  readonly #ending = new AbortController()
  #healthTimer: NodeJS.Timeout | undefined
  #trimTimer: NodeJS.Timeout | undefined
  #drained: (() => void) | undefined
  /** Nothing new is taken. */
  #isClosed = false
  /** Its first containers were there. */
  #isOpen = false
  /** `destroy()` was called. */
  #isOver = false
  #draining: Promise<void> | undefined
  #destroyed: Promise<void> | undefined

  static {
    useSeveral = (pool, count, fn, signal) => pool.#useSeveral(count, fn, signal)
  }

  private constructor(plan: PoolPlan) {
    this.#plan = plan
  }

  /**
   * Makes a pool with its first containers. When one of them cannot be made, or the signal is aborted, those that were are
   * destroyed before the promise rejects.
   *
   * @throws {HotcellError} as `Master.create`, or whatever `prepare` rejects with
   * @throws {TypeError} (or RangeError) for an option that is not understood
   */
  static async create(options?: PoolOptions): Promise<Pool> {
    const plan = planPool(options)
    refuseAborted(plan.signal)
    const pool = new Pool(plan)
    const first = Array.from({ length: Math.max(1, plan.min) }, () => pool.#make(plan.signal))
    const failed = (await Promise.allSettled(first)).find((made) => made.status === 'rejected')
    if (failed !== undefined || plan.signal?.aborted) {
      await pool.destroy()
      refuseAborted(plan.signal)
      throw failed?.reason
    }
    pool.#watchHealth()
    if (channels.poolOpen.hasSubscribers) channels.poolOpen.publish({ pool })
    pool.#isOpen = true
    return pool
  }

  /**
   * Runs a program in any idle container: as `Master.run`, in which nothing is left of earlier runs and of which nothing is
   * left for later ones.
   *
   * The signal also ends the waiting for a container.
   *
   * @param file with a slash a path, without one looked up in the `PATH` of the run's own environment
   * @param args without the program's own name
   * @throws {HotcellError} as `Master.run`; `ERR_HOTCELL_POOL_FULL`, `ERR_HOTCELL_CLOSED`; as `Master.create`, when a
   * container could not be replaced and there is no other
   */
  async run<E extends Encoding = 'utf8'>(
    file: ContainerPath,
    args?: readonly ContainerPath[],
    options?: RunOptions<E>,
  ): Promise<RunResult<OutputOf<E>>> {
    if (!isObserved(channels.poolTurn)) return await this.#run(file, args, options)
    const turn = this.#turn('run', 1)
    return await observe(channels.poolTurn, turn, () => this.#run(file, args, options, turn))
  }

  async #run<E extends Encoding>(
    file: ContainerPath,
    args: readonly ContainerPath[] | undefined,
    options: RunOptions<E> | undefined,
    turn?: PoolTurnMessage,
  ): Promise<RunResult<OutputOf<E>>> {
    const signal = abortSignal(options?.signal)
    refuseAborted(signal)
    const cell = this.#take(turn) ?? (await this.#wait(signal, turn))
    try {
      return await cell.master.run(file, args, options)
    } finally {
      this.#release(cell)
    }
  }

  /**
   * Gives a container to a function, for as long as its promise takes: several runs in a row on the same files, streams,
   * whatever a {@link Master} can do.
   *
   * When the promise settles, either way, the turn is over: everything that still runs in the container is killed, and the
   * Master refuses all that is asked of it from then on (`ERR_HOTCELL_CLOSED`; `spawn` throws it), so that no forgotten
   * reference reaches the next user. A function that destroys its container only costs the pool the making of another one.
   *
   * The signal ends the waiting for a container. What the function does is the function's own to cancel.
   *
   * @returns what `fn` returns
   * @throws whatever `fn` throws; {@link HotcellError} `ERR_HOTCELL_POOL_FULL`, `ERR_HOTCELL_CLOSED`
   */
  async use<T>(fn: (master: Master) => T | Promise<T>, options?: Cancellable): Promise<T> {
    if (!isObserved(channels.poolTurn)) return await this.#use(fn, options)
    const turn = this.#turn('use', 1)
    return await observe(channels.poolTurn, turn, () => this.#use(fn, options, turn))
  }

  async #use<T>(
    fn: (master: Master) => T | Promise<T>,
    options: Cancellable | undefined,
    turn?: PoolTurnMessage,
  ): Promise<T> {
    if (typeof fn !== 'function') throw invalidType('fn', 'a function', fn)
    const signal = cancellableSignal(options)
    refuseAborted(signal)
    const cell = this.#take(turn) ?? (await this.#wait(signal, turn))
    try {
      return await fn(this.#lend(cell))
    } finally {
      this.#release(cell)
    }
  }

  /**
   * Runs a program that makes files, such as a compiler, in any idle container: as `Master.build`.
   *
   * @example
   * ```ts
   * using build = await pool.build('gcc', ['-O2', '-o', 'main', 'main.c'], {
   *   files: { 'main.c': source },
   *   outputs: ['main'],
   *   limits: { cpuTimeMs: 10_000, memoryBytes: 512 * 2 ** 20 },
   * })
   * if (build.status !== 'ok') return build.stderr
   * const tests = await pool.runMany('main', [], inputs, { execFile: build.outputs.main, stopWhen: 'first-failure' })
   * ```
   * @throws {HotcellError} as `run`, and as `Master.build`
   */
  async build<const Name extends string, E extends Encoding = 'utf8'>(
    file: ContainerPath,
    args: readonly ContainerPath[],
    options: BuildOptions<Name, E>,
  ): Promise<BuildResult<Name, OutputOf<E>>> {
    return await this.use(async (master) => await build(master, file, args, options), {
      signal: abortSignal(options?.signal),
    })
  }

  /**
   * Runs one program over many inputs, each in a container in which nothing is left of the others: an outcome for each. The
   * runs take their turns in the pool's queue like everybody else's, never more than the `concurrency` of the batch at a time.
   *
   * Await it for all outcomes, or iterate over it; nothing starts before. What may go wrong with one input is a result of that
   * one (`failed`), and the others go on: see {@link Batch}. Wrong options throw.
   *
   * @example
   * ```ts
   * for await (const { index, status, ...rest } of pool.runMany('python3', ['main.py'], inputs, { files: { 'main.py': source } })) {
   *   console.log(index, status, rest)
   * }
   * ```
   * @param file with a slash a path, without one looked up in the `PATH` of the run's own environment; with `execFile` only a name
   * @param args without the program's own name
   * @param inputs each of them standard input, or whatever one run differs in from the others
   */
  runMany<E extends Encoding = 'utf8'>(
    file: ContainerPath,
    args: readonly ContainerPath[],
    inputs: BatchInputs,
    options: BatchOptions<E> = {},
  ): Batch<E> {
    const { size } = this.#plan
    const cells: Cells = {
      size,
      usual: size,
      isPool: true,
      use: async (fn, signal) => await this.use(fn, { signal }),
    }
    return new Batch<E>(cells, file, args, inputs, options)
  }

  /** What the pool is doing, and has done. */
  get stats(): PoolStats {
    const runTime = this.#runTime.snapshot()
    return {
      size: this.#cells.size,
      busy: this.#busy,
      idle: this.#idle.length,
      resetting: this.#resetting,
      creating: this.#creating,
      queued: this.#queue.size,
      created: this.#created,
      lost: this.#lost,
      failed: this.#failed,
      runs: runTime.count,
      runTime,
      waitTime: this.#waitTime.snapshot(),
    }
  }

  /**
   * Ends the pool without ending what goes on: takes nothing new (`ERR_HOTCELL_CLOSED`), and once those in the queue have had
   * their turns and the last one is over, destroys the containers. `destroy()` in the meantime makes it short. Idempotent;
   * never rejects.
   */
  drain(): Promise<void> {
    return (this.#draining ??= this.#drain())
  }

  /**
   * Ends the pool at once: whoever waits or runs is rejected with `ERR_HOTCELL_CLOSED`. Every process of every container is
   * dead when the promise resolves. Idempotent; never rejects.
   */
  destroy(): Promise<void> {
    return (this.#destroyed ??= this.#destroy())
  }

  /** The same, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.destroy()
  }

  // ── getting one, and giving it back ──────────────────────────────────────

  /** For a subscriber. */
  #turn(method: PoolTurnMessage['method'], wanted: number): PoolTurnMessage {
    return { pool: this, method, wanted, queued: this.#queue.size }
  }

  /** An idle cell, if there is one. */
  #take(turn: PoolTurnMessage | undefined): Cell | undefined {
    if (this.#isClosed) throw closed()
    if (this.#queue.size > 0 || this.#busy >= this.#plan.size) return undefined
    const cell = this.#idle.pop()
    if (cell === undefined) return undefined
    this.#waitTime.record(0)
    if (turn !== undefined) turn.waitTimeMs = 0
    this.#begin(cell)
    return cell
  }

  async #wait(signal: AbortSignal | undefined, turn: PoolTurnMessage | undefined): Promise<Cell> {
    const [cell] = await this.#enqueue(1, signal, turn)
    return cell as Cell
  }

  async #enqueue(wanted: number, signal: AbortSignal | undefined, turn: PoolTurnMessage | undefined): Promise<Cell[]> {
    // Whoever waits for a cell that is not in use only waits for a moment, and is not who `maxQueue` is about.
    const { size, maxQueue } = this.#plan
    if (this.#queue.size >= maxQueue + size - this.#busy) throw full(maxQueue)
    const began = performance.now()
    const waiter = new Waiter(wanted, signal, (late, error) => this.#leave(late, error))
    this.#queue.push(waiter)
    this.#wanted += wanted
    this.#feed()
    this.#grow()
    const cells = await waiter.granted
    const now = performance.now()
    this.#waitTime.record(now - began)
    if (turn !== undefined) turn.waitTimeMs = now - began
    for (const cell of cells) cell.since = now
    // Between the grant and this line the signal may have come. Nobody has touched them.
    if (signal?.aborted) {
      for (const cell of cells) this.#unused(cell)
      throw new AbortError(signal)
    }
    return cells
  }

  async #useSeveral<T>(
    count: number,
    fn: (masters: Master[]) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    if (!isObserved(channels.poolTurn)) return await this.#lendSeveral(count, fn, signal)
    const turn = this.#turn('pipeline', count)
    return await observe(channels.poolTurn, turn, () => this.#lendSeveral(count, fn, signal, turn))
  }

  async #lendSeveral<T>(
    count: number,
    fn: (masters: Master[]) => Promise<T>,
    signal: AbortSignal | undefined,
    turn?: PoolTurnMessage,
  ): Promise<T> {
    const { size } = this.#plan
    if (count > size) throw outOfRange('size', `at least ${count} for so many containers at once`, size)
    if (this.#isClosed) throw closed()
    refuseAborted(signal)
    const cells = await this.#enqueue(count, signal, turn)
    try {
      return await fn(cells.map((cell) => this.#lend(cell)))
    } finally {
      for (const cell of cells) this.#release(cell)
    }
  }

  #lend(cell: Cell): Master {
    // Lost between the grant and now: its own methods say so.
    if (cell.state === 'gone') return cell.master
    cell.lease = new Lease(cell.master)
    return cell.lease.master
  }

  #begin(cell: Cell): void {
    cell.state = 'busy'
    cell.since = performance.now()
    this.#busy++
  }

  /** The turn is over. */
  #release(cell: Cell): void {
    cell.turns++
    this.#runTime.record(performance.now() - cell.since)
    cell.lease?.end()
    cell.lease = undefined
    if (cell.state !== 'gone') {
      this.#busy--
      cell.state = 'resetting'
      this.#resetting++
      if (cell.turns >= this.#plan.maxRunsPerCell || this.#isOver) this.#retire(cell)
      else if (this.#isLikeNew(cell)) this.#renewed(cell)
      else void this.#renew(cell)
    }
    this.#feed()
    this.#grow()
    this.#checkDrained()
  }

  /** Nobody has used it after all. */
  #unused(cell: Cell): void {
    if (cell.state !== 'gone') {
      this.#busy--
      this.#offer(cell)
    }
    this.#checkDrained()
  }

  /** Makes it like new. Never rejects. */
  async #renew(cell: Cell): Promise<void> {
    try {
      await cell.master.reset()
      await this.#prepare(cell)
    } catch (error) {
      if (this.#isIn(cell, 'resetting')) {
        this.#tellFailed('reset', error)
        this.#failed++
        this.#retire(cell)
        this.#grow()
      }
    }
    if (this.#isIn(cell, 'resetting')) this.#renewed(cell)
  }

  /** Whether its user left nothing at all, as init tells with the end of a run: most of those that only compute. */
  #isLikeNew(cell: Cell): boolean {
    return this.#plan.prepare === undefined && isUntouched(cell.master)
  }

  #renewed(cell: Cell): void {
    this.#resetting--
    this.#offer(cell)
  }

  /** What may have changed while something was awaited. */
  #isIn(cell: Cell, state: Cell['state']): boolean {
    return cell.state === state
  }

  async #prepare(cell: Cell): Promise<void> {
    const { prepare } = this.#plan
    if (prepare === undefined || cell.state === 'gone') return
    const lease = new Lease(cell.master)
    cell.lease = lease
    try {
      await prepare(lease.master)
    } finally {
      lease.end()
      cell.lease = undefined
    }
  }

  /** A cell that is like new. */
  #offer(cell: Cell): void {
    cell.state = 'idle'
    cell.since = performance.now()
    this.#idle.push(cell)
    if (this.#queue.size > 0) this.#feed()
    if (this.#cells.size > this.#plan.min) this.#trimLater(this.#plan.idleMs)
  }

  /** Gives idle cells to those who wait, as far as there are both, and no more than may be in use. */
  #feed(): void {
    while (this.#busy < this.#plan.size) {
      const waiter = this.#queue.first
      const cell = waiter === undefined ? undefined : this.#idle.pop()
      if (waiter === undefined || cell === undefined) return
      this.#begin(cell)
      this.#wanted--
      waiter.cells.push(cell)
      cell.waiter = waiter
      if (waiter.cells.length < waiter.wanted) continue
      for (const each of waiter.cells) each.waiter = undefined
      this.#queue.remove(waiter)
      waiter.cancellation.stop()
      waiter.grant(waiter.cells)
    }
  }

  /** Somebody in the queue gives up, or is given up. */
  #leave(waiter: Waiter, error: Error): void {
    if (!this.#queue.remove(waiter)) return
    waiter.cancellation.stop()
    this.#wanted -= waiter.wanted - waiter.cells.length
    const { cells } = waiter
    waiter.cells = []
    waiter.refuse(error)
    for (const cell of cells) {
      cell.waiter = undefined
      this.#unused(cell)
    }
    // Whoever stands behind may need less.
    this.#feed()
    this.#checkDrained()
  }

  // ── making them, and their ends ──────────────────────────────────────────

  /** Makes containers, if somebody waits for one that does not come by itself, or there are too few. */
  #grow(): void {
    if (this.#isOver) return
    const { size, spare, min } = this.#plan
    for (;;) {
      const all = this.#cells.size + this.#creating
      const isNeeded =
        this.#wanted > this.#creating + this.#resetting + this.#idle.length || (all < min && !this.#isClosed)
      if (all >= size + spare || !isNeeded) return
      this.#make(this.#ending.signal).catch((error: Error) => this.#notMade(error))
    }
  }

  async #make(signal: AbortSignal | undefined): Promise<void> {
    const creating = this.#create(signal)
    this.#creations.add(creating)
    let cell: Cell
    try {
      cell = await creating
    } finally {
      this.#creations.delete(creating)
    }
    try {
      await this.#prepare(cell)
    } catch (error) {
      if (this.#isIn(cell, 'resetting')) this.#retire(cell)
      throw error
    }
    if (this.#isIn(cell, 'resetting')) this.#renewed(cell)
  }

  async #create(signal: AbortSignal | undefined): Promise<Cell> {
    this.#creating++
    let master: Master
    try {
      master = await Master.create({ ...this.#plan.container, signal })
    } finally {
      // In the same step in which the cell is added: in between it would not be counted at all, and one too many be made.
      this.#creating--
    }
    const cell = new Cell(master, this)
    this.#created++
    this.#cells.add(cell)
    this.#resetting++
    Pool.#watch(cell)
    return cell
  }

  /** A function of its own: a closure holds whatever any closure of its function needs, and this one may not hold the pool. */
  static #watch(cell: Cell): void {
    const weak = new WeakRef(cell)
    void cell.master.closed.then(() => {
      const gone = weak.deref()
      if (gone !== undefined) gone.pool.#gone(gone)
    })
  }

  /** A container could not be made. Those whom no other one can serve are told why, and the next who come try again. */
  #notMade(error: Error): void {
    if (this.#isOver) return
    this.#tellFailed('create', error)
    this.#failed++
    for (;;) {
      const { first } = this.#queue
      if (first === undefined || first.wanted <= this.#cells.size + this.#creating) return
      this.#leave(first, error)
    }
  }

  #tellFailed(during: 'create' | 'reset', error: unknown): void {
    if (channels.poolFailed.hasSubscribers) channels.poolFailed.publish({ pool: this, during, error })
  }

  /** A container went away. */
  #gone(cell: Cell): void {
    if (cell.state === 'gone') return
    if (channels.poolLost.hasSubscribers) {
      channels.poolLost.publish({ pool: this, initPid: cell.master.pid, state: cell.state })
    }
    this.#lost++
    this.#remove(cell)
    this.#feed()
    this.#grow()
    this.#checkDrained()
  }

  #retire(cell: Cell): void {
    this.#remove(cell)
    const ending = cell.master.destroy().then(() => {
      this.#endings.delete(ending)
    })
    this.#endings.add(ending)
  }

  #remove(cell: Cell): void {
    if (cell.state === 'idle') this.#idle.splice(this.#idle.indexOf(cell), 1)
    if (cell.state === 'resetting') this.#resetting--
    if (cell.state === 'busy') this.#busy--
    cell.state = 'gone'
    this.#cells.delete(cell)
    cell.lease?.lose()
    const { waiter } = cell
    if (waiter !== undefined) {
      // It was kept for somebody who waits for another one as well.
      cell.waiter = undefined
      waiter.cells.splice(waiter.cells.indexOf(cell), 1)
      this.#wanted++
    }
  }

  // ── what time brings ─────────────────────────────────────────────────────

  #watchHealth(): void {
    const { healthCheckMs } = this.#plan
    if (healthCheckMs === Infinity) return
    const weak = new WeakRef(this)
    const timer = setInterval(() => {
      const pool = weak.deref()
      if (pool === undefined) clearInterval(timer)
      else pool.#checkHealth()
    }, healthCheckMs)
    timer.unref()
    this.#healthTimer = timer
  }

  /** Asks who has been idle for long. One that does not answer in time is killed by native, and gone then. */
  #checkHealth(): void {
    const latest = performance.now() - this.#plan.healthCheckMs
    for (const cell of this.#idle) if (cell.since <= latest) cell.master.ping().catch(() => undefined)
    this.#grow()
  }

  #trimLater(ms: number): void {
    if (this.#trimTimer !== undefined || ms === Infinity || this.#isOver) return
    const weak = new WeakRef(this)
    this.#trimTimer = setTimeout(() => {
      const pool = weak.deref()
      if (pool !== undefined) pool.#trim()
    }, Math.ceil(ms))
    this.#trimTimer.unref()
  }

  #trim(): void {
    this.#trimTimer = undefined
    const { idleMs, min } = this.#plan
    const now = performance.now()
    for (;;) {
      const [oldest] = this.#idle
      if (oldest === undefined || this.#cells.size <= min) return
      const left = oldest.since + idleMs - now
      if (left > 0) return this.#trimLater(left)
      this.#retire(oldest)
    }
  }

  // ── its own end ──────────────────────────────────────────────────────────

  #checkDrained(): void {
    if (this.#busy === 0 && this.#queue.size === 0) this.#drained?.()
  }

  async #drain(): Promise<void> {
    this.#isClosed = true
    await new Promise<void>((resolve) => {
      this.#drained = resolve
      this.#checkDrained()
    })
    await this.destroy()
  }

  async #destroy(): Promise<void> {
    this.#isClosed = true
    this.#isOver = true
    clearInterval(this.#healthTimer)
    clearTimeout(this.#trimTimer)
    this.#ending.abort()
    for (let { first } = this.#queue; first !== undefined; { first } = this.#queue) this.#leave(first, closed())
    for (const cell of this.#cells) this.#retire(cell)
    await Promise.allSettled(this.#creations)
    for (const cell of this.#cells) this.#retire(cell)
    await Promise.all(this.#endings)
    if (this.#isOpen && channels.poolClose.hasSubscribers) channels.poolClose.publish({ pool: this })
  }
}

function closed(): HotcellError {
  return new HotcellError('ERR_HOTCELL_CLOSED', 'The pool was destroyed, or is being drained. Create another one')
}

function full(maxQueue: number): HotcellError {
  return new HotcellError(
    'ERR_HOTCELL_POOL_FULL',
    `All containers of the pool are in use, and as many as may (maxQueue: ${maxQueue}) wait for one. Try again later, or raise ` +
      'maxQueue or size',
  )
}
