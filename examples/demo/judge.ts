// One run, one verdict.

import type { Master, TraceResult } from 'hotcell'

/** What the container says of a run, in words. */
export function verdict(result: TraceResult): string {
  switch (result.status) {
    case 'ok':
      return 'ok'
    case 'nonzero-exit':
      return `exit code ${result.exitCode}`
    case 'signaled':
      return `killed by ${result.signal}`
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
  signal?: AbortSignal,
) {
  const result = await master.run(file, args, { input, encoding: 'utf8', ...(signal && { signal }) })
  const accepted = result.status === 'ok' && result.stdout.trimEnd() === expected.trimEnd()
  return {
    result,
    accepted,
    verdict: result.status === 'ok' ? (accepted ? 'accepted' : 'wrong answer') : verdict(result),
  }
}
