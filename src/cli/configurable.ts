/** The options that the configuration file may have: those that say what a run is like, not those that say what becomes of its report. */
import type { Options } from './definition.js'
import { files, limits, program, remarks, walls } from './shared-options.js'

export const configurable: Options = {
  ...limits.options,
  ...files.options,
  ...program.options,
  ...walls.options,
  ...remarks,
}
