import { posix, resolve } from 'node:path'
import type { MountInput } from './binding.js'
import { invalidType, invalidValue, unsupported } from './options/invalid.js'
import { checkNames, names } from './options/names.js'
import { flag, integer, oneOf, text } from './options/primitives.js'

/**
 * Something mounted in the container. All mounts are `nosuid` and `nodev`, whatever else is asked for; parents of the
 * target that do not exist are made.
 */
export interface Mount {
  /**
   * `'bind'`: a file or directory of the host, with all that is mounted below it. `'tmpfs'`: an empty file system in
   * memory, owned by the user that programs run as, and emptied by `reset()`. `'overlay'`: a directory of the host that programs may
   * change as they like while it stays as it is; what they write is in memory, `changes()` tells it, and `reset()` forgets it.
   *
   * @default 'bind' if there is a `source`
   */
  type?: 'bind' | 'tmpfs' | 'overlay' | undefined
  /**
   * The host path of a bind, or the directory that an overlay lies on; a relative one starts at the working directory of this process. A source that is itself a
   * relative symbolic link (such as /bin on hosts with a merged /usr) is made again as the same link.
   */
  source?: string | undefined
  /** Where, in the container; a relative path starts at `workDir`. */
  target: string
  /** @default true for a bind, false for a tmpfs and an overlay */
  readOnly?: boolean | undefined
  /** No program may be executed from it. @default false */
  noExec?: boolean | undefined
  /** Left out, silently, where the source does not exist. @default false */
  optional?: boolean | undefined
  /** How much a tmpfs holds, or how much may be written to an overlay, in bytes. @default `tmpfs.sizeBytes` of the container */
  sizeBytes?: number | undefined
  /** How many files a tmpfs holds, or may be made or changed in an overlay. @default `tmpfs.inodes` of the container */
  inodes?: number | undefined
  /**
   * Whom the files of an overlay's source belong to inside. `'program'`: what belongs to the owner of the source belongs to the user that
   * programs run as. They can then change it all, and also read what only its owner may: let no secrets lie there. That takes root and
   * Linux 5.19, and for a plain user is so by itself where programs run as that user; elsewhere, and with `'host'`, ids stay as they are:
   * programs can do what everybody may, and not change what belongs to nobody in the container.
   *
   * @default 'program'
   */
  owner?: 'program' | 'host' | undefined
}

const allowed = names<Mount>('mounts[]', {
  type: true,
  source: true,
  target: true,
  readOnly: true,
  noExec: true,
  optional: true,
  sizeBytes: true,
  inodes: true,
  owner: true,
})

/**
 * What a container sees if `mounts` is not given, as a new array that may be extended:
 *
 * - the host's `/usr`, `/lib`, `/lib64` and `/bin`, read-only, as far as they exist;
 * - the host's `/etc/ld.so.cache`, read-only: without it, each program start searches the library directories one by one,
 *   and libraries outside of the linker's built-in directories are not found at all (ld.so(8));
 * - the host's `/etc/alternatives`, read-only: on Debian and its kin `cc`, `c++`, `awk` and others are links through it;
 * - an empty tmpfs at `/w` and one at `/tmp`.
 */
export function defaultMounts(): Mount[] {
  return [
    ...['/usr', '/lib', '/lib64', '/bin', '/etc/ld.so.cache', '/etc/alternatives'].map((path): Mount => ({
      type: 'bind',
      source: path,
      target: path,
      readOnly: true,
      optional: true,
    })),
    { type: 'tmpfs', target: '/w' },
    { type: 'tmpfs', target: '/tmp' },
  ]
}

/** For native: checked, with every default filled in. */
export function encodeMount(mount: Mount, index: number, workDir: string): MountInput {
  const name = `mounts[${index}]`
  if (typeof mount !== 'object' || mount === null) throw invalidType(name, 'an object', mount)
  const type = mount.type as string | undefined
  if (type === 'proc')
    throw unsupported(`${name}.type: 'proc'`, "Use the container's own option: proc: 'masked' | 'pid' | 'none'")
  checkNames(mount, { ...allowed, of: name })
  const kind =
    type === undefined && mount.source !== undefined
      ? 'bind'
      : oneOf(`${name}.type`, type, ['bind', 'tmpfs', 'overlay'])
  const common = {
    target: containerPath(`${name}.target`, mount.target, workDir),
    readOnly: flag(`${name}.readOnly`, mount.readOnly, kind === 'bind'),
    noExec: flag(`${name}.noExec`, mount.noExec, false),
    optional: flag(`${name}.optional`, mount.optional, false),
    mapOwner: kind === 'overlay' && oneOf(`${name}.owner`, mount.owner ?? 'program', ['program', 'host']) === 'program',
  }
  if (mount.owner !== undefined && kind !== 'overlay')
    throw invalidValue(`${name}.owner`, mount.owner, 'is for an overlay only')
  if (common.target === '/') throw invalidValue(`${name}.target`, mount.target, "must be below the container's root")
  if (kind === 'bind') {
    if (mount.sizeBytes !== undefined) throw invalidValue(`${name}.sizeBytes`, mount.sizeBytes, 'is for a tmpfs only')
    if (mount.inodes !== undefined) throw invalidValue(`${name}.inodes`, mount.inodes, 'is for a tmpfs only')
    return { kind, source: hostSource(name, mount), ...common, sizeBytes: null, inodes: null }
  }
  if (kind === 'overlay') {
    if (common.readOnly) throw invalidValue(`${name}.readOnly`, true, 'makes no sense for an overlay: use a bind')
    const { sizeBytes, inodes } = tmpfsBounds(name, mount)
    return { kind, source: hostSource(name, mount), ...common, sizeBytes: sizeBytes ?? null, inodes: inodes ?? null }
  }
  // mount(8) takes a word there; take an empty one or the type's name, and nothing that could be meant seriously.
  if (mount.source !== undefined && mount.source !== '' && mount.source !== 'tmpfs') {
    throw invalidValue(`${name}.source`, mount.source, 'is for a bind or an overlay only')
  }
  const { sizeBytes, inodes } = tmpfsBounds(name, mount)
  return { kind, source: null, ...common, sizeBytes: sizeBytes ?? null, inodes: inodes ?? null }
}

function hostSource(name: string, mount: Mount): string {
  const source = text(`${name}.source`, mount.source)
  if (source === '') throw invalidValue(`${name}.source`, source, 'must not be empty')
  return resolve(source)
}

/** An absolute path of the container. */
export function containerPath(name: string, value: unknown, workDir: string): string {
  const path = text(name, value)
  if (path === '') throw invalidValue(name, path, 'must not be empty')
  return posix.resolve(workDir, path)
}

/** The bounds of a tmpfs. Neither may be 0, which tmpfs(5) takes for "no limit". */
export function tmpfsBounds(
  name: string,
  bounds: { sizeBytes?: number | undefined; inodes?: number | undefined },
): { sizeBytes: number | undefined; inodes: number | undefined } {
  const { sizeBytes, inodes } = bounds
  return {
    sizeBytes:
      sizeBytes === undefined ? undefined : integer(`${name}.sizeBytes`, sizeBytes, 4096, Number.MAX_SAFE_INTEGER),
    inodes: inodes === undefined ? undefined : integer(`${name}.inodes`, inodes, 1, Number.MAX_SAFE_INTEGER),
  }
}
