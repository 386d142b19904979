// hotcell bench: that it measures, not what.
import test from 'ava'
import { cli } from './support/cli.js'

test.serial('shows figures, and gives them as JSON', async (t) => {
  const { code, stdout, stderr } = await cli(['bench', '--runs', '10', '--json'])
  t.is(code, 0, stderr)
  const { program, figures, throughput } = JSON.parse(stdout)
  t.is(program, '/bin/true')
  t.deepEqual(
    figures.map(({ name }: { name: string }) => name),
    ['spawn', 'execve', 'run', 'fresh'],
  )
  for (const { medianMs, p95Ms, ratioToSpawn } of figures) t.true(medianMs > 0 && p95Ms >= medianMs && ratioToSpawn > 0)
  t.true(throughput.poolPerSecond > 0)

  const people = await cli(['bench', '--runs', '10'])
  t.is(people.code, 0)
  t.regex(people.stdout, /A sandboxed run takes/)
  t.is(people.stderr, '', 'no progress where there is no terminal')
})

test.serial('a program that cannot be measured is named', async (t) => {
  const { code, stderr } = await cli(['bench', '--runs', '10', '--program', '/no/such'])
  t.is(code, 125)
  t.regex(stderr, /\/no\/such/)
})
