/** `hotcell completion`. */
import type { groups } from '../commands/completion.js'
import type { Action } from '../definition.js'
import { completionScript } from '../render/completion.js'
import { stdout } from '../sink.js'

export const completion: Action<typeof groups> = async ({ operands }) => {
  await stdout.write(completionScript(operands[0] as 'bash' | 'zsh' | 'fish'))
  return 0
}
