/**
 * What kind of host this is: which of several cures for a gap fits. Only reads; whether something works, `probe()` has tried.
 */
import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs'
import { userInfo } from 'node:os'

export interface HostFacts {
  uid: number
  /** Of the user; absent where the uid has no name. */
  user: string | undefined
  /** `ID` and `ID_LIKE` of os-release(5). */
  distributions: readonly string[]
  /** `PRETTY_NAME` of os-release(5). */
  distribution: string
  /** What this process itself is contained in. */
  container: 'docker' | 'podman' | 'kubernetes' | 'other' | undefined
  /** Whether systemd runs this host. */
  systemd: boolean
  /** Those that are there, by name. */
  sysctls: Readonly<Record<string, string>>
  /** The AppArmor profile of this process, `unconfined`, or undefined without AppArmor. */
  apparmor: string | undefined
  /** Whether a seccomp filter is around this process. */
  filtered: boolean
  /** Whether set-user-ID programs give this process nothing (`no_new_privs`, prctl(2)). */
  noNewPrivs: boolean
  /** Lines for this user in /etc/subuid and /etc/subgid. */
  ranges: { uid: boolean; gid: boolean }
  /** newuidmap(1). */
  newuidmap: 'absent' | 'powerless' | 'there'
  /** The security modules of the kernel, in their order; undefined if that cannot be read. */
  lsm: string | undefined
  /** `HOTCELL_INIT`. */
  initFile: string | undefined
}

const sysctls = [
  'kernel.unprivileged_userns_clone',
  'kernel.apparmor_restrict_unprivileged_userns',
  'kernel.yama.ptrace_scope',
  'user.max_net_namespaces',
  'user.max_user_namespaces',
  'vm.memfd_noexec',
]

/** What can be read here. */
export function readFacts(): HostFacts {
  const release = read('/etc/os-release') ?? read('/usr/lib/os-release') ?? ''
  const field = (name: string): string => new RegExp(`^${name}=["']?(.*?)["']?$`, 'm').exec(release)?.[1] ?? ''
  const status = read('/proc/self/status') ?? ''
  const uid = process.geteuid?.() ?? 0
  const user = userName()
  return {
    uid,
    user,
    distributions: [field('ID'), ...field('ID_LIKE').split(' ')].filter((id) => id !== ''),
    distribution: field('PRETTY_NAME') || 'Linux',
    container: container(),
    systemd: existsSync('/run/systemd/system'),
    sysctls: Object.fromEntries(
      sysctls.flatMap((sysctl) => {
        const value = read(`/proc/sys/${sysctl.replaceAll('.', '/')}`)
        return value === undefined ? [] : [[sysctl, value.trim()]]
      }),
    ),
    apparmor: apparmor(),
    filtered: /^Seccomp:\s*2$/m.test(status),
    noNewPrivs: /^NoNewPrivs:\s*1$/m.test(status),
    ranges: { uid: grants('/etc/subuid', uid, user), gid: grants('/etc/subgid', uid, user) },
    newuidmap: newuidmap(),
    lsm: read('/sys/kernel/security/lsm')?.trim(),
    initFile: process.env['HOTCELL_INIT'] || undefined,
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function userName(): string | undefined {
  try {
    return userInfo().username
  } catch {
    return undefined
  }
}

function container(): HostFacts['container'] {
  if (process.env['KUBERNETES_SERVICE_HOST'] !== undefined) return 'kubernetes'
  if (existsSync('/run/.containerenv')) return 'podman'
  if (existsSync('/.dockerenv')) return 'docker'
  // systemd's container interface: whoever starts a container says so to its first process.
  return /(?:^|\0)container=/.test(read('/proc/1/environ') ?? '') ? 'other' : undefined
}

function apparmor(): string | undefined {
  if (read('/sys/module/apparmor/parameters/enabled')?.trim() !== 'Y') return undefined
  // The interface of AppArmor alone, since Linux 5.1; the other one is whichever module is the first.
  return (read('/proc/self/attr/apparmor/current') ?? read('/proc/self/attr/current'))?.trim()
}

function grants(file: string, uid: number, user: string | undefined): boolean {
  const lines = (read(file) ?? '').split('\n')
  return lines.some((line) => line.startsWith(`${uid}:`) || (user !== undefined && line.startsWith(`${user}:`)))
}

/** Set-user-ID root, or with capabilities: of the latter only the tool itself could tell, so an executable that is neither is rare. */
function newuidmap(): HostFacts['newuidmap'] {
  const SET_USER_ID = 0o4000
  for (const folder of ['/usr/bin', '/bin', '/usr/local/bin', '/usr/sbin', '/sbin']) {
    const path = `${folder}/newuidmap`
    const found = statSync(path, { throwIfNoEntry: false })
    if (found === undefined) continue
    try {
      accessSync(path, constants.X_OK)
    } catch {
      return 'powerless'
    }
    // Distributions that use file capabilities instead (Fedora, Arch) have root's file as well.
    return found.uid === 0 &&
      ((found.mode & SET_USER_ID) !== 0 || existsSync('/etc/redhat-release') || existsSync('/etc/arch-release'))
      ? 'there'
      : 'powerless'
  }
  return 'absent'
}
