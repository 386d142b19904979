/** One program over many inputs, as callers write it, and the plan that is made of it. Nothing is started here. */
import { checkSource, type CopySource } from '../copy-source.js'
import type { Master } from '../master.js'
import { abortSignal } from '../options/cancellable.js'
import { invalidType, invalidValue } from '../options/invalid.js'
import type { Limits } from '../options/limits.js'
import { checkNames, names } from '../options/names.js'
import { containerPath, flag, integer, list, oneOf, type ContainerPath } from '../options/primitives.js'
import { execFileOf, type Encoding, type OutputOf, type RunOptions } from '../options/run-options.js'
import { SealedFile } from '../sealed-file.js'
import type { BatchResult } from './batch-result.js'

/** What one run differs in from the others. What is absent is as for all; `files` and `limits` are added to those of all. */
export interface BatchInputOptions extends Omit<RunOptions, 'signal' | 'encoding' | 'execFile'> {
  /** Instead of those of all. */
  args?: readonly ContainerPath[] | undefined
}

/** One input: standard input alone, or whatever one run differs in from the others. */
export type BatchInput = string | Uint8Array | BatchInputOptions

/** Many inputs. An async iterable is asked for the next one when there is room for a run, and not before. */
export type BatchInputs = Iterable<BatchInput> | AsyncIterable<BatchInput>

/**
 * Options of `runMany()`: those of each `run()`, and of all of them together.
 *
 * An `execFile` that is no {@link SealedFile} is sealed first (all of it, up to 64 MiB): no program can change what the next one
 * is made from. Of `files` for all, each source has to be one that can be read many times: a path, a URL, bytes, or a
 * `SealedFile`.
 */
export interface BatchOptions<E extends Encoding = Encoding> extends Omit<RunOptions<E>, 'input'> {
  /**
   * How many run at once. Of a pool, at most its `size`; of a single container the runs overlap, and see each other.
   *
   * @default of a pool its `size`, of a single container 1
   */
  concurrency?: number | undefined
  /**
   * In which order results are given to who iterates: that of the inputs, or as they come. (As they come, those behind a
   * stop that were over before it have been given.)
   *
   * @default 'input'
   */
  order?: 'input' | 'completion' | undefined
  /**
   * Ends the batch at the first result for which it returns true; `'first-failure'` is every status but `ok`. "First" means in
   * the order of the inputs, whichever was over first: what stands before it still runs to its end, what stands behind it
   * is killed or not begun with, and is `skipped`. So the outcome does not depend on timing. A function is asked about each result as it comes. @default never
   */
  stopWhen?: 'first-failure' | ((result: BatchResult<OutputOf<E>>) => boolean) | undefined
  /**
   * Whether each input finds a container in which nothing is left of others. With `false` a container is reset before its
   * first input and after its last one, and runs one input after the other in between, kept also while inputs are awaited: for
   * programs and inputs that may see each other, which do without copying `files` each time. Of a single container, `true` resets it before each input: whatever else was in it
   * is gone, too.
   *
   * @default of a pool true, of a single container false
   */
  reset?: boolean | undefined
  /**
   * Called with each container before its first input, and if it is reset, before each: a place to put what every run needs and
   * `files` cannot do. What it rejects with is the result of the input (`failed`) if it is a {@link HotcellError}, and else
   * ends the batch. @default none
   */
  prepare?: ((master: Master) => void | Promise<void>) | undefined
}

const perRun = {
  env: true,
  cwd: true,
  rlimits: true,
  limits: true,
  seccomp: true,
  landlock: true,
  trace: true,
  tty: true,
  timeline: true,
  files: true,
  collect: true,
} as const
const allowed = names<BatchOptions>('options', {
  ...perRun,
  execFile: true,
  signal: true,
  encoding: true,
  concurrency: true,
  order: true,
  stopWhen: true,
  reset: true,
  prepare: true,
})
const allowedInput = names<BatchInputOptions>('inputs[]', { ...perRun, input: true, args: true })

const CONCURRENCY_MAX = 65_536

/** Where the containers of a batch come from. */
export interface Cells {
  /** The most at once, and how many by default. */
  readonly size: number
  readonly usual: number
  /** Whether each use has a container in which nothing is left, and there is another one when one is lost. */
  readonly isPool: boolean
  /** Lends one until the promise of `fn` settles. */
  use(fn: (master: Master) => Promise<void>, signal: AbortSignal): Promise<void>
}

