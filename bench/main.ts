// `npm run bench`: the figures of hotcell, in one run, beside what the kernel alone and `child_process` take.
//
//   npm run bench                    all groups, 2,000 runs each: about a quarter of an hour
//   npm run bench -- exec ping       some groups
//   npm run bench -- --runs 200      fewer runs
//   npm run bench -- --check         exit code 1 when a bar is missed
//
// The figures also go to bench/results/latest.json.

import { mkdir, writeFile } from 'node:fs/promises'
import { cpus, release, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { bold, dim, green, milliseconds, red, status, table } from '../examples/terminal.js'
import { accuracy } from './accuracy.js'
import { hold } from './bars.js'
import { batch } from './batch.js'
import type { Group } from './context.js'
import { create, ping } from './create.js'
import { exec } from './exec.js'
import { heap } from './heap.js'
import { limits } from './limits.js'
import { memory } from './memory.js'
import { pools } from './pool.js'
import { reset } from './reset.js'
import type { Figure } from './sample.js'
import { seccomp } from './seccomp.js'
import { trace } from './trace.js'

const groups: Record<string, Group> = {
  exec,
  create,
  ping,
  reset,
  heap,
  memory,
  limits,
  seccomp,
  trace,
  accuracy,
  pool: pools,
  batch,
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: 'string', default: '2000' }, check: { type: 'boolean', default: false } },
})
const runs = Number(values.runs)
const unknown = positionals.filter((name) => !(name in groups))
if (!Number.isInteger(runs) || runs < 1 || unknown.length > 0) {
  process.stderr.write(`usage: npm run bench -- [${Object.keys(groups).join('|')}]… [--runs N] [--check]\n`)
  process.exit(2)
}

const say = (line = '') => {
  status('')
  process.stdout.write(`${line}\n`)
}

/** In the unit that reads well: the columns hold both a ping and a spawn of a process with a gigabyte of heap. */
function shown(value: number, unit: string): string {
  if (unit === '') return value.toFixed(2)
  if (unit === 'bytes') return `${(value / 1024).toFixed(0)} KiB`
  return value < 10_000 ? `${value.toFixed(value < 100 ? 1 : 0)} µs` : milliseconds(value / 1000)
}

/** What a figure is compared with: the floor and the spawn of its group that end in the same words. */
function ratio(of: Figure, figures: readonly Figure[], beginning: string): string {
  const isThroughput = of.name.includes(' at once')
  const [, subject] = /^(?:master\.execve|child_process\.spawn)(.*)$/.exec(of.name) ?? []
  const base = figures.find(
    ({ name }) =>
      name.startsWith(beginning) &&
      name.includes(' at once') === isThroughput &&
      (isThroughput || (subject === undefined ? of.name === 'Master.create' : name.endsWith(subject))) &&
      name !== of.name,
  )
  return base === undefined ? '' : `${(of.median / base.median).toFixed(2)} ×`
}

const machine = {
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  memoryBytes: totalmem(),
  kernel: release(),
  node: process.versions.node,
}
say(
  `\n${bold('hotcell bench')}  ${dim(`${machine.cores} × ${machine.cpu}, Linux ${machine.kernel}, Node ${machine.node}`)}`,
)
say(dim(`${runs} interleaved runs of each; medians\n`))

const measured: Record<string, Figure[]> = {}
const rows: (string[] | string)[] = []
const began = performance.now()
for (const [name, group] of Object.entries(groups)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue
  const groupBegan = performance.now()
  if (!process.stdout.isTTY) say(`  ${name} …`)
  let drawn = 0
  const figures = await group({
    runs,
    progress: (done, of) => {
      // A terminal is written to between samples, and seldom.
      if (performance.now() - drawn < 250) return
      drawn = performance.now()
      status(`  ${name}  ${done}/${of}`)
    },
  })
  measured[name] = figures
  for (const figure of figures) {
    rows.push([
      figure.name,
      shown(figure.median, figure.unit),
      shown(figure.p99, figure.unit),
      ratio(figure, figures, 'floor'),
      ratio(figure, figures, 'child_process.spawn'),
      dim(String(figure.samples)),
    ])
  }
  rows.push('')
  const took = `${((performance.now() - groupBegan) / 1000).toFixed(1)} s`
  if (!process.stdout.isTTY) say(`  ${name}: ${took}`)
}
status('')
say(
  table(['figure', 'median', 'p99', '÷ floor', '÷ spawn', 'runs'], rows, [
    'median',
    'p99',
    '÷ floor',
    '÷ spawn',
    'runs',
  ]),
)

const all = new Map(Object.values(measured).flatMap((figures) => figures.map((figure) => [figure.name, figure])))
const verdicts = hold(all)
if (verdicts.length > 0) {
  const number = (value: number, unit?: string) => (unit === undefined ? value.toFixed(2) : shown(value, unit))
  const barRows = verdicts.map(({ what, atMost, unit, value, met }) => [
    met ? green('✓') : red('✗'),
    what,
    number(value, unit),
    `≤ ${number(atMost, unit)}`,
  ])
  say(table(['', 'bar', 'here', 'at most'], barRows, ['here', 'at most']))
}

const results = new URL('results/', import.meta.url)
await mkdir(results, { recursive: true })
const report = {
  date: new Date().toISOString(),
  machine,
  runs,
  seconds: Math.round((performance.now() - began) / 1000),
  figures: measured,
  bars: verdicts,
}
await writeFile(new URL('latest.json', results), `${JSON.stringify(report, undefined, 2)}\n`)
say(dim(`\n  bench/results/latest.json  ${report.seconds} s`))

if (values.check && verdicts.some(({ met }) => !met)) process.exitCode = 1
