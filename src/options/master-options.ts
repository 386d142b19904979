/**
 * What a container is made from: the options as callers write them, their defaults, and the plan that native gets, which
 * has every default filled in. Runs on the JS thread, before anything is asked of native; what only the host can know
 * (whether a path exists, whether a namespace can be had) is left to it.
 */
import { posix, resolve } from 'node:path'
import type { NativeSeccomp, SetupInput } from '../binding.js'
import { defaultPath, encodeEnv, type EnvInput } from '../env.js'
import { containerPath, defaultMounts, encodeMount, tmpfsBounds, type Mount } from '../mounts.js'
import { abortSignal, type Cancellable } from './cancellable.js'
import { encodeCgroup, type CgroupOptions } from './cgroup.js'
import { invalidType, invalidValue } from './invalid.js'
import { encodeLimits, type EncodedLimits, type Limits } from './limits.js'
import { checkNames, names } from './names.js'
import { integer, list, oneOf, text } from './primitives.js'
import { encodeSeccomp, type SeccompInput } from './seccomp.js'

/** What a container is made from. Paths are the container's unless said otherwise; relative ones start at `workDir`. */
export interface MasterOptions extends Cancellable {
  /** A host directory to build the container's root on. @default none is needed */
  root?: string | undefined
  /** What is mounted, in this order. @default {@link defaultMounts} */
  mounts?: readonly Mount[] | undefined
  /** Symbolic links made in the root, which is read-only afterwards. @default none */
  symlinks?: readonly { target: string; path: string }[] | undefined
  /**
   * What is hidden: a file behind /dev/null, a directory behind an empty one. Absent paths are skipped.
   *
   * @default {@link defaultMaskedPaths}
   */
  maskedPaths?: readonly string[] | undefined
  /** Where relative paths start and programs begin; absolute. @default '/w' */
  workDir?: string | undefined
  /** uname(2), at most 64 bytes. @default 'hotcell' */
  hostname?: string | undefined
  /** setdomainname(2), at most 64 bytes. @default 'hotcell' */
  domainName?: string | undefined
  /** The environment of runs that bring none. @default [{@link defaultPath}] */
  env?: EnvInput | undefined
  /**
   * Who programs are, inside of the container; on the host they are somebody else. A user namespace is what makes the difference: without one
   * (see `userNamespace`) nobody can be chosen, and programs have an id that is nobody's on the host, inside as well.
   *
   * @default { uid: 1000, gid: 1000 }
   */
  user?: { uid: number; gid: number } | undefined
  /**
   * `true`: in a user namespace, or not at all (user_namespaces(7)). `false`: without one, which only root can.
   *
   * @default in one, unless it cannot be had and the process is root
   */
  userNamespace?: boolean | undefined
  /** `'none'`: a network namespace with nothing but loopback. `'host'`: the host's network. @default 'none' */
  network?: 'none' | 'host' | undefined
  /** The bounds of each tmpfs that names none of its own. @default { sizeBytes: 67108864, inodes: 65536 } (64 MiB) */
  tmpfs?: { sizeBytes?: number | undefined; inodes?: number | undefined } | undefined
  /**
   * What of /proc there is, always read-only. `'masked'`: all but `maskedPaths`; other users' processes are invisible.
   * `'pid'`: processes only (`subset=pid`, proc(5), since Linux 5.8). `'none'`: none, for hosts that refuse it.
   *
   * @default 'masked'
   */
  proc?: 'masked' | 'pid' | 'none' | undefined
  /** Defaults for every run. */
  limits?: Limits | undefined
  /** What system calls runs may make if they ask for nothing else. @default 'default' */
  seccomp?: SeccompInput | undefined
  /**
   * Where to make the cgroups that limits are held by and figures come from. With options, every run is in one, and a
   * container that cannot have them is not created (`ERR_HOTCELL_CGROUP`). `false`: none.
   *
   * @default where they can be had, for runs with limits that need them; elsewhere limits are held by other means
   */
  cgroup?: CgroupOptions | false | undefined
}

const DEFAULT_ID = 1000
const DEFAULT_TMPFS_BYTES = 64 * 1024 * 1024
const DEFAULT_TMPFS_INODES = 65_536
/** `__NEW_UTS_LEN`, uname(2). */
const UTS_NAME_MAX = 64
/** The last id; the one after it, -1, means "unchanged" to setresuid(2). */
const ID_MAX = 0xfffffffe

/**
 * What of /proc is hidden if `maskedPaths` is not given: the list of the OCI runtimes, and kmsg. Each of them tells about
 * the host, or lets a process that is root after all reach into it.
 */
