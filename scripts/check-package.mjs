// The packages as users get them: packed, checked by publint and attw, installed by npm into an empty project without a network
// and without Rust, compiled against, bundled, and used by each runtime that can be had (package/runtimes.mjs).

import { spawn, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { bindingFile, ensureBuilt, root, tsc } from './ensure-built.mjs'
import { addonProblems } from './check-addon.mjs'
import { packMain, packPlatform } from './pack.mjs'
import { makeProject } from './package/project.mjs'
import { fetchRuntime, runtimes } from './package/runtimes.mjs'
import { hostPlatform, manifest, platforms } from './platforms.mjs'
import { fail, green, red, say, yellow } from './steps.mjs'

/** For a step of a program on a machine that has other things to do as well. */
const STEP_MS = 60_000

const bin = (name) => join(root, 'node_modules', '.bin', name)

let passed = 0
let failed = 0
const skipped = []

/** Counts one check; `problems` are lines. */
function assert(what, problems) {
  if (problems.length === 0) {
    passed += 1
    say(`  ${green('✓')} ${what}`)
  } else {
    failed += 1
    say(`  ${red('✗')} ${what}\n${problems.map((problem) => `    ${problem}\n`).join('')}`)
  }
}

/** Counts one program that has to end well. */
function check(what, { status, signal, error, stdout, stderr }) {
  const failure = error?.message ?? signal ?? `exit code ${status}`
  assert(what, status === 0 ? [] : [failure, ...`${stdout}${stderr}`.trimEnd().split('\n')])
}

const run = (file, args, options) => spawnSync(file, args, { encoding: 'utf8', timeout: 2 * STEP_MS, ...options })

/** All that carries a version, or a platform's name, agrees with package.json. */
function checkManifests() {
  const { version } = manifest
  const problems = []
  const names = readdirSync(join(root, 'npm'))
  if (
    names.toSorted().join() !==
    platforms
      .map(({ name }) => name)
      .toSorted()
      .join()
  )
    problems.push(`npm/ has ${names.join(', ')}`)
  for (const platform of platforms.filter(({ name }) => names.includes(name))) {
    const its = JSON.parse(readFileSync(join(platform.folder, 'package.json'), 'utf8'))
    const expected = {
      name: platform.packageName,
      version,
      main: platform.addon,
      files: [platform.addon],
      os: ['linux'],
      cpu: [platform.cpu],
      libc: [platform.libc],
      license: manifest.license,
      engines: manifest.engines,
    }
    for (const [key, value] of Object.entries(expected)) {
      if (JSON.stringify(its[key]) !== JSON.stringify(value))
        problems.push(`npm/${platform.name}: ${key} is ${JSON.stringify(its[key])}, not ${JSON.stringify(value)}`)
    }
  }
  for (const [file, pattern] of [
    ['Cargo.toml', /^version = "(.+)"$/m],
    ['src/version.ts', /^export const version = '(.+)'$/m],
  ]) {
    const found = pattern.exec(readFileSync(join(root, file), 'utf8'))?.[1]
    if (found !== version) problems.push(`${file}: the version is ${found}, not ${version}`)
  }
  const known = /^const PLATFORMS = \[(.+)\]$/m.exec(readFileSync(join(root, 'src', 'addon.ts'), 'utf8'))?.[1]
  for (const { name } of platforms)
    if (!known?.includes(`'${name}'`)) problems.push(`src/addon.ts does not know ${name}`)
  for (const hook of ['preinstall', 'install', 'postinstall', 'prepare']) {
    if (manifest.scripts[hook] !== undefined) problems.push(`package.json: a ${hook} script would run at the user's`)
  }
  if (manifest.os !== undefined) problems.push('package.json: `os` would keep npm from installing hotcell elsewhere')
  assert('versions and platforms agree everywhere', problems)
}

/** What the addon of this build asks for: it is linked by the system's linker, so this system's glibc is what it may need. */
function checkAddon() {
  if (run('objdump', ['--version']).error !== undefined) {
    skip('what the addon needs: objdump is missing (binutils)')
    return
  }
  const glibc = process.report.getReport().header.glibcVersionRuntime
  assert(
    `the addon needs ${glibc === undefined ? 'musl' : `glibc ${glibc} at most`}, its init image nothing`,
    addonProblems(bindingFile(), hostPlatform, glibc),
  )
}

/** What is in the tarball: all that is needed, nothing else. */
function checkFiles({ files }) {
  const problems = []
  for (const path of [
    'package.json',
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'dist/index.js',
    'dist/index.d.ts',
    'dist/src/cli/main.js',
    'apparmor/hotcell',
    'docs/cli.md',
    'man/hotcell.1',
    'schema/hotcell.config.schema.json',
    'dist/opentelemetry.js',
    'dist/opentelemetry.d.ts',
  ])
    if (!files.includes(path)) problems.push(`missing: ${path}`)
  const allowed = /^(package\.json|README\.md|LICENSE|CHANGELOG\.md|dist\/.+\.(js|d\.ts|d\.cts))$/
  for (const path of files) {
    if (!allowed.test(path) && !(manifest.files ?? []).some((kept) => kept !== 'dist' && path.startsWith(kept)))
      problems.push(`does not belong there: ${path}`)
  }
  assert(`the tarball of hotcell: ${files.length} files`, problems)
}

/** publint and attw, on what would be published. */
function checkPublishing({ tarball }, platformTarballs) {
  for (const each of [tarball, ...platformTarballs.map((packed) => packed.tarball)])
    check(`publint ${each.split('/').at(-1)}`, run(bin('publint'), [each, '--strict'], { cwd: root }))
  // The profile leaves out `moduleResolution: node10`, which knows neither `exports` nor the Node that is required. The rule
  // is from the time before `require` could load ES modules; every Node of `engines` can.
  const attw = [tarball, '--profile', 'node16', '--ignore-rules', 'cjs-resolves-to-esm', '--no-color', '--no-emoji']
  check('attw', run(bin('attw'), attw, { cwd: root }))
}

/** Compiles programs against the installed declarations, all of them checked. */
function checkTypes(project) {
  const folder = join(project, 'types')
  cpSync(join(root, 'scripts', 'package', 'types'), folder, { recursive: true })
  mkdirSync(join(project, 'node_modules', '@types'))
  symlinkSync(join(root, 'node_modules', '@types', 'node'), join(project, 'node_modules', '@types', 'node'))
  const compilers = [
    ['TypeScript of this repository', tsc, ['nodenext', 'bundler'], true],
    // The oldest that the declarations are promised to; it does not know yet that `require` may load an ES module.
    [
      'TypeScript 5.6',
      join(root, 'node_modules', '@arethetypeswrong', 'core', 'node_modules', 'typescript', 'bin', 'tsc'),
      ['nodenext'],
      false,
    ],
  ]
  for (const [name, file, resolutions, knowsRequire] of compilers) {
    if (!existsSync(file)) {
      skip(`${name}: ${file} is not installed`)
      continue
    }
    for (const resolution of resolutions) {
      const config = {
        compilerOptions: {
          target: 'es2022',
          lib: ['es2023', 'esnext.disposable'],
          module: resolution === 'bundler' ? 'preserve' : 'nodenext',
          moduleResolution: resolution,
          strict: true,
          exactOptionalPropertyTypes: true,
          skipLibCheck: false,
          types: ['node'],
          noEmit: true,
        },
        files: knowsRequire ? ['consumer.ts', 'common.cts'] : ['consumer.ts'],
      }
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
      writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
      check(`types: ${name}, ${resolution}`, run(process.execPath, [file, '--project', folder], { cwd: folder }))
    }
  }
}

function skip(what) {
  skipped.push(what)
  say(`  ${yellow('-')} ${what}`)
}

/** Runs api.mjs, and resolves to what became of its steps: those that failed, and how, and the one that did not end. */
function runSteps(file, args, cwd) {
  return new Promise((resolve) => {
    const child = spawn(file, [...args, 'api.mjs'], { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    const steps = new Map()
    let began
    let rest = ''
    let stderr = ''
    let timer
    const watch = () => {
      clearTimeout(timer)
      timer = setTimeout(() => child.kill('SIGKILL'), STEP_MS)
    }
    watch()
    child.stdout.setEncoding('utf8').on('data', (text) => {
      watch()
      const lines = (rest + text).split('\n')
      rest = lines.pop()
      for (const line of lines.filter((each) => each.startsWith('{'))) {
        const { begins, ends, ...outcome } = JSON.parse(line)
        began = begins
        if (ends !== undefined) steps.set(ends, outcome)
      }
    })
    child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text))
    child.on('error', (error) => (stderr += error.message))
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ steps, stuck: began, end: signal ?? `exit code ${code}`, stderr: stripVTControlCharacters(stderr) })
    })
  })
}

