import type { groups } from '../commands/doctor.js'
import type { Action } from '../definition.js'

export const doctor: Action<typeof groups> = async () => 0
