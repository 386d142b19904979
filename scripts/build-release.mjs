// `npm run build:release`: the addon as it is published, for this machine's platform or another one.
//
//   npm run build:release                                          this machine's
//   npm run build:release -- --target aarch64-unknown-linux-musl   another one's
//   npm run build:release -- --if-possible                         for CI: without the tools that is one skip
//
// cargo-zigbuild has zig link it, against a glibc of the version in platforms.mjs: the system's own linker would take the
// newest symbols that this system has. Both tools come from PyPI:
//
//   pip install cargo-zigbuild ziglang
//
// The init image within is static. zig has no static glibc, so for glibc a C compiler for the target links the image, with its
// libc.a; musl's comes with Rust's target.
//
// The result is in target/addons, checked by check-addon.mjs, and loaded if it fits this machine.

import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { addonProblems } from './check-addon.mjs'
import { root } from './ensure-built.mjs'
import { GLIBC, hostPlatform, manifest, platforms } from './platforms.mjs'
import { StepError, command, fail, say, step, yellow } from './steps.mjs'

const succeeds = (file, args) => spawnSync(file, args).status === 0

/** What is missing for a build, with the cure. */
function missingTools(platform, compiler) {
  const missing = []
  if (!succeeds('cargo-zigbuild', ['--version'])) missing.push('cargo-zigbuild: pip install cargo-zigbuild')
  if (!succeeds('zig', ['version']) && !succeeds('python3', ['-m', 'ziglang', 'version'])) {
    missing.push('zig: pip install ziglang')
  }
  const { stdout } = spawnSync('rustc', ['--print', 'target-libdir', '--target', platform.triple], { encoding: 'utf8' })
  if (!succeeds('test', ['-d', stdout?.trim()]))
    missing.push(`Rust's ${platform.triple}: rustup target add ${platform.triple}`)
  if (compiler !== undefined && !succeeds(compiler, ['--version'])) {
    missing.push(`${compiler}: apt-get install gcc-${platform.triple.split('-')[0].replace('_', '-')}-linux-gnu`)
  }
  return missing
}

/** Who links the init image for glibc. */
function initLinker(platform) {
  if (platform.libc !== 'glibc') return undefined
  if (platform.cpu === process.arch) return 'cc'
  return `${platform.triple.split('-')[0]}-linux-gnu-gcc`
}

/** Builds it in a target directory of its own, so that a usual build stays up to date. Resolves to the file. */
async function build(platform, show) {
  const { triple, libc } = platform
  const folder = join(root, 'target', 'release-build')
  const env = { ...process.env, CARGO_PROFILE_RELEASE_STRIP: 'symbols' }
  const linker = initLinker(platform)
  if (linker !== undefined) env.HOTCELL_INIT_LINKER = linker
  // A shared library has to use the C library of the process that loads it.
  if (libc === 'musl') env.RUSTFLAGS = `${env.RUSTFLAGS ?? ''} -Ctarget-feature=-crt-static`.trim()
  const suffix = libc === 'glibc' ? `.${GLIBC}` : ''
  await command(
    'cargo-zigbuild',
    [
      'zigbuild',
      '--release',
      '--locked',
      '--target',
      `${triple}${suffix}`,
      '-p',
      'hotcell-node',
      '--target-dir',
      folder,
    ],
    { cwd: root, env, show },
  )
  return join(folder, triple, 'release', 'libhotcell_node.so')
}

/** Loads it in a process of its own, and asks it what it is. */
async function load(file) {
  const source = 'const addon = require(process.argv[1]); addon.probe().then(() => console.log(addon.version()))'
  const version = (await command(process.execPath, ['--eval', source, '--', file])).trim()
  if (version !== manifest.version) throw new StepError(`the addon says that it is ${version}, not ${manifest.version}`)
}

async function main() {
  const { values } = parseArgs({
    options: {
      target: { type: 'string' },
      out: { type: 'string', default: join('target', 'addons') },
      'if-possible': { type: 'boolean', default: false },
    },
  })
  const platform = values.target === undefined ? hostPlatform : platforms.find(({ triple }) => triple === values.target)
  if (platform === undefined) {
    throw new StepError(`--target must be one of ${platforms.map(({ triple }) => triple).join(', ')}`)
  }
  const missing = missingTools(platform, initLinker(platform))
  if (missing.length > 0) {
    if (!values['if-possible']) {
      throw new StepError(`a release cannot be built here yet. Missing:\n\n  ${missing.join('\n  ')}`)
    }
    say(`  ${yellow('-')} the addon of a release: missing ${missing.join('; ')}`)
    process.stdout.write('0 passed, 0 failed, 1 skipped\n')
    return
  }

  const out = resolve(root, values.out)
  const file = join(out, platform.addon)
  await step(`building the addon for ${platform.name}`, async (show) => {
    const built = await build(platform, show)
    mkdirSync(out, { recursive: true })
    copyFileSync(built, file)
  })
  await step('checking what it needs', () => {
    const problems = addonProblems(file, platform)
    if (problems.length > 0) throw new StepError(`${file}:\n  ${problems.join('\n  ')}`)
    return platform.libc === 'glibc' ? `glibc ${GLIBC}` : 'musl'
  })
  if (platform === hostPlatform) await step('loading it', () => load(file))
  if (values['if-possible']) process.stdout.write('1 passed, 0 failed, 0 skipped\n')
}

await main().catch(fail)
