// The identities under which the suite runs, because what the kernel allows differs between them:
//
//   root             as root, with a user namespace (programs get a private host uid)
//   rootless         as a plain unprivileged user: a map of one id
//   rootless-ranges  the same user with ranges from /etc/subuid, through newuidmap(1)
//   degraded         as root, without a user namespace (`userNamespace: false`)
//   cgroup-v2        as root of a virtual machine whose cgroups are v2 (vm-test.sh): limits only
//   cgroup-v2-qemu   the same with two CPUs and another kernel (vm-qemu-test.sh), which takes longer: if asked for only
//
// Tests read the name in HOTCELL_TEST_MODE. Started as root, `npm test` runs the first five; started as anybody else it
// runs `rootless` only (and `rootless-ranges` instead where /etc/subuid already grants that user a range).
//
// The first four run every file.

import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './ensure-built.mjs'
import { StepError } from './steps.mjs'

/** A plain user, without an entry in /etc/passwd: nothing may depend on one. */
export const PLAIN = { uid: 28_777, gid: 28_777 }
/** Its name, and what /etc/subuid grants to it, in the mode `rootless-ranges`. */
const USER = 'hotcell-test'
const RANGE = { first: 700_000, count: 65_536 }

const limitsOnly = ['__test__/limits.test.ts', '__test__/cgroups.test.ts']

const onPath = (name) =>
  (process.env.PATH ?? '').split(':').some((folder) => folder !== '' && existsSync(join(folder, name)))

/**
 * The modes to run, each as `{ name, files?, longer?, skip?, prepare() }`: all files, or these; `longer` ones if asked for only.
 * `prepare` answers how to start Node there: `{ command, args, cwd, env, uid?, gid? }`, where args precede those of Node.
 */
export function testModes() {
  if (process.getuid() !== 0) {
    const ranges = ['/etc/subuid', '/etc/subgid'].every((file) => grants(file)) && onPath('newuidmap')
    const here = () => ({ command: process.execPath, args: [], cwd: root, env: {} })
    return [{ name: ranges ? 'rootless-ranges' : 'rootless', prepare: here }]
  }
  return [
    { name: 'root', prepare: () => ({ command: process.execPath, args: [], cwd: root, env: {} }) },
    { name: 'rootless', prepare: asPlainUser },
    {
      name: 'rootless-ranges',
      skip: rangesMissing(),
      prepare: asPlainUserWithRanges,
    },
    {
      name: 'degraded',
      prepare: () => ({ command: process.execPath, args: [], cwd: root, env: {} }),
    },
    { name: 'cgroup-v2', files: limitsOnly, prepare: () => inMachine('vm-test.sh', 'cgroups,cgroup2') },
    {
      name: 'cgroup-v2-qemu',
      files: limitsOnly,
      longer: true,
      prepare: () => inMachine('vm-qemu-test.sh', 'cgroups,cgroup2,cpuset'),
    },
  ]
}

function grants(file) {
  const uid = String(process.getuid())
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .some((line) => line.startsWith(`${uid}:`) || line.startsWith(`${process.env.USER ?? '\0'}:`))
  } catch {
    return false
  }
}

function rangesMissing() {
  if (!onPath('newuidmap') || !onPath('newgidmap')) return 'no newuidmap (Debian: apt-get install uidmap)'
  if (!onPath('unshare') || !onPath('setpriv')) return 'no unshare or setpriv (util-linux)'
  return undefined
}

/**
 * In a virtual machine on this machine's own file tree, which it may read only: ava's cache is the exception. It boots in some seconds.
 */
function inMachine(script, expected) {
  const cache = join(root, 'node_modules', '.cache')
  mkdirSync(cache, { recursive: true })
  const env = { HOTCELL_TEST_MODE: 'root', HOTCELL_VM_WRITABLE: cache, HOTCELL_EXPECT: expected }
  return { command: 'bash', args: [join(root, 'scripts', script), process.execPath], cwd: root, env }
}

let staged
/**
 * A copy of what the tests need, owned by the plain user: the checkout may lie below a folder that only root may
 * enter, and must not fill with another user's files.
 */
