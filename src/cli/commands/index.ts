/** All commands, in the order of help. */
import type { Command } from '../definition.js'
import { bench } from './bench.js'
import { completion } from './completion.js'
import { doctor } from './doctor.js'
import { learn } from './learn.js'
import { run } from './run.js'
import { shell } from './shell.js'
import { trace } from './trace.js'

export const commands: readonly Command[] = [run, shell, trace, learn, doctor, bench, completion]

/** The one of that name. */
export function commandNamed(name: string): Command | undefined {
  return commands.find((command) => command.name === name)
}
