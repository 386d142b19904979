/**
 * Waiting for what a test claims to happen. Nothing in here makes a test pass by being slow or fast enough: a deadline only
 * turns a hang into a failure that says what was waited for.
 */
import { setTimeout as timeout } from 'node:timers/promises'

const DEADLINE_MS = 30_000

/** The promise, or a failure that names what hangs. */
export async function within<T>(promise: PromiseLike<T>, what: string, ms = DEADLINE_MS): Promise<T> {
  const timer = new AbortController()
  const late = timeout(ms, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`${what}: still not after ${ms} ms`)
  })
  late.catch(() => undefined)
  try {
    return await Promise.race([promise, late])
  } finally {
    timer.abort()
  }
}

/** Waits for a fact that no event announces, such as the end of somebody else's child, by looking again and again. */
export async function until(fact: () => boolean | Promise<boolean>, what: string, ms = DEADLINE_MS): Promise<void> {
  const began = performance.now()
  while (!(await fact())) {
    if (performance.now() - began > ms) throw new Error(`${what}: still not after ${ms} ms`)
    await timeout(5)
  }
}

/** A promise and what settles it. */
export function deferred<T = void>(): {
  promise: Promise<T>
  resolve: (value: T) => void
  reject: (error: Error) => void
} {
  let resolve!: (value: T) => void
  let reject!: (error: Error) => void
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}
