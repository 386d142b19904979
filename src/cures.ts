/**
 * What to do about a failure: one sentence for a (step, code), for a step whatever the code, or for a code whatever the
 * step, in this order of preference. Steps are those of crates/protocol; for failures of `node:fs` they are its syscalls.
 */

const USER_NAMESPACES =
  'User namespaces seem to be switched off for this user. See the sysctls user.max_user_namespaces (must not be 0), ' +
  'kernel.unprivileged_userns_clone (Debian; must be 1) and kernel.apparmor_restrict_unprivileged_userns (Ubuntu 23.10 ' +
  "and later; must be 0, or an AppArmor profile must allow 'userns'), or run as root. In Docker they need " +
  '--security-opt seccomp=unconfined --security-opt apparmor=unconfined. "npx hotcell doctor" tells which of these it is, and the commands'

const NAMESPACE_COUNT =
  'The limit of namespaces is reached: see the sysctls in /proc/sys/user/ (max_user_namespaces, max_pid_namespaces, ' +
  'max_net_namespaces, …), and destroy() containers that are not needed'

const HIDDEN_PROC =
  "The kernel refuses a new /proc where the outer one has masked parts, as in Docker. Use proc: 'none', or start the outer " +
  'container with --security-opt systempaths=unconfined (Podman: --security-opt unmask=ALL)'

const MISSING_SOURCE = 'Create the source on the host, correct the mount, or give it optional: true'

const TOO_MANY_LINKS =
  'Paths are resolved inside of the container, and neither its symbolic links nor ".." may lead out of it or through ' +
  "/proc's magic links, nor may the last part be a symbolic link"

const NO_SPACE =
  'The tmpfs is full: raise tmpfs.sizeBytes or tmpfs.inodes (or those of the mount), delete files, or reset() the container'

