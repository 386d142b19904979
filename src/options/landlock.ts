import type { LandlockInput } from '../binding.js'
import { checkNames, names } from './names.js'
import { containerPath, integer, list, oneOf } from './primitives.js'

/**
 * What one run may do with files and TCP ports, on top of what all programs in the container may: landlock(7). With rules, what
 * none of them allows is denied (EACCES). The kernel holds files by what they are, not by their names, so there is no race in it.
 *
 * Paths are the container's and have to exist; a directory stands for all that is below it. A program needs to execute its own file
 * and, if it is dynamic, the loader; to read its libraries; and mostly to write to /dev/null:
 * `{ read: ['/etc', '/dev'], write: ['/w', '/dev/null'], execute: ['/usr', '/lib', '/lib64', '/bin'] }`.
 *
 * Where the kernel has it (Linux 6.12), signals and abstract sockets do not leave the run either.
 */
export interface LandlockRules {
  /** Files and directories that may be read. @default none */
  read?: readonly string[] | undefined
  /** What may be written, made, removed and renamed. Reading is another matter. @default none */
  write?: readonly string[] | undefined
  /** What may be executed, and read for that. @default none */
  execute?: readonly string[] | undefined
  /** TCP ports that may be connected to (Linux 6.7). @default all */
  connect?: readonly number[] | undefined
  /** TCP ports that may be bound (Linux 6.7). @default all */
  bind?: readonly number[] | undefined
  /**
   * Where the kernel lacks what the rules take: `'fail'` rejects with `ERR_HOTCELL_UNSUPPORTED`'s cause as the kernel's code
   * (`EOPNOTSUPP`, `ENOSYS`); `'degrade'` does with what there is, down to no rule at all. `probe()` says what there is.
   *
   * @default 'fail'
   */
  whenUnsupported?: 'fail' | 'degrade' | undefined
}

const allowed = names<LandlockRules>('landlock', {
  read: true,
  write: true,
  execute: true,
  connect: true,
  bind: true,
  whenUnsupported: true,
})

const PORT_MAX = 65_535
const READ = 1
const WRITE = 2
const EXECUTE = 4

/** Checks the rules, and turns them into what native wants. */
export function encodeLandlock(rules: LandlockRules | undefined): LandlockInput | null {
  if (rules === undefined) return null
  checkNames(rules, allowed)
  const paths = new Map<string, number>()
  const add = (name: 'read' | 'write' | 'execute', access: number): void => {
    list(`landlock.${name}`, rules[name] ?? []).forEach((path, index) => {
      const text = containerPath(`landlock.${name}[${index}]`, path)
      const key = typeof text === 'string' ? text : Buffer.from(text).toString()
      paths.set(key, (paths.get(key) ?? 0) | access)
    })
  }
  add('read', READ)
  add('write', WRITE)
  add('execute', EXECUTE)
  const ports = (name: 'connect' | 'bind'): number[] | null => {
    const given = rules[name]
    if (given === undefined) return null
    return list(`landlock.${name}`, given).map((port, index) =>
      integer(`landlock.${name}[${index}]`, port, 0, PORT_MAX),
    )
  }
  return {
    paths: [...paths.keys()],
    access: [...paths.values()],
    connect: ports('connect'),
    bind: ports('bind'),
    degrade: oneOf('landlock.whenUnsupported', rules.whenUnsupported ?? 'fail', ['fail', 'degrade']) === 'degrade',
  }
}
