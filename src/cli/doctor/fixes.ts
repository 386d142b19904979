/** Which fixes there are for what `probe()` has found missing, on a host of this kind; the best one first. */
import type { HostFeature } from '../../probe.js'
import { sysctl, type Fix } from './fix.js'
import type { HostFacts } from './facts.js'

/** Where the AppArmor profile of the package expects init. */
export const INIT_FILE = '/usr/local/libexec/hotcell/init'

/** A program that stands for the user's own. */
const SERVER = 'node server.js'

const isRoot = ({ uid }: HostFacts): boolean => uid === 0
const isLike = ({ distributions }: HostFacts, ...names: string[]): boolean =>
  names.some((name) => distributions.includes(name))

/** What to do about a feature that is missing. Empty where nothing is known to help. */
export function fixesFor(feature: HostFeature, facts: HostFacts, profile: string): Fix[] {
  const known = fixes[feature.name]
  return known === undefined ? [] : known(facts, profile)
}

const fixes: Readonly<Record<string, (facts: HostFacts, profile: string) => Fix[]>> = {
  platform: () => [
    {
      text: 'on Linux, on x64 or arm64, install hotcell with its optional dependencies',
      lines: ['npm install --include=optional hotcell'],
    },
  ],
  container: (facts) => (facts.initFile === undefined ? [] : [rewriteInit(facts.initFile)]),
  'user-namespace': userNamespace,
  'user-namespace-ranges': ranges,
  'network-namespace': (facts) => {
    const found: Fix[] = []
    if (facts.sysctls['user.max_net_namespaces'] === '0') found.push(sysctl('user.max_net_namespaces', 65_536))
    return [...found, ...outer(facts)]
  },
  'proc-mount': (facts) => [
    ...outer(facts),
    {
      text: 'or go without a /proc in containers',
      lines: ['hotcell run --proc none -- …', "Master.create({ proc: 'none' })"],
    },
  ],
  clone3: kernel,
  openat2: kernel,
  close_range: kernel,
  'mount-api': kernel,
  pidfd: kernel,
  'memfd-exec': (facts) => [
    ...(facts.sysctls['vm.memfd_noexec'] === '2' ? [sysctl('vm.memfd_noexec', 1)] : []),
    ...kernel(facts),
  ],
  landlock: ({ lsm, container }) => {
    if (container !== undefined) return []
    if (lsm === undefined || lsm.includes('landlock')) {
      return [
        {
          text: 'use a kernel from 5.13 on (6.2 for rules of files, 6.7 for ports) with CONFIG_SECURITY_LANDLOCK',
          lines: ['uname -r'],
        },
      ]
    }
    return [
      {
        text: 'add landlock to the security modules of the kernel command line, and boot again (Debian, Ubuntu; elsewhere grub2-mkconfig)',
        lines: [
          `sudo sed -i 's/^GRUB_CMDLINE_LINUX="/&lsm=landlock,${lsm} /' /etc/default/grub`,
          'sudo update-grub && sudo reboot',
        ],
      },
    ]
  },
  terminal: outer,
  overlay: (facts) => [
    ...outer(facts),
    ...(facts.container === undefined
      ? [
          {
            text: 'load the module overlay, or use a kernel that has it (without root from 5.11 on)',
            lines: ['sudo modprobe overlay', 'echo overlay | sudo tee /etc/modules-load.d/hotcell.conf'],
          },
        ]
      : []),
  ],
  'cgroup-memory': cgroups,
  'cgroup-pids': cgroups,
  'cgroup-cpu': cgroups,
  'cgroup-cpuset': cgroups,
  ptrace: ({ sysctls }) => {
    // 3 cannot be taken back before the next boot.
    return sysctls['kernel.yama.ptrace_scope'] === '3'
      ? [
          {
            text: 'let the sysctl kernel.yama.ptrace_scope be 2 or less from the next boot on: 3 is final',
            lines: ["echo 'kernel.yama.ptrace_scope = 1' | sudo tee /etc/sysctl.d/60-hotcell.conf", 'sudo reboot'],
          },
        ]
      : []
  },
}

function kernel(facts: HostFacts): Fix[] {
  const filter = facts.filtered || facts.container !== undefined ? outer(facts) : []
  return [...filter, { text: 'use a kernel from 5.12 on', lines: ['uname -r'] }]
}

