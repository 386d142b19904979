// `npm test`: the TypeScript suite, under every identity that can be had (test-modes.mjs).
//
//   npm test                                    everything, but for the modes that take longer
//   npm test -- --mode root,rootless            some identities, or longer modes
//   npm test -- __test__/open.test.ts           some files; further arguments go to ava (--match, --serial, …)
//
// HOTCELL_EXPECT=userns,newuidmap,… turns the absence of a feature, which skips tests, into a failure.
//
// A test that failed is run once more, with its file and nothing beside it. One that passes then is unsteady: it is named as
// such at the end, to be mended, and counts as passed. HOTCELL_AGAIN=0 makes it a failure, as does naming files.
//
// The last line is the sum of all modes.

import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ensureBuilt, root } from './ensure-built.mjs'
import { bold, closeSoonAfterExit, dim, duration, fail, green, red, say, yellow } from './steps.mjs'
import { TapReader } from './tap.mjs'
import { testModes } from './test-modes.mjs'

/** Runs ava once; resolves to what became of the tests, a crash of ava itself being one more failure. */
function runAva({ command, args, cwd, env, ...identity }, name, avaArguments) {
  return new Promise((resolve, reject) => {
    const reader = new TapReader(name)
    const ava = join(cwd, 'node_modules', 'ava', 'entrypoints', 'cli.mjs')
    const child = closeSoonAfterExit(
      spawn(command, [...args, ava, '--tap', ...avaArguments], {
        cwd,
        env: { ...process.env, HOTCELL_TEST_MODE: name, ...env },
        stdio: ['ignore', 'pipe', 'inherit'],
        ...identity,
      }),
    )
    child.stdout.setEncoding('utf8')
    child.stdout.on('data', (chunk) => reader.write(chunk))
    child.on('error', reject)
    child.on('close', (code, signal) => {
      reader.end()
      // vm-test.sh, vm-qemu-test.sh: there is no machine to be had.
      const { passed, failures, skipped } = reader
      if (code === 77 && passed + failures.length === 0) {
        const promised = (process.env.HOTCELL_EXPECT ?? '').split(',').includes('vm')
        resolve({ passed: 0, ...absent(name, 'no virtual machine', promised) })
        return
      }
      if (code !== 0 && failures.length === 0) {
        failures.push({ title: `ava ended with ${signal ?? `exit code ${code}`}`, lines: [] })
        say(red(`  ✗ ${failures[0].title}`))
      }
      resolve({ passed, failures, skipped })
    })
  })
}

/** What a mode that can't be had counts as: skipped, unless the machine was promised to have it. */
function absent(name, reason, promised) {
  const title = `mode ${name}: ${reason}`
  return promised ? { failures: [{ title, lines: [] }], skipped: [] } : { failures: [], skipped: [title] }
}

/** Runs the files of what failed once more. What passes now was unsteady; what isn't run again stays a failure. */
async function runAgain(identity, name, { passed, failures, skipped }) {
  const unchanged = { passed, failures, skipped, unsteady: [] }
  // A title begins with the name of its file.
  const stems = [...new Set(failures.map(({ title }) => title.split(' › ')[0]))]
  const files = stems.map((stem) => `__test__/${stem}.test.ts`)
  if (files.length === 0 || !files.every((file) => existsSync(join(root, file)))) return unchanged
  say(yellow(`  once more: ${files.join(' ')}`))
  const second = await runAva(identity, name, ['--serial', ...files])
  // That something crashed tells of no test.
  if (second.passed === 0) return unchanged
  // Except where there is but one.
  const again = new Set(second.failures.map(({ title }) => (stems.length === 1 ? `${stems[0]} › ${title}` : title)))
  const steady = failures.filter(({ title }) => again.has(title))
  const unsteady = failures.filter(({ title }) => !again.has(title))
  return { passed: passed + unsteady.length, failures: steady, skipped, unsteady }
}

function parseArguments(argv) {
  const at = argv.indexOf('--mode')
  const only = at === -1 ? undefined : argv[at + 1]?.split(',')
  const rest = at === -1 ? argv : argv.toSpliced(at, 2)
  return { only, rest, filtered: rest.some((argument) => !argument.startsWith('-')) }
}

async function main() {
  await ensureBuilt()
  const { only, rest, filtered } = parseArguments(process.argv.slice(2))
  const expected = new Set((process.env.HOTCELL_EXPECT ?? '').split(',').filter(Boolean))

  const results = []
  for (const mode of testModes()) {
    if (only === undefined ? mode.longer : !only.includes(mode.name)) continue
    say(bold(`\n${mode.name}`))
    if (mode.skip !== undefined) {
      const promised = expected.has('newuidmap')
      say(`  ${promised ? red('✗') : yellow('-')} ${mode.skip}`)
      results.push({ name: mode.name, passed: 0, unsteady: [], ...absent(mode.name, mode.skip, promised) })
      continue
    }
    const files = filtered ? [] : (mode.files ?? [])
    const began = performance.now()
    const identity = mode.prepare()
    const first = await runAva(identity, mode.name, [...rest, ...files])
    const again = !filtered && process.env.HOTCELL_AGAIN !== '0'
    const result = again ? await runAgain(identity, mode.name, first) : { ...first, unsteady: [] }
    results.push({ name: mode.name, ...result, ms: performance.now() - began })
  }

  say('')
  for (const { name, passed, failures, skipped, ms } of results) {
    const mark = failures.length > 0 ? red('✗') : passed > 0 ? green('✓') : yellow('-')
    const time = ms === undefined ? '' : dim(duration(ms))
    say(`${mark} ${name.padEnd(16)} ${passed} passed, ${failures.length} failed, ${skipped.length} skipped  ${time}`)
  }
  const all = (key, write) => results.flatMap((result) => result[key].map((entry) => write(result.name, entry)))
  const skipped = all('skipped', (name, title) => `  ${name} › ${title}`)
  if (skipped.length > 0) say(`\nskipped:\n${skipped.join('\n')}`)
  const whole = (name, { title, lines }) =>
    [`  ${name} › ${title}`, ...lines.map((line) => dim(`  ${line}`))].join('\n')
  const unsteady = all('unsteady', whole)
  if (unsteady.length > 0) say(yellow(`\nunsteady, failed and passed:\n${unsteady.join('\n')}`))
  const failures = all('failures', whole)
  if (failures.length > 0) say(red(`\nfailed:\n${failures.join('\n')}`))

  const passed = results.reduce((total, result) => total + result.passed, 0)
  // A run that tested nothing has proved nothing.
  if (failures.length > 0 || passed === 0) process.exitCode = 1
  process.stdout.write(`\n${passed} passed, ${failures.length} failed, ${skipped.length} skipped\n`)
}

await main().catch(fail)
