/**
 * One run of a program on behalf of a command: container, files in, program, files out, verdict. `run`, `shell` and `trace` are this with different
 * observers.
 */
import { createWriteStream } from 'node:fs'
import { stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { AbortError } from '../abort.js'
import type { Execution } from '../execution.js'
import { Master } from '../master.js'
import type { Limits } from '../options/limits.js'
import type { SpawnOptions } from '../options/run-options.js'
import { outputLimit, type RunResult } from '../result.js'
import type { Changes } from '../tree/changes.js'
import { absolute, containerOptions, landlockRules, runLimits, type ContainerValues } from './container.js'
import type { Values } from './definition.js'
import { exitCodeFor } from './failure.js'
import { HOTCELL_FAILED } from './exit-codes.js'
import { escapeKeys, HostTerminal } from './host-terminal.js'
import { Interruption } from './interruption.js'
import { relayInput, relayOutput } from './relay.js'
import type { files, report } from './shared-options.js'
import { openSink, stderr, type Sink } from './sink.js'
import { styleFor } from './style.js'
import { exitCodeOf, failureObject, usageLine, verdictLine, verdictObject } from './verdict.js'

export type SessionValues = ContainerValues & Values<(typeof files)['options'] & (typeof report)['options']>

/**
 * Whoever wants to know more of a run than how it ended. A timeline, for one: `prepare` asks for it, `finish` writes the page.
 */
export interface Observer {
  /** Adds to what is asked of the API, before the program is started. */
  prepare?(options: SpawnOptions): void
  /** Called when the program has been asked for. The session is over when this has settled, too; if it rejects, the run is killed. */
  observe?(execution: Execution, master: Master): Promise<void>
  /** It is over, and what was to be copied out is. */
  finish?(result: RunResult): Promise<void>
}

export interface Session {
  /** The program and its arguments. */
  command: readonly string[]
  values: SessionValues
  /** Whether it gets a terminal of its own. */
  terminal: boolean
  /** Variables that the program gets if the user says nothing else. */
  env?: Readonly<Record<string, string | undefined>>
  observers?: readonly Observer[]
}

/** Runs it to its end, says how that was, and resolves to the exit code; or ends this process by the signal that ended the run. */
export async function runSession(session: Session): Promise<number> {
  const { command, values } = session
  const json = values.json === undefined ? undefined : openSink('--json', values.json)
  const interruption = new Interruption()
  try {
    const { result, copied } = await runProgram(session, interruption)
    const exitCode = exitCodeOf(result) === 0 && !copied ? HOTCELL_FAILED : exitCodeOf(result)
    await json?.write(`${JSON.stringify(verdictObject(command, result, exitCode))}\n`)
    await say(values, result, json)
    if (result.status === 'signaled' && result.signal === interruption.received) interruption.die()
    return exitCode
  } catch (error) {
    // Before there was a program to pass the signal on to.
    if (error instanceof AbortError) interruption.die()
    const exitCode = exitCodeFor(error)
    await json?.write(`${JSON.stringify(failureObject(command, error, exitCode))}\n`)
    if (json === stderr) return exitCode
    throw error
  } finally {
    interruption.stop()
    await json?.close()
  }
}

async function runProgram(
  { command, values, terminal, env, observers = [] }: Session,
  interruption: Interruption,
): Promise<{ result: RunResult; copied: boolean }> {
  const host = terminal ? HostTerminal.require() : undefined
  const options = containerOptions(values)
  const spawnOptions: SpawnOptions = { cwd: values.cwd, landlock: landlockRules(values) }
  for (const observer of observers) observer.prepare?.(spawnOptions)
  if (env !== undefined) options.env = { ...env, ...(options.env as Record<string, string | undefined>) }
  if (host !== undefined) spawnOptions.tty = host.size

  const master = await Master.create({ ...options, signal: interruption.signal })
  try {
    for (const { host: source, container } of values['copy-in']) {
      await master.copyIn(source, container, { signal: interruption.signal })
    }
    const [file, ...args] = command as [string, ...string[]]
    const execution = master.spawn(file, args, spawnOptions)
    interruption.passTo((signal) => {
      // The program has ended, and what is waited for is somebody who reads what it wrote.
      if (!execution.kill(signal)) interruption.die()
    })
    const result = await attend(execution, master, values, host, observers)
    const copied = (await copyOut(master, values)) && (await writeChanges(master, values))
    for (const observer of observers) await observer.finish?.(result)
    return { result, copied }
  } finally {
    host?.restore()
    await master.destroy()
  }
}

/** Relays the streams until the run is over and everything was passed on. */
async function attend(
  execution: Execution,
  master: Master,
  values: SessionValues,
  host: HostTerminal | undefined,
  observers: readonly Observer[],
): Promise<RunResult> {
  const limit = values.output ?? Infinity
  let breach: 'stdout' | 'stderr' | undefined
  let failure: unknown
  const kill = (): void => void execution.kill('SIGKILL')
  const exceeded = (which: 'stdout' | 'stderr') => (): void => {
    breach ??= which
    kill()
  }
  // The run is not waited for by what it cannot be told any more; why that was is said when it is over.
  const orKill = (promise: Promise<void>): Promise<void> =>
    promise.catch((error: unknown) => {
      failure ??= error
      kill()
    })
  const resize = (columns: number, rows: number): void => void execution.resize(columns, rows)

  const work = [orKill(relayOutput(execution.stdout, 1, limit, exceeded('stdout')))]
  if (host === undefined) work.push(orKill(relayOutput(execution.stderr, 2, limit, exceeded('stderr'))))
  for (const observer of observers) {
    if (observer.observe !== undefined) work.push(orKill(observer.observe(execution, master)))
  }
  const input = relayInput(
    process.stdin,
    execution.stdin,
    (error) => void stderr.write(`hotcell: cannot read standard input: ${error.message}\n`),
    host === undefined ? undefined : escapeKeys(kill),
  )
  host?.enter(resize)
  try {
    const result = await execution
    // What the program wrote last may still be on its way.
    await Promise.all(work)
    if (failure !== undefined) throw failure
    const isLimited = result.status === 'time-limit' || result.status === 'memory-limit'
    return breach === undefined || isLimited ? result : Object.assign(outputLimit(result, breach), rest(result))
  } finally {
    input.stop()
    host?.restore()
  }
}

function rest({ stdout, stderr: errors, files }: RunResult): Pick<RunResult, 'stdout' | 'stderr' | 'files'> {
  return { stdout, stderr: errors, files }
}

/** Whether all of them could be had. What the program was to write and did not is no failure of hotcell's, but none of success either. */
async function copyOut(master: Master, values: SessionValues): Promise<boolean> {
  let all = true
  for (const { host, container } of values['copy-out']) {
    try {
      await copyOutTo(await place(host, container), master, container, values['copy-out-max'])
    } catch (error) {
      all = false
      const hint = (error as NodeJS.ErrnoException).code === 'EISDIR' ? '; give it a target that ends in .tar' : ''
      await stderr.write(`hotcell: --copy-out: ${(error as Error).message}${hint}\n`)
    }
  }
  return all
}

/** A file as it is, a directory as an archive. That is not unpacked here: its names and links are the program's. */
async function copyOutTo(file: string, master: Master, path: string, maxBytes: number | undefined): Promise<void> {
  try {
    await writeFile(file, await master.copyOut(path, { maxBytes }))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EISDIR' || !file.endsWith('.tar')) throw error
    await pipeline(master.copyOutTar(path, { maxBytes }), createWriteStream(file))
  }
}

/** Whether they could be written, if they were asked for. */
async function writeChanges(master: Master, values: SessionValues): Promise<boolean> {
  const file = values.changes
  if (file === undefined) return true
  try {
    const changes: Record<string, Changes> = {}
    for (const { container } of values.overlay) changes[absolute(container)] = await master.changes(container)
    await writeFile(file, `${JSON.stringify(changes, null, 2)}\n`)
    return true
  } catch (error) {
    await stderr.write(`hotcell: --changes: ${(error as Error).message}\n`)
    return false
  }
}

/** In a directory, under its own name. */
async function place(host: string, container: string): Promise<string> {
  const isDirectory = await stat(host).then(
    (found) => found.isDirectory(),
    () => false,
  )
  return isDirectory ? join(host, basename(container)) : host
}

async function say(values: SessionValues, result: RunResult, json: Sink | undefined): Promise<void> {
  if (values.quiet) return
  const style = styleFor(process.stderr)
  const limits: Limits = { ...runLimits(values), outputBytes: values.output }
  const line = verdictLine(result, limits)
  if (line !== undefined && json !== stderr) await stderr.write(`${style.bold('hotcell:')} ${style.red(line)}\n`)
  if (values.stats) await stderr.write(`${style.bold('hotcell:')} ${style.dim(usageLine(result))}\n`)
}
