// Type tests: `tsc --noEmit` runs them, nothing else does. Pools, and programs joined by pipes.
import { expectTypeOf } from 'expect-type'
import type { Writable } from 'node:stream'
import {
  pipeline,
  Pool,
  type DurationHistogram,
  type HotcellErrorCode,
  type Master,
  type PipelineOptions,
  type PipelineResult,
  type PoolOptions,
  type PoolStats,
  type RunResult,
  type Stage,
  type StageResult,
  type Stages,
  type Waiting,
} from '../../index.js'

declare const signal: AbortSignal
declare const writable: Writable

export async function pools(): Promise<void> {
  expectTypeOf(Pool.create).parameter(0).toEqualTypeOf<PoolOptions | undefined>()
  await using pool = await Pool.create()
  expectTypeOf(pool).toExtend<AsyncDisposable>()
  // @ts-expect-error
  void (() => new Pool())

  expectTypeOf(await pool.run('ls')).toEqualTypeOf<RunResult<string>>()
  expectTypeOf(await pool.run('ls', ['-l'], { encoding: 'buffer', signal })).toEqualTypeOf<RunResult<Buffer>>()
  // @ts-expect-error
  await pool.run('ls', [], { encoding: 'latin1' })

  expectTypeOf(await pool.use(() => 7)).toEqualTypeOf<number>()
  expectTypeOf(await pool.use(async (master) => master.pid, { signal })).toEqualTypeOf<number>()
  await pool.use((master) => expectTypeOf(master).toEqualTypeOf<Master>() as unknown as void)
  // @ts-expect-error
  await pool.use(() => 7, { encoding: 'buffer' })

  expectTypeOf(pool.stats).toEqualTypeOf<PoolStats>()
  expectTypeOf(pool.stats.runTime).toEqualTypeOf<DurationHistogram>()
  expectTypeOf(pool.stats.runTime.percentile(99)).toEqualTypeOf<number>()
  expectTypeOf(pool.drain).returns.toEqualTypeOf<Promise<void>>()
  expectTypeOf(pool.destroy).returns.toEqualTypeOf<Promise<void>>()
  // @ts-expect-error
  pool.stats = {} as PoolStats

  const given = [
    {},
    { size: 4, spare: 0, min: 0, idleMs: Infinity, maxRunsPerCell: 100, maxQueue: 0, healthCheckMs: 1_000, signal },
    { container: { hostname: 'x', limits: { cpuTimeMs: 1_000 } }, size: undefined },
    { prepare: (master) => master.copyIn('/etc/hostname', 'x') },
    { prepare: () => undefined },
  ] as const satisfies readonly PoolOptions[]
  void given
  // @ts-expect-error
  void ({ container: { signal } } satisfies PoolOptions)
  // @ts-expect-error
  void ({ max: 4 } satisfies PoolOptions)
  expectTypeOf<'ERR_HOTCELL_POOL_FULL'>().toExtend<HotcellErrorCode>()
}

export async function rows(master: Master, pool: Pool): Promise<void> {
  const { stages, order, causedBy, pipes } = await pipeline([['seq', '10'], { args: ['wc', '-l'], master }], { pool })
  expectTypeOf(stages[0]).toEqualTypeOf<StageResult<string, number>>()
  expectTypeOf(stages.length).toEqualTypeOf<2>()
  // @ts-expect-error
  void stages[2]
  expectTypeOf(order).toEqualTypeOf<number[]>()
  expectTypeOf(causedBy).toEqualTypeOf<number | undefined>()
  expectTypeOf(pipes[0]?.captured).toEqualTypeOf<Buffer | undefined>()
  const many: Stage[] = [['true']]
  expectTypeOf(await pipeline(many)).toExtend<PipelineResult<Stage[], 'utf8'>>()
  // @ts-expect-error
  await pipeline([[]])
  // @ts-expect-error
  await pipeline([{ args: ['true'], fds: [0] }])
  // @ts-expect-error
  await pipeline([['true']], { main: 'first' })
}

export async function graphs(): Promise<void> {
  const result = await pipeline(
    {
      solution: ['./solution'],
      interactor: { args: ['./interactor'], limits: { cpuTimeMs: 1_000 }, collect: ['log'] },
    },
    {
      pipes: [
        { from: 'solution', to: 'interactor', captureBytes: 1_000, maxBytes: 1_000, tee: writable },
        { from: ['interactor', 3], to: ['solution', 0] },
      ],
      endWhen: 'main',
      main: 'interactor',
      encoding: 'buffer',
      wallTimeMs: 1_000,
    },
  )
  const { solution } = result.stages
  expectTypeOf(solution).toEqualTypeOf<StageResult<Buffer, 'solution' | 'interactor'>>()
  expectTypeOf(solution.stdout).toEqualTypeOf<Buffer>()
  expectTypeOf(solution.waiting).toEqualTypeOf<Waiting<'solution' | 'interactor'> | undefined>()
  expectTypeOf(result.causedBy).toEqualTypeOf<'solution' | 'interactor' | undefined>()
  expectTypeOf(result.cause).toEqualTypeOf<'all-ended' | 'first-failure' | 'main-ended' | 'wall-time-limit'>()
  if (solution.status === 'nonzero-exit') expectTypeOf(solution.exitCode).toEqualTypeOf<number>()
  else if (solution.status === 'killed') expectTypeOf(solution.cpuTimeMs).toEqualTypeOf<number>()
  // @ts-expect-error
  void result.stages.checker
  // @ts-expect-error
  await pipeline({ a: ['true'], b: ['true'] }, { pipes: [{ from: 'a', to: 'c' }] })
  // @ts-expect-error
  await pipeline({ a: ['true'] }, { endWhen: 'never' })
  void ({} satisfies PipelineOptions)
  expectTypeOf<{ a: Stage }>().toExtend<Stages>()
}
