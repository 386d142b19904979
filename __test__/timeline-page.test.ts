// The page of a timeline in a real browser: Debian's chromium, see support/chromium.ts.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { renderTimeline, type RunResult, type Timeline, type Usage } from '../index.js'
import { size, time } from '../src/timeline/page/units.js'
import { Browser, chromium, type Page } from './support/chromium.js'
import { createMaster } from './support/mode.js'
import { requiresSerial } from './support/requires.js'
import { within } from './support/waiting.js'

// One after the other: pages that load at the same time keep each other waiting.
const inBrowser = requiresSerial('chromium', chromium !== undefined)

let browser: Promise<Browser> | undefined
const folder = mkdtempSync(join(tmpdir(), 'hotcell-pages-'))
let pages = 0

test.after.always(async () => {
  await (await browser)?.close()
  rmSync(folder, { recursive: true, force: true })
})

interface View {
  width?: number
  colorScheme?: 'light' | 'dark'
}

/** Opens it as a user does: from a file. */
async function open(html: string, { width = 1180, colorScheme = 'light' }: View = {}): Promise<Page & { url: string }> {
  const path = join(folder, `${++pages}.html`)
  writeFileSync(path, html)
  browser ??= within(Browser.start(), 'a browser')
  const url = pathToFileURL(path).href
  const page = await within((await browser).open(url, { width, height: 900, colorScheme }), 'the page')
  return Object.assign(page, { url })
}

const timeline: Timeline = {
  args: ['./solution', '--fast'],
  limits: { cpuTimeMs: 500, memoryBytes: 64 * 2 ** 20, processes: 8, wallTimeMs: 1000 },
  samples: Array.from({ length: 101 }, (_, index) => ({
    timeMs: index * 9,
    cpuTimeMs: index * 4,
    memoryBytes: index % 100 === 0 ? 0 : index * 2 ** 19,
    processes: index % 100 === 0 ? 0 : 1 + Math.floor(index / 25),
  })),
  marks: [],
  syscalls: {
    intervalMs: 100,
    counts: {
      file: [40, 10, 0, 0, 3, 0, 0, 0, 9],
      memory: [10, 0, 0, 5, 0, 0, 0, 0, 1],
      process: [3, 0, 0, 0, 0, 0, 0, 0, 1],
      network: [0, 0, 0, 0, 0, 0, 0, 0, 0],
      signal: [0, 0, 0, 0, 0, 0, 0, 0, 0],
      time: [0, 0, 2, 0, 0, 0, 0, 0, 0],
      other: [1, 0, 0, 0, 0, 0, 0, 0, 0],
    },
  },
}
const usage: Usage & { status: string; exitCode: number } = {
  status: 'ok',
  exitCode: 0,
  userTimeMs: 300,
  systemTimeMs: 100,
  cpuTimeMs: 400,
  wallTimeMs: 900,
  memoryBytes: 50 * 2 ** 20,
  setupTimeMs: 12,
  accounting: 'cgroup',
  timeline,
  trace: {
    calls: { openat: { count: 12, errors: 2, totalTimeMs: 5 }, read: { count: 50, errors: 0, totalTimeMs: 9 } },
    threads: 1,
    violations: 0,
    lost: 0,
    complete: true,
  },
}

/** Nobody complained, and nothing was asked for but the page itself. */
function isQuiet(t: ExecutionContext, page: Page & { url: string }): void {
  t.deepEqual(page.complaints, [])
  t.deepEqual(page.requests, [page.url])
}

/** Where a chart's plot is in the window. */
function plotOf(page: Page, chart: string): Promise<{ x: number; y: number; width: number; height: number }> {
  return page.evaluate(`(() => {
    const plot = document.querySelector('[data-chart="${chart}"] .plot')
    plot.scrollIntoView({ block: 'center' })
    return plot.getBoundingClientRect().toJSON()
  })()`)
}

