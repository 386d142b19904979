/**
 * Under which identity this run of the suite happens, told by HOTCELL_TEST_MODE (scripts/test-modes.mjs), and containers
 * that fit it.
 */
import type { ExecutionContext } from 'ava'
import { Master, probe, type HostSupport, type MasterOptions } from '../../index.js'

const modes = ['root', 'rootless', 'rootless-ranges', 'degraded'] as const

/**
 * | mode | this process | containers |
 * |---|---|---|
 * | `root` | root | with a user namespace, whose programs have a private host uid |
 * | `rootless` | a plain user | with a user namespace that maps one id |
 * | `rootless-ranges` | a plain user with ranges in /etc/subuid | with a user namespace that maps several |
 * | `degraded` | root | without a user namespace |
 */
export type Mode = (typeof modes)[number]

const isRoot = process.geteuid?.() === 0

export const mode: Mode = detect()

function detect(): Mode {
  const told = process.env['HOTCELL_TEST_MODE']
  if (told === undefined || told === '') return isRoot ? 'root' : 'rootless'
  const known = modes.find((name) => name === told)
  if (known === undefined) throw new Error(`HOTCELL_TEST_MODE must be one of ${modes.join(', ')}; it is ${told}`)
  if (isRoot !== (known === 'root' || known === 'degraded'))
    throw new Error(`mode ${known} does not fit uid ${process.geteuid?.()}`)
  return known
}

/** Options of a container in this mode. The user namespace is demanded or refused, never left to what the host allows. */
export function masterOptions(options: MasterOptions = {}): MasterOptions {
  return { userNamespace: mode !== 'degraded', ...options }
}

/** A container of this mode that is destroyed with the test. */
export async function createMaster(t: ExecutionContext, options?: MasterOptions): Promise<Master> {
  const master = await Master.create(masterOptions(options))
  t.teardown(() => master.destroy())
  return master
}

/**
 * The same without a seccomp filter: for attacks that the default profile refuses, and that the rest has to withstand all the same.
 */
export function createUnfiltered(t: ExecutionContext, options: MasterOptions = {}): Promise<Master> {
  return createMaster(t, { seccomp: 'off', ...options })
}

let support: Promise<HostSupport> | undefined

/** Whether `probe()` found this feature on the host. */
export async function hostHas(feature: string): Promise<boolean> {
  const { features } = await (support ??= probe())
  return features.some(({ name, available }) => name === feature && available)
}
