// An embedding process with a heap of a given size (see heap.ts). Answers each message with one sample in microseconds.

import { Master } from 'hotcell'
import { spawnOnHost } from './context.js'
import { timed } from './sample.js'

/** Arrays of doubles, 1 MB each: V8 keeps them in its own heap, and `fill` touches every page. */
const ballast: number[][] = []
const wanted = Number(process.argv[2]) * 1024 * 1024
while (process.memoryUsage().heapUsed < wanted) ballast.push(Array.from<number>({ length: 131_072 }).fill(1.5))

const master = await Master.create()

const samples: Record<string, () => Promise<number>> = {
  'Master.create': async () => {
    let made: Master | undefined
    const elapsed = await timed(async () => {
      made = await Master.create()
    })
    await made?.destroy()
    return elapsed
  },
  'master.execve of /bin/true': () => timed(() => master.execve({ args: ['/bin/true'] })),
  'child_process.spawn of /bin/true': () => timed(() => spawnOnHost('/bin/true')),
}

process.on('message', (what: string) => {
  const sample = samples[what] ?? (() => Promise.reject(new Error(`no such sample: ${what}`)))
  sample().then(
    (elapsed) => process.send?.(elapsed),
    (error: unknown) => process.send?.(String(error)),
  )
})
process.on('disconnect', () => {
  ballast.length = 0
  void master.destroy()
})
process.send?.(0)
