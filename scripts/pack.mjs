// The tarballs that are published: `hotcell`, and one package for each platform whose addon is there.
//
//   node scripts/pack.mjs                     the addon of this machine's build, into target/packages
//   node scripts/pack.mjs --addons DIR --all  the release: all platforms, addons made by build-release.mjs
//   node scripts/pack.mjs --out DIR
//
// They are made from copies, so that what is published can be tested before, and a checkout needs no manifest with versions
// that no registry has yet: the optional dependencies on the platform packages are written into the packed manifest only.

import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { bindingFile, ensureBuilt, root } from './ensure-built.mjs'
import { hostPlatform, manifest, platforms } from './platforms.mjs'
import { StepError, fail, say } from './steps.mjs'

function run(file, args, options) {
  const { status, error, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8', ...options })
  if (status !== 0) {
    throw new StepError(`${[file, ...args].join(' ')}: ${error?.message ?? `exit code ${status}`}\n${stdout}${stderr}`)
  }
  return stdout
}

/** The tarball of a folder, in `out`, and the names of the files in it. */
function npmPack(folder, out) {
  const stdout = run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', out], { cwd: folder })
  // npm 11 and before answer with a list; later ones with an object by name.
  const answer = JSON.parse(stdout)
  const { filename, files } = Array.isArray(answer) ? answer[0] : Object.values(answer)[0]
  return { tarball: join(out, basename(filename)), files: files.map(({ path }) => path) }
}

/** The manifest of `hotcell` as users get it. */
function publishedManifest() {
  const published = structuredClone(manifest)
  for (const key of ['devDependencies', 'scripts', 'napi', 'ava', 'overrides']) delete published[key]
  published.optionalDependencies = {
    ...published.optionalDependencies,
    ...Object.fromEntries(platforms.map(({ packageName }) => [packageName, manifest.version])),
  }
  return published
}

/** Packs `hotcell`. Its dist/ must have been built. */
export function packMain(out) {
  const folder = mkdtempSync(join(tmpdir(), 'hotcell-pack-'))
  try {
    const { tarball } = npmPack(root, folder)
    run('tar', ['-xzf', tarball, '-C', folder])
    const unpacked = join(folder, 'package')
    writeFileSync(join(unpacked, 'package.json'), `${JSON.stringify(publishedManifest(), null, 2)}\n`)
    return npmPack(unpacked, out)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Packs what a platform has: the addon in `file`. */
export function packPlatform(platform, file, out) {
  const folder = mkdtempSync(join(tmpdir(), 'hotcell-pack-'))
  try {
    for (const name of ['package.json', 'README.md']) copyFileSync(join(platform.folder, name), join(folder, name))
    copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'))
    copyFileSync(file, join(folder, platform.addon))
    return npmPack(folder, out)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function main() {
  const { values } = parseArgs({
    options: { addons: { type: 'string' }, out: { type: 'string' }, all: { type: 'boolean', default: false } },
  })
  await ensureBuilt()
  const out = resolve(root, values.out ?? join('target', 'packages'))
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out, { recursive: true })

  // The platform packages first: that is the order to publish in.
  for (const platform of platforms) {
    const file =
      values.addons === undefined
        ? platform === hostPlatform && bindingFile()
        : join(resolve(values.addons), platform.addon)
    if (file && existsSync(file)) say(packPlatform(platform, file, out).tarball)
    else if (values.all) throw new StepError(`no addon for ${platform.name}: ${file || 'name a folder with --addons'}`)
  }
  say(packMain(out).tarball)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main().catch(fail)
