// Makes the checkout runnable: dependencies, native binding, dist/. Does only what is out of date, and says what is
// missing on the machine and how to get it. Node's built-ins only: it runs before `npm ci` ever did.
//
//   node scripts/ensure-built.mjs            build what is older than its sources
//   node scripts/ensure-built.mjs --force    build everything
//   node scripts/ensure-built.mjs --debug    an unoptimised binding

import { copyFileSync, existsSync, readFileSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { missingRequirements } from './requirements.mjs'
import { StepError, command, fail, step } from './steps.mjs'

// Not import.meta.dirname: a Node that is too old for it must get as far as being told so.
export const root = fileURLToPath(new URL('..', import.meta.url))

/** Modification time of a file, or the newest one below a folder; 0 where there is nothing. */
function newest(path, keep = () => true) {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return 0
  if (!stat.isDirectory()) return keep(path) ? stat.mtimeMs : 0
  return Math.max(0, ...readdirSync(path).map((name) => newest(join(path, name), keep)))
}

const anyNewer = (output, ...sources) => {
  const built = newest(output)
  return built === 0 || sources.some((source) => source > built)
}

/** The file that `napi build --platform` writes here: hotcell.linux-x64-gnu.node. */
export function bindingFile() {
  const libc = process.report.getReport().header.glibcVersionRuntime === undefined ? 'musl' : 'gnu'
  return join(root, `hotcell.${process.platform}-${process.arch}-${libc}.node`)
}

/** True when node_modules holds what package-lock.json asks for. */
function dependenciesInstalled() {
  const installedLock = join(root, 'node_modules', '.package-lock.json')
  if (!existsSync(installedLock)) return false
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
  const installed = JSON.parse(readFileSync(installedLock, 'utf8')).packages
  return Object.entries(wanted).every(
    ([path, { version, optional }]) =>
      path === '' || (path in installed ? installed[path].version === version : optional === true),
  )
}

async function installDependencies(show) {
  // npm's own path when npm started this script, so that the same npm goes on.
  const npm = process.env.npm_execpath
  const [file, first] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []]
  try {
    await command(file, [...first, 'ci', '--loglevel=error', '--no-audit', '--no-fund'], { cwd: root, show })
  } catch (error) {
    throw new StepError(`${error.message}\n\nThe dependencies could not be installed: is the npm registry reachable?`)
  }
}

const cargoSources = () => {
  const keep = (path) => /\.(rs|toml|lock|c|h|S)$/.test(path)
  return [newest(join(root, 'crates'), keep), newest(join(root, 'Cargo.toml')), newest(join(root, 'Cargo.lock'))]
}

async function buildBinding(debug, show) {
  const napi = join(root, 'node_modules', '@napi-rs', 'cli', 'dist', 'cli.js')
  const args = ['build', '--platform', '--manifest-path', 'crates/node/Cargo.toml', '--output-dir', '.']
  args.push('--no-js', '--dts', 'binding.d.cts', '--no-const-enum')
  if (!debug) args.push('--release')
  await command(process.execPath, [napi, ...args], { cwd: root, show })
  touch(bindingFile(), join(root, 'binding.d.cts'))
}

async function buildDist(show) {
  const project = existsSync(join(root, 'tsconfig.build.json')) ? 'tsconfig.build.json' : 'tsconfig.json'
  // Starting afresh: a file that was removed from src/ must not live on in dist/.
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  await command(process.execPath, [tsc, '--project', project], { cwd: root, show })
  // What dist/src/binding.d.ts refers to, from there as from src/.
  copyFileSync(join(root, 'binding.d.cts'), join(root, 'dist', 'binding.d.cts'))
  touch(join(root, 'dist', 'index.js'))
}

export const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')

/** An output that a build tool left as it was is up to date all the same. */
function touch(...files) {
  const now = new Date()
  for (const file of files) if (existsSync(file)) utimesSync(file, now, now)
}

export async function ensureBuilt({ force = false, debug = false } = {}) {
  if (process.platform !== 'linux') throw new StepError(missingRequirements().join('\n\n'))

  const fresh = () => {
    const native = [bindingFile(), join(root, 'binding.d.cts')]
    const bindingStale = native.some((file) => anyNewer(file, ...cargoSources()))
    const distStale = anyNewer(
      join(root, 'dist', 'index.js'),
      newest(join(root, 'src')),
      newest(join(root, 'index.ts')),
      newest(join(root, 'tsconfig.json')),
      newest(join(root, 'tsconfig.build.json')),
      newest(join(root, 'binding.d.cts')),
    )
    return { bindingStale: force || bindingStale, distStale: force || distStale || bindingStale }
  }

  const before = fresh()
  const dependenciesStale = !dependenciesInstalled()
  if (!before.bindingStale && !before.distStale && !dependenciesStale) return

  const missing = missingRequirements()
  if (missing.length > 0) {
    throw new StepError(`hotcell cannot be built here yet. Missing:\n\n${missing.map((m) => `• ${m}`).join('\n\n')}`)
  }

  if (dependenciesStale) await step('installing the npm dependencies', installDependencies)
  if (before.bindingStale) {
    await step(`building the native binding (${debug ? 'debug' : 'release'})`, (show) => buildBinding(debug, show))
  }
  if (fresh().distStale) await step('compiling the TypeScript', buildDist)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const flags = process.argv.slice(2)
  await ensureBuilt({ force: flags.includes('--force'), debug: flags.includes('--debug') }).catch(fail)
}
