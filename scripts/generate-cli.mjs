// Writes what is made of the CLI's definitions: docs/cli.md, man/hotcell.1 and the schema of the configuration file. A test
// (__test__/cli-documents.test.ts) holds them to it.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { format, resolveConfig } from 'prettier'
import { ensureBuilt, root } from './ensure-built.mjs'
import { fail, say } from './steps.mjs'

/** Each file with its content, by path from the root. */
export async function cliDocuments(render) {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const formatted = async (path, text) => format(text, { ...(await resolveConfig(join(root, path))), filepath: path })
  const schema = 'schema/hotcell.config.schema.json'
  return {
    'docs/cli.md': await formatted('docs/cli.md', render.documentation()),
    'man/hotcell.1': render.manualPage(version),
    [schema]: await formatted(schema, JSON.stringify(render.configurationSchema())),
  }
}

async function main() {
  await ensureBuilt()
  const load = (name) => import(join(root, 'dist', 'src', 'cli', 'render', `${name}.js`))
  const render = { ...(await load('markdown')), ...(await load('man')), ...(await load('schema')) }
  for (const [path, content] of Object.entries(await cliDocuments(render))) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), content)
    say(`wrote ${path}`)
  }
}

if (import.meta.filename === process.argv[1] || import.meta.url === `file://${process.argv[1]}`)
  await main().catch(fail)
