// Type tests: `tsc --noEmit` runs them, nothing else does. Names of the options of directories that programs pass on.
import { expectTypeOf } from 'expect-type'
import type {
  ChangesOptions,
  CopyInOptions,
  CopyInTarOptions,
  CopyOutTarOptions,
  ListOptions,
  TreeSelection,
} from '../../index.js'

export function trees(): void {
  expectTypeOf<ListOptions>().toExtend<TreeSelection>()
  expectTypeOf<CopyInOptions>().toExtend<TreeSelection>()
  expectTypeOf<CopyOutTarOptions['maxBytes']>().toEqualTypeOf<number | undefined>()
  void ({ stripComponents: 1, exclude: ['*.o'] } satisfies CopyInTarOptions)
  void ({ maxEntries: 10 } satisfies ChangesOptions)
  // @ts-expect-error
  void ({ stripComponents: 1 } satisfies CopyOutTarOptions)
  // @ts-expect-error
  void ({ include: ['*'] } satisfies ChangesOptions)
  // @ts-expect-error
  void ({ include: '*.c' } satisfies TreeSelection)
}
