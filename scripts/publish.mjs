// Publishes the tarballs that pack.mjs made, the platforms' first: whoever installs `hotcell` while this goes on must find them.
// The release workflow runs it; a run that was cut short can be repeated, for what is there already is left out.
//
//   node scripts/publish.mjs --tag v1.2.3
//   node scripts/publish.mjs --tag v1.2.3 --dry-run

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { root } from './ensure-built.mjs'
import { manifest, platforms } from './platforms.mjs'
import { StepError, fail, foreground, say } from './steps.mjs'

/** As npm pack calls the tarball of a package: `@hotcell/binding-x` becomes hotcell-binding-x-1.2.3.tgz. */
const tarballOf = (name) => `${name.replace('@', '').replace('/', '-')}-${manifest.version}.tgz`

function isPublished(name) {
  return (
    spawnSync('npm', ['view', `${name}@${manifest.version}`, 'version'], { encoding: 'utf8' }).stdout?.trim() !== ''
  )
}

async function main() {
  const { values } = parseArgs({
    options: {
      tag: { type: 'string' },
      folder: { type: 'string', default: join('target', 'packages') },
      'dry-run': { type: 'boolean', default: false },
    },
  })
  // `npm publish` in the checkout comes here, too: what it would publish has no optional dependencies.
  if (values.tag === undefined) {
    throw new StepError(
      'the release workflow publishes, for a tag, what pack.mjs has made: see CONTRIBUTING.md, "Releases"',
    )
  }
  if (values.tag !== `v${manifest.version}`) {
    throw new StepError(`the tag is ${values.tag}, and package.json has version ${manifest.version}`)
  }
  const folder = resolve(root, values.folder)
  const names = [...platforms.map(({ packageName }) => packageName), manifest.name]
  const absent = names.filter((name) => !existsSync(join(folder, tarballOf(name))))
  if (absent.length > 0) throw new StepError(`not packed: ${absent.join(', ')}`)

  // A version with a hyphen (1.0.0-rc.1) must not become what `npm install hotcell` installs.
  const distTag = manifest.version.includes('-') ? 'next' : 'latest'
  for (const name of names) {
    if (isPublished(name)) {
      say(`${name}@${manifest.version} is there already`)
      continue
    }
    const options = ['--access', 'public', '--tag', distTag, values['dry-run'] ? '--dry-run' : '--provenance']
    const code = await foreground('npm', ['publish', join(folder, tarballOf(name)), ...options])
    if (code !== 0) throw new StepError(`npm publish ${name}: exit code ${code}`)
  }
}

await main().catch(fail)
