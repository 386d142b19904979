// What every group of figures is given.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import type { Figure } from './sample.js'

export interface Context {
  runs: number
  progress: (done: number, of: number) => void
}

/** A group: its figures, in the order in which they are shown. */
export type Group = (context: Context) => Promise<Figure[]>

/** A file that scripts/bench.mjs has built. */
export function built(name: string): string {
  const folder = process.env['HOTCELL_BENCH_BUILT']
  if (folder === undefined) throw new Error('start the benchmark with: npm run bench')
  return join(folder, name)
}

/** `child_process.spawn` without any pipe, until 'exit'. */
export function spawnOnHost(file: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, [], { stdio: 'ignore' })
    child.on('error', reject)
    child.on('exit', (code, signal) => (code === 0 ? resolve() : reject(new Error(`${file}: ${signal ?? code}`))))
  })
}
