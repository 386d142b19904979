// Long use of a pool: 100,000 runs, four at once, and what they leave in this process and in the inits.
//
//   npm run build && node --import=@oxc-node/core/register bench/soak.ts [runs]
//
// Exit code 1 when a descriptor, a thread or a process is left, or memory grew by more than noise.

import { readdir, readFile } from 'node:fs/promises'
import { Pool } from 'hotcell'
import { status, table } from '../examples/terminal.js'

const RUNS = Number(process.argv[2] ?? 100_000)
const LANES = 4
/** What V8 and glibc may keep for later. */
const GROWTH_BYTES = 32 * 1024 * 1024
/** Of one init. */
const INIT_GROWTH_BYTES = 256 * 1024

interface Census {
  descriptors: number
  threads: number
  processes: number
  rssBytes: number
  initBytes: number
}

async function children(pid: string | number): Promise<string[]> {
  const tasks = await readdir(`/proc/${pid}/task`).catch(() => [])
  const lists = await Promise.all(
    tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, 'utf8').catch(() => '')),
  )
  const own = lists.flatMap((list) => list.split(' ').filter((child) => child.trim() !== ''))
  return [...own, ...(await Promise.all(own.map(children))).flat()]
}

async function anonymousBytes(pid: number): Promise<number> {
  const found = /^RssAnon:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))
  return Number(found?.[1] ?? Number.NaN) * 1024
}

async function take(pool: Pool, pids: readonly number[]): Promise<Census> {
  while (pool.stats.idle < pool.stats.size) await new Promise(setImmediate)
  globalThis.gc?.()
  return {
    descriptors: (await readdir('/proc/self/fd')).length,
    threads: (await readdir('/proc/self/task')).length,
    processes: (await children('self')).length,
    rssBytes: process.memoryUsage.rss(),
    initBytes: Math.max(...(await Promise.all(pids.map(anonymousBytes)))),
  }
}

async function work(pool: Pool, runs: number, progress: (done: number) => void): Promise<void> {
  let started = 0
  const lane = async (): Promise<void> => {
    while (started < runs) {
      const number = started++
      const { stdout } = await pool.run('/bin/sh', ['-c', `echo ${number} > f; echo * $(cat f)`])
      if (stdout !== `f ${number}\n`) throw new Error(`run ${number} saw ${JSON.stringify(stdout)}`)
      if (number % 500 === 0) progress(number)
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
}

await using pool = await Pool.create({ size: LANES, min: LANES, spare: 0 })
await work(pool, 2_000, () => undefined)
const pids: number[] = []
await Promise.all(Array.from({ length: LANES }, () => pool.use(({ pid }) => void pids.push(pid))))
const before = await take(pool, pids)
const began = performance.now()
await work(pool, RUNS, (done) => status(`  ${done}/${RUNS}`))
const seconds = (performance.now() - began) / 1000
const after = await take(pool, pids)
status('')

const rows = (Object.keys(before) as (keyof Census)[]).map((name) => [name, String(before[name]), String(after[name])])
console.log(table(['', 'before', 'after'], rows, ['before', 'after']))
const { runTime, created, lost, failed } = pool.stats
const [median, high] = [50, 99.9].map((percent) => runTime.percentile(percent).toFixed(2))
console.log(
  `${RUNS} runs in ${seconds.toFixed(0)} s, median ${median} ms, p99.9 ${high} ms; ${created} containers, ${lost} lost`,
)
const isClean =
  lost === 0 &&
  failed === 0 &&
  after.descriptors <= before.descriptors &&
  after.threads <= before.threads &&
  after.processes <= before.processes &&
  after.rssBytes <= before.rssBytes + GROWTH_BYTES &&
  after.initBytes <= before.initBytes + INIT_GROWTH_BYTES
if (!isClean) process.exitCode = 1
