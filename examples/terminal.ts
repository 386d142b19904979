// What the demo and the benchmark draw with: colours (on a terminal only, https://no-color.org) and a table.

import { stripVTControlCharacters } from 'node:util'

const coloured = Boolean(process.stdout.isTTY) && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb'

const sgr = (open: number, close: number) => (text: string) =>
  coloured ? `\u001B[${open}m${text}\u001B[${close}m` : text

export const bold = sgr(1, 22)
export const dim = sgr(2, 22)
export const red = sgr(31, 39)
export const green = sgr(32, 39)
export const yellow = sgr(33, 39)
export const cyan = sgr(36, 39)

const width = (text: string) => stripVTControlCharacters(text).length

/** Columns as wide as they need to be; those named in `right` are aligned to the right. A string is a line of its own. */
export function table(head: string[], rows: readonly (string[] | string)[], right: readonly string[] = []): string {
  const cells = rows.filter((row) => typeof row !== 'string')
  const widths = head.map((name, i) => Math.max(width(name), ...cells.map((row) => width(row[i] ?? ''))))
  const line = (row: string[], style = (text: string) => text) =>
    row
      .map((cell, i) => {
        const padding = ' '.repeat((widths[i] ?? 0) - width(cell))
        return right.includes(head[i] ?? '') ? padding + style(cell) : style(cell) + padding
      })
      .join('  ')
      .trimEnd()
  return [line(head, dim), ...rows.map((row) => (typeof row === 'string' ? row : line(row)))]
    .map((text) => (text === '' ? '' : `  ${text}`))
    .join('\n')
}

/** 0.83 ms, 12.4 ms, 1.25 s */
export function milliseconds(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`
  return `${ms.toFixed(ms < 10 ? 2 : 1)} ms`
}

/** 812 kB, 9.4 MB */
export function bytes(count: number): string {
  return count < 1_000_000 ? `${Math.round(count / 1000)} kB` : `${(count / 1_000_000).toFixed(1)} MB`
}

/** The line at the bottom of a terminal that says what goes on; elsewhere nothing. */
export function status(text: string): void {
  if (!process.stderr.isTTY) return
  process.stderr.write(`\r\u001B[2K${text.slice(0, Math.max(20, (process.stderr.columns || 80) - 1))}`)
}
