import { release } from 'node:os'
import { binding, type ProbeFeature } from './binding.js'
import { HotcellError } from './errors.js'
import { systemError } from './system-error.js'

/** One thing that hotcell needs or uses. */
export interface HostFeature {
  /** `'user-namespace'`, `'mount-api'`, `'proc-mount'`, `'cgroup-v2'`, …; `'container'` is a container made for real. */
  name: string
  available: boolean
  /** Whether containers cannot be made without it. */
  required: boolean
  /** What it is for, since when kernels have it, and how to get it. */
  detail: string
  /** The kernel's word for why it is absent, where there is one (errno(3)). */
  code?: string
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
  if (errno > 0) feature.code = systemError(errno).code
  return feature
}
