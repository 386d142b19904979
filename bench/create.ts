// Making a container and taking it down again, and a round trip without a run.

import { Master } from 'hotcell'
import type { Group } from './context.js'
import { Floor } from './floor.js'
import { figure, interleave, timed } from './sample.js'

export const create: Group = async ({ runs, progress }) => {
  await using floor = new Floor()
  // The first container starts the launcher, once per process.
  await using first = await Master.create()
  await first.ping()

  const destroyed: number[] = []
  const figures = await interleave(
    [
      { name: 'floor: clone3+mounts+pivot_root', sample: () => floor.sample('create') },
      {
        name: 'Master.create',
        sample: async () => {
          let master: Master | undefined
          const elapsed = await timed(async () => {
            master = await Master.create()
          })
          destroyed.push(await timed(async () => await master?.destroy()))
          return elapsed
        },
      },
    ],
    runs,
    progress,
  )
  return [...figures, figure('master.destroy', 'µs', destroyed.slice(-runs))]
}

export const ping: Group = async ({ runs, progress }) => {
  await using master = await Master.create()
  return await interleave([{ name: 'master.ping', sample: () => timed(() => master.ping()) }], runs, progress)
}
