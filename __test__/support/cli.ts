/** The built command, as users start it: a process of its own, on pipes. */
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import type { ExecutionContext } from 'ava'
import { mode } from './mode.js'
import { root } from './node.js'

/** What package.json's `bin` names. `npm test` builds it. */
export const cliFile = join(root, 'dist', 'src', 'cli', 'main.js')

if (!existsSync(cliFile)) throw new Error(`${cliFile} is not there: npm run build`)

/** What every command needs in this mode: the user namespace is demanded or refused, as in masterOptions(). */
const ofMode = [`--user-namespace=${mode === 'degraded' ? 'off' : 'require'}`]
const contained = new Set(['run', 'shell', 'trace', 'learn'])

export interface CliOptions {
  input?: string | Uint8Array
  env?: NodeJS.ProcessEnv
  cwd?: string
  stdio?: StdioOptions
}

export interface CliEnd {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface CliProcess {
  readonly process: ChildProcess & { stdin: Writable; stdout: Readable; stderr: Readable }
  readonly ended: Promise<CliEnd>
  /** Waits until standard output has begun with, or contains, this. */
  said(text: string): Promise<void>
}

/** The arguments, with those of this mode. */
export function cliArguments(args: readonly string[]): string[] {
  const [command, ...rest] = args
  return command !== undefined && contained.has(command) ? [cliFile, command, ...ofMode, ...rest] : [cliFile, ...args]
}

/** Starts it. */
export function startCli(args: readonly string[], options: CliOptions = {}): CliProcess {
  const { env = {}, cwd = tmpdir(), stdio = 'pipe' } = options
  const { NO_COLOR: _no, FORCE_COLOR: _force, ...clean } = process.env
  const child = spawn(process.execPath, cliArguments(args), {
    cwd,
    stdio,
    env: { ...clean, ...env },
  }) as CliProcess['process']
  let stdout = ''
  let stderr = ''
  const heard = new Set<() => void>()
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk
    for (const wake of heard) wake()
  })
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
  // A program that does not read its input is nothing unusual.
  child.stdin?.on('error', () => undefined)
  const ended = new Promise<CliEnd>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  return {
    process: child,
    ended,
    said: (text) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (!stdout.includes(text)) return
          heard.delete(look)
          resolve()
        }
        heard.add(look)
        look()
        ended.then((end) => reject(new Error(`it ended without saying ${text}: ${JSON.stringify(end)}`)), reject)
      }),
  }
}

/** Runs it to its end. */
export function cli(args: readonly string[], options: CliOptions = {}): Promise<CliEnd> {
  const { process: child, ended } = startCli(args, options)
  child.stdin?.end(options.input ?? '')
  return ended
}

/** An empty folder that is gone after the test. */
export function temporaryFolder(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'hotcell-cli-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
