// `npm test`: the TypeScript suite, under every identity that can be had (test-modes.mjs).
//
//   npm test                                    everything
//   npm test -- --mode root,rootless            some identities
//   npm test -- __test__/open.test.ts           some files; further arguments go to ava (--match, --serial, …)
//
// HOTCELL_EXPECT=userns,newuidmap,… turns the absence of a feature, which skips tests, into a failure.
// The last line is the sum of all modes.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { ensureBuilt } from './ensure-built.mjs'
import { bold, closeSoonAfterExit, dim, duration, fail, green, red, say, yellow } from './steps.mjs'
import { TapReader } from './tap.mjs'
import { testModes } from './test-modes.mjs'

/** Runs ava once; resolves to the counts, a crash of ava itself being one more failure. */
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
      // vm-test.sh: there is no machine to be had.
      if (code === 77 && reader.passed + reader.failed === 0) {
        const promised = (process.env.HOTCELL_EXPECT ?? '').split(',').includes('vm')
        const skipped = promised ? [] : [`mode ${name}: no virtual machine`]
        resolve({ name, passed: 0, failed: promised ? 1 : 0, skipped })
        return
      }
      const crashed = code !== 0 && reader.failed === 0
      if (crashed) say(red(`  ✗ ava ended with ${signal ?? `exit code ${code}`}`))
      resolve({ name, passed: reader.passed, failed: reader.failed + (crashed ? 1 : 0), skipped: reader.skipped })
    })
  })
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
    if (only !== undefined && !only.includes(mode.name)) continue
    say(bold(`\n${mode.name}`))
    if (mode.skip !== undefined) {
      const promised = expected.has('newuidmap')
      say(`  ${promised ? red('✗') : yellow('-')} ${mode.skip}`)
      results.push({
        name: mode.name,
        passed: 0,
        failed: promised ? 1 : 0,
        skipped: promised ? [] : [`mode ${mode.name}: ${mode.skip}`],
      })
      continue
    }
    const files = filtered ? [] : (mode.files ?? [])
    const began = performance.now()
    const result = await runAva(mode.prepare(), mode.name, [...rest, ...files])
    results.push({ ...result, ms: performance.now() - began })
  }

  say('')
  for (const { name, passed, failed, skipped, ms } of results) {
    const mark = failed > 0 ? red('✗') : passed > 0 ? green('✓') : yellow('-')
    const time = ms === undefined ? '' : dim(duration(ms))
    say(`${mark} ${name.padEnd(16)} ${passed} passed, ${failed} failed, ${skipped.length} skipped  ${time}`)
  }
  const skipped = results.flatMap(({ name, skipped: titles }) => titles.map((title) => `${name} › ${title}`))
  if (skipped.length > 0) say(`\nskipped:\n${skipped.map((title) => `  ${title}`).join('\n')}`)

  const sum = (key) => results.reduce((total, result) => total + result[key], 0)
  const passed = sum('passed')
  const failed = sum('failed')
  // A run that tested nothing has proved nothing.
  if (failed > 0 || passed === 0) process.exitCode = 1
  process.stdout.write(`\n${passed} passed, ${failed} failed, ${skipped.length} skipped\n`)
}

await main().catch(fail)
