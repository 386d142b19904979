/** What the CLI writes for people: colours, columns, figures with units. */
import { stripVTControlCharacters } from 'node:util'

/** Something that is written to: one of the standard streams. */
export interface Target {
  readonly isTTY?: boolean
  readonly columns?: number
}

/**
 * Whether to use colours there: FORCE_COLOR (https://force-color.org) and NO_COLOR (https://no-color.org) decide if they are set and not empty,
 * the former first, as in Node; else whether it is a terminal that can.
 */
export function hasColours(target: Target, env: NodeJS.ProcessEnv = process.env): boolean {
  const { FORCE_COLOR: force, NO_COLOR: no, TERM: term } = env
  if (force !== undefined && force !== '') return force !== '0' && force !== 'false'
  if (no !== undefined && no !== '') return false
  return target.isTTY === true && term !== 'dumb'
}

export interface Style {
  bold(text: string): string
  dim(text: string): string
  red(text: string): string
  green(text: string): string
  yellow(text: string): string
  cyan(text: string): string
}

const sgr =
  (open: number, close: number) =>
  (text: string): string =>
    `\u001B[${open}m${text}\u001B[${close}m`
const plain = (text: string): string => text

const coloured: Style = {
  bold: sgr(1, 22),
  dim: sgr(2, 22),
  red: sgr(31, 39),
  green: sgr(32, 39),
  yellow: sgr(33, 39),
  cyan: sgr(36, 39),
}
const uncoloured: Style = { bold: plain, dim: plain, red: plain, green: plain, yellow: plain, cyan: plain }

/** The style for what is written to a stream. */
export function styleFor(target: Target): Style {
  return hasColours(target) ? coloured : uncoloured
}

/** How wide text for a stream may be. */
export function widthOf(target: Target): number {
  return Math.min(100, Math.max(40, target.columns ?? 80))
}

/** How many columns a text takes. */
export function displayWidth(text: string): number {
  return stripVTControlCharacters(text).length
}

/** Filled up to a width, on the right. */
export function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - displayWidth(text)))
}

/** The same, on the left. */
export function padStart(text: string, width: number): string {
  return ' '.repeat(Math.max(0, width - displayWidth(text))) + text
}

/** Broken at spaces. A word that is wider stays whole. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && displayWidth(line) + 1 + displayWidth(word) > width) {
      lines.push(line)
      line = word
    } else {
      line = line === '' ? word : `${line} ${word}`
    }
  }
  return [...lines, line]
}

/** 0.83 ms, 12.4 ms, 1.25 s, 3 min 07 s */
export function milliseconds(ms: number): string {
  if (ms < 1000) return `${ms.toFixed(ms < 10 ? 2 : 1)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(2)} s`
  const seconds = Math.round(ms / 1000)
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`
}

/** 812 KiB, 9.4 MiB: in the steps that sizes are given in. */
export function bytes(count: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  let value = count
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 || Number.isInteger(value) ? value : value.toFixed(1)} ${units[unit]}`
}

/** Text from somewhere that is not trusted, without what a terminal would obey. */
export function harmless(text: string): string {
  // oxlint-disable-next-line no-control-regex -- these are what it is about
  return text.replaceAll(/[\u0000-\u001F\u007F-\u009F]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
}
