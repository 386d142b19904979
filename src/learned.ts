/** What runs used, and the policies that would have let them. */
import type { NativeLearned } from './binding.js'
import type { OciSeccomp } from './seccomp-policy.js'

const natives = new WeakMap<Learned, NativeLearned>()

/**
 * What was learned from a run with `trace: { learn: true }`, or from several. It is as good as the runs were: what they did not do is not in it.
 *
 * @example
 * ```ts
 * let learned: Learned | undefined
 * for (const input of inputs) {
 *   const { trace } = await master.run('./program', [], { input, trace: { learn: true } })
 *   learned = learned === undefined ? trace.learned : mergeLearned(learned, trace.learned)
 * }
 * await master.run('./program', [], { seccomp: learned.seccomp })
 * ```
 */
export class Learned {
  /** @internal */
  constructor(known: NativeLearned) {
    natives.set(this, known)
  }

  /** The smallest policy for system calls: these, with these values of small domains (socket families, ioctl requests), and EPERM for the rest. */
  get seccomp(): OciSeccomp {
    return JSON.parse(native(this).seccomp()) as OciSeccomp
  }

  /** Files and directories by what was done with them, for Landlock: a directory stands for everything below. */
  get landlock(): { read: string[]; write: string[]; execute: string[] } {
    return JSON.parse(native(this).landlock()) as { read: string[]; write: string[]; execute: string[] }
  }

  /** The same for `trace.files`. */
  get files(): { read: string[]; write: string[]; stat: string[]; execute: string[] } {
    return JSON.parse(native(this).files()) as { read: string[]; write: string[]; stat: string[]; execute: string[] }
  }

  /** Whether there was room for all of it: 65,536 files. */
  get complete(): boolean {
    return native(this).isComplete()
  }

  /** What either used. */
  merge(other: Learned): Learned {
    return new Learned(native(this).merge(native(other)))
  }

  /** The policies. */
  toJSON(): object {
    return { seccomp: this.seccomp, landlock: this.landlock, files: this.files, complete: this.complete }
  }
}

function native(learned: Learned): NativeLearned {
  const known = natives.get(learned)
  if (known === undefined) throw new TypeError('It was not learned from a run: learned is not an instance of Learned')
  return known
}

/** What any of them used. */
export function mergeLearned(first: Learned, ...others: readonly Learned[]): Learned {
  return others.reduce((sum, other) => sum.merge(other), first)
}
