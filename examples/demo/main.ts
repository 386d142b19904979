// `npm run demo`: a tiny online judge.
//
// The same two small programs in C, C++ and Python are compiled in one container and run in another, against real inputs,
// beside the same binaries started by `child_process.spawn` without any sandbox. Then programs that misbehave.
//
// Two containers, because a container is one domain of trust: what a submission does while it runs must not reach the
// compiler of the next one.

import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { AbortError, Master, SeccompPolicy, type RunOptions, type Usage } from 'hotcell'
import { bold, bytes, cyan, dim, green, milliseconds, red, status, table, yellow } from '../terminal.js'
import { compile, findTools, type Executable } from './compile.js'
import { Host, median } from './host.js'
import { judge, verdict } from './judge.js'

const { values: options } = parseArgs({ options: { runs: { type: 'string', default: '15' } } })
const runs = Math.max(1, Number(options.runs) || 15)

const here = (name: string) => new URL(name, import.meta.url)
const say = (line = '') => {
  status('')
  process.stdout.write(`${line}\n`)
}
const done = (what: string, ms: number, note = '') =>
  say(`  ${green('✓')} ${what.padEnd(34)} ${milliseconds(ms).padStart(9)}  ${dim(note)}`)

say(`\n${bold('hotcell')}  the same programs, inside of a container and outside\n`)

// ── two containers ───────────────────────────────────────────────────────────
let began = performance.now()
await using workshop = await Master.create()
done('a container to compile in', performance.now() - began, `pid ${workshop.pid}; the first one starts the launcher`)
began = performance.now()
await using cell = await Master.create()
done('a container to run in', performance.now() - began, `pid ${cell.pid}`)

// ── compilers, from inside ───────────────────────────────────────────────────
const tools = await findTools(workshop)
const absent = ['gcc', 'g++', 'python3'].filter((name) => !tools.has(name))
if (absent.length > 0) {
  say(`  ${yellow('-')} not in the container's /usr: ${absent.join(', ')} ${dim('(apt-get install gcc g++ python3)')}`)
}

const executables: Executable[] = []
for (const program of ['words', 'queens']) {
  for (const [language, tool, extension] of [
    ['C', 'gcc', 'c'],
    ['C++', 'g++', 'cpp'],
    ['Python', 'python3', 'py'],
  ] as const) {
    const path = tools.get(tool)
    if (path === undefined) continue
    status(`  ${cyan('▸')} ${program}.${extension}`)
    began = performance.now()
    const executable = await compile(workshop, path, here(`programs/${program}.${extension}`), program, language)
    if (language !== 'Python') {
      done(`${tool} ${program}.${extension}`, performance.now() - began, bytes(executable.content.length))
    }
    executables.push(executable)
  }
}

// ── run them ─────────────────────────────────────────────────────────────────
const rows: string[][] = []
let wrong = 0
await using host = await Host.create()
for (const executable of executables) {
  const { program, language } = executable
  const input = await readFile(here(`input/${program === 'words' ? 'alice' : program}.txt`))
  const expected = await readFile(here(`expected/${program}.txt`), 'utf8')
  const inside: number[] = []
  const outside: number[] = []
  const judged = []

  await cell.copyIn(executable.content, executable.file, { mode: 0o755 })
  const copy = await host.copyIn(executable)
  // One inside, one outside, and again: what slows the machine down for a moment slows both.
  for (let i = 0; i < runs; i++) {
    status(`  ${cyan('▸')} ${program} in ${language}  ${i + 1}/${runs}`)
    began = performance.now()
    judged.push(await judge(cell, executable.command, input, expected))
    inside.push(performance.now() - began)
    began = performance.now()
    await host.run(copy, input)
    outside.push(performance.now() - began)
  }

  const failed = judged.find((one) => !one.accepted)
  if (failed !== undefined) wrong += 1
  const results = judged.map((one) => one.result)
  const [within, without] = [median(inside), median(outside)]
  rows.push([
    program,
    language,
    failed === undefined ? green('✓ accepted') : red(`✗ ${failed.verdict}`),
    milliseconds(median(results.map((result) => result.cpuTimeMs))),
    milliseconds(median(results.map((result) => result.wallTimeMs))),
    bytes(median(results.map((result) => result.memoryBytes))),
    milliseconds(within),
    milliseconds(without),
    within <= without ? green(`${(within / without).toFixed(2)} ×`) : `${(within / without).toFixed(2)} ×`,
  ])
}

