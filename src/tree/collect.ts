/** Reading all that comes out of a transfer, which its bounds keep small. */
import { Cancellation } from '../abort.js'
import type { Container, NativeTransfer } from '../binding.js'
import { Transfer } from './transfer.js'

class TransferCancellation extends Cancellation {
  transfer: Transfer | undefined

  protected cancel(): void {
    this.transfer?.stop()
  }
}

/** The end of a transfer that nothing comes out of. */
export async function finish(
  container: Container,
  native: NativeTransfer,
  signal: AbortSignal | undefined,
): Promise<void> {
  await collect(container, native, signal)
}

/** The fields that come out of a transfer, each of which has a NUL behind it. */
export async function collect(
  container: Container,
  native: NativeTransfer,
  signal: AbortSignal | undefined,
): Promise<Buffer[]> {
  const cancellation = new TransferCancellation(signal)
  try {
    const transfer = new Transfer(container, native, 'out')
    cancellation.transfer = transfer
    const chunks: Buffer[] = []
    const { socket } = transfer
    const closed = new Promise<void>((resolve) => {
      if (socket === undefined) resolve()
      else socket.on('data', (chunk: Buffer) => chunks.push(chunk)).on('close', () => resolve())
    })
    // To the end of the pipe first: the reply does not wait for who reads.
    await closed
    const error = await transfer.settled()
    cancellation.check()
    if (error !== undefined) throw error
    return fields(Buffer.concat(chunks))
  } finally {
    cancellation.stop()
  }
}

function fields(bytes: Buffer): Buffer[] {
  const list: Buffer[] = []
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(0, start)
    if (end === -1) break
    list.push(bytes.subarray(start, end))
    start = end + 1
  }
  return list
}
