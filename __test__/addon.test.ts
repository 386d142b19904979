/**
 * What becomes of a program where the native addon is not as it should be. Each is a process of its own, which asks for a container
 * twice, by `create` and by `probe`; scripts/check-package.mjs does the like with the packed packages.
 */
import { arch } from 'node:process'
import test, { type ExecutionContext } from 'ava'
import { runNode } from './support/node.js'

interface Told {
  name: string
  code: string
  message: string
}

/** What `create` rejects with after `prelude`; `probe` has to say the same, and a second `create` as well. */
async function refusal(t: ExecutionContext, prelude: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const { stdout, stderr } = await runNode(
    `
    ${prelude}
    const { Master, Pool, probe } = await import('./index.js')
    const tell = (promise) => promise.then(() => undefined, ({ name, code, message }) => ({ name, code, message }))
    const told = [await tell(Master.create()), await tell(Master.create()), await tell(Pool.create())]
    const { supported, features } = await probe()
    console.log(JSON.stringify({ told, supported, features }))
  `,
    { env },
  )
  t.is(stderr, '')
  const { told, supported, features } = JSON.parse(stdout) as {
    told: Told[]
    supported: boolean
    features: { name: string; available: boolean; required: boolean; detail: string }[]
  }
  const [first] = told
  t.is(first?.name, 'HotcellError')
  t.is(first?.code, 'ERR_HOTCELL_UNSUPPORTED_PLATFORM')
  t.deepEqual(told, [first, first, first])
  t.false(supported)
  t.deepEqual(features, [{ name: 'platform', available: false, required: true, detail: first?.message ?? '' }])
  return first?.message ?? ''
}

const platform = (name: string, machine: string = arch): string => `
  Object.defineProperty(process, 'platform', { value: '${name}' })
  Object.defineProperty(process, 'arch', { value: '${machine}' })
`

test('on another platform, the error names it', async (t) => {
  t.regex(await refusal(t, platform('darwin', 'arm64')), /does not run on darwin-arm64: .*Linux/)
  t.regex(await refusal(t, platform('win32', 'x64')), /does not run on win32-x64: .*Linux/)
})

test('on another processor, the error names it and those there are', async (t) => {
  t.regex(await refusal(t, platform('linux', 's390x')), /does not run on linux-s390x-(gnu|musl): .*linux-x64-gnu/)
})

test('an addon of another version is refused', async (t) => {
  const message = await refusal(
    t,
    `
    import Module from 'node:module'
    const load = Module._load
    Module._load = (request, ...rest) => (request.endsWith('.node') ? { version: () => '0.0.1' } : load(request, ...rest))
  `,
  )
  t.regex(message, /^hotcell \d.* found the native addon of 0\.0\.1 for linux-.*'.+\.node'.*install again/)
})

test('an addon that is older than its own version number is refused', async (t) => {
  const message = await refusal(
    t,
    `
    import Module from 'node:module'
    const load = Module._load
    Module._load = (request, ...rest) => (request.endsWith('.node') ? {} : load(request, ...rest))
  `,
  )
  t.regex(message, /found the native addon of another version/)
})

test('HOTCELL_ADDON names the addon, and nothing else is looked for', async (t) => {
  const absent = await refusal(t, '', { HOTCELL_ADDON: '/no/such/addon.node' })
  t.regex(absent, /cannot be loaded from '\/no\/such\/addon\.node'.*HOTCELL_ADDON/)
  const other = await refusal(t, '', { HOTCELL_ADDON: '/etc/hostname' })
  t.regex(other, /cannot be loaded from '\/etc\/hostname'.*HOTCELL_ADDON/)
})

test('a C library that is too old is told as such', async (t) => {
  const message = await refusal(
    t,
    `
    import Module from 'node:module'
    const load = Module._load
    Module._load = (request, ...rest) => {
      if (request.endsWith('.node')) throw new Error("/lib/libc.so.6: version \`GLIBC_2.17' not found (required by it)")
      return load(request, ...rest)
    }
  `,
  )
  t.regex(message, /GLIBC_2\.17' not found.*glibc 2\.17 or newer/)
})