function rewriteInit(file: string): Fix {
  return {
    text: 'HOTCELL_INIT names a file that cannot be used: write it anew after each update of hotcell, or unset the variable',
    lines: [`hotcell doctor --write-init ./hotcell-init`, `sudo install -D -m 755 ./hotcell-init ${file}`],
  }
}

function userNamespace(facts: HostFacts, profile: string): Fix[] {
  const { sysctls } = facts
  const found: Fix[] = []
  if (sysctls['user.max_user_namespaces'] === '0') found.push(sysctl('user.max_user_namespaces', 28_633))
  if (!isRoot(facts) && sysctls['kernel.unprivileged_userns_clone'] === '0') {
    found.push(sysctl('kernel.unprivileged_userns_clone', 1))
  }
  const isRestricted = !isRoot(facts) && (sysctls['kernel.apparmor_restrict_unprivileged_userns'] ?? '0') !== '0'
  if (isRestricted && facts.container === undefined) found.push(...appArmor(profile))
  if (facts.container !== undefined) found.push(...outer(facts))
  if (found.length === 0 && facts.filtered) {
    found.push({
      text: 'a seccomp filter is around this process: have it allow clone3, unshare, setns, mount and pivot_root. In a unit of systemd',
      lines: ['[Service]', 'RestrictNamespaces=no', 'SystemCallFilter='],
    })
  }
  if (found.length === 0)
    found.push({
      text: 'use a kernel with CONFIG_USER_NS',
      lines: ['zgrep CONFIG_USER_NS /proc/config.gz /boot/config-$(uname -r)'],
    })
  return found
}

/**
 * Ubuntu 23.10 and later: user namespaces are there, and everything in them is denied, unless an AppArmor profile says otherwise. Profiles are
 * attached by path, and init has none unless it is started from a file.
 */
function appArmor(profile: string): Fix[] {
  return [
    {
      text: 'AppArmor takes capabilities from user namespaces of programs without a profile: load the one of this package, which is for init only',
      lines: [
        `sudo install -m 644 ${profile} /etc/apparmor.d/hotcell`,
        'sudo apparmor_parser -r /etc/apparmor.d/hotcell',
        'hotcell doctor --write-init ./hotcell-init',
        `sudo install -D -m 755 ./hotcell-init ${INIT_FILE}`,
        `export HOTCELL_INIT=${INIT_FILE}`,
      ],
    },
    {
      text: 'or take the restriction from all programs of this host',
      lines: sysctl('kernel.apparmor_restrict_unprivileged_userns', 0).lines,
    },
  ]
}

function ranges(facts: HostFacts): Fix[] {
  if (isRoot(facts) || facts.container !== undefined) return []
  const found: Fix[] = []
  if (facts.newuidmap === 'absent')
    found.push({ text: 'install newuidmap and newgidmap', lines: [installUidmap(facts)] })
  if (facts.newuidmap === 'powerless') {
    found.push({
      text: 'give newuidmap and newgidmap back what they need',
      lines: ['sudo chmod u+s "$(command -v newuidmap)" "$(command -v newgidmap)"'],
    })
  }
  if (facts.noNewPrivs) {
    found.push({
      text: 'start this process without no_new_privs, under which newuidmap has no rights; as a service, in its unit',
      lines: ['[Service]', 'NoNewPrivileges=no'],
    })
  }
  if (!facts.ranges.uid || !facts.ranges.gid) {
    const who = facts.user ?? String(facts.uid)
    const missing = [
      facts.ranges.uid ? [] : ['--add-subuids 100000-165535'],
      facts.ranges.gid ? [] : ['--add-subgids 100000-165535'],
    ]
    found.push({
      text: 'grant this user a range of ids that nobody else has in /etc/subuid and /etc/subgid',
      lines: [`sudo usermod ${missing.flat().join(' ')} ${who}`],
    })
  }
  return found
}

