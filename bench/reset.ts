// `reset` of a container that holds nothing, and of one that holds 10,000 files.

import { Master } from 'hotcell'
import { built, type Group } from './context.js'
import { figure, interleave, timed } from './sample.js'

const FILES = 10_000

export const reset: Group = async ({ runs, progress }) => {
  const tmpfs = { sizeBytes: 256 * 1024 * 1024, inodes: 4 * FILES }
  await using empty = await Master.create({ tmpfs })
  await using full = await Master.create({ tmpfs })

  // The kernel frees detached files after `reset` has been answered. Making the next ones takes longer than that, so that
  // the empty container, whose turn comes right after they are made, is not charged for the full one's.
  const withNone: number[] = []
  const figures = await interleave(
    [
      {
        name: `master.reset with ${FILES.toLocaleString('en')} files`,
        sample: async () => {
          await full.copyIn(built('make-files'), '/tmp/make-files', { mode: 0o755 })
          const made = await full.execve({ args: ['/tmp/make-files', String(FILES)] })
          if (made.status !== 'ok') throw new Error(`make-files: ${JSON.stringify(made)}`)
          withNone.push(await timed(() => empty.reset()))
          return await timed(() => full.reset())
        },
      },
    ],
    runs,
    progress,
  )
  return [figure('master.reset with no file', 'µs', withNone.slice(-runs)), ...figures]
}
