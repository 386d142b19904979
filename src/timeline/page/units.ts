/** Figures for people. The script of the page has the same rules, see script.ts. */

/** `1.35 s`, `76.2 ms`: three digits that mean something. */
export function time(ms: number): string {
  if (ms >= 120_000) return `${digits(ms / 60_000)} min`
  if (ms >= 1000) return `${digits(ms / 1000)} s`
  return ms >= 1 || ms === 0 ? `${digits(ms)} ms` : `${digits(ms * 1000)} µs`
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** `60.6 MiB`. */
export function size(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1)
  return `${digits(bytes / 2 ** (10 * power))} ${UNITS[power] as string}`
}

/** `0.94`: cores. */
export function cores(number: number): string {
  return number >= 10 ? digits(number) : number.toFixed(2)
}

/** `12,345`. */
export function count(number: number): string {
  return Math.round(number).toLocaleString('en-US')
}

/** `38 %`. */
export function percent(part: number): string {
  return `${part > 0 && part < 0.1 ? (100 * part).toFixed(1) : Math.round(100 * part)} %`
}

function digits(number: number): string {
  if (number >= 100 || Number.isInteger(number)) return count(number)
  return number.toFixed(number >= 10 ? 1 : 2)
}
