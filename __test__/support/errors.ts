/** Assertions about errors. */
import type { ExecutionContext } from 'ava'
import { HotcellError } from '../../index.js'

/** That the promise rejects with a HotcellError of this code; the error. */
export async function rejects(
  t: ExecutionContext,
  promise: PromiseLike<unknown>,
  code: string,
  about?: string,
): Promise<HotcellError> {
  const error = await t.throwsAsync(async () => await promise, { instanceOf: HotcellError, code }, about)
  return error as HotcellError
}

/** That the promise rejects with an AbortError whose cause is `reason`; the error. */
export async function aborts(
  t: ExecutionContext,
  promise: PromiseLike<unknown>,
  reason: unknown,
): Promise<Error & { result?: import('../../index.js').Usage }> {
  const error = (await t.throwsAsync(async () => await promise)) as Error & { code?: string }
  t.is(error.name, 'AbortError')
  t.is(error.code, 'ABORT_ERR')
  t.is(error.cause, reason)
  return error
}
