// hotcell doctor: what it finds here, and what it advises on hosts of other kinds, whose facts are given as data.
import { execFile } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { probe, type HostSupport } from '../index.js'
import { examine, sections, type Finding } from '../src/cli/doctor/findings.js'
import { readFacts, type HostFacts } from '../src/cli/doctor/facts.js'
import { INIT_FILE } from '../src/cli/doctor/fixes.js'
import { cli, temporaryFolder } from './support/cli.js'
import { root } from './support/node.js'
import { onPath, requires } from './support/requires.js'

const PROFILE = join(root, 'apparmor', 'hotcell')

const { stdout: parser } = await promisify(execFile)('apparmor_parser', ['--version']).catch(() => ({ stdout: '' }))
const understands = Number(/version (\d+)/.exec(parser)?.[1] ?? 0) >= 4

test.serial('says that hotcell works here, for people and for programs', async (t) => {
  const people = await cli(['doctor'])
  t.is(people.code, 0)
  t.regex(people.stdout, /^hotcell .* Linux .*\n/)
  t.regex(people.stdout, /✓ A container/)
  t.regex(people.stdout, /hotcell works here|Everything that hotcell can use is there/)
  t.false(people.stdout.includes('\u001B'))
  t.true((await cli(['doctor'], { env: { FORCE_COLOR: '1' } })).stdout.includes('\u001B[32m✓'))

  const programs = JSON.parse((await cli(['doctor', '--json'])).stdout)
  t.true(programs.supported)
  t.is(programs.host.uid, process.geteuid?.())
  const { features } = await probe()
  const names = programs.findings.map(({ name }: Finding) => name)
  for (const { name } of features) t.true(names.includes(name) || name === 'root' || /^cgroup-v[12]$/.test(name), name)
})

test.serial('every finding has a heading, and every heading something to say', async (t) => {
  const support = await probe()
  const details = new Set(support.features.map(({ detail }) => detail))
  for (const available of [true, false]) {
    const features = support.features.map((feature) => ({ ...feature, available }))
    for (const { name, consequence } of examine({ ...support, features }, readFacts(), PROFILE)) {
      t.true(sections.some(({ names }) => names.includes(name)))
      t.false(consequence === '' || details.has(consequence), `${name} has words of its own`)
    }
  }
})

const facts: HostFacts = {
  uid: 1000,
  user: 'ada',
  distributions: ['ubuntu', 'debian'],
  distribution: 'Ubuntu 24.04',
  container: undefined,
  systemd: true,
  sysctls: { 'user.max_user_namespaces': '63000' },
  apparmor: 'unconfined',
  filtered: false,
  noNewPrivs: false,
  ranges: { uid: true, gid: true },
  newuidmap: 'there',
  lsm: 'lockdown,capability,landlock,yama,apparmor',
  initFile: undefined,
}

/** What is advised where these features are missing, as one text. */
async function advice(missing: readonly string[], given: Partial<HostFacts>): Promise<string> {
  const { features, ...host } = await probe()
  const support: HostSupport = {
    ...host,
    supported: true,
    features: features.map((feature) => ({ ...feature, available: !missing.includes(feature.name) })),
  }
  const findings = examine(support, { ...facts, ...given }, PROFILE)
  return findings.flatMap(({ fixes }) => fixes.flatMap(({ text, lines }) => [text, ...lines])).join('\n')
}

test.serial('Ubuntu 24.04: user namespaces without capabilities', async (t) => {
  const sysctls = { ...facts.sysctls, 'kernel.apparmor_restrict_unprivileged_userns': '1' }
  const said = await advice(['user-namespace', 'container'], { sysctls })
  t.true(said.includes(`sudo install -m 644 ${PROFILE} /etc/apparmor.d/hotcell`))
  t.true(said.includes('sudo apparmor_parser -r /etc/apparmor.d/hotcell'))
  t.true(said.includes(`export HOTCELL_INIT=${INIT_FILE}`))
  t.true(said.includes('sysctl -w kernel.apparmor_restrict_unprivileged_userns=0'))
  // Root's are not restricted.
  t.false((await advice(['user-namespace'], { sysctls, uid: 0 })).includes('apparmor_parser'))
})

test.serial('sysctls that switch user namespaces off', async (t) => {
  const none = await advice(['user-namespace'], { sysctls: { 'user.max_user_namespaces': '0' } })
  t.regex(none, /^sudo sysctl -w user\.max_user_namespaces=28633$/m)
  t.regex(none, /^echo 'user\.max_user_namespaces = 28633' \| sudo tee -a \/etc\/sysctl\.d\/60-hotcell\.conf$/m)
  const debian = await advice(['user-namespace'], { sysctls: { 'kernel.unprivileged_userns_clone': '0' } })
  t.regex(debian, /^sudo sysctl -w kernel\.unprivileged_userns_clone=1$/m)
  const memory = await advice(['memfd-exec'], { sysctls: { 'vm.memfd_noexec': '2' } })
  t.regex(memory, /^sudo sysctl -w vm\.memfd_noexec=1$/m)
})

