// The anonymous memory of an init that has nothing to do: pages that no other process shares with it by the image.

import { readFile } from 'node:fs/promises'
import { Master } from 'hotcell'
import type { Group } from './context.js'
import { figure } from './sample.js'

const CONTAINERS = 20

async function kilobytes(path: string, field: string): Promise<number | undefined> {
  try {
    const found = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(await readFile(path, 'utf8'))
    return found === null ? undefined : Number(found[1])
  } catch {
    // smaps_rollup of a process that is not dumpable is for root only.
    return undefined
  }
}

export const memory: Group = async ({ progress }) => {
  const masters: Master[] = []
  const anonymous: number[] = []
  const proportional: number[] = []
  try {
    for (let i = 0; i < CONTAINERS; i++) {
      progress(i, CONTAINERS)
      const master = await Master.create()
      masters.push(master)
      await master.execve({ args: ['/bin/true'] })
      await master.ping()
    }
    for (const { pid } of masters) {
      const anon = await kilobytes(`/proc/${pid}/status`, 'RssAnon')
      const pss = await kilobytes(`/proc/${pid}/smaps_rollup`, 'Pss')
      if (anon !== undefined) anonymous.push(anon * 1024)
      if (pss !== undefined) proportional.push(pss * 1024)
    }
  } finally {
    await Promise.all(masters.map((master) => master.destroy()))
  }
  const figures = [figure('idle init, anonymous memory', 'bytes', anonymous)]
  if (proportional.length > 0) figures.push(figure(`idle init, PSS of ${CONTAINERS}`, 'bytes', proportional))
  return figures
}
