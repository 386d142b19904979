/** Pipes for programs: made by native, for Node has no pipe(2). Whoever makes one closes both ends. */
import { fstatSync } from 'node:fs'
import { binding } from '../binding.js'
import { failure } from '../errors.js'

/** Which end stays here, and is non-blocking therefore; numbers of native `makePipe`. */
export const OURS = { neither: 0, read: 1, write: 2 } as const

export interface PipeEnds {
  read: number
  write: number
  /** Of the pipe, as /proc/pid/fd names it: `pipe:[inode]`. */
  inode: number
}

/** @throws {HotcellError} `EMFILE`, `ENFILE` */
export function makePipe(ours: (typeof OURS)[keyof typeof OURS]): PipeEnds {
  const { read, write, errno } = binding().makePipe(ours)
  if (errno !== 0) {
    throw failure({ kind: 'failure', step: '', syscall: 'pipe2', doing: 'make a pipe for a program', errno })
  }
  return { read, write, inode: fstatSync(read).ino }
}
