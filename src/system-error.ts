import { constants } from 'node:os'
import { getSystemErrorMap } from 'node:util'

/** Numbers that Linux has and libuv, whose list Node shows, has not. */
const extra: Record<string, readonly [code: string, description: string]> = {
  8: ['ENOEXEC', 'exec format error'],
  80: ['ELIBBAD', 'accessing a corrupted shared library'],
  87: ['EUSERS', 'too many users'],
  116: ['ESTALE', 'stale file handle'],
  122: ['EDQUOT', 'disk quota exceeded'],
  126: ['ENOKEY', 'required key not available'],
}

/** The kernel's word for an error number, and what it means. */
export function systemError(number: number): { code: string; description: string } {
  const [code, description] = getSystemErrorMap().get(-number) ?? extra[number] ?? [undefined, undefined]
  if (code !== undefined) return { code, description: description as string }
  const name = Object.entries(constants.errno).find(([, value]) => value === number)?.[0]
  return { code: name ?? `ERRNO_${number}`, description: `error ${number}, see errno(3)` }
}
