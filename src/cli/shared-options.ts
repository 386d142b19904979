/** Options that several commands have: those that make a container, and those of the run in it. */
import { group } from './definition.js'
import {
  cgroupChoice,
  containerToHost,
  copyIn,
  count,
  destination,
  duration,
  hostPath,
  hostToContainer,
  identity,
  link,
  port,
  rate,
  seccompProfile,
  size,
  text,
  tmpfs,
  variable,
  word,
} from './values.js'

export const configuration = group('Configuration', {
  config: {
    value: hostPath('file'),
    summary: 'read options from this file',
    default: 'hotcell.config.json in the working directory, or the nearest one above it',
    cliOnly: true,
  },
  profile: {
    short: 'p',
    value: text('NAME'),
    summary: 'use this profile of the configuration file',
    cliOnly: true,
  },
  'no-config': {
    summary: 'read no configuration file',
    details:
      'Wherever the files of the working directory are not your own, use this: a configuration file can take down every wall.',
    cliOnly: true,
  },
})

export const limits = group('Limits', {
  'cpu-time': {
    value: duration,
    summary: 'CPU time of all processes together',
    default: 'none',
  },
  'wall-time': {
    value: duration,
    summary: 'time from start to end, sleeping included',
    default: 'none',
  },
  memory: {
    short: 'm',
    value: size,
    summary: 'memory of all processes together',
    details:
      'Of every kind where cgroups can be had (see hotcell doctor), else what is resident. Set it for programs that you do not trust.',
    default: 'none',
  },
  processes: {
    value: count(1),
    summary: 'processes and threads at once',
    default: '1024',
  },
  output: {
    value: size,
    summary: 'bytes of standard output, and as many of standard error',
    details: 'What goes beyond is not passed on, and the run is ended. On a terminal there is but one stream.',
    default: 'none',
  },
  'file-size': { value: size, summary: 'how large a file may grow', default: 'none' },
  'open-files': { value: count(1), summary: 'one more than the highest file descriptor', default: '256' },
  stack: { value: size, summary: 'stack of each main thread', default: "the host's" },
  'cpu-rate': {
    value: rate,
    summary: 'cores that may be kept busy: 0.5, 2; beyond, the run is slowed down',
    default: 'all',
  },
  'cpu-set': { value: text('LIST'), summary: "processors to run on, such as '0-3,8'", default: 'all' },
})

/** Without those that take files out. */
export const filesIn = group('Files', {
  'ro-bind': {
    value: hostToContainer,
    repeatable: true,
    summary: 'mount a file or directory of the host, read-only',
    details:
      'Without a target, at the same path. A relative target starts at the working directory of the container, /w. A colon in a path is written \\:.',
  },
  bind: {
    value: hostToContainer,
    repeatable: true,
    summary: 'the same, writable',
    details:
      'Programs write to the host then, as another user than you if you are root: what they are to write must be writable for all. Nothing limits how much they write but --file-size.',
  },
  overlay: {
    value: hostToContainer,
    repeatable: true,
    summary: "mount a directory of the host that programs may change, while the host's stays as it is",
    details: 'What they change is in memory, and gone with the container. --changes tells what it was.',
  },
  tmpfs: {
    value: tmpfs,
    repeatable: true,
    summary: 'mount an empty file system in memory',
  },
  symlink: { value: link, repeatable: true, summary: 'make a symbolic link in the root' },
  bare: {
    summary: "without the default mounts, which are the host's /usr, /lib, /lib64 and /bin",
    details: '/w and /tmp are there all the same.',
  },
  'tmpfs-size': {
    value: size,
    summary: 'how much /w holds, and /tmp, and each other tmpfs',
    default: '64M',
  },
  'tmpfs-inodes': { value: count(1), summary: 'how many files each of them holds', default: '65536' },
  'copy-in': {
    value: copyIn,
    repeatable: true,
    summary: 'copy a file or a directory of the host into the container before the run',
    details: 'Without a target, into /w under its own name. A directory is copied with all that is in it.',
  },
})

