import { constants } from 'node:os'
import { invalidType, invalidValue } from './options/invalid.js'

/** The last signal of Linux. */
const LAST = 64
/**
 * The first real-time signal that a program may use: the kernel's begin at 32, and the C libraries keep two or three for
 * themselves (signal(7)).
 */
const SIGRTMIN = 34

const names: string[] = []
// Of two names for one number the first is the usual one: SIGABRT before SIGIOT, SIGIO before SIGPOLL.
for (const [name, number] of Object.entries(constants.signals)) names[number] ??= name
for (let number = 32; number <= LAST; number++) {
  const offset = number - SIGRTMIN
  names[number] = offset === 0 ? 'SIGRTMIN' : `SIGRTMIN${offset > 0 ? '+' : ''}${offset}`
}

/** The name of a signal. Node's type knows no real-time signals; they are named as kill(1) does, `'SIGRTMIN+3'`. */
export function signalName(number: number): NodeJS.Signals {
  return (names[number] ?? `SIG${number}`) as NodeJS.Signals
}

/** The number of a signal given by name or by number; 0 is allowed and stands for none. */
export function signalNumber(signal: unknown): number {
  if (typeof signal === 'number') {
    if (Number.isInteger(signal) && signal >= 0 && signal <= LAST) return signal
    throw invalidValue('signal', signal, `must be a signal from 0 to ${LAST}`)
  }
  if (typeof signal !== 'string') throw invalidType('signal', "a signal's name or number", signal)
  const number = (constants.signals as Record<string, number>)[signal] ?? names.indexOf(signal)
  if (number < 1) throw invalidValue('signal', signal, "must be a signal's name, such as 'SIGTERM'")
  return number
}
