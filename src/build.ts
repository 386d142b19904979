/** A compiler's run, and what it made, sealed: the first half of "compile once, run many". */
import { AbortError } from './abort.js'
import { HotcellError } from './errors.js'
import type { Master } from './master.js'
import { invalidType, invalidValue } from './options/invalid.js'
import { containerPath, integerOrInfinity, list, type ContainerPath } from './options/primitives.js'
import type { Encoding, OutputOf, RunOptions } from './options/run-options.js'
import type { RunResult } from './result.js'
import type { SealedFile } from './sealed-file.js'

/** Options of `build()`: those of `run()`, and what is made. */
export interface BuildOptions<Name extends string = string, E extends Encoding = Encoding> extends RunOptions<E> {
  /** Container paths of the files that it makes. They are sealed if the status is `ok`, and then have to be there. */
  outputs: readonly Name[]
  /** How large each of them may be, in bytes: they become this process's memory. @default 67108864 (64 MiB) */
  maxOutputBytes?: number | undefined
}

/** How a build ended. If its status is `ok`, there is each of the `outputs`; if not, there is none. Disposing of it closes them. */
export type BuildResult<Name extends string = string, Output extends string | Buffer = string | Buffer> = Disposable &
  (
    | (Extract<RunResult<Output>, { status: 'ok' }> & { outputs: Record<Name, SealedFile> })
    | (Exclude<RunResult<Output>, { status: 'ok' }> & { outputs: Record<never, SealedFile> })
  )

export async function build<Name extends string, E extends Encoding>(
  master: Master,
  file: ContainerPath,
  args: readonly ContainerPath[],
  options: BuildOptions<Name, E>,
): Promise<BuildResult<Name, OutputOf<E>>> {
  if (typeof options !== 'object' || options === null) throw invalidType('options', 'an object', options)
  const { outputs, maxOutputBytes, ...runOptions } = options
  const paths = checkOutputs(outputs)
  const maxBytes =
    maxOutputBytes === undefined
      ? undefined
      : integerOrInfinity('maxOutputBytes', maxOutputBytes, 0, Number.MAX_SAFE_INTEGER)
  const result = await master.run(file, args, runOptions as RunOptions<E>)
  const sealed: [string, SealedFile][] = []
  try {
    if (result.status === 'ok') {
      for (const path of paths) sealed.push([path, await master.seal(path, { maxBytes, signal: options.signal })])
    }
  } catch (error) {
    for (const [, output] of sealed) output.close()
    // The compiler has run: what it said is not lost for what it did not make.
    if (error instanceof HotcellError || error instanceof AbortError) Object.assign(error, { result })
    throw error
  }
  return Object.assign(result, {
    outputs: Object.fromEntries(sealed),
    [Symbol.dispose]: () => {
      for (const [, output] of sealed) output.close()
    },
  }) as unknown as BuildResult<Name, OutputOf<E>>
}

function checkOutputs(outputs: unknown): readonly string[] {
  const paths = list('outputs', outputs)
  if (paths.length === 0) throw invalidValue('outputs', outputs, 'must name at least one file')
  return paths.map((path, index) => {
    if (typeof path !== 'string') throw invalidType(`outputs[${index}]`, 'a string', path)
    containerPath(`outputs[${index}]`, path)
    return path
  })
}
