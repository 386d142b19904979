/**
 * What runtimes other than Node cannot do with descriptors that native code has opened. Where they would hang, or lose a part of
 * an output, the operation is refused instead, before it has begun. docs/runtimes.md has the list, and the test of the packed
 * package (scripts/check-package.mjs) holds it against the runtimes.
 */
import { HotcellError } from './errors.js'

const { bun, deno } = process.versions

/**
 * For what reads and writes files through `node:fs`: Deno's knows the descriptors only that it opened itself (EBADF).
 *
 * @throws {HotcellError} `ERR_HOTCELL_UNSUPPORTED`
 */
export function requireFileDescriptors(what: string): void {
  if (deno !== undefined) throw unsupported(what, `Deno ${deno}`)
}

/**
 * For what reads from a pipe as it comes: Bun's `net.Socket` delivers nothing from one, and Deno's `node:fs` cannot read off the rest.
 *
 * @throws {HotcellError} `ERR_HOTCELL_UNSUPPORTED`
 */
export function requirePipeDescriptors(what: string): void {
  if (bun !== undefined) throw unsupported(what, `Bun ${bun}`)
  if (deno !== undefined) throw unsupported(what, `Deno ${deno}`)
}

function unsupported(what: string, runtime: string): HotcellError {
  return new HotcellError(
    'ERR_HOTCELL_UNSUPPORTED',
    `${what} needs Node.js: ${runtime} does not take the descriptors that it works on. run(), execve() and Pool do without them; ` +
      'docs/runtimes.md says what works where',
  )
}
