// `npm version 1.2.3` runs this between writing package.json and committing: all else that carries the version follows.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './ensure-built.mjs'
import { manifest, platforms } from './platforms.mjs'
import { StepError, command, fail } from './steps.mjs'

const { version } = manifest

function replace(file, pattern, replacement) {
  const text = readFileSync(file, 'utf8')
  if (!pattern.test(text)) throw new StepError(`${file}: no version to replace`)
  writeFileSync(file, text.replace(pattern, replacement))
}

async function main() {
  // The first `version` of Cargo.toml is that of [workspace.package].
  const cargo = join(root, 'Cargo.toml')
  const constant = join(root, 'src', 'version.ts')
  replace(cargo, /^version = ".+"$/m, `version = "${version}"`)
  replace(constant, /^export const version = '.+'$/m, `export const version = '${version}'`)
  const manifests = platforms.map(({ folder }) => join(folder, 'package.json'))
  for (const file of manifests) replace(file, /"version": ".+"/, `"version": "${version}"`)
  await command('cargo', ['update', '--workspace', '--offline'], { cwd: root })
  await command('git', ['add', cargo, join(root, 'Cargo.lock'), constant, ...manifests], { cwd: root })
}

await main().catch(fail)
