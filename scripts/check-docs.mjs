// The documentation, held against the package.
//
// Code: each ```ts block is a program of its own; it is compiled against the built declarations, and run. One that cannot
// run as it stands is marked ```ts no-run, and only compiled. What a program prints may stand below it, in a block of its
// own: ```text output; then that is what it has to print, where … stands for anything within a line, and a line that is
// nothing but … for any lines.
//
// ```json blocks have to be JSON. Links lead to files, and to headings in them, that exist. Codes of errors are those of
// src/errors.ts, and the names of guides are all in their index.
//
//   node scripts/check-docs.mjs                 everything
//   node scripts/check-docs.mjs docs/limits.md  the code of some documents

import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { ensureBuilt, root, tsc } from './ensure-built.mjs'
import { fail, green, red, say } from './steps.mjs'

const TIMEOUT_MS = 60_000
const FENCED = /^( *)```(\w*) ?([^\n]*)\n(.*?)^\1```$/gms

/** The API reference, where `npm run docs` has made it: typedoc copies guides into it, away from what they link to. */
const GENERATED = join(root, 'docs', 'api')

function documents() {
  const below = (folder) =>
    readdirSync(join(root, folder), { recursive: true })
      .filter((name) => name.endsWith('.md'))
      .map((name) => join(root, folder, name))
      .filter((path) => !path.startsWith(`${GENERATED}/`))
  const top = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md'].map((name) => join(root, name))
  const folders = ['docs', 'examples'].filter((name) => existsSync(join(root, name)))
  return [...top, ...folders.flatMap(below)].sort()
}

/** The fenced blocks of a document: `{ where, language, attribute, code }`. */
function blocks(path) {
  const text = readFileSync(path, 'utf8')
  return [...text.matchAll(FENCED)].map((match) => ({
    where: `${relative(root, path)}:${text.slice(0, match.index).split('\n').length}`,
    language: match[2],
    attribute: match[3],
    // That of a list is indented.
    code: match[4].replaceAll(new RegExp(`^${match[1]}`, 'gm'), ''),
  }))
}

/** The programs of a document, with what they are to print. */
function programs(path) {
  const all = blocks(path)
  return all.flatMap(({ where, language, attribute, code }, index) => {
    if (language !== 'ts') return []
    const next = all[index + 1]
    const output = next?.language === 'text' && next.attribute === 'output' ? next.code : undefined
    return [{ where, code, run: attribute !== 'no-run', output }]
  })
}

/** What is wrong with a document beside its code. */
function mistakes(path, codes) {
  const text = readFileSync(path, 'utf8')
  const here = relative(root, path)
  const found = []
  for (const { where, language, attribute, code } of blocks(path)) {
    if (language === 'json') {
      try {
        JSON.parse(code)
      } catch (error) {
        found.push(`${where}: ${error.message}`)
      }
    }
    if (language === 'ts' && !['', 'no-run'].includes(attribute)) found.push(`${where}: what is "ts ${attribute}"?`)
  }
  for (const [code] of text.matchAll(/ERR_HOTCELL_[A-Z_]*[A-Z]/g)) {
    if (!codes.has(code)) found.push(`${here}: there is no ${code} in src/errors.ts`)
  }
  const prose = text.replaceAll(FENCED, '').replaceAll(/`[^`\n]*`/g, '')
  for (const [, target] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^(https?|mailto):/.test(target)) continue
    const [file, heading] = target.split('#')
    const linked = file === '' ? path : resolve(dirname(path), file)
    if (!existsSync(linked)) found.push(`${here}: the link ${target} leads nowhere`)
    else if (heading !== undefined && !anchors(linked).has(heading)) {
      found.push(`${here}: the link ${target} leads to no heading`)
    }
  }
  return found
}

/** The headings of a document as GitHub makes anchors of them. */
function anchors(path) {
  const text = readFileSync(path, 'utf8').replaceAll(FENCED, '')
  const found = new Set()
  for (const [, heading] of text.matchAll(/^#+ (.*)$/gm)) {
    const anchor = heading
      .trim()
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-')
    let unique = anchor
    for (let number = 1; found.has(unique); number++) unique = `${anchor}-${number}`
    found.add(unique)
  }
  return found
}

/** Guides that the index does not name. */
function unlisted() {
  const index = join(root, 'docs', 'README.md')
  if (!existsSync(index)) return []
  const text = readFileSync(index, 'utf8')
  return readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md') && name !== 'README.md' && !text.includes(`](${name})`))
    .map((name) => `docs/README.md does not name ${name}`)
}

/** Whether a program printed what it says; … stands for anything. */
function prints(expected, printed) {
  const line = (text) => text.split('…').map(escape).join('[^\\n]*')
  const lines = expected.trimEnd().split('\n')
  const pattern = lines
    .map((text) => (text === '…' ? '(?:[^\\n]*\\n)*?' : `${line(text.trimEnd())}[ \\t]*\\n`))
    .join('')
  return new RegExp(`^${pattern}$`).test(`${printed.trimEnd()}\n`)
}

const escape = (text) => text.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')

/** Runs a program to its end. */
function execute(file) {
  return new Promise((done) => {
    const child = spawn(process.execPath, ['--import=@oxc-node/core/register', file], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: TIMEOUT_MS,
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (chunk) => (stdout += chunk))
    child.stderr.setEncoding('utf8').on('data', (chunk) => (stderr += chunk))
    child.on('error', (error) => done({ status: 1, stdout, stderr: error.message }))
    child.on('close', (status, signal) => done({ status, stdout, stderr: `${stderr}${signal ?? ''}` }))
  })
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
  const report = (what, problems) => {
    if (problems === '') {
      passed += 1
      say(`  ${green('✓')} ${what}`)
    } else {
      failed += 1
      say(`  ${red('✗')} ${what}\n${problems}`)
    }
  }

  const only = process.argv.slice(2).map((name) => resolve(name))
  const chosen = documents().filter((path) => only.length === 0 || only.includes(path))
  const codes = new Set(readFileSync(join(root, 'src', 'errors.ts'), 'utf8').match(/ERR_HOTCELL_[A-Z_]*[A-Z]/g))
  for (const path of chosen) report(relative(root, path), mistakes(path, codes).join('\n'))
  report('the index of the guides', unlisted().join('\n'))

  const all = chosen.flatMap((path) => programs(path))
  all.forEach((program, i) => {
    program.file = join(folder, `example-${i + 1}.ts`)
    // `export {}` makes a module of a block without imports, so that it may use top-level await.
    writeFileSync(program.file, `// ${program.where}\n${program.code}\nexport {}\n`)
  })
  if (all.length > 0) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, '--project', folder], { encoding: 'utf8' })
    report(`${all.length} programs compile`, status === 0 ? '' : `${stdout}${stderr}`)
  }
  const waiting = all.filter(({ run }) => run)
  const worker = async () => {
    for (let program = waiting.shift(); program !== undefined; program = waiting.shift()) {
      const { where, file, output } = program
      const { status, stdout, stderr } = await execute(file)
      if (status !== 0) report(`${where} runs`, `${stdout}${stderr}`)
      else if (output === undefined) report(`${where} runs`, '')
      else report(`${where} prints what it says`, prints(output, stdout) ? '' : stdout)
    }
  }
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, worker))

  if (failed > 0) process.exitCode = 1
  process.stdout.write(`${passed} passed, ${failed} failed, 0 skipped\n`)
}

await main().catch(fail)