function stage() {
  if (staged !== undefined) return staged
  const folder = mkdtempSync(join(tmpdir(), 'hotcell-test-'))
  chmodSync(folder, 0o755)
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  // A signal that nobody listens to would end the script without that.
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))

  const checkout = join(folder, 'hotcell')
  mkdirSync(checkout)
  const leave = new Set(['.git', 'node_modules', 'target', 'crates', 'results'])
  for (const name of readdirSync(root)) {
    if (leave.has(name)) continue
    cpSync(join(root, name), join(checkout, name), { recursive: true, preserveTimestamps: true })
  }
  // Hard links where the temporary folder is on the same file system, else copies.
  const modules = join(root, 'node_modules')
  const linked = spawnSync('cp', ['-al', modules, checkout])
  if (linked.status !== 0) {
    rmSync(join(checkout, 'node_modules'), { recursive: true, force: true })
    const copied = spawnSync('cp', ['-a', modules, checkout], { encoding: 'utf8' })
    if (copied.status !== 0) throw new StepError(`could not copy node_modules to ${checkout}: ${copied.stderr}`)
  }
  const home = join(folder, 'home')
  const temporary = join(folder, 'tmp')
  for (const path of [home, temporary]) mkdirSync(path)
  for (const path of [folder, home, temporary, checkout]) chownSync(path, PLAIN.uid, PLAIN.gid)
  spawnSync(
    'chown',
    ['-R', `${PLAIN.uid}:${PLAIN.gid}`, ...readdirSync(checkout).filter((name) => name !== 'node_modules')],
    { cwd: checkout },
  )
  chownSync(join(checkout, 'node_modules'), PLAIN.uid, PLAIN.gid)

  // Node itself may be in root's home (a version manager).
  let node = process.execPath
  if (spawnSync(node, ['--version'], PLAIN).status !== 0) {
    node = join(folder, 'node')
    cpSync(process.execPath, node)
    chmodSync(node, 0o755)
  }
  const env = { HOME: home, TMPDIR: temporary, XDG_CACHE_HOME: join(home, '.cache'), USER, LOGNAME: USER }

  const readable = spawnSync(node, ['-e', 'require("node:fs").accessSync("node_modules/ava/package.json")'], {
    cwd: checkout,
    ...PLAIN,
    encoding: 'utf8',
  })
  if (readable.status !== 0) throw new StepError(`an unprivileged user cannot read ${checkout}: ${readable.stderr}`)
  staged = { folder, checkout, node, env }
  return staged
}

/** Node's own `uid` and `gid`: setgid(2) and setuid(2) with the supplementary groups dropped. */
function asPlainUser() {
  const { checkout, node, env } = stage()
  return { command: node, args: [], cwd: checkout, env, ...PLAIN }
}

/**
 * newuidmap(1) looks the user up in /etc/passwd and its range in /etc/subuid. The test gets a copy of /etc with both, in
 * a mount namespace of its own: the machine's files stay as they are.
 */
function asPlainUserWithRanges() {
  const { folder, checkout, node, env } = stage()
  const etc = join(folder, 'etc')
  const copied = spawnSync('cp', ['-a', '/etc', etc], { encoding: 'utf8' })
  if (copied.status !== 0) throw new StepError(`could not copy /etc to ${etc}: ${copied.stderr}`)
  appendFileSync(join(etc, 'passwd'), `${USER}:x:${PLAIN.uid}:${PLAIN.gid}::${env.HOME}:/bin/sh\n`)
  appendFileSync(join(etc, 'group'), `${USER}:x:${PLAIN.gid}:\n`)
  for (const name of ['subuid', 'subgid']) appendFileSync(join(etc, name), `${USER}:${RANGE.first}:${RANGE.count}\n`)

  const script = 'mount --bind "$0" /etc && exec setpriv --reuid "$1" --regid "$2" --clear-groups -- "${@:3}"'
  return {
    command: 'unshare',
    args: [
      '--mount',
      '--propagation',
      'private',
      'bash',
      '-c',
      script,
      etc,
      String(PLAIN.uid),
      String(PLAIN.gid),
      node,
    ],
    cwd: checkout,
    env,
  }
}
