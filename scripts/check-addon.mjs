// What a released addon may ask of the system it is loaded on, read from the ELF with `objdump` (binutils):
//
// - no symbol of a glibc newer than the baseline, and no library but the C library's own;
// - nothing by a musl addon but musl;
// - the init image within is static: no loader, no dynamic section. It runs where there is no library at all.
//
//   node scripts/check-addon.mjs FILE …

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { GLIBC, platforms } from './platforms.mjs'
import { StepError, fail, green, red, say } from './steps.mjs'

/** The parts of glibc: what else is needed would have to be installed. `libgcc_s` comes with every Node of glibc. */
const ALLOWED = {
  glibc:
    /^(libc\.so\.6|libpthread\.so\.0|libdl\.so\.2|libm\.so\.6|librt\.so\.1|ld-linux-(x86-64|aarch64)\.so\.[12]|libgcc_s\.so\.1)$/,
  musl: /^(libc\.so|libc\.musl-(x86_64|aarch64)\.so\.1)$/,
}
/** `e_machine` of elf(5). */
const MACHINES = { x64: 62, arm64: 183 }

function objdump(flag, file) {
  const { status, error, stdout, stderr } = spawnSync('objdump', [flag, file], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    env: { ...process.env, LC_ALL: 'C' },
  })
  if (error?.code === 'ENOENT') throw new StepError('objdump is missing: install binutils')
  if (status !== 0) throw new StepError(`objdump ${flag} ${file}: ${error?.message ?? stderr}`)
  return stdout
}

/** `2.9` is older than `2.17`. */
function isNewer(version, than) {
  const [a, b] = [version, than].map((text) => text.split('.').map(Number))
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    if ((a[i] ?? 0) !== (b[i] ?? 0)) return (a[i] ?? 0) > (b[i] ?? 0)
  }
  return false
}

/** The ELF inside of an ELF: from its magic number to the end of its section headers. */
function embedded(file) {
  const whole = readFileSync(file)
  const magic = Buffer.from('\x7fELF\x02\x01\x01', 'latin1')
  const found = []
  for (let at = whole.indexOf(magic, 1); at !== -1; at = whole.indexOf(magic, at + 1)) {
    // e_type 2 is ET_EXEC: the image is not position-independent. The magic number alone may be a constant of a program.
    if (at + 64 > whole.length || whole.readUInt16LE(at + 16) !== 2) continue
    const sections = Number(whole.readBigUInt64LE(at + 40))
    const end = at + sections + whole.readUInt16LE(at + 58) * whole.readUInt16LE(at + 60)
    if (end <= whole.length) found.push(whole.subarray(at, end))
  }
  return found
}

/** What is wrong with the addon of a platform; empty if nothing is. `glibc` is the newest version it may need. */
export function addonProblems(file, { cpu, libc }, glibc = GLIBC) {
  const problems = []
  const elf = readFileSync(file)
  if (elf.readUInt16LE(18) !== MACHINES[cpu]) problems.push(`it is not for ${cpu}`)

  const versions = new Set([...objdump('-T', file).matchAll(/\bGLIBC_([\d.]+)/g)].map(([, version]) => version))
  if (libc === 'glibc') {
    if (versions.size === 0) problems.push('no symbol has a version of glibc')
    for (const version of versions) if (isNewer(version, glibc)) problems.push(`it needs glibc ${version}`)
  } else if (versions.size > 0) {
    problems.push('it needs glibc')
  }
  for (const [, name] of objdump('-p', file).matchAll(/^\s+NEEDED\s+(\S+)/gm)) {
    if (!ALLOWED[libc].test(name)) problems.push(`it needs ${name}`)
  }

  const images = embedded(file)
  if (images.length !== 1) problems.push(`${images.length} init images in it, not 1`)
  const folder = mkdtempSync(join(tmpdir(), 'hotcell-image-'))
  try {
    for (const image of images) {
      const path = join(folder, 'init')
      writeFileSync(path, image)
      if (image.readUInt16LE(18) !== MACHINES[cpu]) problems.push(`its init image is not for ${cpu}`)
      // Without these two there are no dynamic symbols either: `objdump -T` fails on it.
      if (/^\s*(INTERP|DYNAMIC)\b/m.test(objdump('-p', path))) problems.push('its init image is not static')
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return problems
}

function main() {
  const files = process.argv.slice(2)
  if (files.length === 0) throw new StepError('usage: node scripts/check-addon.mjs FILE …')
  for (const file of files) {
    const platform = platforms.find(({ addon }) => addon === basename(file))
    if (platform === undefined) throw new StepError(`${file}: not called like the addon of a platform`)
    const problems = addonProblems(file, platform)
    if (problems.length > 0) process.exitCode = 1
    say(
      `${problems.length === 0 ? green('✓') : red('✗')} ${file}${problems.map((problem) => `\n    ${problem}`).join('')}`,
    )
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    main()
  } catch (error) {
    fail(error)
  }
}
