/** What this process holds and who its descendants are, read from /proc. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/**
 * The open descriptors of this process, as `number -> what it is`; without the one that lists them, and those of cgroups, which are
 * closed some time after the container that they belong to.
 */
export function openFds(): Map<number, string> {
  const isOfCgroup = ([, path]: [number, string]): boolean => path.startsWith('/sys/fs/cgroup')
  return new Map([...allFds()].filter((fd) => !isOfCgroup(fd)))
}

/** All of them. */
export function allFds(): Map<number, string> {
  const open = new Map<number, string>()
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      open.set(Number(name), readlinkSync(`/proc/self/fd/${name}`))
    } catch {
      // The descriptor of the listing itself is closed by now.
    }
  }
  return open
}

/** The threads of a process. */
export function threads(pid: number = process.pid): number[] {
  return readdirSync(`/proc/${pid}/task`).map(Number)
}

/** The mounts that this process sees. */
export function mounts(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8').trimEnd().split('\n')
}

/** The fields of /proc/pid/status; undefined if there is no such process. */
export function processStatus(pid: number): Map<string, string> | undefined {
  let status: string
  try {
    status = readFileSync(`/proc/${pid}/status`, 'utf8')
  } catch {
    return undefined
  }
  return new Map(
    status
      .trimEnd()
      .split('\n')
      .map((line): [string, string] => {
        const colon = line.indexOf(':')
        return [line.slice(0, colon), line.slice(colon + 1).trim()]
      }),
  )
}

/** Whether a process with this pid runs (a zombie does not). */
export function isAlive(pid: number): boolean {
  const state = processStatus(pid)?.get('State')
  return state !== undefined && !state.startsWith('Z') && !state.startsWith('X')
}

/** The children of a process, of whichever of its threads. */
export function childrenOf(pid: number): number[] {
  const children: number[] = []
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const list = readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').trim()
      if (list !== '') children.push(...list.split(' ').map(Number))
    }
  } catch {
    // It ended meanwhile.
  }
  return children
}

/** The process's children, their children, and so on. */
export function descendantsOf(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)])
}

/** The descendants of a process that run, or could. */
export function livingDescendantsOf(pid: number): number[] {
  return descendantsOf(pid).filter((child) => isAlive(child))
}

/** The descendants of a process that are dead and not reaped. */
export function zombies(pid: number = process.pid): number[] {
  return descendantsOf(pid).filter((child) => processStatus(child)?.get('State')?.startsWith('Z'))
}
