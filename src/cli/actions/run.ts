/** `hotcell run`. */
import type { groups } from '../commands/run.js'
import type { Action } from '../definition.js'
import { runSession } from '../session.js'
import { terminalEnvironment } from '../terminal-environment.js'
import { timelinePage } from '../timeline-page.js'

export const run: Action<typeof groups> = async ({ values, operands }) => {
  return await runSession({
    command: operands,
    values,
    terminal: values.tty,
    env: values.tty ? terminalEnvironment() : {},
    observers: timelinePage(values.timeline),
  })
}