test.serial('Docker, Podman and Kubernetes, short of --privileged', async (t) => {
  const missing = ['container', 'user-namespace', 'proc-mount', 'clone3', 'cgroup-memory']
  const docker = await advice(missing, { container: 'docker', systemd: false })
  for (const option of [
    'seccomp=unconfined',
    'apparmor=unconfined',
    'systempaths=unconfined',
    'writable-cgroups=true',
  ]) {
    t.true(docker.includes(`--security-opt ${option}`), option)
  }
  t.true(docker.includes('--cgroupns=private'))
  t.regex(await advice(missing, { container: 'podman' }), /unmask=ALL/)
  const kubernetes = await advice(missing, { container: 'kubernetes' })
  for (const line of ['hostUsers: false', 'procMount: Unmasked', 'seccompProfile: { type: Unconfined }']) {
    t.true(kubernetes.includes(line), line)
  }
  for (const said of [docker, kubernetes]) t.notRegex(said, /(?<!nothing of this is )--privileged/)
})

test.serial('cgroups: delegated by systemd, to a scope, a service and a user', async (t) => {
  const missing = ['cgroup-memory', 'cgroup-pids', 'cgroup-cpu', 'cgroup-cpuset']
  const user = await advice(missing, {})
  t.regex(user, /^systemd-run --user --scope -p Delegate=yes -- /m)
  t.regex(user, /^Delegate=yes$/m)
  t.regex(user, /user@\.service\.d/)
  t.regex(await advice(missing, { uid: 0 }), /^systemd-run --scope -p Delegate=yes -- /m)
  t.regex(await advice(missing, { systemd: false }), /cgroup\.subtree_control/)
})

test.serial('subordinate ids', async (t) => {
  const missing = ['user-namespace-ranges']
  const all = await advice(missing, { ranges: { uid: false, gid: false }, newuidmap: 'absent' })
  t.regex(all, /^sudo apt-get install uidmap$/m)
  t.regex(all, /^sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ada$/m)
  const half = await advice(missing, { ranges: { uid: true, gid: false }, newuidmap: 'powerless', user: undefined })
  t.regex(half, /^sudo usermod --add-subgids 100000-165535 1000$/m)
  t.regex(half, /chmod u\+s/)
  t.regex(await advice(missing, { newuidmap: 'absent', distributions: ['alpine'] }), /apk add shadow-uidmap/)
  t.regex(await advice(missing, { noNewPrivs: true }), /^NoNewPrivileges=no$/m)
})

test.serial('Landlock and traces', async (t) => {
  t.regex(await advice(['landlock'], { lsm: 'capability,yama' }), /lsm=landlock,capability,yama/)
  t.regex(await advice([], { sysctls: { 'kernel.yama.ptrace_scope': '3' } }), /ptrace_scope = 1/)
})

test.serial('terminals and overlays', async (t) => {
  t.regex(await advice(['overlay'], {}), /^sudo modprobe overlay$/m)
  const inside = await advice(['overlay', 'terminal'], { container: 'docker', uid: 0, user: 'root' })
  t.notRegex(inside, /modprobe/)
  t.regex(inside, /--security-opt/)
})

test.serial('writes the init image, and containers can be started from it where it is root’s', async (t) => {
  const folder = temporaryFolder(t)
  const file = join(folder, 'init')
  const written = await cli(['doctor', '--write-init', file])
  t.is(written.code, 0)
  t.is(statSync(file).mode & 0o777, 0o755)
  t.is(readFileSync(file).subarray(1, 4).toString(), 'ELF')

  const { code, stdout, stderr } = await cli(['run', '--', 'echo', 'started'], { env: { HOTCELL_INIT: file } })
  if (process.geteuid?.() === 0) {
    t.is(stdout, 'started\n', stderr)
    const other = await cli(['run', 'true'], { env: { HOTCELL_INIT: '/bin/true' } })
    t.is(other.code, 125)
    t.regex(other.stderr, /\/bin\/true is not the init image of this version.*hotcell doctor --write-init/s)
  } else {
    t.is(code, 125)
    t.regex(stderr, /does not belong to root/)
  }
  const absent = await cli(['doctor'], { env: { HOTCELL_INIT: join(folder, 'absent') } })
  t.is(absent.code, 1)
  t.regex(
    absent.stdout,
    /✗ A container.*HOTCELL_INIT names a file that cannot be used.*hotcell does not work here yet/s,
  )
})

requires('apparmor_parser 4', onPath('apparmor_parser') && understands)('the AppArmor profile is one', async (t) => {
  const { stderr } = await promisify(execFile)('apparmor_parser', ['--skip-kernel-load', '--skip-cache', PROFILE])
  t.is(stderr, '')
})

test('the AppArmor profile is attached to where init is installed', (t) => {
  const profile = readFileSync(PROFILE, 'utf8')
  t.regex(profile, /^profile hotcell \/usr\/local\/libexec\/hotcell\/\{init,init-\*\} flags=\(unconfined\) \{$/m)
  t.regex(profile, /^ {2}userns,$/m)
  t.true(profile.includes(`HOTCELL_INIT=${INIT_FILE}`))
})
