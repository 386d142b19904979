/**
 * The options of `run()` and `spawn()`, which differ in where the standard streams lead, and the command that both of them
 * make of what they have in common.
 */
import type { Readable } from 'node:stream'
import type { Bytes, LandlockInput, NativeSeccomp } from '../binding.js'
import type { CopySource } from '../copy-source.js'
import { encodeEnv, encodeStrings, type EnvInput } from '../env.js'
import type { SealedFile } from '../sealed-file.js'
import { abortSignal, type Cancellable } from './cancellable.js'
import { invalidType, invalidValue } from './invalid.js'
import { encodeLandlock, type LandlockRules } from './landlock.js'
import { encodeLimits, type EncodedLimits, type Limits } from './limits.js'
import { checkNames, names } from './names.js'
import { bytes, containerPath, descriptor, list, oneOf, type ContainerPath } from './primitives.js'
import { encodeRLimits, type RLimit } from './rlimits.js'
import { encodeSeccomp, type SeccompInput } from './seccomp.js'
import { encodeTimeline, type TimelineOptions } from './timeline.js'
import { encodeTrace, type EncodedTrace, type TraceOptions } from './trace.js'
import { encodeTty, NO_TTY, type TtyOption } from './tty.js'

/** How collected output is given: as strings, decoded as UTF-8, or as Buffers. */
export type Encoding = 'utf8' | 'buffer'

/** What output is in that encoding. */
export type OutputOf<E extends Encoding> = E extends 'buffer' ? Buffer : string

/** What `run()` and `spawn()` have in common. */
interface CommonOptions<E extends Encoding> extends Cancellable {
  /** The whole environment; it takes the place of the container's. @default the container's */
  env?: EnvInput | undefined
  /**
   * Execute this open file instead of `file`, which is `argv[0]` then and nothing else (fexecve(3)). It is looked at when the
   * program is started, so keep it open until the promise settles.
   *
   * Of programs in different containers that must not see each other, make it a {@link SealedFile}: a program can open what it
   * was made from anew, through /proc/self/exe. A script with a `#!` line cannot be executed so. @default none
   */
  execFile?: number | { fd: number } | SealedFile | undefined
  /** The working directory; a relative path starts at `workDir`. @default `workDir` */
  cwd?: ContainerPath | undefined
  /** Resource limits, set in this order. @default those of the container */
  rlimits?: readonly RLimit[] | undefined
  /** @default `limits` of the container */
  limits?: Limits | undefined
  /** `'utf8'`: invalid bytes become U+FFFD. @default 'utf8' */
  encoding?: E | undefined
  /** What system calls the program may make. @default that of the container */
  seccomp?: SeccompInput | undefined
  /** What it may do with files and ports. @default what all programs may */
  landlock?: LandlockRules | undefined
  /** Have it watched by a supervisor. @default not */
  trace?: TraceOptions | undefined
  /**
   * Give it a terminal as its standard streams, and as its controlling terminal: programs find one there, and behave accordingly. What it shows,
   * echoes of what is typed included, is `stdout`; `stderr` is empty. What comes from `input` or `stdin` is typed, and so is its end:
   * see `Terminal.stdin`.
   *
   * If the container's environment has no `TERM`, that is `xterm-256color`, unless there is an `env`.
   *
   * @default false
   */
  tty?: TtyOption | undefined
  /**
   * Look at what the run uses while it goes on: `timeline` of the result has CPU time, memory and processes in the course of time, and with
   * `trace.syscalls` its system calls; `renderTimeline` makes a page of it. The run is in a cgroup then, where there are any. It is looked at from outside, and
   * not stopped for that.
   * @default false
   */
  timeline?: boolean | TimelineOptions | undefined
}

/** Options of `run()`. */
export interface RunOptions<E extends Encoding = Encoding> extends CommonOptions<E> {
  /**
   * Standard input. A stream is read as fast as the program reads, destroyed when the run is over, and its failure kills
   * the run. @default empty
   */
  input?: string | Uint8Array | Readable | ReadableStream<Uint8Array> | AsyncIterable<string | Uint8Array> | undefined
  /** Copied in first, one after the other, as by `copyIn`: container path to source. @default none */
  files?: Readonly<Record<string, CopySource>> | undefined
  /**
   * Container paths of files to copy out afterwards, however the run ended, each up to 64 MiB. One that does not exist is
   * absent from the result; any other failure rejects with the run's result as `error.result`. @default none
   */
  collect?: readonly string[] | undefined
}

/** Where a standard stream of `spawn()` leads: to a pipe, or to /dev/null. */
export type StreamOption = 'pipe' | 'ignore'

