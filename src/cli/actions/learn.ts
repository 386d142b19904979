/**
 * `hotcell learn`: traces a few runs of a program, merges what they used, and checks the policies by a run under both.
 *
 * Each run has a container that nobody has used yet (`reset`). The program's output is kept from the terminal: it is what several runs wrote,
 * and nobody asked for it. What it said is shown when it was no success.
 */
import { access, readFile, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { buffer } from 'node:stream/consumers'
import type { Learned } from '../../learned.js'
import { mergeLearned } from '../../learned.js'
import { Master } from '../../master.js'
import type { RunOptions } from '../../options/run-options.js'
import type { RunResult } from '../../result.js'
import type { groups } from '../commands/learn.js'
import { containerOptions, landlockRules, runLimits } from '../container.js'
import type { Action, Joined, Values } from '../definition.js'
import { FAILED } from '../exit-codes.js'
import { Interruption } from '../interruption.js'
import { stderr, stdout } from '../sink.js'
import { harmless, styleFor } from '../style.js'
import { UsageError } from '../usage-error.js'
import { verdictLine } from '../verdict.js'

const RUNS = 3
const SECCOMP_FILE = 'seccomp.json'
const LANDLOCK_FILE = 'landlock.json'
/** How much of what a failed run wrote is shown. */
const SHOWN_CHARACTERS = 2000

type LearnValues = Values<Joined<typeof groups>>

interface Input {
  name: string
  content: Buffer
}

export const learn: Action<typeof groups> = async ({ values, operands }) => {
  const files = { seccomp: values['seccomp-out'] ?? SECCOMP_FILE, landlock: values['landlock-out'] ?? LANDLOCK_FILE }
  if (!values.json && !values.force) {
    await refuseExisting(files.seccomp)
    await refuseExisting(files.landlock)
  }
  const inputs = await readInputs(values)
  const interruption = new Interruption()
  const options = { ...containerOptions(values), signal: interruption.signal }
  const master = await Master.create(options)
  try {
    const teacher = new Teacher(master, operands, values, interruption.signal)
    const { learned, results } = await teacher.learn(inputs)
    const isSufficient = values['no-verify'] || (await teacher.verify(learned, inputs[0], results[0]))
    if (values.json) {
      await stdout.write(
        `${JSON.stringify({ seccomp: learned.seccomp, landlock: learned.landlock, sufficient: isSufficient })}\n`,
      )
    } else {
      await writeFile(files.seccomp, `${JSON.stringify(learned.seccomp, null, 2)}\n`)
      await writeFile(files.landlock, `${JSON.stringify(learned.landlock, null, 2)}\n`)
      await teacher.tell(summary(learned, files))
    }
    const isSuccess = results.every(({ status }) => status === 'ok')
    return isSuccess && isSufficient ? 0 : FAILED
  } catch (error) {
    if (interruption.received !== undefined) interruption.die()
    throw error
  } finally {
    await master.destroy()
    interruption.stop()
  }
}

async function refuseExisting(file: string): Promise<void> {
  try {
    await access(file)
  } catch {
    return
  }
  throw new UsageError(`${file} is there already: pass --force to replace it, or another name`)
}

/** What each run reads. */
async function readInputs({ input, runs }: LearnValues): Promise<Input[]> {
  if (input.length === 0) {
    // What a person types could not be the same for each run.
    const content = process.stdin.isTTY ? Buffer.alloc(0) : await buffer(process.stdin)
    return Array.from({ length: runs ?? RUNS }, () => ({ name: 'standard input', content }))
  }
  const read = await Promise.all(
    input.map(async (path): Promise<Input> => ({ name: basename(path), content: await readFile(path) })),
  )
  return Array.from({ length: Math.max(runs ?? 0, read.length) }, (_, run) => read[run % read.length] as Input)
}

class Teacher {
  readonly #master: Master
  readonly #command: readonly string[]
  readonly #values: LearnValues
  readonly #signal: AbortSignal

  constructor(master: Master, command: readonly string[], values: LearnValues, signal: AbortSignal) {
    this.#master = master
    this.#command = command
    this.#values = values
    this.#signal = signal
  }

  async learn(inputs: readonly Input[]): Promise<{ learned: Learned; results: RunResult[] }> {
    const known: Learned[] = []
    const results: RunResult[] = []
    for (const [index, input] of inputs.entries()) {
      const result = await this.#run(input, { trace: { learn: true }, landlock: landlockRules(this.#values) })
      results.push(result)
      if (result.trace?.learned !== undefined) known.push(result.trace.learned)
      await this.#report(`run ${index + 1} of ${inputs.length}`, result)
    }
    const [first, ...others] = known as [Learned, ...Learned[]]
    return { learned: mergeLearned(first, ...others), results }
  }

  /** Whether the program ends under the policies as it did without. */
  async verify(learned: Learned, input: Input | undefined, before: RunResult | undefined): Promise<boolean> {
    if (input === undefined || before === undefined) return true
    const result = await this.#run(input, { seccomp: learned.seccomp, landlock: learned.landlock })
    const isSame = outcome(result) === outcome(before)
    const style = styleFor(process.stderr)
    await this.tell(
      isSame
        ? `${style.green('✓')} under both policies it ends in the same way: ${outcome(result)}`
        : `${style.red('✗')} under both policies: ${outcome(result)}, and ${outcome(before)} without${said(result)}`,
    )
    return isSame
  }

  async tell(text: string): Promise<void> {
    if (!this.#values.quiet) await stderr.write(`${text}\n`)
  }

  async #run(input: Input, more: Pick<RunOptions, 'trace' | 'seccomp' | 'landlock'>): Promise<RunResult> {
    await this.#master.reset({ signal: this.#signal })
    for (const { host, container } of this.#values['copy-in']) {
      await this.#master.copyIn(host, container, { signal: this.#signal })
    }
    const [file, ...args] = this.#command as [string, ...string[]]
    const { cwd } = this.#values
    const limits = { ...runLimits(this.#values), outputBytes: this.#values.output }
    return await this.#master.run(file, args, { input: input.content, cwd, limits, signal: this.#signal, ...more })
  }

  async #report(which: string, result: RunResult): Promise<void> {
    const style = styleFor(process.stderr)
    if (result.status === 'ok') await this.tell(`${style.green('✓')} ${which}`)
    else
      await this.tell(
        `${style.yellow('!')} ${which}: ${outcome(result)}; what it would do then is not learned${said(result)}`,
      )
  }
}

function outcome(result: RunResult): string {
  if (result.status === 'ok' || result.status === 'nonzero-exit') return `exit code ${result.exitCode}`
  return verdictLine(result, {}) ?? `ended by ${result.status === 'signaled' ? result.signal : result.status}`
}

function said(result: RunResult): string {
  const lines = String(result.stderr).slice(0, SHOWN_CHARACTERS).trimEnd().split('\n').filter(Boolean)
  return lines.map((line) => `\n    ${harmless(line)}`).join('')
}

function summary(learned: Learned, files: { seccomp: string; landlock: string }): string {
  const calls = new Set(learned.seccomp.syscalls?.flatMap(({ names = [] }) => names))
  const { read, write, execute } = learned.landlock
  const paths = new Set([...read, ...write, ...execute])
  const incomplete = learned.complete ? '' : '\nThere were more files than could be kept in mind: the rules lack some'
  return (
    `${files.seccomp}: ${calls.size} system calls; ${files.landlock}: ${paths.size} files and directories${incomplete}\n` +
    `hotcell run --seccomp ${files.seccomp} --landlock ${files.landlock} -- …`
  )
}