/** What of api.mjs is not as the runtime's entry says. */
async function checkRuntime({ name, args, without }, file, project) {
  const version = run(file, ['--version'], {}).stdout?.trim().split('\n')[0] ?? ''
  const { steps, stuck, end, stderr } = await runSteps(file, args, project)
  const problems = []
  for (const [step, { code, failure }] of steps) {
    const isExpected = without.includes(step)
    if (failure === undefined && isExpected)
      problems.push(`${step}: works, whereas docs/runtimes.md says that it does not`)
    else if (failure !== undefined && !(isExpected && code === 'ERR_HOTCELL_UNSUPPORTED'))
      problems.push(`${step}: ${failure}`)
  }
  if (stuck !== undefined) problems.push(`${stuck}: did not end`, stderr)
  else if (end !== `exit code ${without.length > 0 ? 1 : 0}`) problems.push(end, stderr)
  const what = version.toLowerCase().includes(name.split(' ')[0].toLowerCase()) ? version : `${name} (${version})`
  assert(`${steps.size - without.length} of ${steps.size} steps by ${what}`, problems)
  check(`require by ${what}`, run(file, [...args, 'common.cjs'], { cwd: project }))
}

/** What absent.mjs has to see. */
function checkAbsent(what, { status, stdout, stderr }, patterns) {
  const problems = []
  if (status === 0) {
    const { supported, features, errors } = JSON.parse(stdout)
    if (supported) problems.push('probe() says that the host is supported')
    if (features.join() !== 'platform') problems.push(`probe() lists ${features.join()}`)
    for (const { isTyped, code, message } of errors) {
      if (!isTyped || code !== 'ERR_HOTCELL_UNSUPPORTED_PLATFORM') problems.push(`${code}: ${message}`)
      for (const pattern of patterns) if (!message.includes(pattern)) problems.push(`no '${pattern}' in: ${message}`)
    }
  } else {
    problems.push(stderr)
  }
  assert(what, problems)
}

