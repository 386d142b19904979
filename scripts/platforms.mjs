// The platforms that have a package of their own under npm/: their names, and how their addons are built. Derived from the
// targets that package.json names.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { bindingFile, root } from './ensure-built.mjs'

/** The oldest glibc that released addons run with: RHEL 7's, and less than any official build of Node asks for. */
export const GLIBC = '2.17'

export const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

const CPUS = { x86_64: 'x64', aarch64: 'arm64' }
const LIBCS = { gnu: 'glibc', musl: 'musl' }

/** One for each triple: `{ triple, name: 'linux-x64-gnu', cpu: 'x64', libc: 'glibc', addon, packageName, folder }`. */
export const platforms = manifest.napi.targets.map((triple) => {
  const [machine, , system, abi] = triple.split('-')
  const name = `${system}-${CPUS[machine]}-${abi}`
  return {
    triple,
    name,
    cpu: CPUS[machine],
    libc: LIBCS[abi],
    /** The file in the package. */
    addon: `${manifest.napi.binaryName}.${name}.node`,
    packageName: `${manifest.napi.packageName}-${name}`,
    /** Where its manifest is. */
    folder: join(root, 'npm', name),
  }
})

/** The one that this process runs on; undefined where there is none. */
export const hostPlatform = platforms.find(({ addon }) => bindingFile().endsWith(`/${addon}`))
