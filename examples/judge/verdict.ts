// From what hotcell says of a run to what a judge says of a submission.

import type { RunResult, TraceResult } from 'hotcell'

export type Verdict =
  | 'accepted'
  | 'wrong answer'
  | 'time limit'
  | 'memory limit'
  | 'output limit'
  | 'runtime error'
  | 'forbidden'
  | 'compile error'

/** The verdict of one test, and a remark on what was behind it. */
export function judge(result: RunResult<string>, expected: string): { verdict: Verdict; remark: string } {
  if (result.status === 'ok' && !sameTokens(result.stdout, expected)) return { verdict: 'wrong answer', remark: '' }
  return { verdict: verdictOf(result), remark: remarkOn(result) }
}

function verdictOf(result: TraceResult): Verdict {
  switch (result.status) {
    case 'ok':
      return 'accepted'
    case 'nonzero-exit':
    case 'signaled':
      return 'runtime error'
    case 'time-limit':
      return 'time limit'
    case 'memory-limit':
      return 'memory limit'
    case 'output-limit':
      return 'output limit'
    case 'disallowed-syscall':
    case 'disallowed-file':
      return 'forbidden'
  }
}

/** What the verdict leaves out. */
export function remarkOn(result: TraceResult): string {
  switch (result.status) {
    case 'nonzero-exit':
      return `exit code ${result.exitCode}`
    case 'signaled':
      return result.signal
    case 'time-limit':
      return `${result.limit} time`
    case 'output-limit':
      return result.limit
    case 'disallowed-syscall':
      return `${result.syscall}(2)`
    case 'disallowed-file':
      return `${result.operation} ${result.path}`
    case 'ok':
    case 'memory-limit':
      return ''
  }
}

/** White space does not matter, as in most contests. */
function sameTokens(output: string, expected: string): boolean {
  const tokens = (text: string): string => text.trim().split(/\s+/).join(' ')
  return tokens(output) === tokens(expected)
}
