import { invalidType } from './invalid.js'
import { checkNames, names } from './names.js'

/** What can be cancelled. */
export interface Cancellable {
  /**
   * Cancels. The promise rejects with an {@link AbortError} once nothing of what was asked for goes on any more; a signal
   * that is aborted already starts nothing.
   *
   * @default none
   */
  signal?: AbortSignal | undefined
}

const allowed = names<Cancellable>('options', { signal: true })

/** The signal of options that hold nothing else. */
export function cancellableSignal(options: Cancellable | undefined): AbortSignal | undefined {
  if (options === undefined) return undefined
  checkNames(options, allowed)
  return abortSignal(options.signal)
}

/** A value of the option `signal`. Told by its shape, so that polyfills and other realms work. */
export function abortSignal(value: unknown): AbortSignal | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'object' || value === null || !('aborted' in value) || !('addEventListener' in value)) {
    throw invalidType('signal', 'an AbortSignal', value)
  }
  return value as AbortSignal
}
