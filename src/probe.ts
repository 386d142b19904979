import { release } from 'node:os'
import { binding, type ProbeFeature } from './binding.js'
import { HotcellError } from './errors.js'
import { cure } from './cures.js'
import { systemError } from './system-error.js'

/** One thing that hotcell needs or uses. */
export interface HostFeature {
  /** `'user-namespace'`, `'mount-api'`, `'proc-mount'`, `'cgroup-v2'`, …; `'container'` is a container made for real. */
  name: string
  available: boolean
  /** Whether containers cannot be made without it. */
  required: boolean
  /** What was found, in words. */
  detail: string
  /** The kernel's word for why it is absent, where there is one (errno(3)). */
  code?: string
  /** How to get it, where that is known. */
  cure?: string
}

/** What this host allows. */
export interface HostSupport {
  /** Whether containers can be made here. */
  supported: boolean
  /** The kernel's release, uname(2). */
  kernel: string
  /** `process.arch`'s word. */
  architecture: string
  features: HostFeature[]
}

/** Which step of making a container a feature stands for, for the cure of its absence. */
const steps: Readonly<Record<string, string>> = {
  'user-namespace': 'CloneContainer',
  'user-namespace-ranges': 'RunNewIdMap',
  'network-namespace': 'CloneContainer',
  'proc-mount': 'MakeProc',
  clone3: 'CloneContainer',
  'mount-api': 'OpenTree',
}

const cures: Readonly<Record<string, string>> = {
  root: 'Run as root to have containers without user namespaces; with them it is not needed',
  'user-namespace-ranges':
    'Install newuidmap and newgidmap (package uidmap), and give this user ranges in /etc/subuid and /etc/subgid',
  openat2: 'Linux 5.6 or later, and no outer seccomp filter that hides it',
  close_range: 'Linux 5.9 or later, and no outer seccomp filter that hides it',
  clone3: 'Linux 5.5 or later, and no outer seccomp filter that hides it (Docker: --security-opt seccomp=unconfined)',
  'mount-api': 'Linux 5.12 or later, and no outer seccomp filter that hides it',
  pidfd: 'Linux 5.4 or later',
  'memfd-exec': 'The sysctl vm.memfd_noexec must not be 2',
  landlock: "Linux 5.13 or later, with landlock in the kernel's list of security modules (lsm=)",
  'cgroup-v1': 'Not needed where there is cgroup-v2',
  'cgroup-v2': 'Mount it, and delegate a group to this user (systemd: Delegate=yes)',
}

/**
 * Finds out what this host allows, by trying: it starts short-lived processes, and a container for real. Takes some
 * milliseconds. Never rejects because something is missing, not even the platform.
 */
export async function probe(): Promise<HostSupport> {
  let addon: ReturnType<typeof binding>
  try {
    addon = binding()
  } catch (error) {
    if (!(error instanceof HotcellError)) throw error
    const platform: HostFeature = { name: 'platform', available: false, required: true, detail: error.message }
    return { supported: false, kernel: release(), architecture: process.arch, features: [platform] }
  }
  const { kernel, architecture, features } = await addon.probe()
  return {
    supported: features.every((feature) => feature.available || !feature.required),
    kernel,
    architecture,
    features: features.map(describe),
  }
}

function describe({ name, available, required, detail, errno }: ProbeFeature): HostFeature {
  const feature: HostFeature = { name, available, required, detail }
  if (available) return feature
  const code = errno > 0 ? systemError(errno).code : undefined
  if (code !== undefined) feature.code = code
  const remedy = cure(steps[name] ?? '', code ?? '') ?? cures[name]
  if (remedy !== undefined) feature.cure = remedy
  return feature
}
