/**
 * A timeline as one page that needs nothing else: no network, no other file, no script but its own.
 *
 * A pure function. What a program is called, and whatever else comes from outside, is hostile: it gets into the page through
 * templates that escape (page/html.ts), and the page's own policy lets no script or style run but the two whose hashes it names.
 */
import { createHash } from 'node:crypto'
import { invalidType } from '../options/invalid.js'
import { checkNames, names } from '../options/names.js'
import { text } from '../options/primitives.js'
import type { Trace } from '../trace.js'
import { figure, lineAndArea, slicesAndArea, stackedBars, stepsAndArea, timeAxis, type Chart } from './page/chart.js'
import { Html, html, json, visible, type Content } from './page/html.js'
import { rate, scale, timeScale, type Scale } from './page/scale.js'
import { script } from './page/script.js'
import { style } from './page/style.js'
import { cores, count, percent, size, time } from './page/units.js'
import type { Usage } from '../result.js'
import { story, verdict, type Told } from './page/verdict.js'
import { syscallClasses, type SyscallClass } from './syscalls.js'
import type { Timeline } from './timeline.js'

/** How a timeline is shown. */
export interface RenderTimelineOptions {
  /** The title of the page, and the line above its headline. @default the name of the program */
  title?: string | undefined
}

const allowed = names<RenderTimelineOptions>('options', { title: true })

/** Of a command line. */
const ARGS_LENGTH = 4000
/** The samples at the beginning and at the end, which nobody took. */
const UNMEASURED = 2
/** Rows of the table of system calls. */
const CALLS = 30
/** How far above what was used a limit may be and still be drawn to scale. */
const LIMIT_FACTOR = 2.2

/**
 * Makes a page of a run's timeline: its verdict, CPU, memory, processes and system calls on one time axis, with limits as lines, and all of it as
 * a table. One HTML file of some ten to hundred kilobytes that works from `file://`, in light and in dark.
 *
 * @param result of a run with the option `timeline`: what it resolved with, or `error.result` of an aborted one
 * @throws {TypeError} if the result has no timeline
 *
 * @example
 * ```ts
 * const result = await master.run('./solution', [], { timeline: true, trace: { syscalls: true } })
 * await writeFile('run.html', renderTimeline(result, { title: 'Problem 7, test 3' }))
 * ```
 */
export function renderTimeline(result: Usage & { status?: string }, options: RenderTimelineOptions = {}): string {
  checkNames(options, allowed)
  const timeline = (result as Told | null | undefined)?.timeline
  if (timeline === undefined)
    throw invalidType('result.timeline', 'there: run it with the option timeline: true', result)
  const title = options.title === undefined ? programName(timeline) : text('title', options.title)
  const page = { timeline, told: result, title: visible(title, 200) }
  const axis = timeAxisOf(page)
  return document(page, axis, chartsOf(page, axis)).text
}

interface Page {
  readonly timeline: Timeline
  readonly told: Told
  readonly title: string
}

function document(page: Page, axis: Scale, charts: readonly Chart[]): Html {
  const { told, timeline, title } = page
  const { tone, headline } = verdict(told)
  const policy = `default-src 'none'; style-src ${hash(style)}; script-src ${hash(script)}; base-uri 'none'; form-action 'none'`
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${policy}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="referrer" content="no-referrer" />
        <title>${headline} · ${title}</title>
        ${element('style', style)}
      </head>
      <body>
        <main>
          <header>
            <p class="kicker"><bdi>${title}</bdi></p>
            <h1 class="${tone}">
              <span class="dot"></span><span class="words"><bdi>${headline}</bdi></span>
            </h1>
            <p class="story">${story(told)}</p>
            <div class="command"><code>${commandLine(timeline)}</code></div>
          </header>
          <ul class="tiles">
            ${tiles(page)}
          </ul>
          ${chartSection(axis, charts)}
          <p class="visually-hidden" id="spoken" aria-live="polite"></p>
          ${told.trace === undefined ? undefined : callTable(told.trace)} ${sampleTable(timeline)}
        </main>
        <footer>${footer(page)}</footer>
        ${element('script type="application/json" id="data"', json(dataOf(page, axis, charts)).text)}
        ${element('script', script)}
      </body>
    </html>`
}

function chartSection(axis: Scale, charts: readonly Chart[]): Html {
  if (charts.length === 0) {
    return html`<section class="card">
      <p class="nothing">It was over before the first look at it, so there is no course of time to draw.</p>
    </section>`
  }
  return html`<section
    class="card"
    id="charts"
    tabindex="0"
    role="group"
    aria-label="Charts. The arrow keys move a cursor through time."
  >
    ${charts.map(figure)} ${timeAxis(axis, time)}
  </section>`
}

// ── words and figures ──────────────────────────────────────────────────────

function programName({ args }: Timeline): string {
  const path = args[0] ?? ''
  return path.slice(path.lastIndexOf('/') + 1) || path || 'a program'
}

/** As a shell would take it, in which an argument cannot pass for several; one of several lines is shown as such. */
function commandLine({ args }: Timeline): string {
  const quoted = args.map((arg) => (/^[\w./:=@%+,-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", String.raw`'\''`)}'`))
  return visible(quoted.join(' '), ARGS_LENGTH, '\n\t')
}

