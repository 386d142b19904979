/** Options of the command line as those of the API. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { defaultPath } from '../env.js'
import { defaultMounts, type Mount } from '../mounts.js'
import type { LandlockRules } from '../options/landlock.js'
import type { Limits } from '../options/limits.js'
import type { MasterOptions } from '../options/master-options.js'
import { seccompProfiles, type SeccompInput } from '../options/seccomp.js'
import { SeccompPolicy } from '../seccomp-policy.js'
import type { Values } from './definition.js'
import { quote } from './parse.js'
import type { filesIn, limits, program, walls } from './shared-options.js'
import { UsageError } from './usage-error.js'

/** What a container is made from. */
export type ContainerValues = Values<
  (typeof limits)['options'] & (typeof filesIn)['options'] & (typeof program)['options'] & (typeof walls)['options']
>

/** For `Master.create`. */
export function containerOptions(values: ContainerValues): MasterOptions {
  const options: MasterOptions = {
    mounts: mounts(values),
    symlinks: values.symlink,
    env: environment(values),
    seccomp: seccomp(values.seccomp),
    limits: runLimits(values),
    network: values.network,
    proc: values.proc,
    hostname: values.hostname,
    user: values.user,
    tmpfs: { sizeBytes: values['tmpfs-size'], inodes: values['tmpfs-inodes'] },
  }
  const namespace = values['user-namespace'] ?? 'auto'
  if (namespace !== 'auto') options.userNamespace = namespace === 'require'
  const { cgroup } = values
  if (cgroup === 'off') options.cgroup = false
  else if (cgroup === 'require') options.cgroup = {}
  else if (typeof cgroup === 'object') options.cgroup = cgroup
  return options
}

function mounts(values: ContainerValues): Mount[] {
  const workspace = new Set(['/w', '/tmp'])
  const own: Mount[] = [
    ...values['ro-bind'].map(({ host, container }): Mount => {
      return { type: 'bind', source: host, target: container, readOnly: true }
    }),
    ...values.bind.map(({ host, container }): Mount => {
      return { type: 'bind', source: host, target: container, readOnly: false }
    }),
    ...values.overlay.map(({ host, container }): Mount => ({ type: 'overlay', source: host, target: container })),
    ...values.tmpfs.map(({ target, sizeBytes }): Mount => ({ type: 'tmpfs', target, sizeBytes })),
  ]
  // What stands at the place of a default mount takes that place; whatever else is mounted comes after all of those.
  const targets = new Set(own.map(({ target }) => absolute(target)))
  const defaults = defaultMounts().filter(({ target }) => {
    return !targets.has(target) && (!values.bare || workspace.has(target))
  })
  return [...defaults, ...own]
}

/** A path of the container. */
export function absolute(path: string): string {
  return resolve('/w', path)
}

function environment({ env }: ContainerValues): Record<string, string | undefined> {
  const equals = defaultPath.indexOf('=')
  const variables: Record<string, string | undefined> = {
    [defaultPath.slice(0, equals)]: defaultPath.slice(equals + 1),
  }
  // A variable that the host does not have is none inside either.
  for (const { name, value } of env) variables[name] = value ?? process.env[name]
  return variables
}

/** The limits of the run. That of the output holds what the CLI passes on (relay.ts): it collects nothing. */
export function runLimits(values: ContainerValues): Limits {
  return {
    cpuTimeMs: values['cpu-time'],
    wallTimeMs: values['wall-time'],
    memoryBytes: values.memory,
    processes: values.processes,
    fileSizeBytes: values['file-size'],
    openFiles: values['open-files'],
    stackBytes: values.stack,
    cpuRate: values['cpu-rate'],
    cpuSet: values['cpu-set'],
  }
}

function seccomp(value: string | undefined): SeccompInput | undefined {
  if (value === undefined) return undefined
  return seccompProfiles.find((name) => name === value) ?? SeccompPolicy.fromFile(value)
}

/** The Landlock rules of the run; undefined if there are none. */
export function landlockRules(values: ContainerValues): LandlockRules | undefined {
  const file = values.landlock
  const rules: LandlockRules = file === undefined ? {} : readRules(file)
  const add = <T>(name: 'read' | 'write' | 'execute' | 'connect' | 'bind', more: readonly T[]): void => {
    if (more.length > 0) Object.assign(rules, { [name]: [...(rules[name] ?? []), ...more] })
  }
  add('read', values['allow-read'])
  add('write', values['allow-write'])
  add('execute', values['allow-execute'])
  add('connect', values['allow-connect'])
  add('bind', values['allow-bind'])
  return Object.keys(rules).length === 0 && file === undefined ? undefined : rules
}

/** Whether the rules are what the API takes, the API says. */
function readRules(file: string): LandlockRules {
  let content: unknown
  try {
    content = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new UsageError(`--landlock: cannot read ${quote(file)}: ${(error as Error).message}`)
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new UsageError(`--landlock: ${quote(file)} must hold an object { "read": […], "write": […], "execute": […] }`)
  }
  return { ...content }
}
