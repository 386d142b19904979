import { createRequire } from 'node:module'
import { HotcellError } from './errors.js'

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
} from '#binding'

type Binding = typeof import('#binding')

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
    if (process.platform !== 'linux') throw new Error(`the platform is ${process.platform}`)
    // A subpath import (package.json, "imports") resolves from src/ and from dist/ alike, a relative path does not.
    loaded = createRequire(import.meta.url)('#binding') as Binding
    return loaded
  } catch (cause) {
    failed = new HotcellError(
      'ERR_HOTCELL_UNSUPPORTED_PLATFORM',
      `hotcell has no native addon for ${process.platform}-${process.arch}: it needs Linux on x64 or arm64. ` +
        'There, check that optional dependencies were installed (npm install --include=optional)',
      { cause },
    )
    throw failed
  }
}