/** The figure that a run was ended for. */
function exceeded(told: Told): string | undefined {
  const { status, limit } = told as Told & { limit?: string }
  if (status === 'memory-limit') return 'memory'
  return status === 'time-limit' ? limit : undefined
}

function tiles({ told, timeline }: Page): Html[] {
  const { limits, samples } = timeline
  const { wallTimeMs, cpuTimeMs, userTimeMs, systemTimeMs, memoryBytes, setupTimeMs } = told
  const most = Math.max(told.processesPeak ?? 0, ...samples.map(({ processes }) => processes))
  const start = setupTimeMs > 0 ? `${time(setupTimeMs)} to start` : 'from fork to end'
  const split = `${time(userTimeMs)} user, ${time(systemTimeMs)} system`
  const whose = told.accounting === 'cgroup' ? 'of all processes' : 'of the largest process'
  const culprit = exceeded(told)
  const tile = (
    id: string,
    name: string,
    note: string,
    used: number,
    limit: number | undefined,
    format: (value: number) => string,
  ): Html => {
    const [number, unit] = format(used).split(' ')
    const share = limit === undefined || limit <= 0 ? 0 : used / limit
    return html`<li class="tile ${id} ${id === culprit ? 'over' : ''}">
      <span class="name">${name}</span>
      <span class="figure">${number} ${unit === undefined ? undefined : html`<small>${unit}</small>`}</span>
      <svg class="meter ${limit === undefined ? 'unlimited' : ''}" aria-hidden="true">
        <rect class="all" width="100%" height="100%" />
        <rect class="part" width="${(100 * Math.min(share, 1)).toFixed(1)}%" height="100%" rx="2.5" />
      </svg>
      <span class="note">${limit === undefined ? note : `${percent(share)} of ${format(limit)}`}</span>
    </li>`
  }
  return [
    tile('wall', 'Wall time', start, wallTimeMs, limits.wallTimeMs, time),
    tile('cpu', 'CPU time', split, cpuTimeMs, limits.cpuTimeMs, time),
    tile('memory', 'Memory at most', whose, memoryBytes, limits.memoryBytes, size),
    tile('processes', 'Processes at most', 'threads count, too', most, limits.processes, count),
  ]
}

function footer({ told, timeline }: Page): string {
  const { samples } = timeline
  const taken = samples.length - UNMEASURED
  const every = taken > 0 ? `, about every ${time((samples.at(-1)?.timeMs ?? 0) / (taken + 1))}` : ''
  const source =
    told.accounting === 'cgroup'
      ? 'CPU time, memory and processes as the cgroup of the run counted them'
      : 'summed up over the processes that lived, memory without the pages of files'
  return `${count(taken)} ${taken === 1 ? 'sample' : 'samples'}${every}; ${source}. Made by hotcell.`
}

// ── charts ─────────────────────────────────────────────────────────────────

/** As long as the run; longer where its wall time limit is near. */
function timeAxisOf({ timeline: { limits, samples } }: Page): Scale {
  const end = samples.at(-1)?.timeMs ?? 0
  const limit = limits.wallTimeMs
  return timeScale(limit !== undefined && limit > end && limit <= end * 1.25 ? limit * 1.01 : end)
}

