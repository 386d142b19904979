// A user's project: an empty folder in which npm installs the packed tarballs and nothing else. No registry can be reached, npm's
// cache is empty, and there is no Rust and no compiler: the PATH has only what npm itself needs.

import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../ensure-built.mjs'

/** The folder of programs that run in a project. */
const PROGRAMS = join(root, 'scripts', 'package')

/** A folder of links to these programs, to be a PATH. */
function pathWith(names, folder) {
  mkdirSync(folder)
  for (const name of names) {
    const place = process.env.PATH.split(':').find((each) => readable(each).includes(name))
    if (place !== undefined) symlinkSync(join(place, name), join(folder, name))
  }
  return folder
}

function readable(folder) {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

/**
 * Makes one, with the programs of this folder in it.
 *
 * @returns the folder, and what became of `npm install`
 */
export function makeProject(folder, tarballs, npmArguments = []) {
  mkdirSync(folder)
  for (const name of readdirSync(PROGRAMS)) {
    if (/\.[cm]js$/.test(name)) copyFileSync(join(PROGRAMS, name), join(folder, name))
  }
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n')
  const path = pathWith(['npm', 'sh'], `${folder}-path`)
  symlinkSync(process.execPath, join(path, 'node'))
  const installed = spawnSync(
    'npm',
    ['install', '--offline', '--no-audit', '--no-fund', '--loglevel=error', ...npmArguments, ...tarballs],
    {
      cwd: folder,
      encoding: 'utf8',
      env: {
        PATH: path,
        HOME: folder,
        npm_config_cache: `${folder}-cache`,
        // Discard: whoever tried to fetch something would be told so.
        npm_config_registry: 'http://127.0.0.1:9/',
      },
    },
  )
  return { folder, installed }
}
