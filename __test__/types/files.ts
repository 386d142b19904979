// Type tests: `tsc --noEmit` runs them, nothing else does. Files, errors, and what `await using` takes.
import { expectTypeOf } from 'expect-type'
import type { ReadStream, Stats, WriteStream } from 'node:fs'
import {
  AbortError,
  HotcellError,
  Master,
  probe,
  type HostFeature,
  type HostSupport,
  type SandboxFile,
  type Usage,
} from '../../index.js'

export async function files(): Promise<void> {
  await using master = await Master.create()
  expectTypeOf(master).toExtend<AsyncDisposable>()
  expectTypeOf(master.pid).toEqualTypeOf<number>()
  expectTypeOf(master.closed).toEqualTypeOf<Promise<void>>()

  await using file = await master.open('x', 'w+', 0o600)
  expectTypeOf(file).toEqualTypeOf<SandboxFile>()
  expectTypeOf(file.fd).toEqualTypeOf<number>()
  expectTypeOf(await file.readFile()).toEqualTypeOf<Buffer>()
  expectTypeOf(await file.readFile('utf8')).toEqualTypeOf<string>()
  expectTypeOf(await file.readFile({ encoding: 'latin1' })).toEqualTypeOf<string>()
  expectTypeOf(await file.read(new Uint8Array(8))).toEqualTypeOf<{
    bytesRead: number
    buffer: Uint8Array<ArrayBuffer>
  }>()
  expectTypeOf(await file.stat()).toEqualTypeOf<Stats>()
  expectTypeOf(file.createReadStream({ start: 1, end: 2 })).toEqualTypeOf<ReadStream>()
  expectTypeOf(file.createWriteStream()).toEqualTypeOf<WriteStream>()
  // @ts-expect-error
  file.createWriteStream({ end: 2 })

  expectTypeOf(await master.copyOut('x', { maxBytes: 1 })).toEqualTypeOf<Buffer>()
  await master.copyIn('/etc/passwd', Buffer.from('x'), { mode: 0o755, signal: AbortSignal.timeout(1) })
  await master.open(new Uint8Array(1), 0)
  // @ts-expect-error
  await master.copyIn('x')
  // @ts-expect-error
  await master.copyOut('x', { encoding: 'utf8' })
  // @ts-expect-error
  await master.delete('x', { recursive: 1 })
}

export function errors(error: unknown): void {
  if (error instanceof HotcellError) {
    expectTypeOf(error).toExtend<Error>()
    expectTypeOf(error.code).toExtend<string>()
    expectTypeOf(error.errno).toEqualTypeOf<number | undefined>()
    expectTypeOf(error.path).toEqualTypeOf<string | undefined>()
    expectTypeOf(error.result).toEqualTypeOf<Usage | undefined>()
    // The codes are known to editors, and any other is possible.
    void (error.code === 'ERR_HOTCELL_CONTAINER_LOST' || error.code === 'ENOENT')
  } else if (error instanceof AbortError) {
    expectTypeOf(error.name).toEqualTypeOf<'AbortError'>()
    expectTypeOf(error.code).toEqualTypeOf<'ABORT_ERR'>()
    expectTypeOf(error.result).toEqualTypeOf<Usage | undefined>()
  }
}

export function host(): void {
  expectTypeOf(probe).returns.resolves.toEqualTypeOf<HostSupport>()
  expectTypeOf<HostSupport['features']>().toEqualTypeOf<HostFeature[]>()
  expectTypeOf<HostFeature['code']>().toEqualTypeOf<string | undefined>()
}