function chartsOf(page: Page, axis: Scale): Chart[] {
  const { told, timeline } = page
  if (timeline.samples.length <= UNMEASURED && timeline.syscalls === undefined) return []
  const { samples, limits } = timeline
  const times = samples.map(({ timeMs }) => timeMs)
  const setupMs = told.setupTimeMs
  const wallLimitMs = limits.wallTimeMs !== undefined && limits.wallTimeMs <= axis.max ? limits.wallTimeMs : undefined
  const common = { time: axis, setupMs, wallLimitMs }
  const limitLine = (value: number | undefined, format: (value: number) => string): Chart['limit'] =>
    value === undefined ? undefined : { value, label: `limit ${format(value)}` }
  const scaled = (most: number, limit: number | undefined, kind: Parameters<typeof scale>[1], wanted?: number): Scale =>
    scale(limit !== undefined && limit <= most * LIMIT_FACTOR ? Math.max(most, limit) : most, kind, wanted)

  const load = rate(
    times,
    samples.map(({ cpuTimeMs }) => cpuTimeMs),
  )
  const loadMost = Math.max(...load.values)
  const loadScale = scaled(Math.max(loadMost, 1), limits.cpuRate, 'decimal', 3)
  const cpu = samples.map(({ cpuTimeMs }) => cpuTimeMs)
  const cpuScale = scaled(told.cpuTimeMs, limits.cpuTimeMs, 'decimal', 2)
  const memory = samples.map(({ memoryBytes }) => memoryBytes)
  const memoryMost = Math.max(...memory, told.accounting === 'cgroup' ? told.memoryBytes : 0)
  const memoryScale = scaled(memoryMost, limits.memoryBytes, 'binary')
  const processes = samples.map((sample) => sample.processes)
  const processesMost = Math.max(...processes)
  const processesScale = scaled(Math.max(processesMost, 2), limits.processes, 'whole', 2)

  const charts: Chart[] = [
    {
      ...common,
      id: 'load',
      title: 'CPU in use',
      description: `Cores in use over ${time(axis.max)}, at most ${cores(loadMost)}.`,
      summary: `at most ${cores(loadMost)} cores`,
      values: loadScale,
      format: (value) => (Number.isInteger(value) ? String(value) : value.toFixed(value < 0.1 ? 2 : 1)),
      shapes: slicesAndArea(load.sliceMs, load.values, axis, loadScale),
      limit: limitLine(limits.cpuRate, (value) => `${cores(value)} cores`),
    },
    {
      ...common,
      id: 'memory',
      title: 'Memory',
      description: `Memory in use over ${time(axis.max)}, at most ${size(memoryMost)}.`,
      summary: `at most ${size(memoryMost)}`,
      values: memoryScale,
      format: size,
      shapes: lineAndArea(times, memory, axis, memoryScale),
      limit: limitLine(limits.memoryBytes, size),
    },
    {
      ...common,
      id: 'cpu',
      title: 'CPU time so far',
      description: `CPU time used up to each moment, ${time(told.cpuTimeMs)} in the end.`,
      summary: `${time(told.cpuTimeMs)} in the end`,
      values: cpuScale,
      format: time,
      shapes: lineAndArea(times, cpu, axis, cpuScale),
      limit: limitLine(limits.cpuTimeMs, time),
    },
    {
      ...common,
      id: 'processes',
      title: 'Processes and threads',
      description: `Processes and threads over ${time(axis.max)}, at most ${count(processesMost)} when looked at.`,
      summary: `at most ${count(processesMost)}`,
      values: processesScale,
      format: count,
      shapes: stepsAndArea(times, processes, axis, processesScale),
      limit: limitLine(limits.processes, count),
    },
  ]
  const syscalls = syscallChart(timeline, axis)
  return syscalls === undefined ? charts : [...charts, { ...common, ...syscalls }]
}

const classNames: Record<SyscallClass, string> = {
  file: 'files',
  memory: 'memory',
  process: 'processes',
  network: 'network',
  signal: 'signals',
  time: 'time',
  other: 'others',
}

function syscallChart({ syscalls }: Timeline, axis: Scale): Omit<Chart, 'time' | 'setupMs'> | undefined {
  if (syscalls === undefined) return undefined
  const { intervalMs, counts } = syscalls
  const kinds = usedClasses(counts).map((name) => ({ name, counts: counts[name] }))
  const totals = totalsOf(counts)
  const values = scale(Math.max(...totals, 1), 'whole', 3)
  const sum = (numbers: readonly number[]): number => numbers.reduce((all, number) => all + number, 0)
  const legend = kinds.map(({ name, counts: own }): Content => {
    return html`<li>
      <svg class="swatch ${name}" aria-hidden="true"><rect class="swatch ${name}" width="10" height="10" /></svg>
      ${classNames[name]} <b>${count(sum(own))}</b>
    </li>`
  })
  return {
    id: 'syscalls',
    title: 'System calls',
    description: `System calls in slices of ${time(intervalMs)}: ${kinds.map(({ name, counts: own }) => `${classNames[name]} ${count(sum(own))}`).join(', ')}.`,
    summary: `${count(sum(totals))} in all`,
    values,
    format: count,
    legend: html`<ul class="legend">
      ${legend}
    </ul>`,
    shapes: stackedBars(intervalMs, kinds, axis, values),
  }
}

