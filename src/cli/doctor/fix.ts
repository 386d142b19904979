/** How a gap is closed. */
export interface Fix {
  /** When, and what it does. One sentence, without its full stop. */
  text: string
  /** Lines to be typed, or to stand in the file that `text` names. */
  lines: readonly string[]
}

/** Sets a sysctl, now and after the next boot. */
export function sysctl(name: string, value: string | number): Fix {
  return {
    text: `set the sysctl ${name}, now and for the next boots`,
    lines: [`sudo sysctl -w ${name}=${value}`, `echo '${name} = ${value}' | sudo tee -a /etc/sysctl.d/60-hotcell.conf`],
  }
}
