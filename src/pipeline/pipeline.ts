/**
 * Programs in different containers, joined by pipes.
 *
 * Each stage is one `execve` on descriptors that are made here. All of them are forked first, and stand at their sync points;
 * when the last one has arrived they are let go together, so that no program's clock runs while another's process is
 * still being made, and none has run when one could not even be forked.
 *
 * From then on a pipeline is over when its stages are, and whoever ends it early (a rule, the wall time, the signal, an output that
 * is too long) does so by aborting their runs: everything is dead when the promise settles.
 */
import { pipeline as pump, Readable } from 'node:stream'
import { AbortError, Checkpoint, refuseAborted } from '../abort.js'
import { channels, isObserved, observe } from '../diagnostics/channels.js'
import { HotcellError } from '../errors.js'
import { Master } from '../master.js'
import type { Encoding } from '../options/run-options.js'
import { useSeveral } from '../pool/pool.js'
import { outputLimit, usageOf, type TraceResult, type Usage } from '../result.js'
import { requirePipeDescriptors } from '../runtime.js'
import type { PipelineResult, PipeResult, StageResult } from './result.js'
import {
  planPipeline,
  type PipelineOptions,
  type PipelinePlan,
  type StageName,
  type StagePlan,
  type Stages,
} from './stages.js'
import { blockedIn, hasEnded, type Waiting } from './waiting.js'
import { Wiring } from './wiring.js'

/**
 * Runs programs in different containers, joined by pipes in any way: in a row, as a shell does; in a ring, as a solution and
 * its interactor; from one to many and from many to one.
 *
 * The programs start together. What a shell's pipes do, these do: a stage that ends gives its readers the end of the file, and its
 * writers EPIPE.
 *
 * @param stages in a row, or by names: arguments, or {@link StageOptions}
 * @returns when all stages are over, and every process of theirs is dead
 * @throws {HotcellError} when a stage could not be started or its container was lost, as `Master.execve`, `copyIn`, `copyOut`;
 * when there is no container, as `Master.create` or `Pool.use`
 * @throws {AbortError} when the signal was aborted
 * @throws {TypeError} (or RangeError) for an option that is not understood
 *
 * @example
 * ```ts
 * const { stages } = await pipeline([['seq', '1000'], ['sort', '-n'], ['tail', '-n', '1']])
 * console.log(stages[2].stdout)
 *
 * const game = await pipeline(
 *   {
 *     solution: { args: ['./solution'], files: { solution }, limits: { cpuTimeMs: 1_000, memoryBytes: 256 << 20 } },
 *     interactor: { args: ['./interactor', 'test-1'], files: { interactor, 'test-1': test } },
 *   },
 *   {
 *     pipes: [
 *       { from: 'solution', to: 'interactor', captureBytes: 65_536, maxBytes: 1 << 20 },
 *       { from: 'interactor', to: 'solution' },
 *     ],
 *     endWhen: 'first-failure',
 *     wallTimeMs: 5_000,
 *     pool,
 *   },
 * )
 * if (game.deadlock) console.log('both wait:', game.stages.solution.waiting, game.stages.interactor.waiting)
 * ```
 */
export async function pipeline<const S extends Stages, E extends Encoding = 'utf8'>(
  stages: S,
  options?: PipelineOptions<StageName<S>, E>,
): Promise<PipelineResult<S, E>> {
  const toEnd = (): Promise<PipelineResult<S, E>> => run(stages, options)
  if (!isObserved(channels.pipeline)) return await toEnd()
  const names = Array.isArray(stages) ? [...stages.keys()] : Object.keys(stages ?? {})
  return await observe(channels.pipeline, { stages: names }, toEnd)
}

async function run<const S extends Stages, E extends Encoding>(
  stages: S,
  options: PipelineOptions<StageName<S>, E> | undefined,
): Promise<PipelineResult<S, E>> {
  const plan = planPipeline(stages, options as PipelineOptions | undefined)
  requirePipeDescriptors('pipeline()')
  refuseAborted(plan.signal)
  const result = await withMasters(plan, (masters) => new Run(plan, masters).toEnd())
  const named = Array.isArray(stages)
    ? result.stages
    : Object.fromEntries(plan.stages.map(({ name }, index) => [name, (result.stages as StageResult[])[index]]))
  return { ...result, stages: named } as unknown as PipelineResult<S, E>
}

