/**
 * Seccomp policies, put together in TypeScript. What they say is data in the OCI runtime-spec's format; native checks and compiles
 * it, so a mistake is told when a container or a run is asked for, with its place.
 */
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { hostFailure } from './errors.js'
import { invalidType, invalidValue } from './options/invalid.js'

/** An action as the runtime-spec spells it. */
export type OciSeccompAction =
  | 'SCMP_ACT_KILL'
  | 'SCMP_ACT_KILL_PROCESS'
  | 'SCMP_ACT_KILL_THREAD'
  | 'SCMP_ACT_TRAP'
  | 'SCMP_ACT_ERRNO'
  | 'SCMP_ACT_TRACE'
  | 'SCMP_ACT_LOG'
  | 'SCMP_ACT_ALLOW'

/** A comparison of an argument, as the runtime-spec spells it. Values beyond 2⁵³ are strings. */
export interface OciSeccompArg {
  index: number
  value: number | string
  valueTwo?: number | string
  op: `SCMP_CMP_${'NE' | 'LT' | 'LE' | 'EQ' | 'GE' | 'GT' | 'MASKED_EQ'}`
}

/** A rule, as the runtime-spec spells it. */
export interface OciSeccompSyscall {
  names?: readonly string[]
  name?: string
  action: OciSeccompAction
  errnoRet?: number
  args?: readonly OciSeccompArg[] | null
  /** Of hotcell: whether all of `args` have to hold, or any. Without it runc's rule holds. */
  match?: 'all' | 'any'
  comment?: string
  includes?: { caps?: readonly string[]; arches?: readonly string[]; minKernel?: string }
  excludes?: { caps?: readonly string[]; arches?: readonly string[]; minKernel?: string }
}

/**
 * `linux.seccomp` of the OCI runtime-spec, with what Docker and Podman add to it: their profiles can be used as they are.
 *
 * @see https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp
 */
export interface OciSeccomp {
  defaultAction: OciSeccompAction
  defaultErrnoRet?: number
  defaultErrno?: string
  architectures?: readonly string[]
  archMap?: readonly { architecture: string; subArchitectures: readonly string[] | null }[]
  flags?: readonly string[]
  syscalls?: readonly OciSeccompSyscall[]
  /** Of hotcell: the answer to numbers without a name. Without it, ENOSYS for those newer than any that is named, as in runc. */
  unknownAction?: OciSeccompAction
  unknownErrnoRet?: number
}

/**
 * What becomes of a call.
 *
 * `'kill'` ends the whole run with the status `disallowed-syscall`, and names the call. An `errno` is given as a name or a number.
 * `'trace'` stops for the tracer of a run that has one, and is ENOSYS in others. `'log'` allows, and has the kernel log it.
 */
export type SeccompAction = 'allow' | 'log' | 'kill' | 'trap' | 'trace' | { errno: string | number }

/** A condition on one argument, 0 to 5, compared in 64 bits. With `mask` only those bits are looked at, and have to equal `value`. */
export type SeccompCondition =
  | { arg: number; op: '==' | '!=' | '<' | '<=' | '>' | '>='; value: number | bigint }
  | { arg: number; mask: number | bigint; value: number | bigint }

const operators = {
  '==': 'SCMP_CMP_EQ',
  '!=': 'SCMP_CMP_NE',
  '<': 'SCMP_CMP_LT',
  '<=': 'SCMP_CMP_LE',
  '>': 'SCMP_CMP_GT',
  '>=': 'SCMP_CMP_GE',
} as const

const actions = {
  allow: 'SCMP_ACT_ALLOW',
  log: 'SCMP_ACT_LOG',
  kill: 'SCMP_ACT_KILL_PROCESS',
  trap: 'SCMP_ACT_TRAP',
  trace: 'SCMP_ACT_TRACE',
} as const

/**
 * A policy for system calls. Each method returns another policy, so that one can be the base of many.
 *
 * Of all rules that fit a call the most restrictive counts, whatever their order: kill before trap, errno, trace, log, allow; the default is for
 * calls that no rule fits.
 *
 * @example
 * ```ts
 * const pure = SeccompPolicy.denyAll('kill').allow('read', 'write', 'exit_group', 'brk', 'mmap', 'munmap')
 * const offline = SeccompPolicy.allowAll()
 *   .deny('EACCES', 'socket', 'connect')
 *   .rule('kill', ['ioctl'], { arg: 1, mask: 0xffffffff, value: 0x5412 })
 * ```
 */
