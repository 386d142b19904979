// What a run is said to have used. Bounds are wide: they tell right from wrong, not fast from slow.
import test, { type ExecutionContext } from 'ava'
import type { Usage } from '../index.js'
import { install } from './support/compile.js'
import { createMaster } from './support/mode.js'

function plausible(t: ExecutionContext, usage: Usage): void {
  const { userTimeMs, systemTimeMs, cpuTimeMs, wallTimeMs, setupTimeMs, memoryBytes, accounting } = usage
  const figures = JSON.stringify(usage)
  for (const figure of [userTimeMs, systemTimeMs, cpuTimeMs, wallTimeMs, setupTimeMs, memoryBytes]) {
    t.true(Number.isFinite(figure) && figure >= 0, figures)
  }
  t.true(Math.abs(userTimeMs + systemTimeMs - cpuTimeMs) < 0.01, figures)
  t.true(wallTimeMs > 0, figures)
  t.true(setupTimeMs <= wallTimeMs, figures)
  t.true(memoryBytes > 0 && memoryBytes % 1024 === 0, figures)
  t.is(accounting, 'rusage')
}

test('figures of every kind of end are there, and fit together', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  for (const args of [['exit', '0'], ['exit', '1'], ['raise', '9'], ['seccomp'], ['compute', '20']] as const) {
    plausible(t, await master.execve({ args: ['./behave', ...args] }))
    plausible(t, await master.run('./behave', args))
    plausible(t, await master.spawn('./behave', args))
  }
})

test('CPU time is what the program computed, in user mode', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const result = await master.execve({ args: ['./behave', 'compute', '300'] })
  plausible(t, result)
  t.is(result.status, 'ok')
  // The program looks at its own clock, which started with it.
  t.true(result.cpuTimeMs >= 295 && result.cpuTimeMs < 450, String(result.cpuTimeMs))
  t.true(result.wallTimeMs >= 295, String(result.wallTimeMs))
})

test('CPU time of children that were waited for counts, waiting does not', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const children = await master.execve({ args: ['/bin/sh', '-c', './behave compute 100; ./behave compute 100'] })
  t.true(children.cpuTimeMs >= 195 && children.cpuTimeMs < 400, String(children.cpuTimeMs))
  const waiting = await master.execve({ args: ['sleep', '0.3'] })
  t.true(waiting.cpuTimeMs < 100, String(waiting.cpuTimeMs))
  t.true(waiting.wallTimeMs >= 300, String(waiting.wallTimeMs))
})

test('memory grows with what is allocated', async (t) => {
  const master = await createMaster(t)
  await install(master, 'behave')
  const MB = 1024 * 1024
  const used = async (bytes: number): Promise<number> =>
    (await master.execve({ args: ['./behave', 'allocate', String(bytes)] })).memoryBytes
  const [little, some, much] = [await used(4096), await used(16 * MB), await used(64 * MB)]
  t.true(little < 8 * MB, String(little))
  t.true(some >= 16 * MB && some < 24 * MB, String(some))
  t.true(much >= 64 * MB && much < 72 * MB, String(much))
  // It is each run's own, not the highest so far.
  t.true((await used(4096)) < 8 * MB)
})