/** The container of each stage: its own, one of the pool, or a new one. */
async function withMasters<T>(plan: PipelinePlan, use: (masters: Master[]) => Promise<T>): Promise<T> {
  const { stages, pool, container, signal } = plan
  const lacking = stages.filter(({ master }) => master === undefined).length
  const complete = (others: readonly Master[]): Promise<T> => {
    const rest = others.values()
    return use(stages.map(({ master }) => master ?? (rest.next().value as Master)))
  }
  if (lacking === 0) return complete([])
  if (pool !== undefined) return useSeveral(pool, lacking, complete, signal)
  const made = await Promise.allSettled(Array.from({ length: lacking }, () => Master.create({ ...container, signal })))
  const masters = made.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  try {
    const failed = made.find((each) => each.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    return await complete(masters)
  } finally {
    await Promise.all(masters.map((master) => master.destroy()))
  }
}

type Cause = PipelineResult['cause']

/** A stage, from its start on. */
class Running {
  readonly plan: StagePlan
  readonly master: Master
  readonly ending = new AbortController()
  pid = 0
  result: TraceResult | ({ status: 'killed' } & Usage) | undefined
  /** What it was killed for, if that is not the pipeline's end. */
  breach: { status: 'output-limit'; limit: 'stdout' | 'stderr' } | { status: 'time-limit'; limit: 'wall' } | undefined
  waiting: Waiting | undefined
  /** It ran when the pipeline was ended. */
  isDoomed = false

  constructor(plan: StagePlan, master: Master) {
    this.plan = plan
    this.master = master
  }

  get isOver(): boolean {
    return this.result !== undefined
  }
}

class Run {
  readonly #plan: PipelinePlan
  readonly #stages: Running[]
  readonly #order: (string | number)[] = []
  #wiring!: Wiring
  /** The first error that is not the program's: the promise rejects with it. */
  #error: Error | undefined
  #cause: Cause = 'all-ended'
  #causedBy: Running | undefined
  #arrived = 0
  #open!: () => void
  /** Opens when all stages stand at their sync points. */
  readonly #gate = new Promise<void>((resolve) => {
    this.#open = resolve
  })
  #began = 0
  #timer: NodeJS.Timeout | undefined
  /** Inputs that are read as the stages read. */
  readonly #sources: Readable[] = []

  constructor(plan: PipelinePlan, masters: readonly Master[]) {
    this.#plan = plan
    this.#stages = plan.stages.map((stage, index) => new Running(stage, masters[index] as Master))
  }

  async toEnd(): Promise<Omit<PipelineResult, 'stages'> & { stages: StageResult[] }> {
    const { signal } = this.#plan
    const checkpoint = new Checkpoint(signal)
    try {
      await Promise.all(this.#stages.map((stage) => copyFiles(stage, signal)))
      checkpoint.check()
    } finally {
      checkpoint.stop()
    }
    this.#wiring = new Wiring(
      this.#plan,
      (stage, fd) => this.#exceed(stage, fd === 2 ? 'stderr' : 'stdout'),
      (error) => this.#fail(error),
    )
    const abort = (): void => this.#fail(new AbortError(signal as AbortSignal))
    signal?.addEventListener('abort', abort)
    try {
      const ends = this.#stages.map((stage, index) => this.#start(stage, index))
      this.#wiring.handOver()
      for (const index of this.#stages.keys()) this.#serve(index)
      await Promise.all(ends)
    } finally {
      signal?.removeEventListener('abort', abort)
      clearTimeout(this.#timer)
      this.#wiring.handOver()
      this.#wiring.finish()
      for (const source of this.#sources) source.destroy()
    }
    const wallTimeMs = performance.now() - this.#began
    if (this.#error !== undefined) throw this.#error
    return await this.#result(wallTimeMs)
  }

  // ── while it runs ────────────────────────────────────────────────────────

  /** Resolves when the stage is over; never rejects. */
  async #start(stage: Running, index: number): Promise<void> {
    const { fds } = this.#wiring.stages[index] as Wiring['stages'][number]
    const syncFunc = async (pid: number): Promise<void> => {
      stage.pid = pid
      if (++this.#arrived === this.#stages.length) this.#begin()
      await this.#gate
    }
    try {
      const param = { ...stage.plan.param, fds, syncFunc }
      const result = await stage.master.execve(param, { signal: stage.ending.signal })
      this.#ended(stage, stage.isDoomed ? aborted(stage, result) : result)
    } catch (error) {
      if (error instanceof AbortError) this.#ended(stage, aborted(stage, error.result))
      else this.#fail(error as Error)
    } finally {
      const { stdin, stdout, stderr } = this.#wiring.stages[index] as Wiring['stages'][number]
      stdin?.finish()
      stdout?.finish()
      stderr?.finish()
    }
  }

  #begin(): void {
    this.#began = performance.now()
    const { wallTimeMs } = this.#plan
    if (wallTimeMs !== undefined) this.#timer = setTimeout(() => this.#outOfTime(), wallTimeMs)
    this.#open()
  }

  /** Gives the stage its input, and takes its outputs. */
  #serve(index: number): void {
    const { plan } = this.#stages[index] as Running
    const { stdin, stdout, stderr } = this.#wiring.stages[index] as Wiring['stages'][number]
    stdout?.collect(plan.outputBytes, () => this.#exceed(index, 'stdout'))
    stderr?.collect(plan.outputBytes, () => this.#exceed(index, 'stderr'))
    const { input } = plan
    if (stdin === undefined || input === undefined) return
    const to = stdin.take()
    if (typeof input === 'string' || input instanceof Uint8Array) {
      to.end(input)
      return
    }
    const source = input instanceof Readable ? input : Readable.from(input, { objectMode: false })
    this.#sources.push(source)
    // Only a failure of the source counts: a program that does not read its input has destroyed `to` first.
    source.once('error', (error) => {
      if (!to.destroyed) this.#fail(error)
    })
    if (source.errored) this.#fail(source.errored)
    pump(source, to, (error) => {
      if (error?.code === 'ERR_STREAM_PREMATURE_CLOSE' && !this.#stages[index]?.isOver) this.#fail(error)
    })
  }

  #ended(stage: Running, result: Running['result']): void {
    stage.result = result
    this.#order.push(stage.plan.name)
    if (this.#error !== undefined || this.#cause !== 'all-ended') return
    const { endWhen, main } = this.#plan
    if (endWhen === 'first-failure' && hasFailed(stage)) this.#endFor('first-failure', stage)
    else if (endWhen === 'main' && stage === this.#stages[main]) this.#endFor('main-ended', stage)
  }

  #endFor(cause: Cause, stage?: Running, running = this.#running()): void {
    // Where nobody is left to be ended, the end was that of all.
    if (this.#stages.every(({ isOver }) => isOver) && cause === 'main-ended') return
    this.#cause = cause
    this.#causedBy = stage
    for (const other of running) other.isDoomed = true
    this.#killAll()
  }

  /**
   * Those that an end is decided about. Looked at before the first one is killed: that gives others EOF and SIGPIPE. Whoever has ended by
   * itself, and just was not heard of yet, keeps its verdict.
   */
  #running(): Running[] {
    return this.#stages.filter(({ isOver, pid }) => !isOver && !hasEnded(pid))
  }

  #killAll(): void {
    for (const stage of this.#stages) if (!stage.isOver) stage.ending.abort()
  }

  /** Something went wrong that is no program's end. */
  #fail(error: Error): void {
    this.#error ??= error
    this.#killAll()
  }

  #exceed(index: number, limit: 'stdout' | 'stderr'): void {
    const stage = this.#stages[index] as Running
    if (stage.breach !== undefined) return
    stage.breach = { status: 'output-limit', limit }
    // One that has ended already is judged by what it left in the pipe.
    stage.ending.abort()
  }

  #outOfTime(): void {
    const left = this.#running()
    if (left.length === 0) return
    const inodes = new Set(this.#wiring.known.keys())
    for (const stage of left) {
      stage.waiting = this.#waiting(stage, inodes)
      stage.breach ??= { status: 'time-limit', limit: 'wall' }
    }
    this.#endFor('wall-time-limit', undefined, left)
  }

  #waiting(stage: Running, inodes: ReadonlySet<number>): Waiting | undefined {
    const blocked = blockedIn(stage.pid, inodes)
    if (blocked === undefined) return undefined
    const { operation, fd, inode } = blocked
    if (operation === 'poll') return { operation }
    const { pipe, readers, writers } = this.#wiring.known.get(inode) as ReturnType<Wiring['known']['get']> & object
    const waiting: Waiting = { operation, fd }
    if (pipe === undefined) return waiting
    waiting.pipe = pipe
    const others = (operation === 'read' ? writers : readers).map((other) => this.#stages[other] as Running)
    // Of several, one that could still do something about it.
    const other = others.find(({ isOver }) => !isOver) ?? others[0]
    if (other !== undefined) waiting.stage = other.plan.name
    return waiting
  }

  // ── when it is over ──────────────────────────────────────────────────────

  async #result(wallTimeMs: number): Promise<Omit<PipelineResult, 'stages'> & { stages: StageResult[] }> {
    const late = this.#stages.filter(({ breach }) => breach?.status === 'time-limit')
    const stages: StageResult[] = []
    for (const [index, stage] of this.#stages.entries()) stages.push(await this.#stageResult(stage, index))
    return {
      ok: this.#cause !== 'wall-time-limit' && !this.#stages.some(hasFailed),
      cause: this.#cause,
      causedBy: this.#causedBy?.plan.name as never,
      deadlock: this.#cause === 'wall-time-limit' && late.every(({ waiting }) => waiting?.stage !== undefined),
      stages,
      order: this.#order as never,
      pipes: this.#plan.pipes.map((_, index): PipeResult => {
        const tap = this.#wiring.taps[index]
        return { bytes: tap?.bytes, captured: tap?.captured() ?? Buffer.alloc(0) }
      }),
      wallTimeMs,
    }
  }

  async #stageResult(stage: Running, index: number): Promise<StageResult> {
    const { stdout, stderr } = this.#wiring.stages[index] as Wiring['stages'][number]
    const { encoding, signal } = this.#plan
    const output = (bytes: Buffer | undefined): string | Buffer => {
      const collected = bytes ?? Buffer.alloc(0)
      return encoding === 'buffer' ? collected : collected.toString()
    }
    const result: StageResult = {
      ...judged(stage),
      stdout: output(stdout?.collected()),
      stderr: output(stderr?.collected()),
      files: {},
    }
    if (stage.waiting !== undefined) result.waiting = stage.waiting
    for (const path of stage.plan.collect) {
      try {
        result.files[path] = await stage.master.copyOut(path, { signal })
      } catch (error) {
        if (!(error instanceof HotcellError && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))) throw error
      }
    }
    return result
  }
}