const textOf = (page: Page, selector: string): Promise<string> =>
  page.evaluate(`document.querySelector(${JSON.stringify(selector)}).textContent.replaceAll(/\\s+/g, ' ').trim()`)

const values = (page: Page): Promise<Record<string, string>> =>
  page.evaluate(
    `Object.fromEntries([...document.querySelectorAll('.chart')].map((chart) => [chart.dataset.chart, chart.querySelector('.value').textContent]))`,
  )

inBrowser('a page shows a run as it was', async (t) => {
  const page = await open(renderTimeline(usage, { title: 'Problem 7' }))
  isQuiet(t, page)
  t.is(await page.evaluate('document.documentElement.dataset.ready'), 'true')
  t.is(await textOf(page, 'h1'), 'Finished')
  t.is(await textOf(page, '.kicker'), 'Problem 7')
  t.is(await textOf(page, '.command code'), './solution --fast')
  t.is(await page.evaluate('document.title'), 'Finished · Problem 7')
  t.regex(await textOf(page, '.story'), /ran for 900 ms, used 400 ms of CPU time and 50 MiB/)
  t.is(await textOf(page, '.tile.memory'), 'Memory at most 50 MiB 78 % of 64 MiB')
  t.deepEqual(await values(page), {
    load: 'at most 0.44 cores',
    memory: 'at most 50 MiB',
    cpu: '400 ms in the end',
    processes: 'at most 4',
    syscalls: '85 in all',
  })
  // A point for each sample, at its place.
  const line: string = await page.evaluate(`document.querySelector('[data-chart="memory"] .line').getAttribute('d')`)
  const points = line.slice(1).split('L')
  t.is(points.length, timeline.samples.length)
  const [across, up] = (points[50] as string).split(' ').map(Number) as [number, number]
  t.true(Math.abs(across - (1000 * 450) / 1010) < 0.01, points[50])
  t.true(Math.abs(up - (100 - (100 * 25) / 64)) < 0.01, points[50])
  const steps: string = await page.evaluate(
    `document.querySelector('[data-chart="processes"] .line').getAttribute('d')`,
  )
  t.is(steps.match(/V/g)?.length, timeline.samples.length - 1)
  t.is(await page.evaluate(`document.querySelectorAll('[data-chart="syscalls"] .bars').length`), 5)
  t.is(await page.evaluate(`document.querySelectorAll('details tbody tr').length`), timeline.samples.length)
  // The limits of memory and CPU time are lines, that of the processes too, and the wall time is near enough to be drawn.
  for (const chart of ['memory', 'cpu', 'processes']) {
    t.is(await page.evaluate(`document.querySelectorAll('[data-chart="${chart}"] line.limit').length`), 2, chart)
  }
  t.is(await textOf(page, '[data-chart="memory"] .limit-label'), 'limit 64 MiB')
  const calls: string[][] = await page.evaluate(
    `[...document.querySelectorAll('section.card:not(#charts) tbody tr')].map((row) => [...row.children].slice(0, 4).map((cell) => cell.textContent.trim()))`,
  )
  t.deepEqual(calls, [
    ['read', '50', '', '9 ms'],
    ['openat', '12', '2', '5 ms'],
  ])
})

