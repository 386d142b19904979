// What .ci/run runs, in this order. Every check goes on after another one has failed; the last line sums all of them up,
// each check counting as one, the tests of ava and of cargo as themselves.

import { spawn } from 'node:child_process'
import { stripVTControlCharacters } from 'node:util'
import { ensureBuilt, root, tsc } from './ensure-built.mjs'
import { bold, closeSoonAfterExit, dim, duration, fail, green, red, say, yellow } from './steps.mjs'

const node = process.execPath
const bin = (name) => `node_modules/.bin/${name}`

/** The line that scripts/test.mjs and its like end with. */
function lastSum(output) {
  const sums = [...output.matchAll(/^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/gm)]
  const last = sums.at(-1)
  return last && { passed: Number(last[1]), failed: Number(last[2]), skipped: Number(last[3] ?? 0) }
}

/** cargo prints one such line for each test binary and each crate's documentation. */
function cargoSum(output) {
  const sum = { passed: 0, failed: 0, skipped: 0 }
  for (const [, passed, failed, ignored] of output.matchAll(
    /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm,
  )) {
    sum.passed += Number(passed)
    sum.failed += Number(failed)
    sum.skipped += Number(ignored)
  }
  return sum.passed + sum.failed > 0 ? sum : undefined
}

/**
 * The names of cargo's tests that failed, if nothing else is wrong, and how they are run once more, by themselves if `command` is given their
 * names: what passes then was unsteady.
 */
const cargoAgain =
  (command, byName) =>
  (output, { failed }) => {
    const names = [...output.matchAll(/^test (\S+)(?: - should panic)? \.\.\. FAILED$/gm)].map(([, name]) => name)
    if (names.length === 0 || names.length !== failed) return undefined
    return { names, run: byName ? [...command, '--', '--exact', ...names] : command, least: byName ? names.length : 1 }
  }

const cargoTest = ['cargo', 'test', '--workspace', '--no-fail-fast']
const machineTest = [node, 'scripts/vm-cargo-test.mjs']

const checks = [
  { name: 'npm test', run: [node, 'scripts/test.mjs'], count: lastSum },
  { name: 'oxlint', run: [bin('oxlint'), '--deny-warnings'] },
  { name: 'prettier', run: [bin('prettier'), '--check', '.'] },
  { name: 'taplo', run: [bin('taplo'), 'format', '--check'] },
  { name: 'rustfmt', run: ['cargo', 'fmt', '--all', '--check'] },
  { name: 'tsc, tests and examples too', run: [node, tsc, '--noEmit'] },
  { name: 'clippy', run: ['cargo', 'clippy', '--workspace', '--all-targets', '--', '-D', 'warnings'] },
  { name: 'cargo test', run: cargoTest, count: cargoSum, again: cargoAgain(cargoTest, true) },
  { name: 'cgroup v2 in a virtual machine', run: machineTest, count: lastSum, again: cargoAgain(machineTest, false) },
  { name: 'examples in the documentation', run: [node, 'scripts/check-docs.mjs'], count: lastSum },
  { name: 'API reference', run: ['npm', 'run', 'docs'] },
  { name: 'the packed package', run: [node, 'scripts/check-package.mjs'], count: lastSum },
  { name: 'musl', run: [node, 'scripts/check-musl.mjs'], count: lastSum },
  { name: 'the addon of a release', run: [node, 'scripts/build-release.mjs', '--if-possible'], count: lastSum },
  { name: 'workflows', run: [node, 'scripts/check-workflows.mjs'], count: lastSum },
]

/** Shows the output as it comes, and resolves to it. */
function run([file, ...args]) {
  return new Promise((resolve) => {
    const child = closeSoonAfterExit(spawn(file, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] }))
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8')
      stream.on('data', (chunk) => {
        output += chunk
        process.stderr.write(chunk)
      })
    }
    child.on('error', (error) => resolve({ output: error.message, failure: error.message }))
    child.on('close', (code, signal) =>
      resolve({
        output: stripVTControlCharacters(output),
        failure: code === 0 ? undefined : (signal ?? `exit code ${code}`),
      }),
    )
  })
}

/** Resolves to the counts of a check, and to what of its output belongs at the end: a long log may be kept by its end only. */
async function carryOut({ name, run: command, count, again }) {
  const { output, failure } = await run(command)
  const sum = count?.(output) ?? { passed: failure === undefined ? 1 : 0, failed: 0, skipped: 0 }
  if (failure === undefined) {
    const unsteady = output.search(/^unsteady, /m)
    return { sum, remark: unsteady === -1 ? undefined : output.slice(unsteady).trimEnd() }
  }
  const repeat = again?.(output, sum)
  if (repeat !== undefined) {
    const names = repeat.names.join(' ')
    say(yellow(`once more: ${names}`))
    const second = await run(repeat.run)
    if (second.failure === undefined && (count(second.output)?.passed ?? 0) >= repeat.least) {
      return {
        sum: { ...sum, passed: sum.passed + sum.failed, failed: 0 },
        remark: `unsteady, failed and passed: ${names}`,
      }
    }
  }
  // A tool that fails without having counted a failure is one failure.
  const lines = output.trimEnd().split('\n').slice(-60)
  return { sum: { ...sum, failed: Math.max(sum.failed, 1) }, remark: `the end of ${name}:\n${lines.join('\n')}` }
}

async function main() {
  const began = performance.now()
  await ensureBuilt()

  const only = process.argv.slice(2)
  const lines = []
  const remarks = []
  const total = { passed: 0, failed: 0, skipped: 0 }
  for (const check of checks) {
    if (only.length > 0 && !only.some((word) => check.name.includes(word))) continue
    say(bold(`\n── ${check.name}`))
    const checkBegan = performance.now()
    const { sum, remark } = await carryOut(check)
    if (remark !== undefined) remarks.push(remark)
    for (const key of Object.keys(total)) total[key] += sum[key]
    const mark = sum.failed > 0 ? red('✗') : sum.passed > 0 ? green('✓') : yellow('-')
    const counts =
      check.count === undefined ? '' : `${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped  `
    lines.push(`${mark} ${check.name.padEnd(32)} ${counts}${dim(duration(performance.now() - checkBegan))}`)
    say(lines.at(-1))
  }

  if (remarks.length > 0) say(`\n${remarks.join('\n\n')}`)
  say(`\n${bold('sum')}  ${dim(duration(performance.now() - began))}\n${lines.join('\n')}\n`)
  if (total.failed > 0 || total.passed === 0) process.exitCode = 1
  process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`)
}

await main().catch((error) => {
  fail(error)
  process.stdout.write('0 passed, 1 failed, 0 skipped\n')
})
