/**
 * The type tests in __test__/types are compiled, not run (`npm run typecheck`). Here: that they are about everything that is exported.
 */
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { root } from './support/node.js'

/** What is between the braces of each `export { … } from`, types and values. */
function exportedNames(source: string): string[] {
  const lists = [...source.matchAll(/^export (?:type )?\{([^}]*)\} from/gm)].map(([, list]) => list as string)
  return lists.flatMap((list) => list.split(',').map((name) => name.replace(/^\s*type\s/, '').trim())).filter(Boolean)
}

test('each exported name has a type test', (t) => {
  const names = exportedNames(readFileSync(join(root, 'index.ts'), 'utf8'))
  t.true(names.length > 50)
  const folder = join(root, '__test__', 'types')
  const tests = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'))
  const words = new Set(tests.flatMap((text) => text.match(/\w+/g) ?? []))
  t.deepEqual(
    names.filter((name) => !words.has(name)),
    [],
    'write one in __test__/types for these',
  )
})
