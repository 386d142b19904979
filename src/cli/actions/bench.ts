import type { groups } from '../commands/bench.js'
import type { Action } from '../definition.js'

export const bench: Action<typeof groups> = async () => 0
