// A judge on the command line: builds submissions, runs them on all tests of a problem, and says what it thinks of them.
//
//   main.ts                                  the submissions that come with the sample problem
//   main.ts PROBLEM SUBMISSION…              these
//   main.ts --json …                         a line of JSON for each of them
//
// Its exit code says whether the judging went well, not whether the submissions did.

import { setMaxListeners } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { basename, extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { bytes, dim, green, milliseconds, red, status, table } from '../terminal.js'
import { Judge, type Report } from './judge.js'
import { languageOf, type Language } from './languages.js'
import { readProblem } from './problem.js'

const { values: options, positionals } = parseArgs({
  options: { json: { type: 'boolean', default: false } },
  allowPositionals: true,
})
const folder = positionals[0] ?? fileURLToPath(new URL('problems/inversions', import.meta.url))
const files = positionals.length > 1 ? positionals.slice(1) : await submissionsOf(folder)

async function submissionsOf(problem: string): Promise<string[]> {
  const names = await readdir(join(problem, 'submissions'))
  return names.sort().map((name) => join(problem, 'submissions', name))
}

const interrupted = new AbortController()
// Every submission listens to it.
setMaxListeners(0, interrupted.signal)
process.once('SIGINT', () => interrupted.abort(new Error('interrupted')))

const problem = await readProblem(folder)
const submissions = files.map((file) => ({ file, name: basename(file), language: languageOf(extname(file)) }))

await using judge = await Judge.create()
let judged = 0
const reports = await Promise.all(
  submissions.map(async ({ file, language }) => {
    const source = await readFile(file)
    const report = await judge.submit(problem, { language, source }, interrupted.signal)
    status(`${++judged} of ${submissions.length} judged`)
    return report
  }),
).catch((error: unknown) => {
  if (!interrupted.signal.aborted) throw error
  // The containers end with this process, and what runs in them too.
  process.exit(130)
})
status('')

for (const [index, { name }] of submissions.entries()) {
  if (options.json) process.stdout.write(`${JSON.stringify({ submission: name, ...reports[index] })}\n`)
}
if (!options.json) {
  const rows = submissions.map(({ name, language }, index) => row(name, language, reports[index] as Report))
  const head = ['submission', 'language', 'verdict', 'test', 'cpu', 'memory', '']
  process.stdout.write(`\n  ${problem.title}, ${problem.tests.length} tests\n\n`)
  process.stdout.write(`${table(head, rows, ['cpu', 'memory'])}\n\n`)
}

function row(name: string, language: Language, report: Report): string[] {
  const { verdict, decidedBy = '', cpuTimeMs, memoryBytes, remark, compilerOutput } = report
  const ran = report.tests.length > 0
  return [
    name,
    language.name,
    verdict === 'accepted' ? green(verdict) : red(verdict),
    decidedBy,
    ran ? milliseconds(cpuTimeMs) : '',
    ran ? bytes(memoryBytes) : '',
    dim(ran ? remark : [remark, compilerOutput.split('\n')[0]?.slice(0, 60)].filter(Boolean).join(': ')),
  ]
}
