import { unsupported } from './invalid.js'

/** What system calls programs may make. This version installs no seccomp filter, and only takes this for an answer. */
export type SeccompInput = 'off'

/** A wall that is asked for and would not be there is an error. */
export function refuseSeccomp(value: unknown): void {
  if (value === undefined || value === 'off') return
  throw unsupported('seccomp', "Leave it out or say 'off', and mind that programs run without a seccomp filter")
}