const cures: Record<string, string> = {
  // Tracing a run.
  'UseTrace:ENOENT':
    "Tracing needs a new /proc for init, also with proc: 'none', and the kernel refuses one where the outer one has masked parts, as in Docker",
  'SeizeProgram:EPERM': 'The program must be readable, not only executable, to be traced',
  'TraceMe:EPERM': 'The sysctl kernel.yama.ptrace_scope must not be 3',
  Supervise: 'The run was ended, and the container goes on: run it again',
  // Terminals.
  'MountTerminals:ENODEV': 'The kernel was built without pseudoterminals (CONFIG_UNIX98_PTYS)',
  'MountTerminals:EPERM': 'A security module, or a seccomp filter around this process, forbids to mount a devpts',
  'MountTerminals:EACCES': 'A security module, or a seccomp filter around this process, forbids to mount a devpts',
  'OpenTerminal:ENOSPC':
    'A container has at most 32 terminals, those that its programs have opened included, and all containers of a host those ' +
    'of the sysctl kernel.pty.max without kernel.pty.reserve: raise that one, or end what has them',
  // Making a container.
  'CloneContainer:EPERM': USER_NAMESPACES,
  'CloneContainer:EACCES': USER_NAMESPACES,
  'CloneContainer:ENOSPC': NAMESPACE_COUNT,
  'CloneContainer:EUSERS': NAMESPACE_COUNT,
  'CloneContainer:EINVAL': 'The kernel was built without one of the namespaces that hotcell needs; see probe()',
  'CloneContainer:ENOSYS':
    'The kernel is older than 5.3, or a seccomp filter around this process (Docker: --security-opt seccomp=unconfined) hides clone3',
  'CloneContainer:EAGAIN':
    "The limit of processes is reached: see RLIMIT_NPROC ('ulimit -u') and the cgroup's pids.max",
  WriteIdMap: USER_NAMESPACES,
  DenySetgroups: USER_NAMESPACES,
  SetIdentity: USER_NAMESPACES,
  RunNewIdMap:
    'Check the ranges of this user in /etc/subuid and /etc/subgid, and that newuidmap and newgidmap are set-user-ID root',
  'MakePrivate:EPERM': USER_NAMESPACES,
  'MakePrivate:EACCES': USER_NAMESPACES,
  'MakeRoot:EPERM': USER_NAMESPACES,
  'MakeRoot:ENOENT': "The container's root (root) must be an existing directory of the host, or be left out",
  'MakeRoot:ENOTDIR': "The container's root (root) must be an existing directory of the host, or be left out",
  'MakeProc:EPERM': HIDDEN_PROC,
  'MakeProc:EACCES': HIDDEN_PROC,
  'ReadLink:ENOENT': MISSING_SOURCE,
  'ReadLink:ENOTDIR': MISSING_SOURCE,
  'OpenTree:ENOENT': MISSING_SOURCE,
  'OpenTree:ENOTDIR': MISSING_SOURCE,
  'OpenTree:EACCES': 'The source must be readable for the user that runs this process',
  'OpenTree:ENOSYS': 'Mounts need Linux 5.12 or later; see probe()',
  'SetMountAttributes:ENOSYS': 'Mounts need Linux 5.12 or later; see probe()',
  'SetMountAttributes:EPERM': 'The source carries mount flags that an unprivileged process may not change',
  'MakeDirectory:EROFS': 'The target lies in a read-only mount: put the mount before that one, or elsewhere',
  'MakeFile:EROFS': 'The target lies in a read-only mount: put the mount before that one, or elsewhere',
  'MakeSymlink:EEXIST': 'Something stands at that path already: leave out the symlink, or the mount that made it',
  'MakeSymlink:EROFS': 'The path lies in a read-only mount',
  'ChangeDirectory:ENOENT': 'workDir must exist in the container: mount something there',
  'MakeOverlay:ENODEV':
    'The kernel has no overlayfs: load its module (modprobe overlay), or use copyIn() of the directory',
  'MakeOverlay:EPERM': 'Overlays in a user namespace need Linux 5.11 or later: use copyIn() of the directory',
  'MakeOverlay:EINVAL':
    'The kernel refuses the source as a layer: something may be mounted below it, or it lies on a file system that overlayfs does ' +
    "not take (or, with owner: 'program', on a kernel before 5.19): copyIn() of the directory works all the same",
  'MakeOverlay:ENOTDIR': 'The source of an overlay must be a directory',
  'FindOverlay:ENOENT': "Give the target of a mount with type: 'overlay'",
  'OpenDirectory:ENOENT': "Check the path, which is the container's",
  'OpenDirectory:ENOTDIR': 'It must be a directory',
  'OpenDirectory:EACCES': 'A program has closed the directory, or it belongs to somebody else: leave it out by exclude',
  'OutliveReset:ESTALE': 'Nothing of it has reached the fresh container: do it again',
  'LinkFile:EPERM': 'A hard link in an archive must lead to a regular file that came before',
  'LinkFile:ENOENT': 'A hard link in an archive must lead to a regular file that came before',
  // Files.
  'OpenFile:ENOENT': "Check the path, which is the container's; open() makes no parent directories, copyIn() does",
  'OpenFile:ELOOP': TOO_MANY_LINKS,
  'OpenFile:EXDEV': TOO_MANY_LINKS,
  'OpenFile:EROFS':
    'The root and what is mounted read-only cannot be written: use /w or /tmp, or a mount with readOnly: false',
  'CheckFileType:EISDIR': 'It is a directory; files are opened one by one',
  CheckFileType: 'Only regular files can be opened from outside',
  'Unlink:ENOTEMPTY': 'Give recursive: true to delete what is in it',
  'Unlink:EISDIR': 'Give recursive: true to delete a directory',
  'Unlink:EROFS': 'What is mounted read-only cannot be deleted, nor can a mount point; reset() empties /w and /tmp',
  'Unlink:EBUSY': 'Something is mounted there; reset() empties /w and /tmp',
  'Symlink:EEXIST': 'Delete what stands there first',
  'RenameFile:EISDIR': 'A directory stands at that path: delete it first',
  'RenameFile:ENOTEMPTY': 'A directory stands at that path: delete it first',
  // execve.
  'Execve:ENOENT':
    'The program, or the interpreter that its #! line or ELF header names, is not in the container: copy it in, or mount ' +
    "what it needs (see mounts); a bare name is looked up in the PATH of the run's own environment",
  'Execve:EACCES':
    'The file is no regular file, has no execute permission (copyIn: mode 0o755), or lies in a mount with noExec',
  'Execve:ENOEXEC': 'The file is neither an ELF program for this architecture nor a script that begins with a #! line',
  'Execve:E2BIG':
    'Arguments and environment together are larger than the kernel takes (execve(2): a quarter of the stack limit, 128 KiB ' +
    'for one string): pass the data by standard input or by a file',
  'Execve:ETXTBSY': 'The file is still open for writing somewhere: close it first',
  'Execve:ENOTDIR': 'A part of the path is a file, not a directory',
  'Execve:EPERM': 'The kernel or a security module forbids to execute this file',
  'Execve:ENOMEM': 'There is too little memory, or RLIMIT_AS or RLIMIT_DATA is too small for the program to be loaded',
  'Execve:ELOOP': 'Too many symbolic links, or an interpreter that is a script that is a script',
  'Execve:EAGAIN':
    'The user has more processes in the container than RLIMIT_NPROC allows; without cgroups limits.processes counts those ' +
    'of overlapping runs, too: use a container for each',
  'Execve:EINVAL': 'The file is no valid ELF program for this kernel',
  'Execve:EBADF': 'execFile is not an open descriptor of this process; keep it open until the promise settles',
  'CheckArguments:E2BIG':
    'Arguments and environment together are larger than 16 MiB: pass the data by standard input or by a file',
  'Chdir:ENOENT': 'The working directory (cwd) does not exist in the container',
  'Chdir:ENOTDIR': 'The working directory (cwd) is not a directory',
  'Chdir:EACCES': 'The user that programs run as may not enter the working directory (cwd)',
  'DupDescriptor:EBADF': 'It is not an open descriptor of this process; keep it open until the promise settles',
  'SetRlimit:EPERM':
    "A hard limit cannot be raised above the host process's own without CAP_SYS_RESOURCE: lower it, or raise that one (ulimit -H)",
  'SetRlimit:EINVAL':
    'The kernel refuses this value: soft must not be above hard, and nofile not above the sysctl fs.nr_open',
  'MakeRuleset:ENOSYS':
    "The kernel has no Landlock (Linux 5.13); with whenUnsupported: 'degrade' the run goes on without",
  'MakeRuleset:EOPNOTSUPP':
    "The kernel has no Landlock, or too old a one, for these rules (see probe()); with whenUnsupported: 'degrade' the run " +
    'makes do with what there is',
  'OpenRule:ENOENT': 'The path of a Landlock rule has to exist in the container',
  'EnterGroup:ENOSPC': 'The cgroup above has no room for another process: see its pids.max',
  'CloneChild:EAGAIN': 'The container has as many processes as RLIMIT_NPROC, pids.max or the kernel allow',
  'CloneChild:ENOMEM': 'There is too little memory to start a process',
  // Conditions.
  ERR_HOTCELL_ARCHIVE: 'It must be an uncompressed tar archive: pipe others through zlib.createGunzip() or the like',
  ERR_HOTCELL_CLOSED: 'Create another one',
  ERR_HOTCELL_CONTAINER_LOST: 'It may have been killed for lack of memory, or by hand: create another one',
  ERR_HOTCELL_UNSUPPORTED: 'probe() tells what this host allows',
  // node:fs, on the host's side.
  'open:ENOENT': 'Check the path: a string or a URL given to copyIn is a path of the host',
  'read:EISDIR': 'Give the path of the directory instead of a descriptor, or mount it',
  'read:EAGAIN': 'The descriptor is non-blocking and has nothing to read yet: give a stream of it',
  // Native's own copies, and sealed files.
  'fstat:EINVAL': 'Give a stream of it, or have seal() read it to its end',
  'memfd_create:EACCES': 'Executing from memory must be allowed: sysctl vm.memfd_noexec=0 or 1',
  // Whatever was done.
  '*:ENOSPC': NO_SPACE,
  '*:EDQUOT': NO_SPACE,
  '*:EMFILE': "This process has too many open descriptors: close some, or raise RLIMIT_NOFILE ('ulimit -n')",
  '*:ENFILE': 'The host has too many open files: see the sysctl fs.file-max',
  '*:ENAMETOOLONG': 'A path has at most 4,095 bytes, and each part of it 255',
}

/** The cure for a failure, if one is known. */
export function cure(step: string, code: string): string | undefined {
  return cures[`${step}:${code}`] ?? cures[`*:${code}`] ?? cures[step]
}
