// What tracing costs: a call that nobody asks about, under a supervisor that watches files; and each call of a full trace, beside strace(1) on this
// machine, if it is there.

import { spawnSync } from 'node:child_process'
import { Master, type RunOptions } from 'hotcell'
import { built, type Group } from './context.js'
import { interleave, type Case } from './sample.js'

const FEW = 100_000
const MANY = 1_000_000

export const trace: Group = async ({ runs, progress }) => {
  await using master = await Master.create()
  await master.copyIn(built('calls'), '/w/calls', { mode: 0o755 })
  // The program tells what its calls took, so what comes before and after them is no part of the figure.
  const run = async (count: number, options: RunOptions = {}): Promise<number> => {
    const result = await master.run('./calls', [String(count)], options)
    if (result.status !== 'ok') throw new Error(`calls: ${result.status}`)
    return Number(result.stdout)
  }
  const strace = (): Promise<number> => {
    const { stdout } = spawnSync('strace', ['-f', '-o', '/dev/null', built('calls'), String(FEW)], { encoding: 'utf8' })
    return Promise.resolve(Number(stdout))
  }
  const files = { read: ['/**'], write: ['/**'], execute: ['/**'] }
  const cases: Case[] = [
    { name: '1,000,000 getppid', sample: () => run(MANY) },
    { name: '1,000,000 getppid, files watched', sample: () => run(MANY, { trace: { files } }) },
    { name: '100,000 getppid, traced', sample: () => run(FEW, { trace: { syscalls: true } }) },
    { name: 'run of /bin/true, files watched', sample: () => timedTrue(master, { trace: { files } }) },
    { name: 'run of /bin/true', sample: () => timedTrue(master, {}) },
  ]
  if (spawnSync('strace', ['-V']).status === 0) cases.push({ name: '100,000 getppid under strace -f', sample: strace })
  return await interleave(cases, Math.min(runs, 20), progress)
}

async function timedTrue(master: Master, options: RunOptions): Promise<number> {
  const began = performance.now()
  const { status } = await master.run('/bin/true', [], options)
  if (status !== 'ok') throw new Error(`/bin/true: ${status}`)
  return (performance.now() - began) * 1000
}
