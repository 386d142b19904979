import type { SetupInput } from '../binding.js'
import { invalidType, invalidValue } from './invalid.js'
import { checkNames, names } from './names.js'
import { text } from './primitives.js'

/**
 * Where to make cgroups. They are made below one parent, which is removed with the last container; what a killed process
 * left is removed by the process that hotcell leaves behind it, or by the next start.
 */
export interface CgroupOptions {
  /** The name of the parent: letters, digits, `-` and `_`, at most 64. @default 'hotcell' */
  name?: string | undefined
  /**
   * The cgroup that the parent is made in, as /proc/self/cgroup spells cgroups: `'/system.slice/judge.service'`. It has to be
   * writable, and on v2 without processes of others. @default found: this process's own, or one above it
   */
  base?: string | undefined
  /** Only hierarchies of this version. @default 2 as far as it goes, 1 for what it lacks */
  version?: 1 | 2 | undefined
}

const allowed = names<CgroupOptions>('cgroup', { name: true, base: true, version: true })

type Choice = Pick<SetupInput, 'cgroup' | 'cgroupName' | 'cgroupBase' | 'cgroupVersion'>

/** Checks the option, and turns it into what native wants. */
export function encodeCgroup(value: CgroupOptions | false | undefined): Choice {
  const choice: Choice = { cgroup: 'preferred', cgroupName: null, cgroupBase: null, cgroupVersion: null }
  if (value === undefined) return choice
  if (value === false) return { ...choice, cgroup: 'off' }
  if (typeof value !== 'object' || value === null) throw invalidType('cgroup', 'an object or false', value)
  checkNames(value, allowed)
  const { name, base, version } = value
  if (name !== undefined && !/^[A-Za-z0-9_-]{1,64}$/.test(text('cgroup.name', name))) {
    throw invalidValue('cgroup.name', name, 'must be of letters, digits, - and _, at most 64')
  }
  if (base !== undefined && !text('cgroup.base', base).startsWith('/')) {
    throw invalidValue('cgroup.base', base, 'must begin with a slash, as in /proc/self/cgroup')
  }
  if (version !== undefined && version !== 1 && version !== 2) {
    throw invalidValue('cgroup.version', version, 'must be 1 or 2')
  }
  return { cgroup: 'required', cgroupName: name ?? null, cgroupBase: base ?? null, cgroupVersion: version ?? null }
}
