/** "Did you mean": for options of the API, and for commands, options and words of the CLI. */

/** The least of a name that is taken for its beginning. */
const PREFIX_LENGTH = 3

/**
 * The known name that a slip of the keyboard could have meant: at most a third of its letters differ. Failing that, the only one that begins
 * with what was written.
 */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  const candidates = [...known]
  let best: string | undefined
  let least = Infinity
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (distance < least && distance <= Math.max(1, Math.floor(candidate.length / 3))) {
      best = candidate
      least = distance
    }
  }
  if (best !== undefined || name.length < PREFIX_LENGTH) return best
  const longer = candidates.filter((candidate) => candidate.toLowerCase().startsWith(name.toLowerCase()))
  return longer.length === 1 ? longer[0] : undefined
}

/** Insertions, deletions, replacements and swaps of neighbours that lead from one to the other (optimal string alignment), by rows. */
function editDistance(from: string, to: string): number {
  let before: number[] = []
  let above = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let row = 1; row <= from.length; row++) {
    const current = [row]
    for (let column = 1; column <= to.length; column++) {
      const replaced = (above[column - 1] as number) + (from[row - 1] === to[column - 1] ? 0 : 1)
      let least = Math.min(replaced, (above[column] as number) + 1, (current[column - 1] as number) + 1)
      const isSwap = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      if (isSwap) least = Math.min(least, (before[column - 2] as number) + 1)
      current.push(least)
    }
    before = above
    above = current
  }
  return above[to.length] as number
}
