/** `hotcell run`. */
import type { groups } from '../commands/run.js'
import type { Action } from '../definition.js'
import { runSession, type Observer } from '../session.js'
import { terminalEnvironment } from '../terminal-environment.js'

export const run: Action<typeof groups> = async ({ values, operands }) => {
  const observers: Observer[] = []
  return await runSession({
    command: operands,
    values,
    terminal: values.tty,
    env: values.tty ? terminalEnvironment() : {},
    observers,
  })
}
