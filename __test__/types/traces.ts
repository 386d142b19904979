// Type tests: `tsc --noEmit` runs them, nothing else does. What is watched of a run, and what it tells.
import { expectTypeOf } from 'expect-type'
import {
  mergeLearned,
  type FileOperation,
  type Learned,
  type Master,
  type OciSeccomp,
  type Trace,
  type TraceEvent,
  type TraceOptions,
  type TraceSubject,
} from '../../index.js'

declare const master: Master
declare const learned: Learned

export async function results(): Promise<void> {
  const { trace } = await master.run('ls', [], { trace: { syscalls: true } })
  expectTypeOf(trace).toEqualTypeOf<Trace | undefined>()
  expectTypeOf(trace?.calls['openat']).toEqualTypeOf<
    { count: number; errors: number; totalTimeMs: number } | undefined
  >()
  expectTypeOf(trace?.learned).toEqualTypeOf<Learned | undefined>()
}

export function options(): void {
  const onEvent = (event: TraceEvent): void => void event
  void ({ files: { read: ['/usr/**'], stat: [] }, onViolation: 'kill', learn: true, onEvent } satisfies TraceOptions)
  void ({ syscalls: ['openat'] } satisfies TraceOptions)
  expectTypeOf<FileOperation>().toEqualTypeOf<'read' | 'write' | 'stat' | 'execute'>()
  // @ts-expect-error
  void ({ files: { open: [] } } satisfies TraceOptions)
  // @ts-expect-error
  void ({ onViolation: 'warn' } satisfies TraceOptions)
}

/** Each event brings just what belongs to it, and a switch over them can be exhaustive. */
export function events(event: TraceEvent): number {
  if (event.type !== 'lost') expectTypeOf(event).toExtend<TraceSubject>()
  switch (event.type) {
    case 'syscall':
      expectTypeOf(event.args).toEqualTypeOf<(number | string | null)[]>()
      expectTypeOf(event.result).toEqualTypeOf<number | string | undefined>()
      return event.durationMs
    case 'violation':
      expectTypeOf(event.operation).toEqualTypeOf<FileOperation>()
      return event.path.length
    case 'refused':
    case 'disallowed':
      return event.name.length
    case 'start':
      return event.parent
    case 'exit':
      expectTypeOf(event.signal).toEqualTypeOf<NodeJS.Signals | undefined>()
      return event.exitCode ?? 0
    case 'lost':
      // @ts-expect-error
      void event.pid
      return event.count
    default:
      expectTypeOf(event).toBeNever()
      return event
  }
}

export function policies(): void {
  expectTypeOf(mergeLearned(learned, learned, learned)).toEqualTypeOf<Learned>()
  expectTypeOf(learned.seccomp).toEqualTypeOf<OciSeccomp>()
  expectTypeOf(learned.landlock).toEqualTypeOf<{ read: string[]; write: string[]; execute: string[] }>()
  void master.run('ls', [], { seccomp: learned.seccomp, landlock: learned.landlock, trace: { files: learned.files } })
  // @ts-expect-error
  mergeLearned()
}
