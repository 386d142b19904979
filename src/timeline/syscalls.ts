/**
 * The system calls of a traced run in the course of time, by what they are about.
 *
 * Counted in slices of time of equal length. When there are as many as may be, two become one, so the memory does not grow with the run.
 */

/** What system calls are about, in the order in which charts stack them. */
export const syscallClasses = [
  'file',
  'memory',
  'process',
  'network',
  'signal',
  'time',
  'other',
] as const satisfies readonly SyscallClass[]

/** What a system call is about. */
export type SyscallClass = 'file' | 'memory' | 'process' | 'network' | 'signal' | 'time' | 'other'

/** System calls in the course of time. */
export interface TimelineSyscalls {
  /** How long a slice is. */
  intervalMs: number
  /** How many calls began in each slice, the first of which begins at 0. */
  counts: Record<SyscallClass, number[]>
}

/** The names of each class, man-pages' section 2 without what is a file by another name. */
const names: Record<Exclude<SyscallClass, 'file' | 'other'>, RegExp> = {
  memory:
    /^(brk|mmap2?|munmap|mremap|mprotect|pkey_.*|madvise|process_madvise|mincore|mlock.*|munlock.*|msync|mbind|membarrier|memfd_.*|remap_file_pages|mseal|shm(at|dt|get|ctl)|set_mempolicy.*|get_mempolicy|move_pages|migrate_pages|userfaultfd|map_shadow_stack)$/,
  process:
    /^(clone3?|v?fork|exec(ve|veat)|exit(_group)?|wait(4|id|pid)|set_tid_address|set_robust_list|get_robust_list|futex.*|gettid|getp?pid|getpgr?p|getpgid|setpgid|getsid|setsid|sched_.*|get(r|e|res|fs)?[ug]id(32)?|set(re|res|fs)?[ug]id(32)?|getgroups|setgroups|cap(get|set)|prctl|arch_prctl|rseq|prlimit64|[gs]etrlimit|getrusage|[gs]etpriority|ptrace|process_vm_.*|unshare|setns|pidfd_.*|kcmp|seccomp|landlock_.*|personality|getcpu|uname|sysinfo|times|acct|set_thread_area|get_thread_area)$/,
  network:
    /^(socket(pair|call)?|bind|listen|accept4?|connect|shutdown|getsockname|getpeername|[gs]etsockopt|send(to|msg|mmsg)?|recv(from|msg|mmsg)?|sethostname|setdomainname)$/,
  signal: /^(rt_.*|sig.*|t?g?kill|tkill|pause|restart_syscall|pidfd_send_signal|signalfd4?|alarm|[gs]etitimer)$/,
  time: /^(nanosleep|clock_.*|time|gettimeofday|settimeofday|adjtimex|stime|timer_.*|timerfd_.*)$/,
}

/** Everything that has to do with files, directories, descriptors and waiting for them. */
const files =
  /^(open(at2?|_tree.*|_by_handle_at)?|creat|close(_range)?|p?(read|write)(v2?|64)?|preadv2?|pwritev2?|lseek|_llseek|l?f?stat(at64|64|fs|fs64|x)?|newfstatat|l?stat(x|64|fs)?|fstat.*|statx|access|faccessat2?|dup[23]?|pipe2?|fcntl(64)?|ioctl|flock|f(data)?sync|sync.*|f?truncate(64)?|getdents(64)?|getcwd|f?chdir|chroot|pivot_root|rename(at2?)?|mkdir(at)?|rmdir|link(at)?|unlink(at)?|symlink(at)?|readlink(at)?|f?chmod(at2?)?|l?f?chown(at|32)?|umask|utime(s|nsat)?|futimesat|mknod(at)?|mount.*|umount2?|move_mount|fs(open|config|mount|pick)|statmount|listmount|[lf]?(get|set|list|remove)xattr(at)?|sendfile(64)?|splice|tee|vmsplice|copy_file_range|fallocate|fadvise64(_64)?|readahead|select|_newselect|pselect6|p?poll|epoll_.*|eventfd2?|inotify_.*|fanotify_.*|io_.*|name_to_handle_at|quotactl.*|cachestat)$/

const known = new Map<string, SyscallClass>()

/** What a call is about, by its name. */
export function syscallClass(name: string): SyscallClass {
  const remembered = known.get(name)
  if (remembered !== undefined) return remembered
  let found: SyscallClass = files.test(name) ? 'file' : 'other'
  for (const [kind, pattern] of Object.entries(names)) if (pattern.test(name)) found = kind as SyscallClass
  // The names are the kernel's, so there is an end to them; a supervisor that made some up shall not fill our memory.
  if (known.size < 1024) known.set(name, found)
  return found
}

/** The most slices; an even number. */
const SLICES = 240

export class SyscallCounter {
  #intervalMs = 1
  #counts = empty()
  #length = 0

  /** Counts a call that began then. */
  count(name: string, timeMs: number): void {
    // Written so that NaN is refused as well.
    if (!(timeMs >= 0 && timeMs < Number.MAX_SAFE_INTEGER)) return
    while (timeMs >= this.#intervalMs * SLICES) this.#halve()
    const slice = Math.floor(timeMs / this.#intervalMs)
    const counts = this.#counts[syscallClass(name)]
    counts[slice] = (counts[slice] as number) + 1
    this.#length = Math.max(this.#length, slice + 1)
  }

  /** What there is so far; nothing, if there was no call. */
  result(): TimelineSyscalls | undefined {
    if (this.#length === 0) return undefined
    const counts = empty()
    for (const kind of syscallClasses) counts[kind] = this.#counts[kind].slice(0, this.#length)
    return { intervalMs: this.#intervalMs, counts }
  }

  #halve(): void {
    for (const kind of syscallClasses) {
      const old = this.#counts[kind]
      const half = Array.from({ length: SLICES }, (_, slice) => (old[2 * slice] ?? 0) + (old[2 * slice + 1] ?? 0))
      this.#counts[kind] = half
    }
    this.#intervalMs *= 2
    this.#length = Math.ceil(this.#length / 2)
  }
}

function empty(): Record<SyscallClass, number[]> {
  const zeros = (): number[] => Array.from({ length: SLICES }, () => 0)
  return {
    file: zeros(),
    memory: zeros(),
    process: zeros(),
    network: zeros(),
    signal: zeros(),
    time: zeros(),
    other: zeros(),
  }
}
