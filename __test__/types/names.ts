// Type tests: `tsc --noEmit` runs them, nothing else does. The types that a program names when it passes options and results on.
import { expectTypeOf } from 'expect-type'
import type { Writable } from 'node:stream'
import type {
  Cancellable,
  CgroupOptions,
  ContainerPath,
  CopyInOptions,
  CopyOutOptions,
  DeleteOptions,
  Encoding,
  EndWhen,
  Execution,
  Limits,
  Master,
  MasterOptions,
  OutputOf,
  Pipe,
  PipeEnd,
  PipeResult,
  PipelineOptions,
  RunOptions,
  SandboxFile,
  SandboxStreamOptions,
  SpawnOptions,
  Stage,
  StageName,
  StageOptions,
  StreamOption,
} from '../../index.js'

declare const signal: AbortSignal
declare const writable: Writable

export function cancellable(): void {
  expectTypeOf<Cancellable>().toEqualTypeOf<{ signal?: AbortSignal | undefined }>()
  expectTypeOf<CopyInOptions>().toExtend<Cancellable>()
  expectTypeOf<CopyOutOptions>().toExtend<Cancellable>()
  expectTypeOf<MasterOptions>().toExtend<Cancellable>()
  void ({ mode: 0o755, signal } satisfies CopyInOptions)
  void ({ maxBytes: 1, signal } satisfies CopyOutOptions)
  // @ts-expect-error
  void ({ mode: '755' } satisfies CopyInOptions)
  // @ts-expect-error
  void ({ signal: new AbortController() } satisfies Cancellable)
}

export function files(master: Master): void {
  expectTypeOf<ContainerPath>().toEqualTypeOf<string | Uint8Array>()
  expectTypeOf(master.copyOut).parameter(0).toEqualTypeOf<ContainerPath>()
  expectTypeOf(master.delete).parameter(1).toEqualTypeOf<DeleteOptions | undefined>()
  void ({ recursive: true } satisfies DeleteOptions)
  expectTypeOf<SandboxFile['createReadStream']>().parameter(0).toEqualTypeOf<SandboxStreamOptions | undefined>()
  void ({ start: 0, end: 9, autoClose: false, highWaterMark: 1, encoding: 'utf8' } satisfies SandboxStreamOptions)
  // @ts-expect-error
  void ({ force: true } satisfies DeleteOptions)
}

export function limits(): void {
  void ({
    cpuTimeMs: 1,
    wallTimeMs: 1,
    memoryBytes: 1,
    stackBytes: 1,
    outputBytes: 1,
    fileSizeBytes: 1,
  } satisfies Limits)
  void ({ processes: 1, openFiles: 1, cpuRate: 0.5, cpuSet: '0-1' } satisfies Limits)
  void ({ name: 'judge', base: '/judge.slice', version: 2 } satisfies CgroupOptions)
  // @ts-expect-error
  void ({ cpuTimeMs: '1s' } satisfies Limits)
  // @ts-expect-error
  void ({ version: 3 } satisfies CgroupOptions)
}

/** A function of a program's own that is as generic as `spawn`. */
export function spawnWith<E extends Encoding>(master: Master, options: SpawnOptions<E>): Execution<E> {
  return master.spawn('cat', [], options)
}

export function runs(): void {
  expectTypeOf<OutputOf<'utf8'>>().toEqualTypeOf<string>()
  expectTypeOf<OutputOf<'buffer'>>().toEqualTypeOf<Buffer>()
  expectTypeOf<StreamOption>().toEqualTypeOf<'pipe' | 'ignore'>()
  // Fresh objects may go to both; what only one of them takes is an error in the other.
  // @ts-expect-error
  void ({ input: '' } satisfies SpawnOptions)
  // @ts-expect-error
  void ({ stdin: 'pipe' } satisfies RunOptions)
}

export function pipelines(): void {
  expectTypeOf<EndWhen>().toEqualTypeOf<'all' | 'first-failure' | 'main'>()
  expectTypeOf<PipelineOptions['endWhen']>().toEqualTypeOf<EndWhen | undefined>()
  expectTypeOf<StageName<{ a: Stage; b: Stage }>>().toEqualTypeOf<'a' | 'b'>()
  expectTypeOf<StageName<[Stage, Stage]>>().toEqualTypeOf<number>()
  expectTypeOf<PipeEnd<'a'>>().toEqualTypeOf<'a' | readonly [stage: 'a', fd: number]>()
  expectTypeOf<PipeResult>().toEqualTypeOf<{ bytes: number | undefined; captured: Buffer }>()
  void ({ from: 'a', to: ['b', 3], tee: writable, maxBytes: 1, captureBytes: 1 } satisfies Pipe)
  void ({ args: ['cat'], input: 'x', files: { a: 'b' }, collect: ['c'] } satisfies StageOptions)
  // @ts-expect-error
  void ({ from: 'c', to: 'a' } satisfies Pipe<'a' | 'b'>)
  // @ts-expect-error
  void ({ args: [] } satisfies StageOptions)
}
