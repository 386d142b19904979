// `npm run demo`: see examples/demo/main.ts.

import { join } from 'node:path'
import { ensureBuilt, root } from './ensure-built.mjs'
import { fail, foreground } from './steps.mjs'

try {
  await ensureBuilt()
  process.exitCode = await foreground(
    process.execPath,
    ['--import=@oxc-node/core/register', join(root, 'examples', 'demo', 'main.ts'), ...process.argv.slice(2)],
    { cwd: root },
  )
} catch (error) {
  fail(error)
}
