// Type tests: `tsc --noEmit` runs them, nothing else does. What a run's result is, by its options.
import { expectTypeOf } from 'expect-type'
import type { Readable, Writable } from 'node:stream'
import type { Encoding, Execution, Master, RunOptions, RunResult, TraceResult, Usage } from '../../index.js'

declare const master: Master
declare const either: Encoding

export async function encodings(): Promise<void> {
  expectTypeOf(await master.run('ls')).toEqualTypeOf<RunResult<string>>()
  expectTypeOf(await master.run('ls', ['-l'], {})).toEqualTypeOf<RunResult<string>>()
  expectTypeOf(await master.run('ls', [], { cwd: '/' })).toEqualTypeOf<RunResult<string>>()
  expectTypeOf(await master.run('ls', [], { encoding: 'utf8' })).toEqualTypeOf<RunResult<string>>()
  expectTypeOf(await master.run('ls', [], { encoding: 'buffer' })).toEqualTypeOf<RunResult<Buffer>>()
  expectTypeOf((await master.run('ls', [], { encoding: either })).stdout).toEqualTypeOf<string | Buffer>()
  expectTypeOf((await master.run('ls', [], {} as RunOptions)).stdout).toEqualTypeOf<string | Buffer>()
  expectTypeOf((await master.run('ls')).files).toEqualTypeOf<Record<string, Buffer>>()
  expectTypeOf((await master.run('ls', [], { encoding: 'buffer' })).stderr).toEqualTypeOf<Buffer>()
  // @ts-expect-error
  await master.run('ls', [], { encoding: 'latin1' })
}

export async function executions(): Promise<void> {
  const execution = master.spawn('cat')
  expectTypeOf(execution).toEqualTypeOf<Execution<'utf8'>>()
  expectTypeOf(master.spawn('cat', [], { encoding: 'buffer' })).toEqualTypeOf<Execution<'buffer'>>()
  expectTypeOf(await execution).toEqualTypeOf<RunResult<string>>()
  expectTypeOf(await master.spawn('cat', [], { encoding: 'buffer' })).toEqualTypeOf<RunResult<Buffer>>()
  expectTypeOf(execution.result).resolves.toEqualTypeOf<RunResult<string>>()
  expectTypeOf(execution.pid).toEqualTypeOf<number | undefined>()
  expectTypeOf(execution.started).toEqualTypeOf<Promise<number>>()
  expectTypeOf(execution.stdin).toEqualTypeOf<Writable>()
  expectTypeOf(execution.stdout).toEqualTypeOf<Readable>()
  expectTypeOf(execution.stderr).toEqualTypeOf<Readable>()
  expectTypeOf(execution.kill('SIGTERM')).toEqualTypeOf<boolean>()
  expectTypeOf(execution).toExtend<PromiseLike<RunResult>>()
  expectTypeOf(await execution.catch(() => 7)).toEqualTypeOf<RunResult<string> | number>()
  expectTypeOf(await Promise.all([execution, execution.started])).toEqualTypeOf<[RunResult<string>, number]>()
  // @ts-expect-error
  execution.kill('SIGNONE')
}

/** Each status brings just what belongs to it, and a switch over them can be exhaustive. */
export function narrowing(result: TraceResult): string {
  expectTypeOf(result).toExtend<Usage>()
  expectTypeOf(result.accounting).toEqualTypeOf<'cgroup' | 'rusage'>()
  // @ts-expect-error
  void result.exitCode
  switch (result.status) {
    case 'ok':
      expectTypeOf(result.exitCode).toEqualTypeOf<0>()
      return ''
    case 'nonzero-exit':
      expectTypeOf(result.exitCode).toEqualTypeOf<number>()
      return ''
    case 'signaled':
      expectTypeOf(result.signal).toEqualTypeOf<NodeJS.Signals>()
      return result.signal
    case 'time-limit':
      expectTypeOf(result.limit).toEqualTypeOf<'cpu' | 'wall'>()
      return result.limit
    case 'output-limit':
      expectTypeOf(result.limit).toEqualTypeOf<'stdout' | 'stderr' | 'file-size'>()
      return result.limit
    case 'memory-limit':
      return ''
    case 'disallowed-syscall':
      return result.syscall
    case 'disallowed-file':
      expectTypeOf(result.operation).toEqualTypeOf<'read' | 'write' | 'stat' | 'execute'>()
      return result.path
    default:
      expectTypeOf(result).toBeNever()
      return result
  }
}
