// The Rust tests of cgroups in a virtual machine that has v2 with controllers, which few hosts leave to their users: built here, run
// there (vm-test.sh).
//
//   node scripts/vm-cargo-test.mjs              user-mode-linux, some ten seconds
//   node scripts/vm-cargo-test.mjs --qemu       an emulated PC with two CPUs, for cpuset too (vm-qemu-test.sh)
//   node scripts/vm-cargo-test.mjs -- limits    further arguments go to the test program
//
// The last line is the sum. Without a machine that is one skip; HOTCELL_EXPECT=vm makes it a failure.

import { spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { root } from './ensure-built.mjs'
import { StepError, closeSoonAfterExit, fail } from './steps.mjs'

const PACKAGE = 'hotcell-cgroup'
const MACHINES = {
  uml: { script: 'vm-test.sh', expected: 'cgroup2,cgroup2-limits' },
  qemu: { script: 'vm-qemu-test.sh', expected: 'cgroup2,cgroup2-limits,cgroup2-cpuset' },
}

/** The output of a command that must succeed; what it says meanwhile is shown. */
function output(file, args) {
  const { status, error, stdout } = spawnSync(file, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  if (status !== 0) throw new StepError(`${[file, ...args].join(' ')}: ${error?.message ?? `exit code ${status}`}`)
  return stdout
}

function testProgram() {
  const messages = output('cargo', ['test', '-p', PACKAGE, '--no-run', '--message-format=json-render-diagnostics'])
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line))
  const artifact = messages.find(({ target, executable }) => executable && target.kind.includes('test'))
  if (artifact === undefined) throw new StepError(`cargo built no test program of ${PACKAGE}`)
  return artifact.executable
}

/** Shows the output as it comes, and resolves to it and the exit code. */
function runInMachine({ script, expected }, program, args) {
  // The tests compile a program into the target directory, which may lie in a place that the machine has an empty one of.
  const { target_directory: target } = JSON.parse(
    output('cargo', ['metadata', '--format-version=1', '--no-deps', '--offline']),
  )
  const env = { ...process.env, HOTCELL_EXPECT: expected, HOTCELL_VM_WRITABLE: target }
  return new Promise((resolve, reject) => {
    const child = closeSoonAfterExit(
      spawn('bash', [join(root, 'scripts', script), program, ...args], {
        cwd: root,
        env,
        stdio: ['ignore', 'pipe', 'inherit'],
      }),
    )
    let text = ''
    child.stdout.setEncoding('utf8')
    child.stdout.on('data', (chunk) => {
      text += chunk
      process.stderr.write(chunk)
    })
    child.on('error', reject)
    child.on('close', (code) => resolve({ text, code }))
  })
}

async function main() {
  const [own, more] = split(process.argv.slice(2))
  const machine = own.includes('--qemu') ? MACHINES.qemu : MACHINES.uml
  const { text, code } = await runInMachine(machine, testProgram(), more)

  const result = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/m.exec(text)
  const sum = { passed: Number(result?.[1] ?? 0), failed: Number(result?.[2] ?? 0), skipped: Number(result?.[3] ?? 0) }
  const promised = (process.env.HOTCELL_EXPECT ?? '').split(',').includes('vm')
  if (result === null && code === 77 && !promised) sum.skipped = 1
  // A machine that ended too early has proved nothing.
  else if (sum.failed === 0 && (code !== 0 || result === null)) sum.failed = 1
  if (sum.failed > 0) process.exitCode = 1
  process.stdout.write(`\n${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped\n`)
}

/** What stands before `--`, and what stands behind it. */
function split(args) {
  const at = args.indexOf('--')
  return at === -1 ? [args, []] : [args.slice(0, at), args.slice(at + 1)]
}

await main().catch(fail)