/** Where the addon cannot be, importing works and creating says why not. */
function checkUnsupported(project, folder, tarball) {
  const foreign = (platform) =>
    run(process.execPath, ['--import=./foreign.mjs', 'absent.mjs'], {
      cwd: project,
      env: { ...process.env, HOTCELL_TEST_PLATFORM: platform },
    })
  for (const platform of ['darwin-arm64', 'win32-x64', 'linux-riscv64'])
    checkAbsent(`import and create on ${platform}`, foreign(platform), [platform])

  // What npm does there: `hotcell` installs, and no package of a platform does.
  const elsewhere = makeProject(join(folder, 'darwin'), [tarball], ['--os=darwin', '--cpu=arm64'])
  check('npm install on darwin-arm64', elsewhere.installed)
  // The same folder on this machine is one whose node_modules came from another platform.
  const copied = run(process.execPath, ['absent.mjs'], { cwd: elsewhere.folder })
  checkAbsent('import and create without the package of the platform', copied, [
    hostPlatform.name,
    hostPlatform.packageName,
    'node_modules',
  ])

  const broken = join(elsewhere.folder, 'node_modules', hostPlatform.packageName)
  mkdirSync(broken, { recursive: true })
  cpSync(join(hostPlatform.folder, 'package.json'), join(broken, 'package.json'))
  writeFileSync(join(broken, hostPlatform.addon), 'no ELF')
  const unloadable = run(process.execPath, ['absent.mjs'], { cwd: elsewhere.folder })
  checkAbsent('import and create with a broken addon', unloadable, [hostPlatform.addon, 'cannot be loaded'])
}

