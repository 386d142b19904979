/**
 * What a process waits for, as far as the kernel tells.
 *
 * /proc/pid/syscall names the system call that a thread is blocked in, and its arguments; /proc/pid/fd/N names the pipe that
 * a descriptor is. So "blocked in read(2) of descriptor 0, which is this pipe" is a fact and no guess. Both need the
 * right to trace the process (proc(5)), which whoever made its container has; where it is lacking, nothing is said.
 *
 * A program in poll(2), select(2) or epoll_wait(2) waits for one of several, which are in its memory: of that we only tell that
 * it is so.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** What a stage that was ended for the wall time was blocked in. */
export interface Waiting<Name extends string | number = string | number> {
  /** `'poll'`: for one of several descriptors; which ones the kernel does not tell. */
  operation: 'read' | 'write' | 'poll'
  /** Of the program. Absent with `'poll'`. */
  fd?: number
  /** The pipe that it is, by its index in `pipes` (of several, the first). Absent if it leads to this process. */
  pipe?: number
  /** Who is at the other end of it. */
  stage?: Name
}

export interface Blocked {
  operation: 'read' | 'write' | 'poll'
  fd: number
  /** Of the pipe; 0 for none. */
  inode: number
}

type Calls = Readonly<Record<number, Blocked['operation']>>

/** read, pread64, readv, write, pwrite64, writev, poll, ppoll, select, pselect6, epoll_wait, epoll_pwait, epoll_pwait2. */
const calls: Readonly<Record<string, Calls>> = {
  x64: {
    0: 'read',
    19: 'read',
    1: 'write',
    20: 'write',
    7: 'poll',
    271: 'poll',
    23: 'poll',
    270: 'poll',
    232: 'poll',
    281: 'poll',
    441: 'poll',
  },
  arm64: { 63: 'read', 65: 'read', 64: 'write', 66: 'write', 73: 'poll', 72: 'poll', 22: 'poll', 441: 'poll' },
}

/** Enough to find the one that matters; a fork bomb shall not keep us busy. */
const PROCESSES_MAX = 64

/**
 * What the process, or the first of its descendants that does so, is blocked in: of all their threads one that waits for a
 * pipe among `inodes` if there is any, else one that polls.
 */
export function blockedIn(pid: number, inodes: ReadonlySet<number>): Blocked | undefined {
  let polling: Blocked | undefined
  const processes = [pid]
  for (let next = 0; next < processes.length && next < PROCESSES_MAX; next++) {
    const process = processes[next] as number
    for (const thread of threadsOf(process)) {
      const blocked = thread.call === undefined ? undefined : look(process, thread.call)
      if (blocked?.operation === 'poll') polling ??= blocked
      else if (blocked !== undefined && inodes.has(blocked.inode)) return blocked
      processes.push(...thread.children)
    }
  }
  return polling
}

/** `PF_EXITING`, of the field `flags` in /proc/pid/stat (proc_pid_stat(5); include/linux/sched.h). */
const EXITING = 0x4

/**
 * Whether it has ended, reaped or not, or is on its way: it is from before its descriptors are closed, by which others learn of
 * its end. Where /proc does not tell it has not.
 */
export function hasEnded(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name, in brackets, may hold anything.
    const [state = '', , , , , , flags] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return 'ZXx'.includes(state) || (Number(flags) & EXITING) !== 0
  } catch (error) {
    return ['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')
  }
}

interface Thread {
  /** Of /proc/pid/task/tid/syscall. */
  call: string | undefined
  children: number[]
}

function threadsOf(pid: number): Thread[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map((thread) => ({
      call: text(`/proc/${pid}/task/${thread}/syscall`),
      children: (text(`/proc/${pid}/task/${thread}/children`) ?? '').split(' ').filter(Boolean).map(Number),
    }))
  } catch {
    return []
  }
}

function text(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    // It ended, or we may not.
    return undefined
  }
}

/** `0 0x3 0x7ffd… 0x1000 …`: the number of the call, then its arguments; `running` of one that is not blocked. */
function look(pid: number, call: string): Blocked | undefined {
  const [number, first] = call.split(' ')
  const operation = calls[process.arch]?.[Number(number)]
  if (operation === undefined || first === undefined) return undefined
  if (operation === 'poll') return { operation, fd: -1, inode: 0 }
  const fd = Number(first)
  try {
    const inode = /^pipe:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1]
    return { operation, fd, inode: Number(inode ?? 0) }
  } catch {
    return undefined
  }
}
