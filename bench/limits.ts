// What limits cost a run, and how soon they end one. `limits.test.ts` has that they do.

import { availableParallelism } from 'node:os'
import { Master, probe, type Limits } from 'hotcell'
import { built, type Group } from './context.js'
import { figure, interleave, timed, type Case } from './sample.js'

const CPU_MS = 100

export const limits: Group = async ({ runs, progress }) => {
  const { features } = await probe()
  const has = (name: string): boolean => features.some((feature) => feature.name === name && feature.available)
  const every: Limits = {
    cpuTimeMs: 60_000,
    wallTimeMs: 60_000,
    memoryBytes: 64 * 1024 * 1024,
    stackBytes: 8 * 1024 * 1024,
    fileSizeBytes: 1024 * 1024,
    processes: 64,
    openFiles: 64,
    ...(has('cgroup-cpu') ? { cpuRate: availableParallelism() } : {}),
    ...(has('cgroup-cpuset') ? { cpuSet: `0-${availableParallelism() - 1}` } : {}),
  }
  await using master = await Master.create()
  await master.copyIn(built('burn'), '/w/burn', { mode: 0o755 })
  const execve = async (chosen: Limits | undefined): Promise<void> => {
    const result = await master.execve({ args: ['/bin/true'], limits: chosen })
    if (result.status !== 'ok') throw new Error(`/bin/true: ${result.status}`)
  }
  const cases: Case[] = [
    { name: 'execve of /bin/true without limits', sample: () => timed(() => execve(undefined)) },
    { name: 'execve of /bin/true with every limit', sample: () => timed(() => execve(every)) },
  ]
  const figures = await interleave(cases, runs, progress)

  // The moment of the breach is when that much was used: what was used after it took this long, on every processor.
  const overshoot: number[] = []
  for (let i = 0; i < Math.min(runs, 50); i++) {
    const result = await master.execve({ args: ['./burn'], limits: { cpuTimeMs: CPU_MS } })
    if (result.status !== 'time-limit') throw new Error(`burn: ${result.status}`)
    overshoot.push(((result.cpuTimeMs - CPU_MS) / Math.min(8, availableParallelism())) * 1000)
  }
  figures.push(figure(`overshoot of cpuTimeMs: ${CPU_MS}, 8 threads`, 'µs', overshoot))

  const bombs: number[] = []
  for (let i = 0; i < Math.min(runs, 10); i++) {
    const bomb = () => master.execve({ args: ['./burn', 'bomb'], limits: { processes: 64, wallTimeMs: 1000 } })
    bombs.push(await timed(bomb))
  }
  figures.push(figure('fork bomb, processes: 64, wallTimeMs: 1000', 'µs', bombs))
  return figures
}