export const defaultMaskedPaths: readonly string[] = Object.freeze([
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/kmsg',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
])

const allowed = names<MasterOptions>('options', {
  signal: true,
  root: true,
  mounts: true,
  symlinks: true,
  maskedPaths: true,
  workDir: true,
  hostname: true,
  domainName: true,
  env: true,
  user: true,
  userNamespace: true,
  network: true,
  tmpfs: true,
  proc: true,
  limits: true,
  seccomp: true,
  cgroup: true,
})
const allowedUser = names<{ uid: number; gid: number }>('user', { uid: true, gid: true })
const allowedTmpfs = names<{ sizeBytes?: number; inodes?: number }>('tmpfs', { sizeBytes: true, inodes: true })
const allowedSymlink = names<{ target: string; path: string }>('symlinks[]', { target: true, path: true })

/** Checked, with every default filled in. */
export interface ContainerPlan {
  setup: SetupInput
  signal: AbortSignal | undefined
  seccomp: NativeSeccomp
  /** The defaults of each run. */
  limits: EncodedLimits
}

/** Checks the options, and turns them into what native wants. */
export function planContainer(options: MasterOptions = {}): ContainerPlan {
  checkNames(options, allowed)
  const workDir = options.workDir === undefined ? '/w' : absolute('workDir', options.workDir)
  const tmpfs = options.tmpfs ?? {}
  checkNames(tmpfs, allowedTmpfs)
  const bounds = tmpfsBounds('tmpfs', tmpfs)
  const user = options.user ?? { uid: DEFAULT_ID, gid: DEFAULT_ID }
  checkNames(user, allowedUser)
  const limits = encodeLimits(options.limits)
  const setup: SetupInput = {
    root: options.root === undefined ? null : resolve(text('root', options.root)),
    mounts: list('mounts', options.mounts ?? defaultMounts()).map((mount, index) =>
      encodeMount(mount as Mount, index, workDir),
    ),
    symlinks: list('symlinks', options.symlinks ?? []).map((link, index) => encodeSymlink(link, index, workDir)),
    maskedPaths: list('maskedPaths', options.maskedPaths ?? defaultMaskedPaths).map((path, index) =>
      containerPath(`maskedPaths[${index}]`, path, workDir),
    ),
    workDir,
    hostname: utsName('hostname', options.hostname),
    domainName: utsName('domainName', options.domainName),
    env: encodeEnv(options.env ?? [defaultPath]),
    uid: integer('user.uid', user.uid, 0, ID_MAX),
    gid: integer('user.gid', user.gid, 0, ID_MAX),
    userNamespace: userNamespace(options.userNamespace),
    network: oneOf('network', options.network ?? 'none', ['none', 'host']),
    tmpfsSizeBytes: bounds.sizeBytes ?? DEFAULT_TMPFS_BYTES,
    tmpfsInodes: bounds.inodes ?? DEFAULT_TMPFS_INODES,
    proc: oneOf('proc', options.proc ?? 'masked', ['masked', 'pid', 'none']),
    ...encodeCgroup(options.cgroup),
    limits: limits.numbers,
    cpuSet: limits.cpuSet,
  }
  const seccomp = encodeSeccomp(options.seccomp ?? 'default')
  return { setup, seccomp, signal: abortSignal(options.signal), limits }
}

function encodeSymlink(link: unknown, index: number, workDir: string): { target: string; path: string } {
  const name = `symlinks[${index}]`
  if (typeof link !== 'object' || link === null) throw invalidType(name, 'an object { target, path }', link)
  checkNames(link, { ...allowedSymlink, of: name })
  const { target, path } = link as { target?: unknown; path?: unknown }
  const says = text(`${name}.target`, target)
  if (says === '') throw invalidValue(`${name}.target`, target, 'must not be empty')
  return { target: says, path: containerPath(`${name}.path`, path, workDir) }
}

function absolute(name: string, value: unknown): string {
  const path = text(name, value)
  if (!path.startsWith('/')) throw invalidValue(name, path, 'must be an absolute path of the container')
  return posix.resolve(path)
}

function utsName(name: string, value: unknown): string {
  if (value === undefined) return 'hotcell'
  const given = text(name, value)
  if (Buffer.byteLength(given) > UTS_NAME_MAX)
    throw invalidValue(name, given, `must have at most ${UTS_NAME_MAX} bytes`)
  return given
}

function userNamespace(value: unknown): SetupInput['userNamespace'] {
  if (value === undefined) return 'preferred'
  if (typeof value !== 'boolean') throw invalidType('userNamespace', 'a boolean', value)
  return value ? 'required' : 'off'
}
