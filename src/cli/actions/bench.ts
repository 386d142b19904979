/**
 * `hotcell bench`: what a run costs on this host, beside `child_process.spawn`. The contenders take turns, one run each, so that whatever else
 * the machine does hits all of them; medians, for there are always some that were interrupted.
 */
import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { Master } from '../../master.js'
import { Pool } from '../../pool/pool.js'
import type { groups } from '../commands/bench.js'
import type { Action } from '../definition.js'
import { HOTCELL_FAILED } from '../exit-codes.js'
import { Interruption } from '../interruption.js'
import { Progress } from '../progress.js'
import { stdout } from '../sink.js'
import { milliseconds, pad, padStart, styleFor } from '../style.js'
import { CliError } from '../usage-error.js'

const RUNS = 500
const WARM_UP = 10
/** Creating and resetting take longer, and are asked about less. */
const RARE = 5
const BAR_WIDTH = 30

interface Contender {
  name: string
  text: string
  /** One of how many rounds it takes part in. */
  every: number
  run(): Promise<void>
}

interface Figures {
  name: string
  text: string
  runs: number
  medianMs: number
  p95Ms: number
}

export const bench: Action<typeof groups> = async ({ values }) => {
  const runs = values.runs ?? RUNS
  const program = values.program ?? '/bin/true'
  const interruption = new Interruption()
  const progress = new Progress()
  const master = await Master.create()
  try {
    const contenders = contendersOf(master, program)
    const figures = await measure(contenders, runs, progress, interruption.signal)
    const throughput = await measureThroughput(program, runs, progress, interruption.signal)
    progress.clear()
    await stdout.write(values.json ? json(program, figures, throughput) : page(program, figures, throughput))
    return 0
  } catch (error) {
    progress.clear()
    if (interruption.received !== undefined) interruption.die()
    throw error
  } finally {
    await master.destroy()
    interruption.stop()
  }
}

function contendersOf(master: Master, program: string): Contender[] {
  return [
    { name: 'spawn', text: 'child_process.spawn, no sandbox', every: 1, run: () => spawned(program) },
    {
      name: 'execve',
      text: 'hotcell, in a container that waits',
      every: 1,
      run: async () => check(program, (await master.execve({ args: [program] })).status),
    },
    {
      name: 'run',
      text: 'hotcell, output collected, then reset',
      every: 1,
      run: async () => {
        check(program, (await master.run(program)).status)
        await master.reset()
      },
    },
    {
      name: 'fresh',
      text: 'hotcell, a new container for one run',
      every: RARE,
      run: async () => {
        const fresh = await Master.create()
        try {
          check(program, (await fresh.execve({ args: [program] })).status)
        } finally {
          await fresh.destroy()
        }
      },
    },
  ]
}

function check(program: string, status: string): void {
  if (status !== 'ok' && status !== 'nonzero-exit') {
    throw new CliError(
      `${program} ended with ${status} in the container: measure another program`,
      'ERR_HOTCELL_BENCH',
      HOTCELL_FAILED,
    )
  }
}

function spawned(program: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, { stdio: 'ignore' })
    child.on('error', reject)
    child.on('exit', () => resolve())
  })
}

async function measure(
  contenders: readonly Contender[],
  runs: number,
  progress: Progress,
  signal: AbortSignal,
): Promise<Figures[]> {
  const samples = new Map<Contender, number[]>(contenders.map((contender) => [contender, []]))
  for (let round = -WARM_UP; round < runs; round++) {
    signal.throwIfAborted()
    progress.show('one at a time', Math.max(0, round / runs) * 0.8)
    for (const contender of contenders) {
      if (round % contender.every !== 0) continue
      const began = performance.now()
      await contender.run()
      if (round >= 0) samples.get(contender)?.push(performance.now() - began)
    }
  }
  return [...samples].map(([{ name, text }, times]) => {
    const sorted = times.toSorted((a, b) => a - b)
    const at = (share: number): number =>
      sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number
    return { name, text, runs: sorted.length, medianMs: at(0.5), p95Ms: at(0.95) }
  })
}

interface Throughput {
  concurrency: number
  spawnPerSecond: number
  poolPerSecond: number
}

