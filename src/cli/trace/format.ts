/** Events of a trace as lines, as strace(1) writes them, and the table at its end. */
import type { Trace, TraceEvent } from '../../trace.js'
import { harmless, milliseconds, padStart, type Style } from '../style.js'

/**
 * Which arguments are text of the program's, by name and position: a file that is called O_RDONLY is no constant. Those of other calls are
 * told by what they look like.
 */
const texts: Readonly<Record<string, string>> = {
  ...allAt(
    '0',
    'access acct chdir chmod chown chroot creat execve getcwd lchown listxattr llistxattr lstat memfd_create mkdir mknod',
  ),
  ...allAt(
    '0',
    'mq_open mq_unlink open rmdir sethostname setdomainname stat statfs swapoff swapon truncate umount2 unlink uselib',
  ),
  ...allAt('0', 'utime utimes'),
  ...allAt(
    '01',
    'add_key getxattr lgetxattr link lremovexattr lsetxattr pivot_root readlink removexattr rename setxattr symlink',
  ),
  ...allAt('012', 'mount request_key'),
  ...allAt('02', 'symlinkat'),
  ...allAt(
    '1',
    'bind connect execveat faccessat faccessat2 fchmodat fchmodat2 fchownat fgetxattr fremovexattr fsetxattr',
  ),
  ...allAt(
    '1',
    'futimesat inotify_add_watch mkdirat mknodat name_to_handle_at newfstatat openat openat2 pread64 pwrite64 read',
  ),
  ...allAt('1', 'recvfrom sendto statx unlinkat utimensat write'),
  ...allAt('12', 'readlinkat'),
  ...allAt('13', 'linkat renameat renameat2'),
}

function allAt(positions: string, names: string): Record<string, string> {
  return Object.fromEntries(names.split(' ').map((name) => [name, positions]))
}

const CONSTANT =
  /^(?:AT_FDCWD|(?:__)?[A-Z][A-Z0-9_]*|0x[0-9a-f]+|-?\d+)(?:\|(?:(?:__)?[A-Z][A-Z0-9_]*|0x[0-9a-f]+|\d+))*$/

function argument(call: string, position: number, value: number | string | null): string {
  if (value === null) return 'NULL'
  if (typeof value === 'number') return String(value)
  const known = texts[call]
  const isText = known === undefined ? !CONSTANT.test(value) : known.includes(String(position))
  // An address where a text could not be read is no text either.
  return isText && !/^0x[0-9a-f]{5,}$/.test(value) ? text(value) : harmless(value)
}

function text(value: string): string {
  return `"${harmless(value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n').replaceAll('\t', '\\t'))}"`
}

export interface FormatOptions {
  style: Style
  times: boolean
  durations: boolean
}

/** Makes lines of events. It keeps in mind whether there was more than one thread: then each line names its own. */
export class TraceFormatter {
  readonly #options: FormatOptions
  #threads = 0

  constructor(options: FormatOptions) {
    this.#options = options
  }

  /** The line, without its end; undefined where there is nothing to say. */
  line(event: TraceEvent): string | undefined {
    const said = this.#say(event)
    if (said === undefined || event.type === 'lost') return said
    const who = event.pid === event.tid ? `${event.pid}` : `${event.pid}/${event.tid}`
    return this.#threads > 1 ? `${this.#options.style.dim(`[pid ${who}]`)} ${said}` : said
  }

  #say(event: TraceEvent): string | undefined {
    const { style } = this.#options
    switch (event.type) {
      case 'syscall':
        return this.#call(event)
      case 'violation': {
        const what = event.response === 'log' ? 'not allowed' : event.response === 'deny' ? 'denied' : 'killed for it'
        return style.red(`!!! ${event.name}: ${event.operation} ${text(event.path)}: ${what}`)
      }
      case 'refused':
        return style.yellow(`!!! ${event.name} = -1 ${event.error} (nobody could watch what comes of it)`)
      case 'disallowed': {
        const what = event.fatal ? 'ended by the seccomp policy' : 'SIGSYS by the seccomp policy'
        return style.red(`!!! ${event.name}(${event.args.map(harmless).join(', ')}): ${what}`)
      }
      case 'start':
        this.#threads += 1
        return event.parent === 0 ? undefined : style.dim(`+++ started by ${event.parent} +++`)
      case 'exit':
        return event.signal === undefined
          ? style.dim(`+++ exited with ${event.exitCode ?? 0} +++`)
          : style.yellow(`+++ killed by ${event.signal} +++`)
      case 'lost':
        return style.yellow(`... ${event.count} events were lost`)
    }
  }

  #call(event: TraceEvent & { type: 'syscall' }): string {
    const { style, times, durations } = this.#options
    const { name, args, result, error, startMs, durationMs } = event
    const began = times ? `${style.dim((startMs / 1000).toFixed(6).padStart(10))} ` : ''
    const shown = args.map((value, position) => argument(name, position, value)).join(', ')
    const ended = error !== undefined ? style.red(`-1 ${error}`) : result === undefined ? '?' : answer(name, result)
    const took = durations ? style.dim(` <${(durationMs / 1000).toFixed(6)}>`) : ''
    return `${began}${style.cyan(name)}(${shown}) = ${ended}${took}`
  }
}

/** Calls that answer with an address. */
const addresses: ReadonlySet<string> = new Set(['brk', 'mmap', 'mremap', 'shmat'])

function answer(name: string, result: number | string): string {
  return addresses.has(name) && typeof result === 'number' ? `0x${result.toString(16)}` : harmless(String(result))
}

/** The table of `--summary`: calls by the time they took. */
export function summaryTable(calls: Trace['calls'], style: Style): string {
  const rows = Object.entries(calls).toSorted(([, a], [, b]) => b.totalTimeMs - a.totalTimeMs)
  const sum = { count: 0, errors: 0, totalTimeMs: 0 }
  for (const [, { count, errors, totalTimeMs }] of rows) {
    sum.count += count
    sum.errors += errors
    sum.totalTimeMs += totalTimeMs
  }
  const share = (ms: number): string => (sum.totalTimeMs === 0 ? '0.0' : ((100 * ms) / sum.totalTimeMs).toFixed(1))
  const line = (cells: readonly string[]): string => {
    const [percent, total, each, count, errors, name] = cells as [string, string, string, string, string, string]
    const columns = [
      padStart(percent, 6),
      padStart(total, 10),
      padStart(each, 9),
      padStart(count, 9),
      padStart(errors, 9),
    ]
    return `${columns.join('  ')}  ${name}`.trimEnd()
  }
  const row = (name: string, { count, errors, totalTimeMs }: Trace['calls'][string]): string => {
    const each = count === 0 ? '' : `${((1000 * totalTimeMs) / count).toFixed(1)} µs`
    const cells = [share(totalTimeMs), milliseconds(totalTimeMs), each, String(count)]
    return line([...cells, errors === 0 ? '' : String(errors), name])
  }
  return [
    style.dim(line(['% time', 'total', 'per call', 'calls', 'errors', 'syscall'])),
    ...rows.map(([name, figures]) => row(name, figures)),
    style.bold(row('total', sum)),
    '',
  ].join('\n')
}
