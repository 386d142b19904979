/** What doctor has found: features of `probe()` and what else matters, each with what it is worth and how to get it. */
import type { HostFeature, HostSupport } from '../../probe.js'
import type { Fix } from './fix.js'
import { fixesFor } from './fixes.js'
import type { HostFacts } from './facts.js'

export interface Finding {
  name: string
  title: string
  /** `'ok'`; `'missing'`: there are no containers without it; `'limited'`: there are, with thinner walls or without some options. */
  state: 'ok' | 'missing' | 'limited'
  /** What there is, or what its absence means. */
  consequence: string
  /** The kernel's word. */
  code?: string
  fixes: readonly Fix[]
}

/** Under headings, in the order in which they matter. */
export const sections: readonly { title: string; names: readonly string[] }[] = [
  { title: 'Containers', names: ['platform', 'container', 'user-namespace', 'network-namespace', 'proc-mount'] },
  { title: 'Kernel', names: ['clone3', 'openat2', 'close_range', 'mount-api', 'pidfd', 'memfd-exec'] },
  { title: 'Limits', names: ['cgroup-memory', 'cgroup-pids', 'cgroup-cpu', 'cgroup-cpuset'] },
  { title: 'Walls and tools', names: ['user-namespace-ranges', 'landlock', 'ptrace', 'terminal', 'overlay'] },
]

interface Words {
  title: string
  there: string
  absent: string
}

const words: Readonly<Record<string, Words>> = {
  platform: {
    title: 'Platform',
    there: 'the native addon is there',
    absent: 'there is no native addon for this platform',
  },
  container: {
    title: 'A container',
    there: 'made and destroyed one',
    absent: 'none can be made with the default options',
  },
  'user-namespace': {
    title: 'User namespaces',
    there: 'containers have identities of their own',
    absent: 'only root can make containers, and with thinner walls',
  },
  'network-namespace': {
    title: 'Network namespaces',
    there: 'containers are off the network',
    absent: 'containers would share the network of this host',
  },
  'proc-mount': { title: '/proc', there: 'containers have one of their own', absent: 'containers can only go without' },
  clone3: { title: 'clone3', there: 'since Linux 5.3', absent: 'no process can be started' },
  openat2: { title: 'openat2', there: 'since Linux 5.6', absent: 'no path can be resolved safely' },
  close_range: { title: 'close_range', there: 'since Linux 5.11', absent: 'no process can be started' },
  'mount-api': { title: 'Mounts by descriptor', there: 'since Linux 5.12', absent: 'nothing can be mounted' },
  pidfd: { title: 'pidfd', there: 'since Linux 5.3', absent: 'no process can be watched' },
  'memfd-exec': { title: 'Execution from memory', there: 'init is a sealed memfd', absent: 'init cannot be started' },
  'cgroup-memory': {
    title: 'Memory',
    there: 'by cgroup',
    absent: 'memory is what is resident, looked at every few milliseconds',
  },
  'cgroup-pids': {
    title: 'Processes',
    there: 'by cgroup',
    absent: 'processes are counted by user, with those of other runs of a container',
  },
  'cgroup-cpu': { title: 'CPU rate', there: 'by cgroup', absent: '--cpu-rate is refused' },
  'cgroup-cpuset': { title: 'CPU set', there: 'by cgroup', absent: '--cpu-set is refused' },
  'user-namespace-ranges': {
    title: 'Identities',
    there: 'programs are another user than you, and than init',
    absent: 'programs have your uid on the host: files that are yours alone, mounted, are theirs',
  },
  landlock: { title: 'Landlock', there: 'rules for files and ports', absent: '--landlock and --allow-… are refused' },
  terminal: { title: 'Terminals', there: 'hotcell shell and --tty', absent: 'hotcell shell and --tty fail' },
  overlay: { title: 'Overlays', there: 'of /usr', absent: '--overlay fails' },
  ptrace: { title: 'Traces', there: 'hotcell trace and learn', absent: 'hotcell trace and learn are refused' },
}

/** Puts what was tried and what was read together. @param profile the AppArmor profile of the package */
export function examine(support: HostSupport, facts: HostFacts, profile: string): Finding[] {
  const found = new Map(support.features.map((feature) => [feature.name, feature]))
  found.set('ptrace', {
    name: 'ptrace',
    available: facts.sysctls['kernel.yama.ptrace_scope'] !== '3',
    required: false,
    detail: '',
  })
  const features = sections.flatMap(({ names }) => names.flatMap((name) => found.get(name) ?? []))
  return features.map((feature) => examineFeature(feature, facts, profile))
}

function examineFeature(feature: HostFeature, facts: HostFacts, profile: string): Finding {
  const { name, available, required, code, detail } = feature
  const { title, there, absent } = words[name] ?? { title: name, there: detail, absent: detail }
  if (available) return { name, title, state: 'ok', consequence: there, fixes: [] }
  const state = required ? 'missing' : 'limited'
  const fixes = fixesFor(feature, facts, profile)
  return { name, title, state, consequence: absent, ...(code === undefined ? {} : { code }), fixes }
}
