// Type tests: `tsc --noEmit` runs them, nothing else does. Names of batches and builds that programs pass on.
import { expectTypeOf } from 'expect-type'
import type { BatchInput, BatchInputOptions, BatchInputs, BuildOptions } from '../../index.js'

export function batches(): void {
  expectTypeOf<BatchInputs>().toEqualTypeOf<Iterable<BatchInput> | AsyncIterable<BatchInput>>()
  expectTypeOf<BatchInputOptions>().toExtend<BatchInput>()
  void ({ args: ['x'], input: 'y' } satisfies BatchInputOptions)
  void ({ outputs: ['a.out'], maxOutputBytes: 1 } satisfies BuildOptions)
  // @ts-expect-error
  void ({ signal: new AbortController().signal } satisfies BatchInputOptions)
  // @ts-expect-error
  void ({ maxOutputBytes: 1 } satisfies BuildOptions)
}
