// An embedding process with a heap of a given size (see heap.ts). Answers each message with one sample in microseconds.

import { Master } from 'hotcell'
import { spawnOnHost } from './context.js'
import { timed } from './sample.js'

/** Small objects, as a server has them: V8 keeps them in pages of 256 kB, each of which is a mapping of its own. */
const ballast: object[] = []
const wanted = Number(process.argv[2]) * 1024 * 1024
while (process.memoryUsage().heapUsed < wanted) {
  for (let i = 0; i < 1000; i++) ballast.push(Array.from({ length: 30 }, (_, id) => ({ id, name: `${i} ${id}` })))
}

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
