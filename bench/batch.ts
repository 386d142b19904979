// One program over a hundred inputs: `runMany` of a sealed executable, beside what one would write without it. And a large
// file into a container: by the kernel, and through JavaScript.

import { createReadStream } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Master, Pool, seal, type BatchOutcome } from 'hotcell'
import { built, type Group } from './context.js'
import { interleave, timed, type Case, type Figure } from './sample.js'

const INPUTS = Array.from({ length: 100 }, (_, i) => String(i))
const LARGE_BYTES = 100 * 1024 * 1024

export const batch: Group = async ({ runs, progress }) => {
  const perInput = await hundred(Math.max(5, Math.round(runs / 100)), progress)
  return [...perInput, ...(await large(Math.max(5, Math.round(runs / 100)), progress))]
}

/** The time of one input, in microseconds. */
async function hundred(rounds: number, progress: (done: number, of: number) => void): Promise<Figure[]> {
  await using pool = await Pool.create()
  const bytes = await readFile(built('static'))
  using program = await seal(built('static'), { mode: 0o755 })
  const check = (outcomes: readonly { status: BatchOutcome['status'] }[]): void => {
    const failed = outcomes.find(({ status }) => status !== 'ok')
    if (failed !== undefined) throw new Error(`a batch: ${failed.status}`)
  }
  const perInput = async (all: () => Promise<readonly { status: BatchOutcome['status'] }[]>): Promise<number> =>
    (await timed(async () => check(await all()))) / INPUTS.length
  const copied = async (input: string): Promise<{ status: BatchOutcome['status'] }> =>
    await pool.use(async (master) => {
      await master.copyIn(bytes, 'program', { mode: 0o755 })
      return await master.run('./program', [], { input })
    })
  const cases: Case[] = [
    {
      name: '100 inputs: copyIn and run, of each in a pool',
      sample: () => perInput(() => Promise.all(INPUTS.map(copied))),
    },
    {
      name: '100 inputs: runMany of a sealed file',
      sample: () => perInput(() => pool.runMany('program', [], INPUTS, { execFile: program }).results),
    },
    {
      name: '100 inputs: runMany, files from a sealed file',
      sample: () => perInput(() => pool.runMany('./program', [], INPUTS, { files: { program } }).results),
    },
    {
      name: '100 inputs: runMany without reset',
      sample: () => perInput(() => pool.runMany('program', [], INPUTS, { execFile: program, reset: false }).results),
    },
  ]
  return await interleave(cases, rounds, progress)
}

/** A hundred megabytes that are in the page cache. */
async function large(rounds: number, progress: (done: number, of: number) => void): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), 'hotcell-bench-'))
  try {
    const path = join(folder, 'large')
    await writeFile(path, Buffer.alloc(LARGE_BYTES, 'hotcell'))
    await using master = await Master.create({ tmpfs: { sizeBytes: 3 * LARGE_BYTES } })
    await using other = await Master.create({ tmpfs: { sizeBytes: 3 * LARGE_BYTES } })
    await other.copyIn(path, 'source')
    const copy = async (work: () => Promise<unknown>): Promise<number> => {
      const time = await timed(work)
      await master.delete('copy')
      return time
    }
    const cases: Case[] = [
      {
        name: '100 MB: copyIn of a stream of 1 MiB chunks',
        sample: () => copy(() => master.copyIn(createReadStream(path, { highWaterMark: 1024 * 1024 }), 'copy')),
      },
      { name: '100 MB: copyIn of a path', sample: () => copy(() => master.copyIn(path, 'copy')) },
      {
        name: '100 MB: copyOut, and copyIn of the Buffer',
        sample: () =>
          copy(async () => {
            const bytes = await other.copyOut('source', { maxBytes: LARGE_BYTES })
            await master.copyIn(bytes, 'copy')
          }),
      },
      {
        name: '100 MB: copyIn of an open file of another container',
        sample: () =>
          copy(async () => {
            await using file = await other.open('source')
            await master.copyIn(file, 'copy')
          }),
      },
    ]
    return await interleave(cases, rounds, progress)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