/** Checked, with every default filled in. */
export interface BatchPlan {
  readonly file: ContainerPath
  readonly args: readonly ContainerPath[]
  /** Of each run, without `files`, `limits`, `execFile` and `signal`. */
  readonly common: RunOptions
  readonly limits: Limits | undefined
  readonly files: Readonly<Record<string, CopySource>>
  readonly execFile: unknown
  readonly concurrency: number
  readonly order: 'input' | 'completion'
  readonly isStop: ((result: BatchResult) => boolean) | undefined
  readonly reset: boolean
  readonly prepare: ((master: Master) => void | Promise<void>) | undefined
  readonly signal: AbortSignal | undefined
}

export function planBatch(
  cells: Cells,
  file: ContainerPath,
  args: readonly ContainerPath[],
  options: BatchOptions,
): BatchPlan {
  checkNames(options, allowed)
  const { concurrency, order, stopWhen, reset, prepare, files = {}, limits, execFile, signal, ...common } = options
  containerPath('file', file)
  list('args', args)
  execFileOf(options)
  checkFiles(files)
  if (prepare !== undefined && typeof prepare !== 'function') throw invalidType('prepare', 'a function', prepare)
  const most =
    concurrency === undefined
      ? cells.usual
      : Math.min(cells.size, integer('concurrency', concurrency, 1, CONCURRENCY_MAX))
  const isReset = flag('reset', reset, cells.isPool)
  if (isReset && !cells.isPool && most > 1) {
    throw invalidValue('reset', true, 'must not be true with a concurrency of more than 1 in one container')
  }
  return {
    file,
    args,
    common,
    limits,
    files,
    execFile,
    concurrency: most,
    order: oneOf('order', order ?? 'input', ['input', 'completion']),
    isStop: planStop(stopWhen),
    reset: isReset,
    prepare,
    signal: abortSignal(signal),
  }
}

function planStop(stopWhen: unknown): BatchPlan['isStop'] {
  if (stopWhen === undefined) return undefined
  if (typeof stopWhen === 'function') return stopWhen as BatchPlan['isStop']
  oneOf('stopWhen', stopWhen, ['first-failure'])
  return ({ status }) => status !== 'ok'
}

function checkFiles(files: unknown): void {
  if (typeof files !== 'object' || files === null || Array.isArray(files))
    throw invalidType('files', 'an object', files)
  for (const [path, source] of Object.entries(files)) {
    containerPath('files', path)
    checkSource(`files['${path}']`, source)
    const isLasting =
      typeof source === 'string' || source instanceof URL || ArrayBuffer.isView(source) || source instanceof SealedFile
    if (!isLasting) {
      throw invalidValue(
        `files['${path}']`,
        source,
        'must be a source that can be read many times; seal() makes one of any',
      )
    }
  }
}

/** Checks that there are inputs to be had. */
export function checkInputs(inputs: unknown): BatchInputs {
  const isOne = typeof inputs === 'string' || ArrayBuffer.isView(inputs)
  if (isOne || typeof inputs !== 'object' || inputs === null) throw invalidType('inputs', EXPECTED, inputs)
  if (!(Symbol.asyncIterator in inputs) && !(Symbol.iterator in inputs)) throw invalidType('inputs', EXPECTED, inputs)
  return inputs as BatchInputs
}

const EXPECTED = 'an array, another iterable or an async iterable'

/** What one input asks for: the arguments and options of its run, without `signal`. */
export function planInput(plan: BatchPlan, value: unknown): { args: readonly ContainerPath[]; options: RunOptions } {
  if (typeof value === 'string' || value instanceof Uint8Array)
    return { args: plan.args, options: merged(plan, { input: value }) }
  checkNames(value, allowedInput)
  const { args = plan.args, ...own } = value as BatchInputOptions
  list('args', args)
  return { args, options: merged(plan, own) }
}

function merged({ common, limits }: BatchPlan, own: Omit<BatchInputOptions, 'args'>): RunOptions {
  const options: Record<string, unknown> = { ...common }
  for (const [name, value] of Object.entries(own)) if (value !== undefined) options[name] = value
  if (limits !== undefined || own.limits !== undefined) options['limits'] = { ...limits, ...defined(own.limits) }
  return options as RunOptions
}

/** Without those that are undefined, which would hide a default. */
function defined<T extends object>(values: T | undefined): Partial<T> {
  return Object.fromEntries(Object.entries(values ?? {}).filter(([, value]) => value !== undefined)) as Partial<T>
}
