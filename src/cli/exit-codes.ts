/**
 * What the exit code of `hotcell run` and its kin says. A program's own code goes through as it is, so 120 to 127 may be the program's too,
 * as with env(1), timeout(1) and every shell: `--json` tells them apart.
 */

/** The user's own mistake. */
export const USAGE = 2
/** Something that a command was to check did not hold. */
export const FAILED = 1
export const DISALLOWED_SYSCALL = 120
export const DISALLOWED_FILE = 121
export const OUTPUT_LIMIT = 122
export const MEMORY_LIMIT = 123
/** As of timeout(1). */
export const TIME_LIMIT = 124
/** As of env(1) and docker-run(1): hotcell itself failed. */
export const HOTCELL_FAILED = 125
/** As of a shell: it cannot be executed. */
export const NOT_EXECUTABLE = 126
/** As of a shell: there is no such program. */
export const NOT_FOUND = 127
/** And the number of the signal. */
export const SIGNALED = 128

/** For help and the manual. */
export const exitCodes: readonly (readonly [code: string, meaning: string])[] = [
  ['0–255', "the program's own exit code"],
  ['128 + N', 'the program was ended by signal N'],
  ['120', 'disallowed-syscall: the seccomp policy ended it'],
  ['121', 'disallowed-file: it used a file that no rule allows (trace --on-violation kill)'],
  ['122', 'output-limit: --output or --file-size was exceeded'],
  ['123', 'memory-limit: --memory was exceeded'],
  ['124', 'time-limit: --cpu-time or --wall-time was exceeded'],
  ['125', 'hotcell itself failed, or the host does not allow containers'],
  ['126', 'the program is there and cannot be executed'],
  ['127', 'there is no such program in the container'],
  ['2', 'an option, a command or the configuration file is not understood'],
]

/** The exit code for a program that could not be started, by the code of the error. */
export function exitCodeOfFailure(code: string, syscall: string | undefined): number {
  if (syscall !== 'execve') return HOTCELL_FAILED
  return code === 'ENOENT' || code === 'ENOTDIR' ? NOT_FOUND : NOT_EXECUTABLE
}