inBrowser('the pointer reads off all charts at once', async (t) => {
  const page = await open(renderTimeline(usage))
  const before = await values(page)
  const { x, y, width, height } = await plotOf(page, 'memory')
  const axisMs: number = await page.evaluate(`JSON.parse(document.getElementById('data').textContent).axisMs`)
  // In the middle between two samples: the earlier one holds.
  const at = (timeMs: number): number => x + (width * timeMs) / axisMs
  await page.moveMouse(at(45 * 9 + 4.5), y + height / 2)
  const sample = timeline.samples[45] as Timeline['samples'][number]
  const read = await values(page)
  t.like(read, {
    memory: size(sample.memoryBytes),
    cpu: time(sample.cpuTimeMs),
    processes: String(sample.processes),
    syscalls: 'files 3 in 100 ms',
  })
  t.regex(read['load'] as string, /^0\.44 cores$/)
  t.is(await textOf(page, '.axis .cursor text'), time(45 * 9 + 4.5))
  const dot: { x: number; y: number; width: number } = await page.evaluate(
    `document.querySelector('[data-chart="memory"] .cursor circle').getBoundingClientRect().toJSON()`,
  )
  t.true(Math.abs(dot.x + dot.width / 2 - at(45 * 9 + 4.5)) < 2, JSON.stringify(dot))
  await page.moveMouse(at(250), y + height / 2)
  t.is((await values(page))['syscalls'], 'time 2 in 100 ms')
  await page.moveMouse(at(150), y + height / 2)
  t.is((await values(page))['syscalls'], 'files 10 in 100 ms')
  await page.moveMouse(5, 5)
  t.deepEqual(await values(page), before)
  t.is(await page.evaluate(`document.querySelectorAll('.cursor[visibility="visible"]').length`), 0)
  isQuiet(t, page)
})

inBrowser('the keys do as well, and what they find is spoken', async (t) => {
  const page = await open(renderTimeline(usage))
  const before = await values(page)
  await page.evaluate(`document.getElementById('charts').focus()`)
  for (const key of ['ArrowRight', 'ArrowRight', 'PageDown', 'ArrowLeft']) await page.press(key)
  t.like(await values(page), { memory: size(11 * 2 ** 19), cpu: '44 ms' })
  t.regex(await textOf(page, '#spoken'), /^At 99 ms: CPU in use 0\.44 cores; Memory 5\.50 MiB; CPU time so far 44 ms; /)
  await page.press('End')
  t.like(await values(page), { memory: '0 B', cpu: '400 ms' })
  await page.press('ArrowRight')
  t.is((await values(page))['cpu'], '400 ms')
  await page.press('Home')
  t.is((await values(page))['cpu'], '0 ms')
  await page.press('Escape')
  t.deepEqual(await values(page), before)
  isQuiet(t, page)
})

inBrowser('nothing that a program or its author says becomes part of the page', async (t) => {
  const attacks = [
    `</script><script>window.pwned = 1</script>`,
    `</title><img src=x onerror="window.pwned = 1">`,
    `"><svg onload="window.pwned = 1">`,
    `' autofocus onfocus='window.pwned = 1`,
    `<!--<script>`,
    `]]></style><style>* { display: none !important }</style>`,
    '${window.pwned = 1}',
    '\u2028window.pwned = 1\u2029',
    `<iframe src="javascript:parent.pwned = 1"></iframe><base href="//evil.example/">`,
  ]
  const clean = await open(renderTimeline({ ...usage, status: 'disallowed-file' } as never))
  const elements = (page: Page): Promise<number> => page.evaluate(`document.querySelectorAll('*').length`)
  for (const attack of attacks) {
    const calls = { [attack]: { count: 1, errors: 0, totalTimeMs: 9 }, read: { count: 1, errors: 0, totalTimeMs: 1 } }
    const told = {
      ...usage,
      status: 'disallowed-file',
      path: attack,
      operation: attack,
      timeline: { ...timeline, args: [`/bin/${attack}`, attack] },
      trace: { ...usage.trace, calls },
    }
    const page = await open(renderTimeline(told as never, { title: attack }))
    isQuiet(t, page)
    t.is(await page.evaluate('typeof window.pwned'), 'undefined', attack)
    t.is(await page.evaluate('document.documentElement.dataset.ready'), 'true', attack)
    t.is(await elements(page), await elements(clean), attack)
    t.not(await page.evaluate(`getComputedStyle(document.querySelector('h1')).display`), 'none')
    const start = attack.replace(/^\u2028/, '\\u2028').slice(0, 12)
    t.true((await textOf(page, '.kicker')).startsWith(start.trim()), attack)
  }
})

