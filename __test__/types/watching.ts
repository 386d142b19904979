// Type tests: `tsc --noEmit` runs them, nothing else does. Names of messages and timelines that subscribers pass on.
import { expectTypeOf } from 'expect-type'
import type {
  CopyMessage,
  OperationMessage,
  PipelineMessage,
  PipelineResult,
  Pool,
  PoolFailedMessage,
  PoolLostMessage,
  PoolMessage,
  RenderTimelineOptions,
  ResetMessage,
  SyscallClass,
  Timeline,
  TimelineMark,
  TimelineSample,
  TimelineSyscalls,
} from '../../index.js'

export function messages(): void {
  expectTypeOf<CopyMessage>().toExtend<OperationMessage>()
  expectTypeOf<CopyMessage['direction']>().toEqualTypeOf<'in' | 'out'>()
  expectTypeOf<ResetMessage['initPid']>().toEqualTypeOf<number>()
  expectTypeOf<PoolMessage['pool']>().toEqualTypeOf<Pool>()
  expectTypeOf<PoolLostMessage['state']>().toEqualTypeOf<'idle' | 'busy' | 'resetting'>()
  expectTypeOf<PoolFailedMessage['during']>().toEqualTypeOf<'create' | 'reset'>()
  expectTypeOf<NonNullable<PipelineMessage['result']>['ok']>().toEqualTypeOf<PipelineResult['ok']>()
  const within = (message: OperationMessage): void => {
    message.within = (fn) => fn()
  }
  void within
  // @ts-expect-error
  void ((message: CopyMessage): void => void (message.path = 'elsewhere'))
}

export function timelines(): void {
  expectTypeOf<Timeline['samples']>().toEqualTypeOf<TimelineSample[]>()
  expectTypeOf<Timeline['marks']>().toEqualTypeOf<TimelineMark[]>()
  expectTypeOf<TimelineMark['type']>().toEqualTypeOf<'executed' | 'ended'>()
  expectTypeOf<TimelineSyscalls['counts']>().toEqualTypeOf<Record<SyscallClass, number[]>>()
  void ({ title: 'a run' } satisfies RenderTimelineOptions)
  // @ts-expect-error
  void ({ name: 'a run' } satisfies RenderTimelineOptions)
}
