/** Errors as exit codes and as lines for people. */
import { AbortError } from '../abort.js'
import { HotcellError } from '../errors.js'
import { exitCodeOfFailure, HOTCELL_FAILED, USAGE } from './exit-codes.js'
import { CliError, UsageError } from './usage-error.js'

/** Whether the user's own words are at fault: the API says so by these codes, which Node uses, too. */
function isUsage(error: unknown): boolean {
  if (error instanceof UsageError) return true
  const { code } = error as { code?: unknown }
  const isOfArguments =
    code === 'ERR_INVALID_ARG_TYPE' || code === 'ERR_INVALID_ARG_VALUE' || code === 'ERR_OUT_OF_RANGE'
  return isOfArguments && (error instanceof TypeError || error instanceof RangeError)
}

/** The exit code for an error. */
export function exitCodeFor(error: unknown): number {
  if (isUsage(error)) return USAGE
  if (error instanceof CliError) return error.exitCode
  if (error instanceof HotcellError) return exitCodeOfFailure(error.code, error.syscall)
  return HOTCELL_FAILED
}

/** What to say of it. What nobody expected says where it happened. */
export function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const isExpected =
    isUsage(error) || error instanceof CliError || error instanceof HotcellError || error instanceof AbortError
  const isOfSystem = 'syscall' in error && 'code' in error
  return isExpected || isOfSystem ? error.message : (error.stack ?? error.message)
}
