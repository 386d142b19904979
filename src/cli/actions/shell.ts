/** `hotcell shell`. */
import type { groups } from '../commands/shell.js'
import type { Action } from '../definition.js'
import { runSession } from '../session.js'
import { terminalEnvironment } from '../terminal-environment.js'
import { timelinePage } from '../timeline-page.js'

/** Which shells there are, only the container knows. */
const ANY_SHELL = ['sh', '-c', 'if command -v bash >/dev/null 2>&1; then exec bash; else exec sh -i; fi'] as const

export const shell: Action<typeof groups> = async ({ values, operands }) => {
  const program = operands.length === 0 ? ANY_SHELL : operands
  return await runSession({
    command: program,
    values,
    terminal: true,
    env: terminalEnvironment(),
    observers: timelinePage(values.timeline),
  })
}
