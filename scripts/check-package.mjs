// The package as a user gets it: packed, unpacked into a folder of its own together with its platform package, then
// imported and required, and one program run, by each supported line of Node that can be had.

import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { bindingFile, ensureBuilt, root } from './ensure-built.mjs'
import { fail, green, red, say, yellow } from './steps.mjs'

/** The lines that `engines` of package.json allows for, oldest first. */
const LINES = ['20', '22', '24']

const MODULE = `
import { Master, probe, defaultPath, defaultMounts } from 'hotcell'
if (typeof probe !== 'function' || !defaultPath.startsWith('PATH=') || defaultMounts().length === 0) process.exit(2)
const master = await Master.create()
const result = await master.run('/bin/sh', ['-c', 'echo from inside'])
await master.destroy()
if (result.status !== 'ok' || result.stdout !== 'from inside\\n') throw new Error(JSON.stringify(result))
`

const COMMONJS = `
const { Master } = require('hotcell')
Master.create().then(async (master) => {
  const result = await master.execve({ args: ['/bin/true'] })
  await master.destroy()
  if (result.status !== 'ok') throw new Error(JSON.stringify(result))
})
`

const npm = (args, options) => spawnSync('npm', args, { encoding: 'utf8', ...options })

let passed = 0
let failed = 0
const skipped = []

function check(what, { status, signal, stdout, stderr }) {
  if (status === 0) {
    passed += 1
    say(`  ${green('✓')} ${what}`)
  } else {
    failed += 1
    say(`  ${red('✗')} ${what}: ${signal ?? `exit code ${status}`}\n${stdout}${stderr}`)
  }
}

function assert(what, problems) {
  check(what, { status: problems.length === 0 ? 0 : 1, stdout: problems.map((p) => `    ${p}\n`).join(''), stderr: '' })
}

/** Each platform manifest in npm/ agrees with package.json. */
function checkManifests() {
  const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const problems = []
  const names = readdirSync(join(root, 'npm'))
  if (names.length !== own.napi.targets.length)
    problems.push(`${names.length} manifests, ${own.napi.targets.length} targets`)
  for (const name of names) {
    const manifest = JSON.parse(readFileSync(join(root, 'npm', name, 'package.json'), 'utf8'))
    const expected = {
      name: `${own.napi.packageName}-${name}`,
      version: own.version,
      main: `${own.napi.binaryName}.${name}.node`,
      license: own.license,
    }
    for (const [key, value] of Object.entries(expected)) {
      if (manifest[key] !== value) problems.push(`npm/${name}: ${key} is ${manifest[key]}, not ${value}`)
    }
    if (manifest.engines?.node !== own.engines.node) problems.push(`npm/${name}: engines differ`)
  }
  for (const hook of ['preinstall', 'install', 'postinstall', 'prepare']) {
    if (own.scripts[hook] !== undefined) problems.push(`package.json: a ${hook} script would run at the user's`)
  }
  assert('npm/ agrees with package.json', problems)
}

/** What is in the tarball: all that is needed, nothing else. */
function checkFiles(files) {
  const problems = []
  for (const path of [
    'package.json',
    'README.md',
    'LICENSE',
    'binding.cjs',
    'binding.d.cts',
    'dist/index.js',
    'dist/index.d.ts',
    'dist/opentelemetry.js',
    'dist/opentelemetry.d.ts',
  ]) {
    if (!files.includes(path)) problems.push(`missing: ${path}`)
  }
  for (const path of files) {
    if (
      /\.node$|^(crates|src|__test__|bench|examples|scripts|target|npm|\.ci)\/|^dist\/__test__|^dist\/(bench|examples)/.test(
        path,
      )
    ) {
      problems.push(`does not belong there: ${path}`)
    }
  }
  assert(`npm pack: ${files.length} files`, problems)
}

/** Node of another line, from its own package on the registry; undefined where that cannot be had. */
function fetchNode(line, folder) {
  const place = join(folder, `node-${line}`)
  mkdirSync(place)
  const packed = npm(['pack', `node-linux-${process.arch}@${line}`, '--silent'], { cwd: place })
  const archive = readdirSync(place).find((name) => name.endsWith('.tgz'))
  if (packed.status !== 0 || archive === undefined) return undefined
  if (spawnSync('tar', ['-xzf', archive], { cwd: place }).status !== 0) return undefined
  const file = join(place, 'package', 'bin', 'node')
  return existsSync(file) ? file : undefined
}

async function main() {
  await ensureBuilt()
  checkManifests()

  const folder = mkdtempSync(join(tmpdir(), 'hotcell-package-'))
  try {
    const packed = npm(['pack', '--json', '--ignore-scripts', '--pack-destination', folder], { cwd: root })
    if (packed.status !== 0) {
      check('npm pack', packed)
      return
    }
    // npm 11 and before answer with a list; later ones with an object by name.
    const answer = JSON.parse(packed.stdout)
    const { filename, files } = Array.isArray(answer) ? answer[0] : Object.values(answer)[0]
    checkFiles(files.map(({ path }) => path))

    const modules = join(folder, 'node_modules')
    mkdirSync(join(modules, 'hotcell'), { recursive: true })
    const archive = join(folder, basename(filename))
    const unpacked = spawnSync('tar', ['-xzf', archive, '--strip-components=1', '-C', join(modules, 'hotcell')], {
      encoding: 'utf8',
    })
    if (unpacked.status !== 0) {
      check('tar -xzf', unpacked)
      return
    }
    const platform = basename(bindingFile()).split('.')[1]
    const { napi } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    const platformPackage = join(modules, `${napi.packageName}-${platform}`)
    mkdirSync(platformPackage, { recursive: true })
    copyFileSync(join(root, 'npm', platform, 'package.json'), join(platformPackage, 'package.json'))
    copyFileSync(bindingFile(), join(platformPackage, basename(bindingFile())))
    writeFileSync(join(folder, 'module.mjs'), MODULE)
    writeFileSync(join(folder, 'common.cjs'), COMMONJS)

    const here = process.versions.node.split('.')[0]
    for (const line of new Set([...LINES, here])) {
      const node = line === here ? process.execPath : fetchNode(line, folder)
      if (node === undefined) {
        skipped.push(`Node ${line}: node-linux-${process.arch}@${line} could not be had`)
        say(`  ${yellow('-')} ${skipped.at(-1)}`)
        continue
      }
      const version = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout.trim()
      for (const [what, file] of [
        ['import', 'module.mjs'],
        ['require', 'common.cjs'],
      ]) {
        check(`${what} by Node ${version}`, spawnSync(node, [file], { cwd: folder, encoding: 'utf8', timeout: 60_000 }))
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

await main().catch((error) => {
  failed += 1
  fail(error)
})
if (failed > 0) process.exitCode = 1
process.stdout.write(`${passed} passed, ${failed} failed, ${skipped.length} skipped\n`)
