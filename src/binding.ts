import { loadAddon } from './addon.js'
import type { HotcellError } from './errors.js'

export type {
  Bridge as NativeBridge,
  Bytes,
  Container,
  ErrorData,
  Extra,
  LandlockInput,
  Learned as NativeLearned,
  MountInput,
  ProbeFeature,
  ProbeResult,
  Seccomp as NativeSeccomp,
  SetupInput,
  Trace as NativeTrace,
  TraceRun as NativeTraceRun,
  Transfer as NativeTransfer,
} from '../binding.cjs'

type Binding = typeof import('../binding.cjs')

let loaded: Binding | undefined
let failed: HotcellError | undefined

/**
 * The native addon, loaded at the first use and not at import: `import 'hotcell'` must work on any platform, so that a
 * program can ask `probe()` or have hotcell as an optional part.
 *
 * @throws {HotcellError} `ERR_HOTCELL_UNSUPPORTED_PLATFORM`, the same one each time.
 */
export function binding(): Binding {
  if (loaded !== undefined) return loaded
  if (failed !== undefined) throw failed
  try {
    loaded = loadAddon() as Binding
    return loaded
  } catch (error) {
    failed = error as HotcellError
    throw failed
  }
}
