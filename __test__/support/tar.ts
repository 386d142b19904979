/** Archives, made block by block: what tar(1) would never write is to be tried as well. */

export interface TarEntry {
  name: string | Buffer
  /** The type's letter. @default '0', a file */
  type?: string
  content?: string | Buffer
  link?: string
  mode?: number
  mtime?: number
  /** What the header claims. @default that of the content */
  size?: number
}

const BLOCK = 512

/** An archive with its end. */
export function tar(entries: readonly TarEntry[]): Buffer {
  return Buffer.concat([...entries.map(block), Buffer.alloc(2 * BLOCK)])
}

/** Records of pax, for the entry that follows. */
export function pax(records: Readonly<Record<string, string | Buffer>>): TarEntry {
  const content = Buffer.concat(
    Object.entries(records).map(([key, value]) => record(key, Buffer.from(value as string))),
  )
  return { name: 'PaxHeaders/0', type: 'x', content }
}

function record(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')])
  let length = rest.length
  while (`${length}`.length + rest.length !== length) length = `${length}`.length + rest.length
  return Buffer.concat([Buffer.from(`${length}`), rest])
}

function block(entry: TarEntry): Buffer {
  const { type = '0', link = '', mode = 0o644, mtime = 1_000_000_000 } = entry
  const content = Buffer.from((entry.content ?? '') as string)
  const header = Buffer.alloc(BLOCK)
  const octal = (value: number, at: number, length: number): void => {
    header.write(value.toString(8).padStart(length - 1, '0'), at, 'latin1')
  }
  Buffer.from(entry.name as string).copy(header, 0, 0, 100)
  octal(mode, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(entry.size ?? content.length, 124, 12)
  octal(mtime, 136, 12)
  header.write(type, 156, 'latin1')
  header.write(link, 157, 'utf8')
  header.write('ustar\x0000', 257, 'latin1')
  header.fill(' ', 148, 156)
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  )
  header[154] = 0
  return Buffer.concat([header, content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)])
}
