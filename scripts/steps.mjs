// What every script of this folder shows while it works: one line per step, with the time it took.
//
// Uses Node's built-ins only: the entry commands (`npm run demo`, `npm test`, `npm run bench`) run before `npm ci` has
// ever been called.
//
// On a terminal the line of the running step is rewritten in place, with the last line of its output behind it.
// Elsewhere (CI, a pipe) a step that takes long prints one line when it starts and one when it ends.

import { spawn } from 'node:child_process'
import { stripVTControlCharacters } from 'node:util'

const out = process.stderr

/** Colours only on a terminal; https://no-color.org. */
export const coloured = (stream) => Boolean(stream.isTTY) && !process.env.NO_COLOR && process.env.TERM !== 'dumb'

const sgr = (open, close) => (text, stream) =>
  coloured(stream ?? out) ? `\u001B[${open}m${text}\u001B[${close}m` : text
export const bold = sgr(1, 22)
export const dim = sgr(2, 22)
export const red = sgr(31, 39)
export const green = sgr(32, 39)
export const yellow = sgr(33, 39)
export const cyan = sgr(36, 39)

/** 950 ms, 4.2 s, 3 min 07 s */
export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`
}

/** A failure whose message is all that the user needs: no stack trace is printed for it. */
export class StepError extends Error {
  name = 'StepError'
}

/** A line of its own, above whatever step is running. */
export function say(text = '') {
  clearLine()
  out.write(`${text}\n`)
}

let statusShown = false

/** Rewrites the line at the bottom of the terminal. Nothing where there is no terminal. */
export function status(text) {
  if (!out.isTTY) return
  const width = Math.max(20, (out.columns || 80) - 1)
  const plain = stripVTControlCharacters(text)
  out.write(`\r\u001B[2K${plain.length > width ? `${plain.slice(0, width - 1)}…` : text}`)
  statusShown = true
}

export function clearLine() {
  if (!statusShown) return
  out.write('\r\u001B[2K')
  statusShown = false
}

/**
 * Runs `work` as one step. `work` is given a function for the detail shown behind the title, and may return a string to
 * show behind the tick.
 */
export async function step(title, work) {
  const began = performance.now()
  let detail = ''
  const draw = () =>
    status(`${cyan('▸')} ${title} ${dim(`${duration(performance.now() - began)}${detail && `  ${detail}`}`)}`)
  // Elsewhere than on a terminal: say that a step has begun only if it does not end at once.
  const announce = out.isTTY ? setInterval(draw, 200) : setTimeout(() => say(`▸ ${title} …`), 1500)
  try {
    const note = await work((text) => {
      detail = text
    })
    clearLine()
    say(`${green('✓')} ${title}${note ? ` ${dim(note)}` : ''} ${dim(duration(performance.now() - began))}`)
  } catch (error) {
    clearLine()
    say(`${red('✗')} ${title} ${dim(duration(performance.now() - began))}`)
    throw error
  } finally {
    clearInterval(announce)
    clearTimeout(announce)
  }
}

/**
 * Runs a command and keeps its output for the case that it fails.
 * `show` is called with each line; the rejection carries the output and names the command.
 */
export function command(file, args, { show, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const child = closeSoonAfterExit(spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options }))
    let output = ''
    let line = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8')
      stream.on('data', (chunk) => {
        output += chunk
        line += chunk
        const lines = line.split(/[\r\n]+/)
        line = lines.pop()
        for (const text of lines) if (text.trim() !== '') show?.(stripVTControlCharacters(text).trim())
      })
    }
    child.on('error', (error) => reject(new StepError(`could not start ${file}: ${error.message}`)))
    child.on('close', (code, signal) => {
      if (code === 0) resolve(output)
      else {
        const how = signal === null ? `exit code ${code}` : signal
        reject(new StepError(`${output.trimEnd()}\n\n${[file, ...args].join(' ')}: ${how}`))
      }
    })
  })
}

/**
 * Sees to it that 'close' follows 'exit' within ten seconds: a process that a failed test has left behind may hold the pipes
 * for as long as it lives.
 */
export function closeSoonAfterExit(child) {
  child.on('exit', () => {
    setTimeout(() => {
      child.stdout?.destroy()
      child.stderr?.destroy()
    }, 10_000).unref()
  })
  return child
}

/** Runs a command that owns the terminal; resolves to its exit code (128 + n for a signal, as a shell would say). */
export function foreground(file, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: 'inherit', ...options })
    // The terminal sends SIGINT to the whole group: let the child decide, and report what it decided.
    const ignore = () => {}
    process.on('SIGINT', ignore)
    child.on('error', reject)
    child.on('close', (code, signal) => {
      process.off('SIGINT', ignore)
      resolve(code ?? (signal === 'SIGINT' ? 130 : 143))
    })
  })
}

/** The end of a script: prints a failure the way a user can read it. */
export function fail(error) {
  clearLine()
  out.write(`\n${error instanceof StepError ? error.message : (error?.stack ?? String(error))}\n`)
  process.exitCode = 1
}