/** esbuild, with hotcell left external and with it bundled in. */
function checkBundles(project) {
  const bundle = (what, output, options, folder = project) => {
    const built = run(bin('esbuild'), ['app.mjs', '--bundle', '--platform=node', `--outfile=${output}`, ...options], {
      cwd: project,
    })
    if (built.status !== 0) {
      check(what, built)
      return
    }
    const { status, stdout, stderr } = run(process.execPath, [output], { cwd: folder })
    assert(what, status === 0 && stdout === 'bundled\n' ? [] : [`exit code ${status}`, stdout, stderr])
  }
  bundle('esbuild, hotcell external', 'external.mjs', ['--format=esm', '--external:hotcell'])
  bundle('esbuild, hotcell external, CommonJS', 'external.cjs', ['--format=cjs', '--external:hotcell'])
  bundle('esbuild, hotcell bundled', 'bundled.mjs', ['--format=esm'])
  // It warns of import.meta.url, which is used in an ES module only.
  bundle('esbuild, hotcell bundled, minified, CommonJS', 'bundled.cjs', [
    '--format=cjs',
    '--minify',
    '--log-level=error',
  ])

  // A bundle on its own, with the addon beside it: nothing else of node_modules is there.
  const alone = `${project}-bundle`
  mkdirSync(alone)
  cpSync(join(project, 'bundled.mjs'), join(alone, 'bundled.mjs'))
  cpSync(bindingFile(), join(alone, 'addon.node'))
  const env = { ...process.env, HOTCELL_ADDON: join(alone, 'addon.node') }
  check('a bundle and an addon named by HOTCELL_ADDON', run(process.execPath, ['bundled.mjs'], { cwd: alone, env }))
}

/** The command, by the name that npm gives it, by one line of Node. */
function checkCommand(project, file, name) {
  const link = join(project, 'node_modules', '.bin', 'hotcell')
  // The file begins with #!/usr/bin/env node.
  const options = { cwd: project, env: { ...process.env, PATH: `${dirname(file)}:${process.env.PATH}` } }
  check(`hotcell --help by ${name}`, run(link, ['--help'], options))
  const ran = run(link, ['run', '--', 'sh', '-c', 'echo from inside; exit 3'], options)
  const isRight = ran.status === 3 && ran.stdout === 'from inside\n'
  check(`hotcell run by ${name}`, isRight ? { ...ran, status: 0 } : { ...ran, status: ran.status || 1 })
}

async function main() {
  await ensureBuilt()
  checkManifests()
  checkAddon()

  const folder = mkdtempSync(join(tmpdir(), 'hotcell-package-'))
  try {
    // They take the longest, and the network only.
    const files = runtimes.map((runtime) => fetchRuntime(runtime, folder))

    const packages = join(folder, 'packages')
    mkdirSync(packages)
    const own = packMain(packages)
    const platform = packPlatform(hostPlatform, bindingFile(), packages)
    checkFiles(own)
    checkPublishing(own, [platform])

    const { folder: project, installed } = makeProject(join(folder, 'project'), [own.tarball, platform.tarball])
    check('npm install without network and Rust', installed)
    if (installed.status !== 0) return
    checkBundles(project)
    checkTypes(project)
    checkUnsupported(project, folder, own.tarball)
    for (const [index, runtime] of runtimes.entries()) {
      const file = await files[index]
      if (file === undefined) skip(`${runtime.name}: ${runtime.spec} could not be had`)
      else {
        await checkRuntime(runtime, file, project)
        if (/^node/i.test(runtime.name)) checkCommand(project, file, runtime.name)
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

await main().catch((error) => {
  failed += 1
  fail(error)
})
if (failed > 0) process.exitCode = 1
process.stdout.write(`${passed} passed, ${failed} failed, ${skipped.length} skipped\n`)
