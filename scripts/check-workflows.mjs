// The workflows of GitHub Actions, which nothing here can run: actionlint checks them, and what it does not look at is checked here:
// each action is pinned to a commit, and each workflow says what it may do. actionlint comes through Go's module proxy.

import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './ensure-built.mjs'
import { green, red, say, yellow } from './steps.mjs'

const ACTIONLINT = 'github.com/rhysd/actionlint/cmd/actionlint@v1.7.12'

const folder = join(root, '.github', 'workflows')
const sum = { passed: 0, failed: 0, skipped: 0 }

function report(what, problems) {
  sum[problems.length === 0 ? 'passed' : 'failed'] += 1
  const lines = problems.map((problem) => `\n    ${problem}`).join('')
  say(`  ${problems.length === 0 ? green('✓') : red('✗')} ${what}${lines}`)
}

for (const name of readdirSync(folder)) {
  const text = readFileSync(join(folder, name), 'utf8')
  const problems = []
  for (const [, action] of text.matchAll(/^\s*(?:- )?uses: (\S+)/gm)) {
    // A workflow of this repository is of this very commit.
    if (!action.startsWith('./') && !/@[0-9a-f]{40}$/.test(action)) problems.push(`not pinned to a commit: ${action}`)
  }
  if (!/^permissions:\n {2}contents: read$/m.test(text))
    problems.push('no permissions at its top, or more than to read')
  report(`${name}: pinned, and with no more permissions than it needs`, problems)
}

const { status, error, stdout, stderr } = spawnSync('go', ['run', ACTIONLINT, '-color=false'], {
  cwd: root,
  encoding: 'utf8',
})
if (error !== undefined || /dial tcp|no such host|i\/o timeout|Forbidden|404 Not Found/.test(stderr)) {
  sum.skipped += 1
  say(`  ${yellow('-')} actionlint: ${error === undefined ? 'could not be fetched' : 'there is no Go here'}`)
} else {
  report('actionlint', status === 0 ? [] : `${stdout}${stderr}`.trimEnd().split('\n'))
}

if (sum.failed > 0) process.exitCode = 1
process.stdout.write(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped\n`)
