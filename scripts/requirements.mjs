// What a build of hotcell from source needs of the machine, and how to get it. Node's built-ins only (see steps.mjs).

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const read = (command, args) => {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8' })
  return status === 0 ? stdout.trim() : undefined
}

/** How this distribution installs `packages`, given by their names on Debian, Fedora, Alpine and Arch. */
function install({ debian, fedora, alpine, arch }) {
  let like = ''
  try {
    like = readFileSync('/etc/os-release', 'utf8')
  } catch {
    // A distribution without os-release: name all the ways.
  }
  const has = (...ids) => ids.some((id) => new RegExp(`^ID(_LIKE)?=.*\\b${id}\\b`, 'm').test(like))
  if (has('debian', 'ubuntu')) return `apt-get install ${debian}`
  if (has('fedora', 'rhel', 'centos')) return `dnf install ${fedora}`
  if (has('alpine')) return `apk add ${alpine}`
  if (has('arch')) return `pacman -S ${arch}`
  return `apt-get install ${debian} (Debian, Ubuntu), dnf install ${fedora} (Fedora), apk add ${alpine} (Alpine)`
}

/** `^20.19.0 || >=22.12.0`, as in package.json. */
function nodeFits(version) {
  const [major, minor] = version.split('.').map(Number)
  return (major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22
}

/** Each thing that is missing, as one paragraph: what, and how to get it. Empty when all is there. */
export function missingRequirements() {
  const missing = []

  if (process.platform !== 'linux') {
    missing.push(
      `Linux: hotcell is made of Linux namespaces and cannot run on ${process.platform}.\n` +
        '  On macOS or Windows, work in a Linux virtual machine (Lima, WSL 2, a dev container).',
    )
    return missing
  }

  if (!nodeFits(process.versions.node)) {
    missing.push(
      `Node.js ^20.19.0 || >=22.12.0: this is ${process.versions.node}.\n` +
        '  Install a supported one from https://nodejs.org or with your version manager (`nvm install 22`).',
    )
  }

  const manifest = readFileSync(fileURLToPath(new URL('../Cargo.toml', import.meta.url)), 'utf8')
  const wanted = /^rust-version = "([\d.]+)"/m.exec(manifest)?.[1] ?? '1.88'
  const cargo = read('cargo', ['--version'])
  const rustc = /rustc (\d+)\.(\d+)/.exec(read('rustc', ['--version']) ?? '')
  if (cargo === undefined || rustc === null) {
    missing.push(
      `Rust ${wanted} or newer: no cargo on the PATH.\n` +
        "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh   (then open a new shell)",
    )
  } else {
    const [major, minor] = wanted.split('.').map(Number)
    if (Number(rustc[1]) < major || (Number(rustc[1]) === major && Number(rustc[2]) < minor)) {
      missing.push(`Rust ${wanted} or newer: this is ${rustc[1]}.${rustc[2]}.\n  rustup update stable`)
    }
  }

  // rustc links with `cc`; the init image is a static program, so it wants libc.a as well.
  const cc = read('cc', ['--version'])
  if (cc === undefined) {
    missing.push(
      'A C compiler (Rust links with `cc`): none on the PATH.\n  ' +
        install({ debian: 'gcc libc6-dev', fedora: 'gcc glibc-static', alpine: 'gcc musl-dev', arch: 'gcc' }),
    )
  } else {
    const libc = read('cc', ['-print-file-name=libc.a'])
    if (libc !== undefined && !existsSync(libc)) {
      missing.push(
        'The static C library (libc.a), which the init image is linked with: `cc` does not find it.\n  ' +
          install({ debian: 'libc6-dev', fedora: 'glibc-static', alpine: 'musl-dev', arch: 'glibc' }),
      )
    }
  }

  return missing
}
