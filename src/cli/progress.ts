/** A line that says what goes on, rewritten in place; on a terminal only. */
import { displayWidth, styleFor } from './style.js'

const BAR_WIDTH = 24
/** Often enough to look alive. */
const FRAME_MS = 80

export class Progress {
  readonly #isShown = process.stderr.isTTY
  #drawnAt = 0

  /** @param share from 0 to 1 */
  show(what: string, share: number): void {
    const now = performance.now()
    if (!this.#isShown || now - this.#drawnAt < FRAME_MS) return
    this.#drawnAt = now
    const style = styleFor(process.stderr)
    const full = Math.round(share * BAR_WIDTH)
    const bar = style.cyan('━'.repeat(full)) + style.dim('─'.repeat(BAR_WIDTH - full))
    const line = `${bar} ${String(Math.round(share * 100)).padStart(3)} %  ${what}`
    // A line that is too long would not be overwritten.
    const fits = displayWidth(line) < (process.stderr.columns || 80)
    process.stderr.write(`\r\u001B[2K${fits ? line : bar}`)
  }

  /** The line is empty again. */
  clear(): void {
    if (this.#isShown && this.#drawnAt > 0) process.stderr.write('\r\u001B[2K')
    this.#drawnAt = 0
  }
}
