/** What to watch of a run, see {@link TraceOptions}. */
import type { NativeTrace } from '../binding.js'
import { makeTrace } from '../bridge.js'
import type { FileOperation } from '../result.js'
import type { TraceEvent } from '../trace.js'
import { invalidType, invalidValue } from './invalid.js'
import { checkNames, names } from './names.js'
import { flag, list, oneOf, text } from './primitives.js'

/**
 * Watches a run by ptrace(2): the files that it uses, the system calls that it makes, what a policy would have to allow it.
 *
 * A supervisor beside the program stops it at the calls in question only. A call that is judged costs some ten microseconds, one that is reported
 * twice that, all others nothing. The time counts for `wallTimeMs`, so limits should be generous.
 *
 * **Rules about files are no boundary** against a hostile program with several threads, which can change a path after it was read (seccomp(2)).
 * Against all others they are exact, and tell what was tried. The boundary is which files there are in the container.
 */
export interface TraceOptions {
  /**
   * Which files may be used, by absolute paths and globs. `*` and `?` match within a name, `**` across; a rule that ends in `/` or `/**` is a directory
   * with everything below. Symbolic links are resolved. What no rule allows is a violation, and so everything is with `files: {}`.
   *
   * `read`: opened for reading, directories too. `write`: opened for writing, made, removed, renamed, or changed in mode, owner or times.
   * `stat`: looked at; implied by the others, and for the directories above. `execute`: executed, after the program itself, which you chose.
   *
   * @default any
   */
  files?: Partial<Record<FileOperation, readonly string[]>> | undefined
  /** Which system calls become events and are counted: all, none, or those of these names. @default false */
  syscalls?: boolean | readonly string[] | undefined
  /**
   * `'deny'`: the call fails with EACCES. `'kill'`: the run ends with the status `disallowed-file`. `'log'`: it takes place. In each case there is
   * an event, and `trace.violations` counts. @default 'deny'
   */
  onViolation?: 'deny' | 'kill' | 'log' | undefined
  /** Collect what a policy would have to allow, as `trace.learned` of the result. @default false */
  learn?: boolean | undefined
  /** Called with each event, in order. What it throws ends the run, which then rejects with that. @default none */
  onEvent?: ((event: TraceEvent) => void) | undefined
}

/** For native, and who listens. */
export interface EncodedTrace {
  native: NativeTrace
  onEvent: ((event: TraceEvent) => void) | undefined
}

const allowed = names<TraceOptions>('trace', {
  files: true,
  syscalls: true,
  onViolation: true,
  learn: true,
  onEvent: true,
})
const allowedFiles = names<NonNullable<TraceOptions['files']>>('trace.files', {
  read: true,
  write: true,
  stat: true,
  execute: true,
})
/** In native's order. */
const fileOperations = ['read', 'write', 'stat', 'execute'] as const
const responses = ['deny', 'kill', 'log'] as const

/** Checks it, and turns it into what native wants. */
export function encodeTrace(value: TraceOptions): EncodedTrace {
  checkNames(value, allowed)
  const { files, syscalls, onViolation, onEvent } = value
  if (onEvent !== undefined && typeof onEvent !== 'function') throw invalidType('trace.onEvent', 'a function', onEvent)
  if (files !== undefined) checkNames(files, allowedFiles)
  const rules = (operation: FileOperation): string[] =>
    paths(`trace.files.${operation}`, files === undefined ? [] : (files[operation] ?? []))
  const response = responses.indexOf(oneOf('trace.onViolation', onViolation ?? 'deny', responses))
  const learn = flag('trace.learn', value.learn, false)
  const calls = typeof syscalls === 'boolean' || syscalls === undefined ? null : strings('trace.syscalls', syscalls)
  return {
    native: makeTrace(
      files === undefined ? null : fileOperations.map(rules),
      calls,
      syscalls === true,
      response,
      learn,
    ),
    onEvent,
  }
}

function strings(name: string, value: unknown): string[] {
  return list(name, value).map((item, index) => text(`${name}[${index}]`, item))
}

function paths(name: string, value: unknown): string[] {
  const rules = strings(name, value)
  const relative = rules.findIndex((rule) => !rule.startsWith('/'))
  if (relative >= 0) throw invalidValue(`${name}[${relative}]`, rules[relative], 'must be an absolute path or glob')
  return rules
}
