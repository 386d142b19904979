/**
 * What a pipeline is made from, as callers write it, and the plan that is made of it: stages by number, and the pipes between
 * their descriptors. Nothing is started here.
 */
import { type Readable, Writable } from 'node:stream'
import { checkSource, type CopySource } from '../copy-source.js'
import { Master } from '../master.js'
import { abortSignal, type Cancellable } from '../options/cancellable.js'
import type { ExecveParam } from '../options/execve-param.js'
import { invalidType, invalidValue } from '../options/invalid.js'
import { DEFAULT_OUTPUT_BYTES } from '../options/limits.js'
import type { MasterOptions } from '../options/master-options.js'
import { checkNames, names } from '../options/names.js'
import { containerPath, integer, list, oneOf, type ContainerPath } from '../options/primitives.js'
import type { Encoding } from '../options/run-options.js'
import { Pool } from '../pool/pool.js'

/** One program of a pipeline. */
export interface StageOptions extends Omit<ExecveParam, 'fds' | 'syncFunc' | 'tty' | 'onTerminal'> {
  /**
   * The container to run it in; it is used as it is, and stays. One container for several stages is one trust domain.
   *
   * @default one of `pool`, or a new one for this stage alone
   */
  master?: Master | undefined
  /** Not of a stage: the pipeline sees to descriptors. */
  fds?: never
  /** Not of a stage: the pipeline starts them together. */
  syncFunc?: never
  /** Not of a stage: its standard streams are pipes. */
  tty?: never
  /** Not of a stage. */
  onTerminal?: never
  /** Standard input, where no pipe leads there. A stream that fails ends the pipeline. @default empty */
  input?: string | Uint8Array | Readable | AsyncIterable<string | Uint8Array> | undefined
  /** Copied in before any stage starts, as by `copyIn`: container path to source. @default none */
  files?: Readonly<Record<string, CopySource>> | undefined
  /**
   * Container paths of files to copy out when all stages are over, each up to 64 MiB. One that does not exist is absent from
   * the result. @default none
   */
  collect?: readonly string[] | undefined
}

/** One program of a pipeline: its arguments alone, or with options. */
export type Stage = readonly [ContainerPath, ...ContainerPath[]] | StageOptions

/** The programs of a pipeline: in a row, or by names. */
export type Stages = readonly Stage[] | Readonly<Record<string, Stage>>

/** What a stage is called: its name, or its index. */
export type StageName<S extends Stages> = S extends readonly unknown[] ? number : keyof S & string

/** One end of a pipe: a stage, or a stage and one of its descriptors. */
export type PipeEnd<Name extends string | number> = Name | readonly [stage: Name, fd: number]

/**
 * A pipe between two programs. Several of them may begin at one descriptor: each reader gets everything. Several may end at
 * one: it reads what any of the writers writes, as it comes.
 *
 * A pipe that is all a descriptor writes to, with none of the options below, is the kernel's own: what passes is never seen
 * by this process, and costs it nothing. Otherwise it is passed on here.
 */
export interface Pipe<Name extends string | number = string | number> {
  /** Who writes. The descriptor is 1 if it is not given. */
  from: PipeEnd<Name>
  /** Who reads. The descriptor is 0 if it is not given. */
  to: PipeEnd<Name>
  /** How much of what passes is kept for the result, in bytes, from its beginning on. @default 0 */
  captureBytes?: number | undefined
  /** How much may pass, in bytes. A stage that writes more is killed: status `output-limit`. @default any amount */
  maxBytes?: number | undefined
  /** Also gets what passes, as it passes, and holds it back when it is full. It is not ended. @default none */
  tee?: Writable | undefined
}

/** When a pipeline is over. */
export type EndWhen = 'all' | 'first-failure' | 'main'

/** Options of `pipeline()`. */
export interface PipelineOptions<
  Name extends string | number = string | number,
  E extends Encoding = Encoding,
