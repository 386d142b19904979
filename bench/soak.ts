// Long use of a pool: 100,000 runs, four at once, and what they leave in this process and in the inits.
//
//   npm run build && node --import=@oxc-node/core/register bench/soak.ts [runs] [job…]
//
// Jobs are `shell` (the default), `terminal`, `tree`, `overlay`, `timeline`, `trace`, `limits`, `aborted`, `sealed`, `pipeline`, and `all`, which takes turns.
//
// Exit code 1 when a descriptor, a thread or a process is left, or memory grew by more than noise.

import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { defaultMounts, pipeline, Pool } from 'hotcell'
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

/** A directory of this host, to be copied and to be a workspace. */
const directory = await mkdtemp(join(tmpdir(), 'hotcell-soak-'))
process.on('exit', () => rmSync(directory, { recursive: true }))
for (let i = 0; i < 10; i++) {
  await mkdir(join(directory, `d${i}`))
  await writeFile(join(directory, `d${i}`, 'file'), `${i}\n`.repeat(1000))
}

/** Each fails if it does not see what it has to see: nothing of others, and all of its own. */
const jobs: Readonly<Record<string, (pool: Pool, number: number) => Promise<void>>> = {
  async shell(pool, number) {
    const { stdout } = await pool.run('/bin/sh', ['-c', `echo ${number} > f; echo * $(cat f)`])
    assert.equal(stdout, `f ${number}\n`)
  },
  async terminal(pool, number) {
    const script = `stty size; tty; read line; echo "<$line>"`
    const { stdout } = await pool.run('/bin/sh', ['-c', script], {
      tty: { columns: 80, rows: 24 },
      input: `${number}\n`,
    })
    // What is typed is echoed wherever it arrives.
    for (const part of ['24 80\r\n', '/dev/pts/0\r\n', `<${number}>\r\n`]) assert.ok(stdout.includes(part), stdout)
  },
  async tree(pool, number) {
    await pool.use(async (master) => {
      await master.copyIn(directory, 'tree')
      const { stdout } = await master.run('/bin/sh', ['-c', `echo ${number} > tree/new; cat tree/d*/file | wc -l`])
      assert.equal(Number(stdout), 10_000)
      const archive = await buffer(master.copyOutTar('tree'))
      await master.copyInTar(archive, 'again')
      assert.equal(String(await master.copyOut('again/new')), `${number}\n`)
    })
  },
  async overlay(pool, number) {
    await pool.use(async (master) => {
      await master.run('/bin/sh', ['-c', `rm -r d3; echo ${number} > d4/file; touch "n${number}"`], {
        cwd: '/workspace',
      })
      const { added, changed, deleted } = await master.changes('/workspace')
      assert.deepEqual(
        [added, changed, deleted].map((paths) => paths.map(String)),
        [[`n${number}`], ['d4/file'], ['d3']],
      )
    })
  },
  async timeline(pool) {
    const { timeline } = await pool.run('/bin/sleep', ['0.005'], { timeline: true })
    assert.ok((timeline?.samples.length ?? 0) > 0)
  },
  async trace(pool) {
    const { trace } = await pool.run('/bin/cat', ['/etc/ld.so.cache'], {
      trace: { syscalls: ['openat'] },
      encoding: 'buffer',
    })
    assert.ok(trace !== undefined)
  },
  async limits(pool) {
    const limits = { cpuTimeMs: 1000, wallTimeMs: 5000, memoryBytes: 64 << 20, processes: 8, outputBytes: 100 }
    assert.equal((await pool.run('/bin/true', [], { limits })).status, 'ok')
    assert.equal((await pool.run('/bin/sh', ['-c', 'while :; do echo much; done'], { limits })).status, 'output-limit')
  },
  async aborted(pool, number) {
    const run = pool.run('/bin/sh', ['-c', 'sleep 10 & sleep 10'], { signal: AbortSignal.timeout(number % 10) })
    await assert.rejects(run, { name: 'AbortError' })
  },
  async sealed(pool, number) {
    await using sealed = await pool.use(async (master) => {
      await master.copyIn(Buffer.from(`${number}`), 'file')
      return await master.seal('file')
    })
    const { stdout } = await pool.run('/bin/cat', ['copy'], { files: { copy: sealed } })
    assert.equal(stdout, String(number))
  },
  async pipeline(pool, number) {
    const { ok, stages } = await pipeline([['echo', String(number)], ['cat'], ['tail', '-n', '1']], { pool })
    assert.ok(ok)
    assert.equal(stages[2].stdout, `${number}\n`)
  },
}

async function work(
  pool: Pool,
  names: readonly string[],
  runs: number,
  progress: (done: number) => void,
): Promise<void> {
  let started = 0
  const lane = async (): Promise<void> => {
    while (started < runs) {
      const number = started++
      const name = names[number % names.length] as string
      try {
        await jobs[name]?.(pool, number)
      } catch (error) {
        throw new Error(`run ${number}, ${name}`, { cause: error })
      }
      if (number % 500 === 0) progress(number)
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
}

const asked = process.argv.slice(3)
const names = asked.length === 0 ? ['shell'] : asked.includes('all') ? Object.keys(jobs) : asked
const unknown = names.filter((name) => !(name in jobs))
if (unknown.length > 0) throw new Error(`no job of this file: ${unknown.join(', ')}`)

const workspace = { type: 'overlay', source: directory, target: '/workspace' } as const
await using pool = await Pool.create({
  size: LANES,
  min: LANES,
  spare: 0,
  container: names.includes('overlay') ? { mounts: [...defaultMounts(), workspace] } : {},
})
await work(pool, names, 2_000, () => undefined)
const pids: number[] = []
await Promise.all(Array.from({ length: LANES }, () => pool.use(({ pid }) => void pids.push(pid))))
const before = await take(pool, pids)
const began = performance.now()
await work(pool, names, RUNS, (done) => status(`  ${done}/${RUNS}`))
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