/** Options of `spawn()`. */
export interface SpawnOptions<E extends Encoding = Encoding> extends CommonOptions<E> {
  /** @default 'pipe' */
  stdin?: StreamOption | undefined
  /** @default 'pipe' */
  stdout?: StreamOption | undefined
  /** With a `tty` there is none: it is shown with the rest. @default 'pipe' */
  stderr?: StreamOption | undefined
}

const common = {
  signal: true,
  env: true,
  execFile: true,
  cwd: true,
  rlimits: true,
  limits: true,
  encoding: true,
  seccomp: true,
  landlock: true,
  trace: true,
  tty: true,
  timeline: true,
} as const
const allowedRun = names<RunOptions>('options', { ...common, input: true, files: true, collect: true })
const allowedSpawn = names<SpawnOptions>('options', { ...common, stdin: true, stdout: true, stderr: true })

/** What `run()` and `spawn()` give to native. */
export interface Command {
  args: Bytes
  env: Bytes | null
  cwd: Bytes | null
  /** As it was given; see {@link execFileOf}. */
  execFile: unknown
  rlimits: number[] | null
  limits: EncodedLimits
  seccomp: NativeSeccomp | null
  landlock: LandlockInput | null
  trace: EncodedTrace | null
  tty: number
  /** Microseconds between two samples of the timeline; 0 for none. */
  sampleUs: number
  encoding: Encoding
  signal: AbortSignal | undefined
}

/** Which standard streams are pipes: the bits of native `spawn`. */
export const PIPE_STDIN = 1
export const PIPE_STDOUT = 2
export const PIPE_STDERR = 4

/** Checks a spawn. */
export function encodeSpawn(
  file: ContainerPath,
  args: readonly ContainerPath[],
  options: SpawnOptions,
  defaults: EncodedLimits,
): Command & { pipes: number } {
  checkNames(options, allowedSpawn)
  const pipes =
    pipe('stdin', options.stdin, PIPE_STDIN) |
    pipe('stdout', options.stdout, PIPE_STDOUT) |
    pipe('stderr', options.stderr, PIPE_STDERR)
  if (options.stderr === 'pipe' && encodeTty(options.tty) !== NO_TTY) {
    throw invalidValue('stderr', options.stderr, 'cannot be a pipe beside "tty": a terminal shows it with the rest')
  }
  return { ...encodeCommand(file, args, options, defaults), pipes }
}

function pipe(name: string, value: unknown, bit: number): number {
  return oneOf(name, value ?? 'pipe', ['pipe', 'ignore']) === 'pipe' ? bit : 0
}

/** Checks a run. */
export function encodeRun(
  file: ContainerPath,
  args: readonly ContainerPath[],
  options: RunOptions,
  defaults: EncodedLimits,
): Command {
  checkNames(options, allowedRun)
  const { files, collect } = options
  if (files !== undefined) {
    if (typeof files !== 'object' || files === null || Array.isArray(files))
      throw invalidType('files', 'an object', files)
    for (const path of Object.keys(files)) containerPath('files', path)
  }
  if (collect !== undefined) list('collect', collect).forEach((path, index) => collected(`collect[${index}]`, path))
  return encodeCommand(file, args, options, defaults)
}

function collected(name: string, path: unknown): void {
  if (typeof path !== 'string') throw invalidType(name, 'a string', path)
  containerPath(name, path)
}

function encodeCommand(
  file: ContainerPath,
  args: readonly ContainerPath[],
  options: CommonOptions<Encoding>,
  defaults: EncodedLimits,
): Command {
  bytes('file', file)
  execFileOf(options)
  return {
    args: encodeStrings('args', [file, ...(list('args', args) as ContainerPath[])]),
    env: options.env === undefined ? null : encodeEnv(options.env),
    cwd: options.cwd === undefined ? null : containerPath('cwd', options.cwd),
    execFile: options.execFile,
    rlimits: encodeRLimits(options.rlimits),
    limits: encodeLimits(options.limits, defaults),
    seccomp: options.seccomp === undefined ? null : encodeSeccomp(options.seccomp),
    landlock: encodeLandlock(options.landlock),
    trace: options.trace === undefined ? null : encodeTrace(options.trace),
    tty: encodeTty(options.tty),
    sampleUs: encodeTimeline(options.timeline),
    encoding: options.encoding === undefined ? 'utf8' : oneOf('encoding', options.encoding, ['utf8', 'buffer']),
    signal: abortSignal(options.signal),
  }
}

/**
 * The descriptor to execute, for native; -1 for none. To be asked for when the run is asked for, for files may have been copied
 * meanwhile: the number of one that was closed could be another file's by then.
 */
export function execFileOf({ execFile }: { execFile?: unknown }): number {
  return execFile === undefined ? -1 : descriptor('execFile', execFile)
}
