// Whether the figures of a run are true: programs that use a known amount, and what others say of it. The witnesses are
// getrusage(2), asked by the program itself before it ends, and /usr/bin/time, if it is there, around a run outside.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { Master, type Limits } from 'hotcell'
import { dim, green, red, table } from '../examples/terminal.js'
import { built, type Group } from './context.js'
import { figure, type Figure } from './sample.js'

const MB = 1024 * 1024
const TIME = '/usr/bin/time'
/** Each program is run as often, in turn with the others. */
const ROUNDS = 10

const programs: readonly (readonly [kind: 'cpu' | 'memory', verb: string, amount: number])[] = [
  ['cpu', 'cpu', 10],
  ['cpu', 'cpu', 100],
  ['cpu', 'cpu', 500],
  ['cpu', 'threads', 300],
  ['cpu', 'system', 200],
  ['memory', 'memory', 4 * MB],
  ['memory', 'memory', 64 * MB],
  ['memory', 'memory', 256 * MB],
]

/** What is allowed beside the share: 2 ms, and 1 MB. */
const TOLERANCE = { cpu: { share: 0.02, least: 2000 }, memory: { share: 0.03, least: 1_000_000 } }

const median = (values: readonly number[]): number => figure('', '', values).median
const shown = (kind: 'cpu' | 'memory', value: number): string =>
  kind === 'cpu' ? `${(value / 1000).toFixed(2)} ms` : `${(value / 1e6).toFixed(2)} MB`

/** What /usr/bin/time says: it counts CPU time in hundredths of a second, so only memory is of use. */
function outside(verb: string, amount: number): number | undefined {
  if (!existsSync(TIME)) return undefined
  const { stderr } = spawnSync(TIME, ['-f', '%M', built('account'), verb, String(amount)], { encoding: 'utf8' })
  return Number(stderr.trim()) * 1024
}

export const accuracy: Group = async ({ progress }) => {
  const rows: string[][] = []
  const worst = { cpu: 0, memory: 0 }
  const ways: readonly (readonly [string, Limits | undefined, false | undefined])[] = [
    ['cgroup', { cpuTimeMs: 60_000, memoryBytes: 1024 * MB, processes: 16 }, undefined],
    ['rusage', undefined, false],
  ]
  let done = 0
  for (const [way, limits, cgroup] of ways) {
    await using master = await Master.create(cgroup === false ? { cgroup } : {})
    await master.copyIn(built('account'), '/w/account', { mode: 0o755 })
    for (const [kind, verb, amount] of programs) {
      const [ours, itself, others]: number[][] = [[], [], []]
      let accounting = ''
      for (let round = 0; round < ROUNDS; round++) {
        progress(++done, ways.length * programs.length * ROUNDS)
        const result = await master.run('./account', [verb, String(amount)], { limits })
        if (result.status !== 'ok') throw new Error(`account ${verb} ${amount}: ${result.status}`)
        const [cpuUs = Number.NaN, maxRss = Number.NaN] = result.stdout.split(' ').map(Number)
        ours!.push(kind === 'cpu' ? result.cpuTimeMs * 1000 : result.memoryBytes)
        itself!.push(kind === 'cpu' ? cpuUs : maxRss)
        accounting = result.accounting
        const other = kind === 'memory' ? outside(verb, amount) : undefined
        if (other !== undefined) others!.push(other)
      }
      const [here, witness] = [median(ours!), median(itself!)]
      const { share, least } = TOLERANCE[kind]
      // 1 is as much as is allowed.
      const off = Math.abs(here - witness) / Math.max(share * witness, least)
      worst[kind] = Math.max(worst[kind], off)
      const known = kind === 'cpu' ? `${amount} ms` : `${amount / MB} MiB`
      rows.push([
        `${verb} ${known}`,
        accounting === way ? way : red(`${accounting} for want of ${way}`),
        shown(kind, here),
        shown(kind, witness),
        others!.length > 0 ? shown(kind, median(others!)) : dim('–'),
        `${((100 * (here - witness)) / witness).toFixed(2)} %`,
        off <= 1 ? green('✓') : red('✗'),
      ])
    }
  }
  const head = ['program', 'accounting', 'hotcell', 'getrusage', 'time', 'off', '']
  process.stdout.write(`\n${table(head, rows, ['hotcell', 'getrusage', 'time', 'off'])}\n`)
  process.stdout.write(dim('  allowed: 2 % or 2 ms of CPU time, 3 % or 1 MB of memory\n\n'))
  return (['cpu', 'memory'] as const).map((kind): Figure =>
    figure(`accuracy of ${kind}, share of what is allowed`, '', [worst[kind]]),
  )
}
