// The TypeScript in the documentation: each ```ts block of the files below is a program of its own; it is compiled
// against the built declarations and run. A block that cannot run as it stands is marked ```ts no-run, and only compiled.

import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync, existsSync, readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { ensureBuilt, root, tsc } from './ensure-built.mjs'
import { fail, green, red, say } from './steps.mjs'

function documents() {
  const docs = join(root, 'docs')
  const found = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md'].map((name) => join(root, name))
  if (existsSync(docs)) found.push(...readdirSync(docs).map((name) => join(docs, name)))
  return found.filter((path) => path.endsWith('.md') && existsSync(path))
}

function blocks(path) {
  const found = []
  const text = readFileSync(path, 'utf8')
  for (const match of text.matchAll(/^```ts( no-run)?\n(.*?)^```$/gms)) {
    const line = text.slice(0, match.index).split('\n').length
    found.push({ where: `${relative(root, path)}:${line}`, run: match[1] === undefined, code: match[2] })
  }
  return found
}

async function main() {
  await ensureBuilt()
  // Below the package, so that `hotcell` in them is this package.
  const folder = join(root, 'target', 'documentation-examples')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const config = {
    extends: relative(folder, join(root, 'tsconfig.json')),
    compilerOptions: { noEmit: true, rootDir: relative(folder, root), composite: false, noUnusedLocals: false },
    include: ['*.ts'],
    exclude: [],
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))

  let passed = 0
  let failed = 0
  const report = (what, { status, stdout, stderr }) => {
    if (status === 0) {
      passed += 1
      say(`  ${green('✓')} ${what}`)
    } else {
      failed += 1
      say(`  ${red('✗')} ${what}\n${stdout}${stderr}`)
    }
  }

  const all = documents().flatMap((path) => blocks(path))
  all.forEach((block, i) => {
    block.file = join(folder, `example-${i + 1}.ts`)
    // `export {}` makes a module of a block without imports, so that it may use top-level await.
    writeFileSync(block.file, `// ${block.where}\n${block.code}\nexport {}\n`)
  })
  if (all.length > 0) {
    const compiled = spawnSync(process.execPath, [tsc, '--project', folder], { encoding: 'utf8' })
    report(`${all.length} examples compile`, compiled)
  }
  for (const { where, run, file } of all) {
    if (!run) continue
    const args = ['--import=@oxc-node/core/register', file]
    report(`${where} runs`, spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8', timeout: 60_000 }))
  }

  if (failed > 0) process.exitCode = 1
  process.stdout.write(`${passed} passed, ${failed} failed, 0 skipped\n`)
}

await main().catch(fail)
