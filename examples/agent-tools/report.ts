// What an agent is told of a run: little enough for its context, and as much as it needs to do better next time.

import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js'
import type { RunResult } from 'hotcell'

/** As much of each output as is told: its beginning and its end. */
const SHOWN_CHARACTERS = 16_384

export function report(result: RunResult<string>): CallToolResult {
  const { status, cpuTimeMs, wallTimeMs, memoryBytes } = result
  const stdout = shorten(result.stdout)
  const stderr = shorten(result.stderr)
  const parts = [explain(result)]
  if (stdout !== '') parts.push(`stdout:\n${stdout}`)
  if (stderr !== '') parts.push(`stderr:\n${stderr}`)
  return {
    isError: status !== 'ok',
    content: [{ type: 'text', text: parts.join('\n\n') }],
    structuredContent: { status, stdout, stderr, cpuTimeMs, wallTimeMs, memoryBytes },
  }
}

function explain(result: RunResult<string>): string {
  switch (result.status) {
    case 'ok':
      return 'exit code 0'
    case 'nonzero-exit':
      return `exit code ${result.exitCode}`
    case 'signaled':
      return `ended by ${result.signal}`
    case 'time-limit':
      return `stopped: it took too long (${result.limit} time). Give a longer timeout_seconds, or do less at once`
    case 'memory-limit':
      return 'stopped: it used too much memory. Work on less data at once'
    case 'output-limit':
      return result.limit === 'file-size'
        ? 'stopped: it wrote too large a file'
        : `stopped: it wrote too much to ${result.limit}. Write to a file, and look at parts of it`
    case 'disallowed-syscall':
      return `stopped: ${result.syscall}(2) is not allowed here`
    case 'disallowed-file':
      return `stopped: it may not ${result.operation} ${result.path}`
  }
}

function shorten(text: string): string {
  if (text.length <= SHOWN_CHARACTERS) return text
  const half = SHOWN_CHARACTERS / 2
  return `${text.slice(0, half)}\n… ${text.length - 2 * half} characters left out …\n${text.slice(-half)}`
}
