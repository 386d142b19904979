// A pool: runs a second beside `child_process.spawn` at the same concurrency, how soon a used cell is another user's, and the
// memory of a hundred idle cells.

import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { promisify } from 'node:util'
import { Master, Pool } from 'hotcell'
import { spawnOnHost, type Group } from './context.js'
import { Floor } from './floor.js'
import { figure, interleave, timed, type Case, type Figure } from './sample.js'

const CONCURRENCY = 4
const execFileAsync = promisify(execFile)
/** Runs in a sample: enough for its end, when fewer are left than lanes, not to count. */
const BATCH = 200
/** Runs before it that do not count: after a fork of this process each page that is written to costs a fault, whoever made the fork. */
const WARM_UP = 40
const IDLE_CELLS = 100

/** The time of one of BATCH calls, CONCURRENCY of them at once, in microseconds. */
async function perCall(call: (lane: number) => Promise<unknown>): Promise<number> {
  const several = async (count: number): Promise<void> => {
    let started = 0
    const calls = async (lane: number): Promise<void> => {
      while (started++ < count) await call(lane)
    }
    await Promise.all(Array.from({ length: CONCURRENCY }, (_, lane) => calls(lane)))
  }
  await several(WARM_UP)
  return (await timed(() => several(BATCH))) / BATCH
}

export const pools: Group = async ({ runs, progress }) => {
  const concurrent = await throughput(Math.max(5, Math.round(runs / 50)), progress)
  const turns = await turnAround(runs, progress)
  return [...concurrent, ...turns, await idleMemory(progress)]
}

async function throughput(rounds: number, progress: (done: number, of: number) => void): Promise<Figure[]> {
  await using small = await Pool.create()
  await using wide = await Pool.create({ size: CONCURRENCY })
  const masters = await Promise.all(Array.from({ length: CONCURRENCY }, () => Master.create()))
  const run = async (on: Pool | Master): Promise<void> => {
    const { status } = await on.run('/bin/true')
    if (status !== 'ok') throw new Error(`/bin/true: ${status}`)
  }
  const execve = async (): Promise<void> => {
    const { status } = await wide.use((master) => master.execve({ args: ['/bin/true'] }))
    if (status !== 'ok') throw new Error(`/bin/true: ${status}`)
  }
  const leave = async (): Promise<void> => {
    await wide.use(async (master) => {
      await master.symlink('something', 'left')
      await master.run('/bin/true')
    })
  }
  // A process for each CPU, which starts one program after the other and does nothing else: more runs than these no machine can do.
  const loops = Array.from({ length: availableParallelism() }, () => new Floor())
  const floor = async (): Promise<number> => {
    const each = Math.ceil(BATCH / loops.length)
    const all = Promise.all(loops.map((loop) => loop.sample(`repeat ${each} /bin/true`)))
    return (await timed(() => all)) / (each * loops.length)
  }
  const cases: Case[] = [
    { name: `floor: a loop of vfork+execve+wait4 on each CPU at once`, sample: floor },
    { name: `child_process.spawn, ${CONCURRENCY} at once`, sample: () => perCall(() => spawnOnHost('/bin/true')) },
    { name: `child_process.execFile, ${CONCURRENCY} at once`, sample: () => perCall(() => execFileAsync('/bin/true')) },
    { name: `pool.run, ${CONCURRENCY} at once, size ${CONCURRENCY}`, sample: () => perCall(() => run(wide)) },
    { name: `pool.run, ${CONCURRENCY} at once, default size`, sample: () => perCall(() => run(small)) },
    { name: `pool.use with a file left, ${CONCURRENCY} at once, size ${CONCURRENCY}`, sample: () => perCall(leave) },
    { name: `execve in pool.use, ${CONCURRENCY} at once, size ${CONCURRENCY}`, sample: () => perCall(execve) },
    {
      name: `master.run in ${CONCURRENCY} containers, no reset`,
      sample: () => perCall((lane) => run(masters[lane] as Master)),
    },
  ]
  try {
    return await interleave(cases, rounds, progress)
  } finally {
    await Promise.all([...masters, ...loops].map((one) => one[Symbol.asyncDispose]()))
  }
}

/** Of one cell, whose users stand in line: from the end of one turn to the start of the next, with the reset in between. */
async function turnAround(runs: number, progress: (done: number, of: number) => void): Promise<Figure[]> {
  await using lone = await Pool.create({ size: 1, spare: 0 })
  await using spared = await Pool.create({ size: 1, spare: 1, min: 2 })
  await using master = await Master.create()
  const between = async (pool: Pool): Promise<number> => {
    let ended = 0
    const first = pool.use(async (cell) => {
      // Something for the reset to do.
      await cell.symlink('something', 'left')
      await cell.execve({ args: ['/bin/true'] })
      ended = performance.now()
    })
    const second = pool.use(() => (performance.now() - ended) * 1000)
    await first
    const gap = await second
    // What the next sample finds has been reset.
    while (pool.stats.resetting > 0) await new Promise(setImmediate)
    return gap
  }
  const cases: Case[] = [
    { name: 'execve without reset', sample: () => timed(() => master.execve({ args: ['/bin/true'] })) },
    { name: 'turn-around of a cell, reset', sample: () => between(lone) },
    { name: 'turn-around with a spare cell', sample: () => between(spared) },
  ]
  return await interleave(cases, runs, progress)
}

/** The proportional set sizes of all inits and of the launcher. */
async function idleMemory(progress: (done: number, of: number) => void): Promise<Figure> {
  await using idle = await Pool.create({ size: IDLE_CELLS, min: IDLE_CELLS })
  await Promise.all(Array.from({ length: IDLE_CELLS }, () => idle.run('/bin/true')))
  while (idle.stats.idle < IDLE_CELLS) await new Promise(setImmediate)
  let bytes = 0
  const inits = (
    await Promise.all((await readdir('/proc/self/task')).map((task) => children(`self/task/${task}`)))
  ).flat()
  for (const launcher of inits) {
    const below = await children(`${launcher}/task/${launcher}`)
    if (below.length < IDLE_CELLS) continue
    for (const [done, pid] of [launcher, ...below].entries()) {
      progress(done, below.length)
      bytes += await proportional(pid)
    }
  }
  return figure(`idle pool of ${IDLE_CELLS}, PSS with the launcher`, 'bytes', bytes === 0 ? [] : [bytes])
}

async function children(path: string): Promise<string[]> {
  const list = await readFile(`/proc/${path}/children`, 'utf8').catch(() => '')
  return list.split(' ').filter((pid) => pid.trim() !== '')
}

async function proportional(pid: string): Promise<number> {
  // Of a process that is not dumpable it is for root only.
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '')
  return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? Number.NaN) * 1024
}
