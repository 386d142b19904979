// `npm run bench`: builds what is measured and what it is measured against, then runs bench/main.ts.

import { mkdirSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ensureBuilt, root } from './ensure-built.mjs'
import { StepError, command, fail, foreground, step } from './steps.mjs'

const target = resolve(root, process.env.CARGO_TARGET_DIR ?? 'target')
const built = join(target, 'release')

const mtime = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0

async function compileStatic(name) {
  const source = join(root, 'bench', 'programs', `${name}.c`)
  const output = join(built, name)
  if (mtime(output) > mtime(source)) return
  await step(`compiling ${name}.c`, async () => {
    try {
      await command('cc', ['-O2', '-static', '-pthread', '-o', output, source])
    } catch (error) {
      throw new StepError(
        `${error.message}\n\nThe benchmark needs a C compiler and a static C library (libc6-dev, glibc-static).`,
      )
    }
  })
}

try {
  await ensureBuilt()
  await step('building the floor', async (show) => {
    await command('cargo', ['build', '--release', '--package', 'hotcell-bench-floor'], { cwd: root, show })
  })
  mkdirSync(built, { recursive: true })
  for (const name of ['static', 'make-files', 'account', 'burn', 'calls']) await compileStatic(name)
  process.exitCode = await foreground(
    process.execPath,
    ['--import=@oxc-node/core/register', join(root, 'bench', 'main.ts'), ...process.argv.slice(2)],
    { cwd: root, env: { ...process.env, HOTCELL_BENCH_BUILT: built } },
  )
} catch (error) {
  fail(error)
}
