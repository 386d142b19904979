// Reads what `ava --tap` prints (TAP 13: https://testanything.org) and shows it the way a person reads it.
//
// A test is one line, `ok 12 - file › title # SKIP`; a failure is followed by an indented YAML block; `#` lines are
// diagnostics, the last of which sum up.

import { clearLine, dim, green, red, status, yellow } from './steps.mjs'

const out = process.stderr

export class TapReader {
  passed = 0
  /** What failed: the title, and what ava says of it. */
  failures = []
  /** Titles. */
  skipped = []
  #rest = ''
  #block = null

  /** `label` names the run, where several follow each other. */
  constructor(label) {
    this.label = label
  }

  write(chunk) {
    this.#rest += chunk
    const lines = this.#rest.split('\n')
    this.#rest = lines.pop()
    for (const line of lines) this.#line(line)
  }

  end() {
    if (this.#rest !== '') this.#line(this.#rest)
    this.#rest = ''
    clearLine()
  }

  #line(line) {
    const result = /^(not )?ok \d+(?: - (.*?))?(?:\s+# (SKIP|TODO)\b.*)?$/.exec(line)
    if (result !== null) {
      const [, not, title = '', directive] = result
      if (directive !== undefined) {
        this.skipped.push(title)
        this.#show(`${yellow('-')} ${title} ${dim(directive.toLowerCase())}`)
      } else if (not === undefined) {
        this.passed += 1
        // One line each in a log; on a terminal the count is enough.
        if (out.isTTY) status(`${green('✓')} ${this.label}: ${this.passed} passed  ${dim(title)}`)
        else this.#show(`${green('✓')} ${title}`)
      } else {
        this.failures.push({ title, lines: [] })
        this.#show(`${red('✗')} ${title}`)
      }
      return
    }
    if (line === '  ---') this.#block = []
    else if (line === '  ...') {
      this.#block = null
    } else if (this.#block !== null) {
      this.failures.at(-1)?.lines.push(line)
      this.#show(dim(line))
    } else if (/^ +#? ?\S/.test(line)) this.#show(dim(line))
  }

  #show(text) {
    clearLine()
    out.write(`  ${text}\n`)
  }
}
