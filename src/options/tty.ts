/** The terminal of a run, as callers ask for it. */
import { invalidType } from './invalid.js'
import { checkNames, names } from './names.js'
import { integer } from './primitives.js'

/** How large a terminal is, in characters: 1 to 65,535. */
export interface TerminalSize {
  columns: number
  rows: number
}

/** Whether a run has a terminal: of that size, or with `true` of 80 by 24. */
export type TtyOption = boolean | TerminalSize

const allowed = names<TerminalSize>('tty', { columns: true, rows: true })
/** `struct winsize` has 16 bits for each (ioctl_tty(2)). */
const MOST = 0xffff
const USUAL: TerminalSize = { columns: 80, rows: 24 }

/** What native takes for no terminal. */
export const NO_TTY = 0

/** For native: both numbers in one, or {@link NO_TTY}. */
export function encodeTty(value: TtyOption | undefined): number {
  if (value === undefined || value === false) return NO_TTY
  if (value !== true && (typeof value !== 'object' || value === null)) {
    throw invalidType('tty', 'a boolean or an object { columns, rows }', value)
  }
  const { columns, rows } = value === true ? USUAL : value
  if (value !== true) checkNames(value, allowed)
  return terminalSide('tty.columns', columns) * (MOST + 1) + terminalSide('tty.rows', rows)
}

/** One of the two numbers of a size. */
export function terminalSide(name: string, value: unknown): number {
  return integer(name, value, 1, MOST)
}