say()
say(
  table(['program', 'language', 'verdict', 'cpu', 'wall', 'memory', 'hotcell', 'spawn', 'ratio'], rows, [
    'cpu',
    'wall',
    'memory',
    'hotcell',
    'spawn',
    'ratio',
  ]),
)
say(
  dim(
    `\n  Medians of ${runs} interleaved runs. cpu, wall, memory: the program's own. hotcell, spawn: from the call in\n` +
      '  JavaScript to the output in JavaScript, sandboxed by run() and unsandboxed by child_process.spawn.',
  ),
)

// ── programs that misbehave ──────────────────────────────────────────────────
say(`\n${bold('misbehaving')}\n`)
interface Misbehaviour {
  expected: string
  /** The same in the language of the shell, for where there is no compiler. */
  inShell?: string
  options?: Pick<RunOptions, 'limits' | 'seccomp'>
  /** What holds it. */
  by?: string
}
const gcc = tools.get('gcc')
const misbehaviours: Record<string, Misbehaviour> = {
  wrong: { expected: 'wrong answer', inShell: 'echo 4 24' },
  crash: { expected: 'killed by SIGSEGV', inShell: 'kill -SEGV $$' },
  'gives-up': { expected: 'exit code 3', inShell: 'echo this is too hard >&2; exit 3' },
  slow: {
    expected: 'time limit (cpu)',
    inShell: 'while :; do :; done',
    options: { limits: { cpuTimeMs: 200 } },
    by: 'cpuTimeMs: 200',
  },
  hungry: { expected: 'memory limit', options: { limits: { memoryBytes: 64_000_000 } }, by: 'memoryBytes: 64_000_000' },
  bomb: {
    expected: 'time limit (wall)',
    options: { limits: { processes: 32, wallTimeMs: 300 } },
    by: 'processes: 32, wallTimeMs: 300',
  },
  curious: {
    expected: 'disallowed: socket',
    options: { seccomp: SeccompPolicy.allowAll().kill('socket') },
    by: 'a SeccompPolicy',
  },
  endless: { expected: 'cancelled', inShell: "trap '' TERM INT; while :; do :; done" },
}
const patience = 500
const input = await readFile(here('input/queens.txt'))
const expected = await readFile(here('expected/queens.txt'), 'utf8')
const misbehaved: string[][] = []
for (const [program, { expected: verdictExpected, inShell, options: held, by }] of Object.entries(misbehaviours)) {
  if (gcc === undefined && inShell === undefined) continue
  status(`  ${cyan('▸')} ${program}`)
  let command: [string, ...string[]] = ['/bin/sh', '-c', inShell ?? '']
  if (gcc !== undefined) {
    const executable = await compile(workshop, gcc, here(`programs/${program}.c`), program, 'C')
    await cell.copyIn(executable.content, executable.file, { mode: 0o755 })
    command = executable.command
  }
  // The endless one is cancelled; the others end by themselves long before.
  const signal = AbortSignal.timeout(program === 'endless' ? patience : 60_000)
  began = performance.now()
  let answer: string
  let usage: Usage | undefined
  let note = by ?? ''
  try {
    const judged = await judge(cell, command, input, expected, { ...held, signal })
    answer = judged.verdict
    usage = judged.result
    note = judged.result.stderr.trim() || note
  } catch (error) {
    if (!(error instanceof AbortError)) throw error
    // Its processes are dead and reaped by now; what they had used until then is in the error.
    answer = 'cancelled'
    usage = error.result
    note = `AbortSignal after ${patience} ms, rejected after ${milliseconds(performance.now() - began)}`
  }
  const asExpected = answer === verdictExpected
  if (!asExpected) wrong += 1
  misbehaved.push([
    program,
    asExpected ? yellow(answer) : red(`${answer} (expected: ${verdictExpected})`),
    usage === undefined ? '' : milliseconds(usage.cpuTimeMs),
    usage === undefined ? '' : bytes(usage.memoryBytes),
    dim(note),
  ])
}
say(table(['program', 'verdict', 'cpu', 'memory', ''], misbehaved, ['cpu', 'memory']))

// ── and the container is as good as new ──────────────────────────────────────
say()
began = performance.now()
await cell.reset()
done('reset: /w and /tmp are empty again', performance.now() - began)
const after = await cell.run('/bin/sh', ['-c', 'ls -A /w /tmp | wc -w'])
say(`  ${green('✓')} the same container runs the next program: ${verdict(after)}\n`)

if (wrong > 0) {
  say(red(`  ${wrong} of the verdicts above are not what they should be.\n`))
  process.exitCode = 1
}