> extends Cancellable {
  /** @default from each stage to the next one */
  pipes?: readonly Pipe<Name>[] | undefined
  /**
   * When the stages that still run are killed: never (`'all'`), when one has failed, or when the stage `main` has ended. A
   * stage has failed if its status is not `ok`; but `SIGPIPE` is how a writer ends whose reader has gone.
   *
   * @default 'all'
   */
  endWhen?: EndWhen | undefined
  /** With `endWhen: 'main'`. @default the last stage */
  main?: Name | undefined
  /**
   * Milliseconds from the start of all stages. Then those that still run are killed, with the status `time-limit`, and the
   * result says what each of them waited for. A stage's own `limits.wallTimeMs` does not look at that. @default none
   */
  wallTimeMs?: number | undefined
  /** Where the containers of stages without a `master` come from; all of them at once. @default each stage has a new one */
  pool?: Pool | undefined
  /** What new containers are made from. @default {} */
  container?: Omit<MasterOptions, 'signal'> | undefined
  /** Of what is collected of standard output and error. `'utf8'`: invalid bytes become U+FFFD. @default 'utf8' */
  encoding?: E | undefined
}

const allowed = names<PipelineOptions>('options', {
  signal: true,
  pipes: true,
  endWhen: true,
  main: true,
  wallTimeMs: true,
  pool: true,
  container: true,
  encoding: true,
})
const allowedPipe = names<Pipe>('pipes[]', { from: true, to: true, captureBytes: true, maxBytes: true, tee: true })

/** `FDS_MAX` of `execve`, less one. */
const FD_MAX = 250
const WALL_TIME_MAX_MS = 0x7fff_ffff
/** A Buffer holds at most 4 GiB on the oldest Node that is supported. */
const CAPTURE_MAX = 0xffff_ffff

export interface StagePlan {
  readonly name: string | number
  readonly master: Master | undefined
  readonly input: StageOptions['input']
  readonly files: readonly [path: string, source: CopySource][]
  readonly collect: readonly string[]
  /** Without descriptors. */
  readonly param: ExecveParam
  /** The bound of what is collected of each output, in bytes. */
  readonly outputBytes: number
}

/** A descriptor of a stage. */
export interface EndPlan {
  readonly stage: number
  readonly fd: number
}

export interface PipePlan {
  readonly from: EndPlan
  readonly to: EndPlan
  readonly captureBytes: number
  readonly maxBytes: number
  readonly tee: Writable | undefined
}

/** Checked, with every default filled in. */
export interface PipelinePlan {
  readonly stages: readonly StagePlan[]
  readonly pipes: readonly PipePlan[]
  readonly endWhen: EndWhen
  readonly main: number
  readonly wallTimeMs: number | undefined
  readonly pool: Pool | undefined
  readonly container: Omit<MasterOptions, 'signal'>
  readonly encoding: Encoding
  readonly signal: AbortSignal | undefined
}

export function planPipeline(given: Stages, options: PipelineOptions = {}): PipelinePlan {
  checkNames(options, allowed)
  if (typeof given !== 'object' || given === null) throw invalidType('stages', 'an array or an object', given)
  const named = Array.isArray(given) ? [...given.entries()] : Object.entries(given)
  if (named.length === 0) throw invalidValue('stages', given, 'must have at least one stage')
  const stages = named.map(([name, stage]) => planStage(name, stage as Stage))
  const numbers = new Map<unknown, number>(stages.map(({ name }, number) => [name, number]))
  const stageNumber = (name: string, value: unknown): number => {
    const number = numbers.get(value)
    if (number === undefined) throw invalidValue(name, value, `must be a stage: ${[...numbers.keys()].join(', ')}`)
    return number
  }
  const pipes =
    options.pipes === undefined
      ? stages.slice(1).map((_, stage) => planPipe({ stage, fd: 1 }, { stage: stage + 1, fd: 0 }))
      : list('pipes', options.pipes).map((pipe, index) => checkPipe(pipe, `pipes[${index}]`, stageNumber))
  checkEnds(stages, pipes)
  const { pool, container = {}, wallTimeMs } = options
  if (pool !== undefined && !(pool instanceof Pool)) throw invalidType('pool', 'a Pool', pool)
  if (typeof container !== 'object' || container === null) throw invalidType('container', 'an object', container)
  return {
    stages,
    pipes,
    endWhen: oneOf('endWhen', options.endWhen ?? 'all', ['all', 'first-failure', 'main']),
    main: options.main === undefined ? stages.length - 1 : stageNumber('main', options.main),
    wallTimeMs: wallTimeMs === undefined ? undefined : integer('wallTimeMs', wallTimeMs, 1, WALL_TIME_MAX_MS),
    pool,
    container,
    encoding: oneOf('encoding', options.encoding ?? 'utf8', ['utf8', 'buffer']),
    signal: abortSignal(options.signal),
  }
}

