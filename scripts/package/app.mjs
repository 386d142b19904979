// An application to be bundled: check-package.mjs does so with esbuild, in several ways, and runs what comes out.

import { Master } from 'hotcell'

export async function main() {
  const master = await Master.create()
  const { stdout } = await master.run('echo', ['bundled'])
  await master.destroy()
  console.log(stdout.trim())
}

void main()
