/**
 * The limits of a run, as callers write them, and the eight numbers that native takes. Those of a container are the defaults of
 * each run in it, one by one.
 */
import { invalidType, invalidValue, outOfRange, unsupported } from './invalid.js'
import { checkNames, names } from './names.js'
import { integer } from './primitives.js'

/** What `limits.outputBytes` is where nobody says otherwise: 64 MiB. */
export const DEFAULT_OUTPUT_BYTES = 64 * 1024 * 1024

/**
 * Limits of a run, all its processes together. Each one that is given is enforced, or the run is refused with
 * `ERR_HOTCELL_UNSUPPORTED` before anything starts; each breach has a status of its own. As much as a limit says is no
 * breach, more is. A limit that is absent is none, unless the container has a default for it.
 *
 * Where no cgroups can be had (see `probe()` and `accounting`), `cpuTimeMs`, `memoryBytes` and `processes` are held by other
 * means, which each of them names.
 */
export interface Limits {
  /**
   * CPU time in milliseconds, user and system, of all processes: status `time-limit`, limit `cpu`. Without cgroups it is
   * summed up over the living processes and what they waited for: a child that nobody waits for is not counted after its
   * end. @default none
   */
  cpuTimeMs?: number | undefined
  /**
   * Milliseconds from the start of the fork to the end of the main process (`CLOCK_MONOTONIC`), a `syncFunc` included, also
   * while the program sleeps or is stopped: status `time-limit`, limit `wall`. @default none
   */
  wallTimeMs?: number | undefined
  /**
   * Memory of every kind in bytes: heap, stacks, page cache, files on /w and /tmp, shared memory, the kernel's own for it;
   * swap is off. At least 65,536. Beyond it the run is killed: status `memory-limit`.
   *
   * Without cgroups it bounds what is resident: the largest process, or the anonymous memory of all of them together,
   * looked at every few milliseconds; page cache, tmpfs and the kernel's memory are not counted. `RLIMIT_DATA` keeps a
   * program from outrunning these looks, so that its allocations fail at about twice the limit. @default none
   */
  memoryBytes?: number | undefined
  /**
   * The stack of each main thread in bytes (`RLIMIT_STACK`); beyond it there is SIGSEGV. At least 65,536.
   * @default that of this process
   */
  stackBytes?: number | undefined
  /**
   * How much is collected of standard output, and as much of standard error, in bytes. Beyond it the run is killed: status
   * `output-limit`. It bounds what hotcell collects (`run`, and `spawn` where the stream was not taken), so it has no
   * meaning for `execve`, whose descriptors are the caller's.
   *
   * @default 67108864 (64 MiB)
   */
  outputBytes?: number | undefined
  /**
   * How large a file may grow, in bytes (`RLIMIT_FSIZE`): status `output-limit`, limit `file-size`. A program that ignores
   * SIGXFSZ, as Python does, gets EFBIG instead and goes on. @default none
   */
  fileSizeBytes?: number | undefined
  /**
   * Processes and threads at the same time, the main one included; one more cannot be forked (EAGAIN). Without cgroups by
   * `RLIMIT_NPROC`, which counts what the same user has in this container. @default 1024 in a container
   */
  processes?: number | undefined
  /** One more than the highest file descriptor (`RLIMIT_NOFILE`). @default 256, which a program may raise to 1024 */
  openFiles?: number | undefined
  /**
   * How fast a run may use up CPU time: 0.5 is half a core, 2 is two. It is slowed down, not ended. From 0.001; takes a
   * cgroup controller `cpu`. @default as fast as it can
   */
  cpuRate?: number | undefined
  /** The CPUs to run on, as cpuset(7) lists them: `'0-3,8'`. Takes a cgroup controller `cpuset`. @default all */
  cpuSet?: string | undefined
}

const allowed = names<Limits>('limits', {
  cpuTimeMs: true,
  wallTimeMs: true,
  memoryBytes: true,
  stackBytes: true,
  outputBytes: true,
  fileSizeBytes: true,
  processes: true,
  openFiles: true,
  cpuRate: true,
  cpuSet: true,
})