function planStage(name: string | number, stage: Stage): StagePlan {
  const what = `stages[${typeof name === 'number' ? name : `'${name}'`}]`
  if (typeof stage !== 'object' || stage === null) throw invalidType(what, 'an array of arguments or an object', stage)
  const options: StageOptions = Array.isArray(stage)
    ? { args: stage as unknown as StageOptions['args'] }
    : (stage as StageOptions)
  const { master, input, files = {}, collect = [], ...param } = options
  if (master !== undefined && !(master instanceof Master)) throw invalidType(`${what}.master`, 'a Master', master)
  for (const refused of ['fds', 'syncFunc', 'tty', 'onTerminal']) {
    if (refused in param) throw invalidValue(`${what}.${refused}`, '', 'is the business of the pipeline: use "pipes"')
  }
  if (typeof files !== 'object' || files === null) throw invalidType(`${what}.files`, 'an object', files)
  for (const [path, source] of Object.entries(files)) {
    containerPath(`${what}.files`, path)
    checkSource(`${what}.files['${path}']`, source)
  }
  for (const path of list(`${what}.collect`, collect)) {
    if (typeof path !== 'string') throw invalidType(`${what}.collect`, 'an array of strings', collect)
    containerPath(`${what}.collect`, path)
  }
  checkInput(`${what}.input`, input)
  // execve() refuses this limit, for it collects nothing. Here it is about what the pipeline collects.
  const outputBytes = param.limits?.outputBytes
  if (outputBytes !== undefined) param.limits = { ...param.limits, outputBytes: undefined }
  return {
    name,
    master,
    input,
    files: Object.entries(files),
    collect,
    param,
    outputBytes:
      outputBytes === undefined
        ? DEFAULT_OUTPUT_BYTES
        : integer(`${what}.limits.outputBytes`, outputBytes, 0, CAPTURE_MAX),
  }
}

function checkInput(name: string, input: unknown): void {
  if (input === undefined || typeof input === 'string' || input instanceof Uint8Array) return
  if (typeof input === 'object' && input !== null && Symbol.asyncIterator in input) return
  throw invalidType(name, 'a string, a Uint8Array, a stream or an async iterable', input)
}

function checkPipe(value: unknown, name: string, stageNumber: (name: string, value: unknown) => number): PipePlan {
  if (typeof value !== 'object' || value === null) throw invalidType(name, 'an object { from, to }', value)
  checkNames(value, { ...allowedPipe, of: name })
  const { from, to, captureBytes, maxBytes, tee } = value as Pipe
  const end = (which: string, given: unknown, fd: number): EndPlan => {
    const [stage, number] = Array.isArray(given) ? (given as unknown[]) : [given, fd]
    return { stage: stageNumber(which, stage), fd: integer(`${which}[1]`, number, 0, FD_MAX) }
  }
  if (tee !== undefined && !(tee instanceof Writable)) throw invalidType(`${name}.tee`, 'a Writable', tee)
  return {
    ...planPipe(end(`${name}.from`, from, 1), end(`${name}.to`, to, 0)),
    captureBytes: captureBytes === undefined ? 0 : integer(`${name}.captureBytes`, captureBytes, 0, CAPTURE_MAX),
    maxBytes: maxBytes === undefined ? Infinity : integer(`${name}.maxBytes`, maxBytes, 0, Number.MAX_SAFE_INTEGER),
    tee,
  }
}

function planPipe(from: EndPlan, to: EndPlan): PipePlan {
  return { from, to, captureBytes: 0, maxBytes: Infinity, tee: undefined }
}

/** That no descriptor is to do two things at once. */
function checkEnds(stages: readonly StagePlan[], pipes: readonly PipePlan[]): void {
  const written = new Set(pipes.map(({ from }) => endKey(from)))
  for (const [index, { to }] of pipes.entries()) {
    const { name, input } = stages[to.stage] as StagePlan
    if (written.has(endKey(to))) {
      throw invalidValue(`pipes[${index}].to`, [name, to.fd], 'must not be a descriptor that another pipe begins at')
    }
    if (to.fd === 0 && input !== undefined) {
      throw invalidValue(`pipes[${index}].to`, name, 'must not be the standard input of a stage that has an "input"')
    }
  }
}

/** A descriptor, as the key of a map. */
export function endKey({ stage, fd }: EndPlan): number {
  return stage * (FD_MAX + 1) + fd
}
