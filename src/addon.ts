/**
 * Finds the native addon: the one of this platform, of this version, wherever the package manager or a bundler left it.
 *
 * It is in a package of its own for each platform, an optional dependency of which only the fitting one is installed. A
 * checkout has it next to package.json instead. Names are put together at run time, so a bundler leaves them alone, and a
 * bundle finds the platform's package as any program would: from its own folder upwards.
 *
 * Whatever goes wrong is one of five cases, each with its own cure, and all of them are `ERR_HOTCELL_UNSUPPORTED_PLATFORM`:
 * a program that can do without hotcell has one code to look for.
 */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import { HotcellError } from './errors.js'
import { version } from './version.js'

/** What the packages are called, less the platform. */
const PACKAGE = '@hotcell/binding'

/** Those that there is a package for. `package.json` names the same ones as targets of the build. */
const PLATFORMS = ['linux-x64-gnu', 'linux-x64-musl', 'linux-arm64-gnu', 'linux-arm64-musl']

/**
 * Loads it.
 *
 * @throws {HotcellError} `ERR_HOTCELL_UNSUPPORTED_PLATFORM`, with what to do about it.
 */
export function loadAddon(): unknown {
  const platform = platformName()
  if (!PLATFORMS.includes(platform)) throw unsupported(platform)
  // A bundle in CommonJS has no import.meta.url.
  const require = createRequire((import.meta.url as string | undefined) ?? __filename)
  const { path, addon } = find(require, platform)
  const its = (addon as { version?: () => string }).version?.()
  if (its !== version) throw mismatched(platform, path, its)
  return addon
}

/** The first there is of: that of a checkout, that of the platform's package. Or the one that HOTCELL_ADDON names, and no other. */
function find(require: NodeJS.Require, platform: string): { path: string; addon: unknown } {
  const given = process.env['HOTCELL_ADDON']
  if (given !== undefined && given !== '') return load(require, platform, resolve(given))
  let cause: unknown
  for (const name of [`#addon/hotcell.${platform}.node`, `${PACKAGE}-${platform}`]) {
    let path: string
    try {
      path = require.resolve(name)
    } catch (error) {
      cause = error
      continue
    }
    // Deno resolves an entry of "imports" whether its file is there or not.
    if (existsSync(path)) return load(require, platform, path)
  }
  throw missing(platform, cause)
}

function load(require: NodeJS.Require, platform: string, path: string): { path: string; addon: unknown } {
  try {
    // require() takes a file of another name for JavaScript.
    if (!path.endsWith('.node')) throw new Error('its name does not end in .node')
    return { path, addon: require(path) }
  } catch (error) {
    throw unloadable(platform, path, error)
  }
}

/** `linux-x64-gnu`, as the packages are called; without a libc elsewhere than on Linux. */
function platformName(): string {
  const { platform, arch } = process
  return platform === 'linux' ? `linux-${arch}-${isMusl() ? 'musl' : 'gnu'}` : `${platform}-${arch}`
}

/**
 * Which C library this process runs with, told by what is mapped into it: what is installed says less, as a Debian can have
 * musl beside glibc, and an Alpine glibc's names.
 */
function isMusl(): boolean {
  try {
    return /\/(ld-musl-|libc\.musl-)/.test(readFileSync('/proc/self/maps', 'latin1'))
  } catch {
    return false
  }
}

function failure(message: string, cause?: unknown): HotcellError {
  return new HotcellError('ERR_HOTCELL_UNSUPPORTED_PLATFORM', message, cause === undefined ? {} : { cause })
}

function unsupported(platform: string): HotcellError {
  const where =
    process.platform === 'linux'
      ? `there are addons for ${PLATFORMS.join(', ')}`
      : 'it is made of Linux namespaces. Run it on Linux: in a virtual machine (Lima, WSL 2), a dev container, or on a server'
  return failure(`hotcell does not run on ${platform}: ${where}`)
}

function missing(platform: string, cause: unknown): HotcellError {
  const name = `${PACKAGE}-${platform}`
  return failure(
    `The native addon of hotcell for ${platform} is not installed: there is no ${name}, an optional dependency. ` +
      'Install without --omit=optional (--no-optional, --ignore-optional). If node_modules or the lock file came from another ' +
      'platform, remove both and install again: npm before 11.3 forgets the packages of all other platforms ' +
      `(https://github.com/npm/cli/issues/4828). A bundle needs ${name} in a node_modules above it, or HOTCELL_ADDON with the ` +
      'path of its .node file',
    cause,
  )
}

function unloadable(platform: string, path: string, cause: unknown): HotcellError {
  const reason = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause)
  const message = `The native addon of hotcell for ${platform} cannot be loaded from '${path}': ${reason}`
  return failure(`${message}. ${remedy(reason)}`, cause)
}

function remedy(reason: string): string {
  if (process.env['HOTCELL_ADDON']) return 'The environment variable HOTCELL_ADDON names it: correct or remove that'
  if (/GLIBC_[\d.]+' not found/.test(reason)) {
    return 'The C library of this system is too old: glibc 2.17 or newer is needed'
  }
  return 'Remove node_modules and install again, on the platform that the program runs on'
}

function mismatched(platform: string, path: string, its: string | undefined): HotcellError {
  return failure(
    `hotcell ${version} found the native addon of ${its ?? 'another version'} for ${platform}: '${path}'. Both have to be of one ` +
      `version: install again, and look for an override or a resolution that pins ${PACKAGE}-${platform}`,
  )
}
