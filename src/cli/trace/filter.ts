/** Which system calls `hotcell trace` shows: names, classes of names, and all but these. */
import { UsageError } from '../usage-error.js'
import { nearest } from '../../options/nearest.js'

/** By classes, as strace has them. */
const classes: Readonly<Record<string, readonly string[]>> = {
  file: words(
    'access chdir chmod chown chroot creat execve execveat faccessat faccessat2 fchmodat fchmodat2 fchownat',
    'futimesat getcwd getxattr inotify_add_watch lchown lgetxattr link linkat listxattr llistxattr lremovexattr',
    'lsetxattr lstat mkdir mkdirat mknod mknodat mount name_to_handle_at newfstatat open openat openat2 pivot_root',
    'readlink readlinkat removexattr rename renameat renameat2 rmdir setxattr stat statfs statx symlink symlinkat',
    'truncate umount2 unlink unlinkat utime utimensat utimes',
  ),
  process: words(
    'clone clone3 execve execveat exit exit_group fork kill pidfd_open pidfd_send_signal rt_sigqueueinfo',
    'rt_tgsigqueueinfo tgkill tkill vfork wait4 waitid',
  ),
  network: words(
    'accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg',
    'sendmsg sendto setsockopt shutdown socket socketpair',
  ),
  memory: words(
    'brk madvise mbind mincore mlock mlock2 mlockall mmap mprotect mremap msync munlock munlockall munmap',
    'remap_file_pages shmat shmdt',
  ),
  signal: words(
    'kill pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend',
    'rt_sigtimedwait rt_tgsigqueueinfo sigaltstack signalfd signalfd4 tgkill tkill',
  ),
  ipc: words(
    'mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl',
    'semget semop semtimedop shmat shmctl shmdt shmget',
  ),
  desc: words(
    'close close_range copy_file_range dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2',
    'epoll_wait eventfd eventfd2 fallocate fchdir fchmod fchown fcntl fdatasync flock fstat fsync ftruncate',
    'getdents64 ioctl lseek memfd_create pipe pipe2 poll ppoll pread64 preadv preadv2 pselect6 pwrite64 pwritev',
    'pwritev2 read readv select sendfile splice tee write writev',
  ),
}

/** What the generic table of calls, arm64's, has left out. */
const onlyOnX64: ReadonlySet<string> = new Set(
  words(
    'access chmod chown creat dup2 epoll_create epoll_wait eventfd fork futimesat lchown link lstat mkdir mknod',
    'open pause pipe poll readlink rename rmdir select signalfd stat symlink unlink utime utimes vfork',
  ),
)

function words(...lines: string[]): string[] {
  return lines.join(' ').split(' ')
}

export interface CallFilter {
  /** For the API: all calls, or those of these names. */
  syscalls: true | string[]
  /** Whether a call is shown. */
  shows(name: string): boolean
}

/** Reads `-e` expressions: `%file,openat`, `!brk,mmap`, `trace=openat`. @throws {UsageError} */
export function readFilter(expressions: readonly string[]): CallFilter {
  const wanted = new Set<string>()
  const unwanted = new Set<string>()
  for (const expression of expressions) {
    const body = expression.startsWith('trace=') ? expression.slice('trace='.length) : expression
    const isNegated = body.startsWith('!')
    for (const item of (isNegated ? body.slice(1) : body).split(',')) {
      for (const name of namesOf(item, expression)) (isNegated ? unwanted : wanted).add(name)
    }
  }
  for (const name of unwanted) wanted.delete(name)
  if (wanted.size > 0) return { syscalls: [...wanted], shows: () => true }
  return { syscalls: true, shows: (name) => !unwanted.has(name) }
}

function namesOf(item: string, expression: string): readonly string[] {
  if (item === 'all') return []
  if (item.startsWith('%')) {
    const members = Object.hasOwn(classes, item.slice(1)) ? classes[item.slice(1)] : undefined
    if (members !== undefined) return members.filter((name) => process.arch === 'x64' || !onlyOnX64.has(name))
    const close = nearest(item.slice(1), Object.keys(classes))
    const cure = close === undefined ? `Known are %${Object.keys(classes).join(', %')}` : `Did you mean %${close}?`
    throw new UsageError(`-e ${expression}: there is no class ${item}. ${cure}`)
  }
  // Whether there is such a call, the API says.
  if (/^[a-z0-9_]+$/i.test(item)) return [item]
  throw new UsageError(
    `-e ${expression}: expected names of system calls and classes such as %file, separated by commas`,
  )
}
