// One run, one verdict.

import type { Master, RunOptions, TraceResult } from 'hotcell'

/** What the container says of a run, in words. */
export function verdict(result: TraceResult): string {
  switch (result.status) {
    case 'ok':
      return 'ok'
    case 'nonzero-exit':
      return `exit code ${result.exitCode}`
    case 'signaled':
      return `killed by ${result.signal}`
    case 'time-limit':
      return `time limit (${result.limit})`
    case 'memory-limit':
      return 'memory limit'
    case 'disallowed-syscall':
      return `disallowed: ${result.syscall}`
    default:
      return result.status
  }
}

/** Runs a command and compares its output with the expected one, trailing white space aside. */
export async function judge(
  master: Master,
  [file, ...args]: [string, ...string[]],
  input: Uint8Array,
  expected: string,
  options: Pick<RunOptions, 'limits' | 'seccomp' | 'signal'> = {},
) {
  const result = await master.run(file, args, { ...options, input, encoding: 'utf8' })
  const accepted = result.status === 'ok' && result.stdout.trimEnd() === expected.trimEnd()
  return {
    result,
    accepted,
    verdict: result.status === 'ok' ? (accepted ? 'accepted' : 'wrong answer') : verdict(result),
  }
}
