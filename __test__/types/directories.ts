// Type tests: `tsc --noEmit` runs them, nothing else does. Directories, archives, overlays.
import { expectTypeOf } from 'expect-type'
import type { Readable } from 'node:stream'
import { defaultMounts, Master, type Changes, type FileEntry, type FileType, type Mount } from '../../index.js'

// @ts-expect-error
void ({ type: 'overlay', source: '/x', target: '/x', owner: 'root' } satisfies Mount)

export async function directories(): Promise<void> {
  await using master = await Master.create({
    mounts: [
      ...defaultMounts(),
      { type: 'overlay', source: '/project', target: 'project', owner: 'host', sizeBytes: 1, inodes: 1 },
    ],
  })
  await master.copyIn('/project', 'x', { include: ['*.c'], exclude: ['.git'], mode: 0o644, maxEntries: 1, maxBytes: 1 })
  await master.copyInTar('/a.tar', 'x', { stripComponents: 1, signal: AbortSignal.timeout(1) })
  await master.copyInTar(new Uint8Array(1), new Uint8Array(1))
  await master.copyInTar(master.copyOutTar('x'), 'y')
  // @ts-expect-error
  await master.copyInTar('/a.tar', 'x', { mode: 0o644 })

  expectTypeOf(master.copyOutTar('x', { include: ['*'], maxBytes: 1, maxEntries: 1 })).toEqualTypeOf<Readable>()
  // @ts-expect-error
  master.copyOutTar('x', { glob: '*' })

  const entries = await master.list()
  expectTypeOf(entries).toEqualTypeOf<FileEntry[]>()
  expectTypeOf(entries[0]!.type).toEqualTypeOf<FileType>()
  expectTypeOf(entries[0]!.target).toEqualTypeOf<string | undefined>()
  expectTypeOf(entries[0]!.rawPath).toEqualTypeOf<Buffer | undefined>()
  // @ts-expect-error
  entries[0]!.path = 'y'

  const changes = await master.changes('project', { maxEntries: 1 })
  expectTypeOf(changes).toEqualTypeOf<Changes>()
  expectTypeOf(changes.added).toEqualTypeOf<readonly string[]>()
}
