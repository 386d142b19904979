// Type tests: `tsc --noEmit` runs them, nothing else does. What the options take, and what they don't.
import { expectTypeOf } from 'expect-type'
import type { FileHandle } from 'node:fs/promises'
import { Readable } from 'node:stream'
import {
  defaultMaskedPaths,
  defaultMounts,
  defaultPath,
  Master,
  pipeline,
  type CopySource,
  type EnvInput,
  type ExecveParam,
  type MasterOptions,
  type Mount,
  type RLimit,
  type Terminal,
  type TerminalSize,
  type TtyOption,
} from '../../index.js'

declare const master: Master
declare const signal: AbortSignal
declare const handle: FileHandle

export function container(): void {
  expectTypeOf(Master.create).parameter(0).toEqualTypeOf<MasterOptions | undefined>()
  expectTypeOf(Master.create).returns.resolves.toEqualTypeOf<Master>()
  expectTypeOf(defaultPath).toExtend<string>()
  expectTypeOf(defaultMounts()).toEqualTypeOf<Mount[]>()
  expectTypeOf(defaultMaskedPaths).toEqualTypeOf<readonly string[]>()
  // @ts-expect-error
  void (() => new Master())

  const given = [
    {},
    { signal: undefined, root: undefined, limits: { outputBytes: undefined } },
    { mounts: [...defaultMounts(), { source: '/opt', target: '/opt' }, { type: 'tmpfs', target: '/x', inodes: 10 }] },
    { env: { A: '1', B: undefined, C: Buffer.from('x') }, maskedPaths: [...defaultMaskedPaths, '/proc/cpuinfo'] },
    { cgroup: { name: 'judge', base: '/judge.slice', version: 2 }, limits: { cpuTimeMs: 1, cpuSet: '0-1' } },
    { seccomp: 'judge' },
    { seccomp: { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['ptrace'], action: 'SCMP_ACT_KILL' }] } },
    { seccomp: 'off', cgroup: false, network: 'host', proc: 'none', userNamespace: true, user: { uid: 1, gid: 2 } },
  ] as const satisfies readonly MasterOptions[]
  void given

  // What this version does not enforce is no part of its types.
  // @ts-expect-error
  void ({ seccomp: 'docker' } satisfies MasterOptions)
  // @ts-expect-error
  void ({ cgroup: true } satisfies MasterOptions)
  // @ts-expect-error
  void ({ limits: { memory: 1 } } satisfies MasterOptions)
  // @ts-expect-error
  void ({ target: '/x', type: 'overlayfs' } satisfies Mount)
  // @ts-expect-error
  void ({ user: { uid: 1 } } satisfies MasterOptions)
}

export function execve(): void {
  expectTypeOf(master.execve).parameter(0).toEqualTypeOf<ExecveParam>()
  void master.execve({ args: ['ls'] })
  void master.execve({ args: ['ls', Buffer.from('-l')], fds: [0, handle, { fd: 2 }], execFile: handle }, { signal })
  void master.execve({ args: ['ls'], syncFunc: (pid) => expectTypeOf(pid).toEqualTypeOf<number>() as unknown as void })
  void master.execve({ args: ['ls'], syncFunc: async () => undefined })
  void master.execve({ args: ['ls'], rlimits: [{ resource: 'nofile', soft: 64, hard: 'unlimited' }] })
  // @ts-expect-error
  void master.execve({ args: [] })
  void master.execve({ args: ['ls'], landlock: { read: ['/usr'], bind: [80], whenUnsupported: 'degrade' } })
  // @ts-expect-error
  void master.execve({ args: ['ls'], landlock: { reed: [] } })
  void master.execve({ args: ['ls'], tty: true })
  void master.execve({
    args: ['ls'],
    tty: { columns: 80, rows: 24 },
    onTerminal: (terminal) => expectTypeOf(terminal).toEqualTypeOf<Terminal>(),
  })
  // @ts-expect-error
  void master.execve({ args: ['ls'], tty: { columns: 80 } })
  // @ts-expect-error
  void master.execve({ args: ['ls'], signal })
  // @ts-expect-error
  void ({ resource: 'files', soft: 1, hard: 1 } satisfies RLimit)
  expectTypeOf<RLimit['soft']>().toEqualTypeOf<number | 'unlimited'>()
}

export function environments(): void {
  expectTypeOf<typeof process.env>().toExtend<EnvInput>()
  expectTypeOf<string[]>().toExtend<EnvInput>()
  expectTypeOf<readonly ['A=1']>().toExtend<EnvInput>()
  expectTypeOf<Uint8Array[]>().toExtend<EnvInput>()
  expectTypeOf<string>().not.toExtend<EnvInput>()
}

export function sources(): void {
  expectTypeOf<string>().toExtend<CopySource>()
  expectTypeOf<URL>().toExtend<CopySource>()
  expectTypeOf<Buffer>().toExtend<CopySource>()
  expectTypeOf<DataView>().toExtend<CopySource>()
  expectTypeOf<FileHandle>().toExtend<CopySource>()
  expectTypeOf<Readable>().toExtend<CopySource>()
  expectTypeOf<ReadableStream<Uint8Array>>().toExtend<CopySource>()
  expectTypeOf<NonNullable<Response['body']>>().toExtend<CopySource>()
  expectTypeOf<AsyncGenerator<string>>().toExtend<CopySource>()
  expectTypeOf<number>().not.toExtend<CopySource>()

  void master.run('cat', [], { input: Readable.from(['a']), files: { a: 'b', c: handle }, collect: ['x'] })
  void master.run('cat', [], { input: new Blob(['x']).stream() })
  // @ts-expect-error
  void master.run('cat', [], { input: 7 })
  // @ts-expect-error
  void master.run('cat', [], { stdout: 'ignore' })
  void master.spawn('cat', [], { stdin: 'ignore', stdout: 'pipe', stderr: 'ignore' })
  // @ts-expect-error
  master.spawn('cat', [], { stdin: 'inherit' })
  // @ts-expect-error
  master.spawn('cat', [], { collect: ['x'] })
}

export function terminals(): void {
  expectTypeOf<boolean>().toExtend<TtyOption>()
  expectTypeOf<TerminalSize>().toEqualTypeOf<{ columns: number; rows: number }>()
  void master.run('vi', [], { tty: true })
  const run = master.spawn('vi', [], { tty: { columns: process.stdout.columns, rows: process.stdout.rows } })
  expectTypeOf(run).toExtend<Terminal>()
  expectTypeOf(run.resize(80, 24)).toEqualTypeOf<boolean>()
  // @ts-expect-error
  void master.run('vi', [], { tty: 80 })
  // @ts-expect-error
  void master.run('vi', [], { onTerminal: () => undefined })
  // @ts-expect-error
  void pipeline([{ args: ['vi'], tty: true }])
}