export const files = group('Files', {
  ...filesIn.options,
  'copy-out': {
    value: containerToHost,
    repeatable: true,
    summary: 'copy a file of the container out after the run, however it ended',
    details:
      'Without a target, into the working directory under its own name. Each may have up to --copy-out-max bytes. A directory needs a target that ends in .tar: it becomes an archive, which is not unpacked, because what is in it comes from the program.',
  },
  changes: {
    value: hostPath('file'),
    summary: 'write to this file, as JSON, what was added, changed and deleted in each --overlay',
  },
  'copy-out-max': { value: size, summary: 'how large a file may be that is copied out', default: '64M' },
})

export const program = group('The program', {
  env: {
    short: 'e',
    value: variable,
    repeatable: true,
    summary: 'set a variable of its environment; without a value, to that of the host',
    default: 'PATH=/usr/local/bin:/usr/bin:/bin, and nothing of the host',
  },
  cwd: {
    short: 'C',
    value: text('PATH', 'a path of the container'),
    summary: 'working directory in the container',
    default: '/w',
  },
  user: {
    short: 'u',
    value: identity,
    summary: 'who it is inside of the container; on the host it is somebody else',
    default: '1000:1000',
  },
  hostname: { value: text('NAME'), summary: 'name of the host inside', default: 'hotcell' },
})

const { short: _, ...variableWithoutShort } = program.options.env
/** The same where -e is another option, as strace has it. */
export const programOfTrace = group('The program', { ...program.options, env: variableWithoutShort })

export const walls = group('Walls', {
  seccomp: {
    value: seccompProfile,
    summary: 'system calls: default, judge, strict, off, or a file in the OCI format',
    details:
      "A file is a profile of Docker's or Podman's, or what hotcell learn has written; a name without a slash that is none of the four words is a file too.",
    default: 'default',
  },
  landlock: {
    value: hostPath('file'),
    summary: 'Landlock rules from a JSON file, as hotcell learn writes them',
  },
  'allow-read': {
    value: text('PATH', 'a path of the container'),
    repeatable: true,
    summary: 'with any of these, Landlock denies all other reading',
    details: 'They add to what --landlock says. Paths are those of the container, and have to exist there.',
  },
  'allow-write': {
    value: text('PATH', 'a path of the container'),
    repeatable: true,
    summary: 'the same for writing',
  },
  'allow-execute': {
    value: text('PATH', 'a path of the container'),
    repeatable: true,
    summary: 'the same for executing',
  },
  'allow-connect': { value: port, repeatable: true, summary: 'the same for TCP ports to connect to' },
  'allow-bind': { value: port, repeatable: true, summary: 'the same for TCP ports to listen on' },
  network: {
    value: word('NET', ['none', 'host']),
    summary: "'none' has a loopback of its own; 'host' is the host's network",
    default: 'none',
  },
  proc: {
    value: word('KIND', ['masked', 'pid', 'none']),
    summary: 'what there is of /proc',
    default: 'masked',
  },
  'user-namespace': {
    value: word('WHEN', ['auto', 'require', 'off']),
    summary: 'whether to be in a user namespace; only root can do without',
    default: 'auto',
  },
  cgroup: {
    value: cgroupChoice,
    summary: "'auto', 'require', 'off', or the cgroup to make cgroups in",
    details: 'The path is spelled as in /proc/self/cgroup: /user.slice/mine.scope.',
    default: 'auto',
  },
})

export const remarks = {
  stats: { short: 's', summary: 'say on standard error what was used' },
  quiet: { short: 'q', summary: 'say nothing on standard error about how the run ended' },
} as const

export const report = group('Report', {
  timeline: {
    value: hostPath('file'),
    summary: 'write a page with charts of CPU time, memory and processes in the course of the run',
    details: 'One HTML file that needs nothing else, to be opened by a browser.',
  },
  json: {
    value: destination,
    implied: 'stderr',
    summary: 'write the verdict as JSON, one line, to stderr, stdout, fd:N or a file',
    details:
      'It is --json or --json=WHERE; by default it goes to standard error, where it takes the place of the line for people.',
  },
  ...remarks,
})

export const reportOfTrace = group('Report', remarks)
