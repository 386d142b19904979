// examples/judge: its verdicts on submissions of every kind, and what it makes of being interrupted.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { Judge, type Report } from '../examples/judge/judge.js'
import { languageOf } from '../examples/judge/languages.js'
import { readProblem, type Problem } from '../examples/judge/problem.js'
import { isAlive, livingDescendantsOf } from './support/counters.js'
import { mode } from './support/mode.js'
import { root } from './support/node.js'
import { inContainer, requires } from './support/requires.js'
import { text } from './support/streams.js'
import { until, within } from './support/waiting.js'

const folder = new URL('../examples/judge/problems/inversions/', import.meta.url)
const program = fileURLToPath(new URL('../examples/judge/main.ts', import.meta.url))
/** A loaded machine takes its time to start Node. */
const START_MS = 100_000
const cpp = requires('g++', inContainer('g++'))
const python = requires('python3', inContainer('python3'))

/** As far as it does not depend on how fast the machine is: the verdict, the test that decided, the remark. */
type Expected = [verdict: string, decidedBy: string | undefined, remark?: RegExp]

async function judged(names: string[], change: Partial<Problem> = {}): Promise<Map<string, Report>> {
  const problem = { ...(await readProblem(fileURLToPath(folder))), ...change }
  await using judge = await Judge.create({ userNamespace: mode !== 'degraded' })
  const reports = names.map(async (name): Promise<[string, Report]> => {
    const source = await readFile(new URL(`submissions/${name}`, folder))
    return [name, await judge.submit(problem, { language: languageOf(extname(name)), source })]
  })
  return new Map(await Promise.all(reports))
}

// Loaded machines run programs at a fraction of their speed, and with less of a cache.
const PATIENT = { timeLimitMs: 20_000 }

cpp('C++: each submission gets its verdict', async (t) => {
  const expected: Record<string, Expected> = {
    'accepted.cpp': ['accepted', undefined],
    'overflow.cpp': ['wrong answer', '5-many'],
    'hungry.cpp': ['memory limit', '1-sample'],
    'chatty.cpp': ['output limit', '1-sample', /^stdout$/],
    'crash.cpp': ['runtime error', '1-sample', /^SIGSEGV$/],
    'endless-include.cpp': ['compile error', undefined, /limit|time/],
  }
  const reports = await judged(Object.keys(expected), PATIENT)
  for (const [name, [verdict, decidedBy, remark = /^$/]] of Object.entries(expected)) {
    const report = reports.get(name) as Report
    t.like(report, { verdict, decidedBy }, name)
    t.regex(report.remark, remark, name)
  }
  const accepted = reports.get('accepted.cpp') as Report
  t.deepEqual(
    accepted.tests.map(({ test: name }) => name),
    ['1-sample', '2-one', '3-equal', '4-random', '5-many'],
  )
  t.true(accepted.tests.every(({ verdict }) => verdict === 'accepted'))
  t.true(accepted.cpuTimeMs > 0 && accepted.memoryBytes > 0)
})

python('Python: each submission gets its verdict', async (t) => {
  const expected: Record<string, Expected> = {
    'accepted.py': ['accepted', undefined],
    'bomb.py': ['forbidden', '1-sample', /^(clone|fork)/],
    'shell.py': ['forbidden', '1-sample', /^(clone|v?fork|execve)/],
    'phone-home.py': ['runtime error', '1-sample', /^exit code 1$/],
  }
  const reports = await judged(Object.keys(expected), PATIENT)
  for (const [name, [verdict, decidedBy, remark = /^$/]] of Object.entries(expected)) {
    const report = reports.get(name) as Report
    t.like(report, { verdict, decidedBy }, name)
    t.regex(report.remark, remark, name)
  }
})

python('time that is used up, and time that passes', async (t) => {
  const reports = await judged(['quadratic.py', 'sleeper.py'], { timeLimitMs: 2_000 })
  // On a machine with too much to do the wall time may be over before the CPU time is.
  t.like(reports.get('quadratic.py'), { verdict: 'time limit', decidedBy: '5-many' })
  t.like(reports.get('sleeper.py'), { verdict: 'time limit', decidedBy: '1-sample', remark: 'wall time' })
})

test('a language that nobody knows', (t) => {
  t.throws(() => languageOf('.cob'), { message: /'\.cob'.*\.cpp/ })
})

python('the command prints a table, or JSON', async (t) => {
  const submissions = ['accepted.py', 'phone-home.py'].map((name) =>
    fileURLToPath(new URL(`submissions/${name}`, folder)),
  )
  const run = async (...args: string[]): Promise<string> => {
    const child = spawn(process.execPath, ['--import=@oxc-node/core/register', program, ...args], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exited = once(child, 'exit')
    const said = await within(text(child.stdout), 'its output', START_MS)
    t.deepEqual(await exited, [0, null])
    return said
  }
  t.regex(
    await run(fileURLToPath(folder), ...submissions),
    /accepted\.py +Python +(accepted|time limit)[^]*phone-home\.py +Python/,
  )
  const lines = (await run('--json', fileURLToPath(folder), ...submissions)).trim().split('\n')
  t.deepEqual(
    lines.map((line) => (JSON.parse(line) as { submission: string }).submission),
    ['accepted.py', 'phone-home.py'],
  )
})

python('interrupted, it ends with all that it started', async (t) => {
  const sleeper = fileURLToPath(new URL('submissions/sleeper.py', folder))
  const child = spawn(process.execPath, ['--import=@oxc-node/core/register', program, fileURLToPath(folder), sleeper], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  const processes = (): number[] => livingDescendantsOf(child.pid as number)
  // The launcher, the inits of a pool, and a program.
  await until(() => processes().length > 2, 'containers', START_MS)
  const all = processes()
  child.kill('SIGINT')
  t.deepEqual(await within(exited, 'its end', START_MS), [130, null])
  await until(() => all.every((pid) => !isAlive(pid)), 'the end of its containers')
})
