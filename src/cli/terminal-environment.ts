/** What a program on a terminal wants to know of it, and nothing else of the host's. */
export function terminalEnvironment(): Record<string, string | undefined> {
  const { TERM, COLORTERM } = process.env
  return { HOME: '/w', TERM: TERM ?? 'xterm', COLORTERM }
}
