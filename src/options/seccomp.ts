/**
 * What system calls programs may make: a built-in profile by name, a profile in the OCI runtime-spec's format (as Docker's and
 * Podman's files are), or one that was put together with {@link SeccompPolicy}.
 *
 * A policy is compiled once and told to each container once; native objects are therefore kept, for as long as somebody has what they
 * were made from. Profiles given as plain objects are known by the object: one that is changed afterwards stays what it was.
 */
import type { NativeSeccomp } from '../binding.js'
import { compileSeccomp } from '../bridge.js'
import { SeccompPolicy, type OciSeccomp } from '../seccomp-policy.js'
import { invalidType, invalidValue } from './invalid.js'

/** The built-in profiles. */
export const seccompProfiles: readonly Extract<SeccompInput, string>[] = ['default', 'judge', 'strict', 'off']

/**
 * | | for |
 * |---|---|
 * | `'default'` | compilers, interpreters, the JVM, Go, Node, shells, build tools: Docker's default without its branches for capabilities, and tighter |
 * | `'judge'` | one program of a contest in whatever language: threads and files, but no other process or program, and no network |
 * | `'strict'` | pure computation by a statically linked program, on the descriptors that it is given |
 * | `'off'` | no filter: the whole kernel is open to programs |
 * | an object | `linux.seccomp` of the OCI runtime-spec, with Docker's and Podman's additions |
 * | a {@link SeccompPolicy} | rules put together in TypeScript, or read from a file |
 */
export type SeccompInput = 'default' | 'judge' | 'strict' | 'off' | OciSeccomp | SeccompPolicy

const compiled = new WeakMap<object, NativeSeccomp>()
const profiles = new Map<string, NativeSeccomp>()

/** Compiles it, or finds what was compiled. */
export function encodeSeccomp(value: SeccompInput): NativeSeccomp {
  if (typeof value === 'string') {
    if (!seccompProfiles.includes(value)) {
      throw invalidValue(
        'seccomp',
        value,
        `must be ${seccompProfiles.map((name) => `'${name}'`).join(', ')} or a profile`,
      )
    }
    return remember(profiles, value, () => compileSeccomp(value, null, undefined))
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidType('seccomp', 'the name of a profile, or a profile', value)
  }
  return remember(compiled, value, () => {
    const json = value instanceof SeccompPolicy ? value.text : JSON.stringify(value)
    return compileSeccomp(null, json, value instanceof SeccompPolicy ? value.file : undefined)
  })
}

interface Memory<Key> {
  get(key: Key): NativeSeccomp | undefined
  set(key: Key, value: NativeSeccomp): unknown
}

function remember<Key>(memory: Memory<Key>, key: Key, make: () => NativeSeccomp): NativeSeccomp {
  const known = memory.get(key)
  if (known !== undefined) return known
  const made = make()
  memory.set(key, made)
  return made
}