function installUidmap(facts: HostFacts): string {
  if (isLike(facts, 'debian', 'ubuntu')) return 'sudo apt-get install uidmap'
  if (isLike(facts, 'fedora', 'rhel', 'centos')) return 'sudo dnf install shadow-utils'
  if (isLike(facts, 'alpine')) return 'sudo apk add shadow-uidmap'
  if (isLike(facts, 'arch')) return 'sudo pacman -S shadow'
  if (isLike(facts, 'suse', 'opensuse')) return 'sudo zypper install shadow'
  return 'install the package with newuidmap (shadow, uidmap)'
}

function cgroups(facts: HostFacts): Fix[] {
  if (facts.container === 'docker') {
    return [
      {
        text: 'have root of the outer container write to its own cgroup (Docker 28 and later, with cgroup v2)',
        lines: [`docker run --cgroupns=private --security-opt writable-cgroups=true … ${SERVER}`],
      },
    ]
  }
  if (facts.container === 'podman') {
    return [
      {
        text: 'have root of the outer container write to its own cgroup',
        lines: [`podman run --cgroupns=private --security-opt unmask=/sys/fs/cgroup … ${SERVER}`],
      },
    ]
  }
  // A pod has no cgroups of its own to divide.
  if (facts.container !== undefined) return []
  if (!facts.systemd) {
    return isRoot(facts)
      ? [{ text: 'mount cgroup v2', lines: ['mount -t cgroup2 none /sys/fs/cgroup'] }]
      : [
          {
            text: 'have root give a cgroup to this user, and start in it',
            lines: [
              'sudo mkdir /sys/fs/cgroup/hotcell-user',
              `echo '+memory +pids +cpu' | sudo tee /sys/fs/cgroup/cgroup.subtree_control`,
              `sudo chown -R ${facts.uid} /sys/fs/cgroup/hotcell-user`,
              'echo $$ | sudo tee /sys/fs/cgroup/hotcell-user/cgroup.procs',
            ],
          },
        ]
  }
  const scope = isRoot(facts) ? 'systemd-run --scope' : 'systemd-run --user --scope'
  const found: Fix[] = [
    { text: 'start in a cgroup that systemd leaves to you', lines: [`${scope} -p Delegate=yes -- ${SERVER}`] },
    { text: 'or, as a service, in its unit', lines: ['[Service]', 'Delegate=yes'] },
  ]
  if (isRoot(facts)) return found
  return [
    ...found,
    {
      text: 'where cpu or cpuset do not come down to users, have systemd delegate them (then log in again)',
      lines: [
        'sudo mkdir -p /etc/systemd/system/user@.service.d',
        "printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | sudo tee /etc/systemd/system/user@.service.d/hotcell.conf",
        'sudo systemctl daemon-reload',
      ],
    },
  ]
}

/** Whatever this process is in, short of `--privileged`: docs/deployment.md has the same, and more. */
function outer({ container }: HostFacts): Fix[] {
  const text =
    'start the outer container without the walls that hotcell puts up itself; nothing of this is --privileged'
  switch (container) {
    case 'docker':
      return [
        {
          text,
          lines: [
            'docker run --user 1000:1000 --cap-drop ALL --security-opt no-new-privileges \\',
            '  --security-opt seccomp=unconfined --security-opt apparmor=unconfined \\',
            `  --security-opt systempaths=unconfined --cgroupns=private … ${SERVER}`,
          ],
        },
      ]
    case 'podman':
      return [
        {
          text,
          lines: [
            'podman run --user 1000:1000 --cap-drop ALL --security-opt no-new-privileges \\',
            '  --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt label=disable \\',
            `  --security-opt unmask=ALL --cgroupns=private … ${SERVER}`,
          ],
        },
      ]
    case 'kubernetes':
      return [
        {
          text: 'in the pod, which needs a user namespace of its own for procMount (Kubernetes 1.33; before, the gates UserNamespacesSupport and ProcMountType)',
          lines: [
            'spec:',
            '  hostUsers: false',
            '  containers:',
            '    - name: server',
            '      securityContext:',
            '        runAsUser: 1000',
            '        runAsNonRoot: true',
            '        allowPrivilegeEscalation: false',
            '        capabilities: { drop: [ALL] }',
            '        procMount: Unmasked',
            '        seccompProfile: { type: Unconfined }',
            '        appArmorProfile: { type: Unconfined }',
          ],
        },
      ]
    default:
      return []
  }
}