/** A year: longer waits are mistakes of the unit. */
const TIME_MAX_MS = 366 * 24 * 3600 * 1000
/** A page is the least that the kernel counts, and a dozen of them the least that a program starts with. */
const MEMORY_MIN = 65_536
/** `PID_MAX_LIMIT`, as many as Linux can have. */
const PROCESSES_MAX = 4_194_304
const OPEN_FILES_MAX = 0x4000_0000
/** Of hotcell-cgroup. */
const RATE_MIN = 0.001
const RATE_MAX = 10_000
/** A Buffer holds at most 4 GiB on the oldest Node that is supported. */
const OUTPUT_MAX = 0xffff_ffff

/** Checked, and as native takes it. */
export interface EncodedLimits {
  /** As they were given, for {@link mergeLimits}. */
  given: Limits
  /**
   * CPU and wall time in microseconds, memory, processes, CPU rate, stack, file size, open files; -1 is none. Null if all are.
   */
  numbers: number[] | null
  cpuSet: string | null
  /** The bound of collected output in bytes. */
  outputBytes: number
}

/** Checks limits, with those of the container for what is absent. */
export function encodeLimits(limits: Limits | undefined, defaults?: EncodedLimits): EncodedLimits {
  if (limits === undefined && defaults !== undefined) return defaults
  const own = limits === undefined ? {} : limits
  checkNames(own, allowed)
  const given = mergeLimits(own, defaults?.given)
  const { cpuTimeMs, wallTimeMs, memoryBytes, stackBytes, outputBytes, fileSizeBytes, processes, openFiles, cpuRate } =
    given
  const numbers = [
    within('cpuTimeMs', cpuTimeMs, 1, TIME_MAX_MS, 1000),
    within('wallTimeMs', wallTimeMs, 1, TIME_MAX_MS, 1000),
    within('memoryBytes', memoryBytes, MEMORY_MIN, Number.MAX_SAFE_INTEGER),
    within('processes', processes, 1, PROCESSES_MAX),
    rate(cpuRate),
    within('stackBytes', stackBytes, MEMORY_MIN, Number.MAX_SAFE_INTEGER),
    within('fileSizeBytes', fileSizeBytes, 0, Number.MAX_SAFE_INTEGER),
    within('openFiles', openFiles, 1, OPEN_FILES_MAX),
  ]
  return {
    given,
    numbers: numbers.every((number) => number === -1) ? null : numbers,
    cpuSet: given.cpuSet === undefined ? null : cpuSet(given.cpuSet),
    outputBytes:
      outputBytes === undefined ? DEFAULT_OUTPUT_BYTES : integer('limits.outputBytes', outputBytes, 0, OUTPUT_MAX),
  }
}

function mergeLimits(limits: Limits, defaults: Limits | undefined): Limits {
  if (defaults === undefined) return limits
  const merged: Record<string, unknown> = { ...defaults }
  for (const [name, value] of Object.entries(limits)) if (value !== undefined) merged[name] = value
  return merged
}

function within(name: string, value: unknown, min: number, max: number, factor = 1): number {
  return value === undefined ? -1 : integer(`limits.${name}`, value, min, max) * factor
}

function rate(value: unknown): number {
  if (value === undefined) return -1
  if (typeof value !== 'number') throw invalidType('limits.cpuRate', 'a number', value)
  // Written so that NaN is refused as well.
  if (!(value >= RATE_MIN && value <= RATE_MAX)) {
    throw outOfRange('limits.cpuRate', `>= ${RATE_MIN} and <= ${RATE_MAX}`, value)
  }
  return value
}

function cpuSet(value: unknown): string {
  if (typeof value !== 'string') throw invalidType('limits.cpuSet', 'a string', value)
  const ranges = value.split(',').map((range) => /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(range))
  const rising = (range: RegExpExecArray | null): boolean =>
    range !== null && Number(range[1]) <= Number(range[2] ?? range[1])
  if (!ranges.every(rising)) {
    throw invalidValue('limits.cpuSet', value, "must be a list of CPUs and ranges of them, such as '0-3,8'")
  }
  return value
}

/** `execve` gives no output to hotcell, so there is nothing that it could enforce here. */
export function refuseOutputLimit(limits: Limits | undefined): void {
  if (typeof limits !== 'object' || limits === null || limits.outputBytes === undefined) return
  throw unsupported(
    'limits.outputBytes',
    'Use run() or spawn(), which collect the output, or count what you read from your descriptors',
  )
}
