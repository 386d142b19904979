/**
 * What limits are held by: cgroups of either version, of both at once (what hotcell finds by itself), or none. A test of limits is one
 * of each; where a machine lacks one, that test is skipped by name.
 */
import type { ExecutionContext } from 'ava'
import type { CgroupOptions, Master, MasterOptions } from '../../index.js'
import { createMaster, hostHas } from './mode.js'
import { requiresSerial } from './requires.js'

export interface Backend {
  name: 'found' | 'v1' | 'v2' | 'none'
  cgroup: CgroupOptions | false
  /** Whether all memory of a run is counted, and not only what is resident. */
  countsMemory: boolean
}

const name = `hotcell-test-${process.pid}`
const [hasV1, hasV2] = [await hostHas('cgroup-v1'), await hostHas('cgroup-v2')]

const backends: readonly (Backend & { needs: string; available: boolean })[] = [
  { name: 'found', cgroup: { name }, countsMemory: true, needs: 'cgroups', available: hasV1 || hasV2 },
  { name: 'v1', cgroup: { name, version: 1 }, countsMemory: true, needs: 'cgroup1', available: hasV1 },
  { name: 'v2', cgroup: { name, version: 2 }, countsMemory: true, needs: 'cgroup2', available: hasV2 },
  { name: 'none', cgroup: false, countsMemory: false, needs: 'nothing', available: true },
]

/** Declares a test for each backend that fulfils the condition; one after the other, for they keep the processors busy. */
export function onEachBackend(
  title: string,
  implementation: (t: ExecutionContext, backend: Backend) => Promise<void>,
  wanted: (backend: Backend) => boolean = () => true,
): void {
  for (const backend of backends.filter(wanted)) {
    requiresSerial(backend.needs, backend.available)(`${title} (${backend.name})`, (t) => implementation(t, backend))
  }
}

/** A container with its cgroups, if it is to have any. */
export function createLimited(t: ExecutionContext, backend: Backend, options: MasterOptions = {}): Promise<Master> {
  return createMaster(t, { cgroup: backend.cgroup, ...options })
}