/** As many at once as there are processors, and at least four: what a server does. */
async function measureThroughput(
  program: string,
  runs: number,
  progress: Progress,
  signal: AbortSignal,
): Promise<Throughput> {
  const concurrency = Math.max(4, availableParallelism())
  const pool = await Pool.create({ size: concurrency })
  try {
    const spawnPerSecond = await perSecond(
      runs,
      concurrency,
      signal,
      () => spawned(program),
      (share) => {
        progress.show(`${concurrency} at once, child_process.spawn`, 0.8 + share * 0.1)
      },
    )
    const poolPerSecond = await perSecond(
      runs,
      concurrency,
      signal,
      async () => void (await pool.run(program)),
      (share) => {
        progress.show(`${concurrency} at once, a pool`, 0.9 + share * 0.1)
      },
    )
    return { concurrency, spawnPerSecond, poolPerSecond }
  } finally {
    await pool.destroy()
  }
}

async function perSecond(
  runs: number,
  concurrency: number,
  signal: AbortSignal,
  run: () => Promise<void>,
  show: (share: number) => void,
): Promise<number> {
  let begun = 0
  const worker = async (): Promise<void> => {
    while (begun < runs) {
      signal.throwIfAborted()
      begun += 1
      show(begun / runs)
      await run()
    }
  }
  const from = performance.now()
  await Promise.all(Array.from({ length: concurrency }, worker))
  return (1000 * runs) / (performance.now() - from)
}

function json(program: string, figures: readonly Figures[], throughput: Throughput): string {
  const base = medianOf(figures, 'spawn')
  const withRatio = figures.map((each) => ({ ...each, ratioToSpawn: each.medianMs / base }))
  return `${JSON.stringify({ program, figures: withRatio, throughput: { ...throughput, ratio: throughput.poolPerSecond / throughput.spawnPerSecond } }, null, 2)}\n`
}

function medianOf(figures: readonly Figures[], name: string): number {
  return figures.find((each) => each.name === name)?.medianMs ?? NaN
}

function page(
  program: string,
  figures: readonly Figures[],
  { concurrency, spawnPerSecond, poolPerSecond }: Throughput,
): string {
  const style = styleFor(process.stdout)
  const base = medianOf(figures, 'spawn')
  const most = Math.max(...figures.map(({ medianMs }) => medianMs))
  const texts = Math.max(...figures.map(({ text }) => text.length))
  const rows = figures.map(({ name, text, medianMs, p95Ms }) => {
    const ratio = medianMs / base
    const colour = name === 'spawn' ? style.dim : ratio < 1 ? style.green : style.yellow
    const bar = colour('█'.repeat(Math.max(1, Math.round((medianMs / most) * BAR_WIDTH))))
    const figure = name === 'spawn' ? '' : `× ${ratio.toFixed(2)}`
    return `  ${pad(text, texts)}  ${padStart(milliseconds(medianMs), 9)}  ${style.dim(`p95 ${padStart(milliseconds(p95Ms), 9)}`)}  ${pad(bar, BAR_WIDTH)}  ${figure}`.trimEnd()
  })
  const faster = base / medianOf(figures, 'execve')
  const sum =
    faster >= 1
      ? `A sandboxed run takes ${style.bold(style.green(`1/${faster.toFixed(1)}`))} of the time of an unsandboxed child_process.spawn.`
      : `A sandboxed run takes ${style.bold(style.yellow(`${(1 / faster).toFixed(1)} times`))} as long as an unsandboxed child_process.spawn.`
  return `${[
    style.bold(`${program}, medians of ${figures[0]?.runs} runs in turns`),
    '',
    ...rows,
    '',
    style.bold(`${concurrency} at once`),
    '',
    `  ${pad('child_process.spawn', texts)}  ${padStart(spawnPerSecond.toFixed(0), 6)} runs a second`,
    `  ${pad('Pool.run', texts)}  ${padStart(poolPerSecond.toFixed(0), 6)} runs a second  × ${(poolPerSecond / spawnPerSecond).toFixed(2)}`,
    '',
    sum,
  ].join('\n')}\n`
}