async function copyFiles({ plan, master }: Running, signal: AbortSignal | undefined): Promise<void> {
  for (const [path, source] of plan.files) await master.copyIn(source, path, { signal })
}

/**
 * How a run ended that was aborted: by itself, if it was faster than the kill; else for what it did, or with the others. Whoever still
 * ran when that was decided is ended by it, also if the end of another one got there first. One that was not executed has used nothing.
 */
function aborted(stage: Running, used: Usage | undefined): NonNullable<Running['result']> {
  // What an aborted run had used comes with how it ended.
  const own = used as (Partial<TraceResult> & Usage) | undefined
  const { breach } = stage
  const isOwn = own?.status !== undefined && !(own.status === 'signaled' && own.signal === 'SIGKILL')
  if (isOwn && !stage.isDoomed) return own as TraceResult
  const none: Usage = {
    userTimeMs: 0,
    systemTimeMs: 0,
    cpuTimeMs: 0,
    wallTimeMs: 0,
    memoryBytes: 0,
    setupTimeMs: 0,
    accounting: 'rusage',
  }
  return { ...(breach ?? { status: 'killed' }), ...usageOf(used ?? none) }
}

/** One that ended by itself may have left more in a pipe than it was allowed to write; what it was ended for by a limit stands. */
function judged({ result, breach }: Running): NonNullable<Running['result']> {
  const own = result as NonNullable<Running['result']>
  const isLimited = own.status === 'time-limit' || own.status === 'memory-limit' || own.status === breach?.status
  return breach?.status !== 'output-limit' || isLimited ? own : outputLimit(own, breach.limit)
}

/** A writer whose reader has gone ends by SIGPIPE, as it should. Whoever was killed with the others has not failed. */
function hasFailed({ result, breach }: Running): boolean {
  if (breach !== undefined) return true
  if (result === undefined || result.status === 'ok' || result.status === 'killed') return false
  return !(result.status === 'signaled' && result.signal === 'SIGPIPE')
}
