// Type tests: `tsc --noEmit` runs them, nothing else does. Sealed files, builds, and one program over many inputs.
import { expectTypeOf } from 'expect-type'
import {
  Master,
  Pool,
  seal,
  type Batch,
  type BatchInput,
  type BatchOptions,
  type BatchOutcome,
  type BatchResult,
  type BuildResult,
  type CopySource,
  type RunResult,
  type SealedFile,
  type SealOptions,
} from '../../index.js'

declare const signal: AbortSignal

export async function sealed(): Promise<void> {
  expectTypeOf(seal).parameter(0).toEqualTypeOf<CopySource>()
  expectTypeOf(seal).parameter(1).toEqualTypeOf<SealOptions | undefined>()
  using file = await seal('/bin/true', { maxBytes: Infinity, mode: 0o755, signal })
  expectTypeOf(file).toEqualTypeOf<SealedFile>()
  expectTypeOf(file).toExtend<Disposable>()
  expectTypeOf(file).toExtend<CopySource>()
  expectTypeOf(file.size).toEqualTypeOf<number>()
  expectTypeOf(await file.readFile()).toEqualTypeOf<Buffer>()
  // @ts-expect-error
  file.size = 1
  // @ts-expect-error
  await seal('/bin/true', { encoding: 'utf8' })

  await using master = await Master.create()
  expectTypeOf(await master.seal('x')).toEqualTypeOf<SealedFile>()
  await master.copyIn(file, 'x', { maxBytes: 1 })
  await master.execve({ args: ['x'], execFile: file })
  await master.run('x', [], { execFile: file, files: { x: file } })
  await master.run('x', [], { execFile: { fd: 3 } })
  await master.spawn('x', [], { execFile: 3 })
  // @ts-expect-error
  await master.run('x', [], { execFile: '/bin/true' })
}

export async function builds(): Promise<void> {
  await using pool = await Pool.create()
  using build = await pool.build('gcc', ['main.c'], { outputs: ['a.out', 'log'], maxOutputBytes: 1, signal })
  expectTypeOf(build).toEqualTypeOf<BuildResult<'a.out' | 'log', string>>()
  // @ts-expect-error there are none before the status is known
  void build.outputs['a.out']
  if (build.status === 'ok') {
    expectTypeOf(build.outputs['a.out']).toEqualTypeOf<SealedFile>()
    expectTypeOf(build.outputs).toEqualTypeOf<Record<'a.out' | 'log', SealedFile>>()
    expectTypeOf(build.exitCode).toEqualTypeOf<0>()
    // @ts-expect-error
    void build.outputs.other
  } else {
    expectTypeOf(build.stderr).toEqualTypeOf<string>()
    // @ts-expect-error
    void build.outputs['a.out']
  }
  const bytes = await pool.build('gcc', [], { outputs: ['x'], encoding: 'buffer' })
  expectTypeOf(bytes.stderr).toEqualTypeOf<Buffer>()
  const names: string[] = []
  const some = await pool.build('gcc', [], { outputs: names })
  if (some.status === 'ok') expectTypeOf(some.outputs).toEqualTypeOf<Record<string, SealedFile>>()
  // @ts-expect-error
  await pool.build('gcc', [], {})
  // @ts-expect-error
  await pool.build('gcc', [])
}

export async function batches(): Promise<void> {
  await using pool = await Pool.create()
  const batch = pool.runMany('x', [], ['a', Buffer.from('b'), { args: ['c'], input: 'd', limits: { cpuTimeMs: 1 } }], {
    concurrency: 2,
    order: 'completion',
    stopWhen: ({ status, index }) => status !== 'ok' && index > 3,
    reset: false,
    prepare: async (master) => void (await master.copyIn('x', 'y')),
    signal,
  })
  expectTypeOf(batch).toEqualTypeOf<Batch<'utf8'>>()
  expectTypeOf(batch.results).toEqualTypeOf<Promise<BatchOutcome<string>[]>>()
  expectTypeOf(await batch).toEqualTypeOf<BatchOutcome<string>[]>()
  for await (const result of batch) {
    expectTypeOf(result).toEqualTypeOf<BatchResult<string>>()
    expectTypeOf(result.index).toEqualTypeOf<number>()
    if (result.status === 'failed') expectTypeOf(result.error).toEqualTypeOf<Error>()
    else expectTypeOf(result.stdout).toEqualTypeOf<string>()
    if (result.status === 'ok') expectTypeOf(result.exitCode).toEqualTypeOf<0>()
    if (result.status === 'time-limit') expectTypeOf(result.limit).toEqualTypeOf<'cpu' | 'wall'>()
    // @ts-expect-error
    void (result.status === 'skipped')
  }
  for (const outcome of await pool.runMany('x', [], new Set(['a']), { encoding: 'buffer' })) {
    if (outcome.status === 'skipped') expectTypeOf(outcome).toEqualTypeOf<{ index: number; status: 'skipped' }>()
    else if (outcome.status !== 'failed') expectTypeOf(outcome).toExtend<RunResult<Buffer>>()
  }
  pool.runMany('x', [], ['a'], {
    stopWhen: (result) => {
      expectTypeOf(result).toEqualTypeOf<BatchResult<string>>()
      return result.status === 'ok' && result.stdout.trim() !== 'expected'
    },
  })
  pool.runMany('x', [], ['a'], {
    encoding: 'buffer',
    stopWhen: (result) => {
      expectTypeOf(result).toEqualTypeOf<BatchResult<Buffer>>()
      return result.status === 'ok' && result.stdout.length > 3
    },
  })
  async function* generated(): AsyncGenerator<BatchInput> {
    yield 'x'
  }
  await using master = await Master.create()
  expectTypeOf(master.runMany('x', [], generated())).toEqualTypeOf<Batch<'utf8'>>()
  void ({ stopWhen: 'first-failure' } satisfies BatchOptions)
  // @ts-expect-error
  pool.runMany('x', [], [1])
  // @ts-expect-error
  pool.runMany('x', [], [{ signal }])
  // @ts-expect-error
  pool.runMany('x', [])
  // @ts-expect-error
  pool.runMany('x', [], [], { stopWhen: 'failure' })
  // @ts-expect-error
  pool.runMany('x', [], [], { input: 'x' })
}