function usedClasses(counts: Record<SyscallClass, number[]>): SyscallClass[] {
  return syscallClasses.filter((name) => counts[name].some((number) => number > 0))
}

function totalsOf(counts: Record<SyscallClass, number[]>): number[] {
  return counts.other.map((_, slice) => syscallClasses.reduce((sum, name) => sum + (counts[name][slice] ?? 0), 0))
}

/** What the script reads off. */
function dataOf({ timeline }: Page, axis: Scale, charts: readonly Chart[]): unknown {
  const { samples, syscalls } = timeline
  const of = (pick: (sample: Timeline['samples'][number]) => number): number[] => samples.map(pick)
  const timeMs = of((sample) => sample.timeMs)
  const cpuTimeMs = of((sample) => sample.cpuTimeMs)
  return {
    axisMs: axis.max,
    endMs: timeMs.at(-1),
    timeMs,
    cpuTimeMs,
    memoryBytes: of((sample) => sample.memoryBytes),
    processes: of((sample) => sample.processes),
    load: rate(timeMs, cpuTimeMs),
    max: Object.fromEntries(charts.map(({ id, values }) => [id, values.max])),
    syscalls: syscalls && {
      intervalMs: syscalls.intervalMs,
      names: usedClasses(syscalls.counts).map((name) => classNames[name]),
      counts: usedClasses(syscalls.counts).map((name) => syscalls.counts[name]),
      totals: totalsOf(syscalls.counts),
    },
  }
}

// ── tables ─────────────────────────────────────────────────────────────────

function callTable({ calls }: Trace): Html | undefined {
  const all = Object.entries(calls).sort(([, a], [, b]) => b.totalTimeMs - a.totalTimeMs || b.count - a.count)
  if (all.length === 0) return undefined
  const longest = Math.max(...all.map(([, { totalTimeMs }]) => totalTimeMs), Number.MIN_VALUE)
  return html`<section class="card">
    <h2>System calls by name</h2>
    <p class="hint">Times contain what tracing added, and the waiting in calls that wait.</p>
    <div class="scroll" tabindex="0" role="region" aria-label="System calls by name">
      <table>
        <thead>
          <tr>
            <th scope="col">Call</th>
            <th scope="col">Count</th>
            <th scope="col">Errors</th>
            <th scope="col">Time</th>
            <th scope="col" class="share"><span class="visually-hidden">Time compared</span></th>
          </tr>
        </thead>
        <tbody>
          ${all.slice(0, CALLS).map(
            ([name, call]) =>
              html`<tr>
                <th scope="row"><code>${visible(name, 40)}</code></th>
                <td>${count(call.count)}</td>
                <td>${call.errors === 0 ? '' : count(call.errors)}</td>
                <td>${time(call.totalTimeMs)}</td>
                <td class="share">
                  <svg aria-hidden="true">
                    <rect width="${((100 * call.totalTimeMs) / longest).toFixed(1)}%" height="100%" rx="2" />
                  </svg>
                </td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
    ${all.length > CALLS ? html`<p class="hint">And ${all.length - CALLS} others.</p>` : undefined}
  </section>`
}

function sampleTable({ samples }: Timeline): Html {
  return html`<details class="card">
    <summary>The samples as a table</summary>
    <div class="scroll" tabindex="0" role="region" aria-label="Samples">
      <table>
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">CPU time so far</th>
            <th scope="col">Memory</th>
            <th scope="col">Processes</th>
          </tr>
        </thead>
        <tbody>
          ${samples.map(
            ({ timeMs, cpuTimeMs, memoryBytes, processes }) =>
              html`<tr>
                <th scope="row">${time(timeMs)}</th>
                <td>${time(cpuTimeMs)}</td>
                <td>${size(memoryBytes)}</td>
                <td>${count(processes)}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </details>`
}

// ── what is ours ───────────────────────────────────────────────────────────

/** An element whose text is ours, to the byte. */
function element(tag: string, content: string): Html {
  return new Html(`<${tag}>${content}</${tag.split(' ', 1)[0]}>`)
}

/** Of such an element, for the policy. */
function hash(content: string): string {
  return `'sha256-${createHash('sha256').update(content).digest('base64')}'`
}