inBrowser('the policy of the page lets nothing run but its own script and style', async (t) => {
  const page = await open(renderTimeline(usage))
  await page.evaluate(`(() => {
    const script = document.createElement('script')
    script.textContent = 'window.pwned = 1'
    document.body.append(script)
    const image = document.createElement('img')
    image.src = 'http://127.0.0.1:9/'
    document.body.append(image)
    document.querySelector('h1').setAttribute('style', 'display: none')
    document.querySelector('h1').setAttribute('onclick', 'window.pwned = 1')
    document.querySelector('h1').click()
  })()`)
  t.is(await page.evaluate('typeof window.pwned'), 'undefined')
  t.not(await page.evaluate(`getComputedStyle(document.querySelector('h1')).display`), 'none')
  t.true(
    page.complaints.some((complaint) => complaint.includes('Content Security Policy')),
    page.complaints.join('\n'),
  )
})

inBrowser('it is light or dark as its reader has it, and fits narrow screens', async (t) => {
  const html = renderTimeline(usage)
  const brightness = (page: Page, selector: string, property: string): Promise<number> =>
    page.evaluate(`(() => {
      const [r, g, b] = getComputedStyle(document.querySelector('${selector}')).${property}.match(/[\\d.]+/g).map(Number)
      return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255
    })()`)
  for (const colorScheme of ['light', 'dark'] as const) {
    const page = await open(html, { colorScheme })
    const [paper, ink] = [await brightness(page, 'body', 'backgroundColor'), await brightness(page, 'body', 'color')]
    t.true(colorScheme === 'light' ? paper > 0.9 && ink < 0.2 : paper < 0.1 && ink > 0.8, `${paper} ${ink}`)
  }
  for (const width of [320, 390, 768]) {
    const page = await open(html, { width })
    t.is(await page.evaluate('document.documentElement.scrollWidth'), width)
    isQuiet(t, page)
  }
})

inBrowser('it says to those who do not see it what there is to see', async (t) => {
  const page = await open(renderTimeline(usage))
  interface Node {
    role?: { value: string }
    name?: { value: string }
    description?: { value: string }
  }
  const { nodes } = (await page.send('Accessibility.getFullAXTree')) as unknown as { nodes: Node[] }
  const named = (role: string): string[] =>
    nodes.filter((node) => node.role?.value === role).map((node) => node.name?.value ?? '')
  const images = named('image').filter((name) => name !== '')
  t.is(images.length, 5, JSON.stringify(nodes.map(({ role }) => role?.value)))
  t.true(
    images.some((name) => name.startsWith('Memory Memory in use over ')),
    images.join('\n'),
  )
  t.true(
    images.some((name) => name.includes('files 62, memory 16, processes 4, time 2, others 1')),
    images.join('\n'),
  )
  t.deepEqual(named('heading').sort(), [
    'CPU in use',
    'CPU time so far',
    'Finished',
    'Memory',
    'Processes and threads',
    'System calls',
    'System calls by name',
  ])
})

inBrowser('real runs have pages without a flaw', async (t) => {
  const master = await createMaster(t)
  const results: RunResult[] = [
    await master.run('sh', ['-c', 'i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done'], { timeline: true }),
    await master.run('sleep', ['10'], { timeline: true, limits: { wallTimeMs: 100 } }),
    await master.run('sh', ['-c', 'cat /etc/ld.so.cache'], { timeline: true, trace: { syscalls: true } }),
    // Over before anybody looks.
    await master.run('true', [], { timeline: { intervalMs: 60_000 } }),
  ]
  const headlines = []
  for (const result of results) {
    const page = await open(renderTimeline(result))
    isQuiet(t, page)
    headlines.push(await textOf(page, 'h1'))
    t.is(await page.evaluate('document.documentElement.dataset.ready'), 'true')
  }
  t.deepEqual(headlines, ['Finished', 'Over the wall time limit', 'Finished', 'Finished'])
})