export class SeccompPolicy {
  /** What it says, in the runtime-spec's format. @internal */
  readonly text: string
  /** Where it was read from. @internal */
  readonly file: string | undefined

  private constructor(text: string, file?: string) {
    this.text = text
    this.file = file
  }

  /** Everything is allowed but what rules deny. */
  static allowAll(): SeccompPolicy {
    return SeccompPolicy.#of({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [] })
  }

  /** Nothing is allowed but what rules allow. @param action for the rest; `{ errno: 'EPERM' }` by default */
  static denyAll(action: SeccompAction = { errno: 'EPERM' }): SeccompPolicy {
    const { action: defaultAction, errnoRet } = encodeAction(action)
    return SeccompPolicy.#of({
      defaultAction,
      ...(errnoRet === undefined ? {} : { defaultErrnoRet: errnoRet }),
      syscalls: [],
    })
  }

  /**
   * Reads a profile of Docker's, Podman's or the runtime-spec's.
   *
   * @throws {HotcellError} the kernel's code if it cannot be read. That it is malformed is told when it is used.
   */
  static fromFile(file: string | URL): SeccompPolicy {
    const name = typeof file === 'string' ? file : file.pathname
    try {
      return new SeccompPolicy(readFileSync(file, 'utf8'), name)
    } catch (error) {
      throw hostFailure('read a seccomp profile', name, error)
    }
  }

  /** Allows calls. */
  allow(...names: string[]): SeccompPolicy {
    return this.rule('allow', names)
  }

  /** Has calls fail. @param errno `'EPERM'`, or its number */
  deny(errno: string | number, ...names: string[]): SeccompPolicy {
    return this.rule({ errno }, names)
  }

  /** Has calls end the run. */
  kill(...names: string[]): SeccompPolicy {
    return this.rule('kill', names)
  }

  /** Allows calls, and has the kernel log them. */
  log(...names: string[]): SeccompPolicy {
    return this.rule('log', names)
  }

  /** Adds a rule for calls whose arguments fulfil all of the conditions. */
  rule(action: SeccompAction, names: readonly string[], ...conditions: SeccompCondition[]): SeccompPolicy {
    const policy = this.toJSON()
    const rule: OciSeccompSyscall = { names: [...names], ...encodeAction(action) }
    if (conditions.length > 0) Object.assign(rule, { args: conditions.map(encodeCondition), match: 'all' })
    return SeccompPolicy.#of({ ...policy, syscalls: [...(policy.syscalls ?? []), rule] }, this.file)
  }

  /** The policy in the runtime-spec's format. */
  toJSON(): OciSeccomp {
    return JSON.parse(this.text) as OciSeccomp
  }

  static #of(policy: OciSeccomp, file?: string): SeccompPolicy {
    return new SeccompPolicy(JSON.stringify(policy), file)
  }
}

function encodeAction(action: SeccompAction): { action: OciSeccompAction; errnoRet?: number } {
  if (typeof action === 'string') {
    const known = (actions as Partial<Record<string, OciSeccompAction>>)[action]
    if (known !== undefined) return { action: known }
    throw invalidValue('action', action, `must be one of ${Object.keys(actions).join(', ')}, or { errno }`)
  }
  if (typeof action !== 'object' || action === null || !('errno' in action)) {
    throw invalidType('action', 'a word or an object { errno }', action)
  }
  const { errno } = action
  if (typeof errno === 'number') return { action: 'SCMP_ACT_ERRNO', errnoRet: errno }
  const number = (constants.errno as Partial<Record<string, number>>)[errno]
  if (number === undefined) throw invalidValue('action.errno', errno, "must be the name of an error, such as 'EPERM'")
  return { action: 'SCMP_ACT_ERRNO', errnoRet: number }
}

function encodeCondition(condition: SeccompCondition): OciSeccompArg {
  const value = wide(condition.value)
  if ('mask' in condition) {
    return { index: condition.arg, value: wide(condition.mask), valueTwo: value, op: 'SCMP_CMP_MASKED_EQ' }
  }
  const op = operators[condition.op]
  if (op === undefined) {
    throw invalidValue('condition.op', condition.op, `must be one of ${Object.keys(operators).join(', ')}`)
  }
  return { index: condition.arg, value, op }
}

/** JSON's numbers end at 2⁵³. */
function wide(value: number | bigint): number | string {
  return typeof value === 'bigint' ? value.toString() : value
}
