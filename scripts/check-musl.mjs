// Whether the crates compile for musl: its types differ from glibc's in places, and a release has addons for both. Checked only, not
// linked, so it takes seconds; a skip without Rust's target for it (`rustup target add`).

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { root } from './ensure-built.mjs'
import { platforms } from './platforms.mjs'
import { say, yellow } from './steps.mjs'

/** The build script of `host` and `node` links an init image, which is for build-release.mjs to do. */
const WITHOUT = ['hotcell-host', 'hotcell-node', 'hotcell-bench-floor']

const sum = { passed: 0, failed: 0, skipped: 0 }
for (const { triple } of platforms.filter(({ libc, cpu }) => libc === 'musl' && cpu === process.arch)) {
  const { stdout } = spawnSync('rustc', ['--print', 'target-libdir', '--target', triple], { encoding: 'utf8' })
  if (!existsSync(stdout.trim())) {
    sum.skipped += 1
    say(`  ${yellow('-')} ${triple}: rustup target add ${triple}`)
    continue
  }
  const exclude = WITHOUT.flatMap((name) => ['--exclude', name])
  const args = ['check', '--workspace', ...exclude, '--target', triple]
  sum[spawnSync('cargo', args, { cwd: root, stdio: 'inherit' }).status === 0 ? 'passed' : 'failed'] += 1
}

if (sum.failed > 0) process.exitCode = 1
process.stdout.write(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped\n`)
