/** Streams to and from what tests compare. */
import { Readable, type Writable } from 'node:stream'
import { pipeline as pipe } from 'node:stream/promises'

/** Everything that comes, as text. */
export async function text(stream: Readable): Promise<string> {
  return String(await bytes(stream))
}

/** Everything that comes. */
export async function bytes(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(Buffer.from(chunk as string | Uint8Array))
  return Buffer.concat(chunks)
}

/** Writes these chunks, and ends. */
export async function feed(chunks: Iterable<string | Uint8Array>, target: Writable): Promise<void> {
  await pipe(Readable.from(chunks, { objectMode: false }), target)
}
