/** `--timeline`: an observer that writes the page when the run is over. */
import { writeFile } from 'node:fs/promises'
import { renderTimeline } from '../timeline/render.js'
import type { Observer } from './session.js'
import { stderr } from './sink.js'

/** Nobody, if it was not asked for. */
export function timelinePage(file: string | undefined): Observer[] {
  if (file === undefined) return []
  return [
    {
      prepare(options) {
        options.timeline = true
      },
      async finish(result) {
        try {
          await writeFile(file, renderTimeline(result))
        } catch (error) {
          await stderr.write(`hotcell: --timeline: ${(error as Error).message}\n`)
        }
      },
    },
  ]
}
