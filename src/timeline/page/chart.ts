/**
 * Charts as SVG, one above the other on one time axis.
 *
 * A chart is two drawings side by side: the labels of its values, as wide as they need, and the plot, as wide as the page leaves it. In a plot shapes are in
 * an inner drawing of {@link WIDTH} by {@link HEIGHT} that is stretched, strokes and text are not: these are placed by per cent. So a
 * page needs no script to fit a screen, and no style attribute, which its policy forbids.
 */
import { html, type Content, type Html } from './html.js'
import type { Scale } from './scale.js'

const WIDTH = 1000
const HEIGHT = 100

/** A line at a limit. */
export interface LimitLine {
  readonly value: number
  /** What it says: `limit 64 MiB`. */
  readonly label: string
}

export interface Chart {
  /** A word, for the script and the styles. */
  readonly id: string
  readonly title: string
  /** What there is to be read off, for those who do not see it. */
  readonly description: string
  /** Behind the title, where the script shows the value at the cursor: a figure for the whole. */
  readonly summary: string
  readonly time: Scale
  readonly values: Scale
  readonly format: (value: number) => string
  readonly shapes: Content
  readonly limit?: LimitLine | undefined
  /** Below the title. */
  readonly legend?: Content
  /** Until when the program had not begun. */
  readonly setupMs: number
  /** Where the wall time ends, if it is on the axis. */
  readonly wallLimitMs?: number | undefined
}

/** One chart. */
export function figure(chart: Chart): Html {
  const { id, title, description, summary, values, time, format, limit } = chart
  const ticks = values.ticks.map((tick) => ({
    y: percent(1 - tick / values.max),
    text: tick === 0 ? '0' : format(tick),
  }))
  return html`<figure class="chart" data-chart="${id}">
    <figcaption>
      <h2>${title}</h2>
      <output class="value" data-summary="${summary}">${summary}</output>
    </figcaption>
    ${chart.legend}
    <div class="drawing">
      <svg class="labels" aria-hidden="true">
        ${ticks.map(({ y, text }) => html`<text x="100%" y="${y}">${text}</text>`)}
      </svg>
      <svg class="plot" role="img" aria-labelledby="${id}-title ${id}-description">
        <title id="${id}-title">${title}</title>
        <desc id="${id}-description">${description}</desc>
        ${ticks.map(({ y }) => html`<line class="grid" x1="0" x2="100%" y1="${y}" y2="${y}" />`)}
        ${
          chart.setupMs / time.max > 0.004
            ? html`<rect class="setup" x="0" y="0" height="100%" width="${percent(chart.setupMs / time.max)}">
                <title>before the first instruction of the program</title>
              </rect>`
            : undefined
        }
        <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" width="100%" height="100%" overflow="visible">
          ${chart.shapes}
        </svg>
        ${limit === undefined ? undefined : limitLine(limit, values)}
        ${
          chart.wallLimitMs === undefined
            ? undefined
            : html`<line
                class="limit"
                x1="${percent(chart.wallLimitMs / time.max)}"
                x2="${percent(chart.wallLimitMs / time.max)}"
                y1="0"
                y2="100%"
              />`
        }
        <g class="cursor" visibility="hidden">
          <line y1="0" y2="100%" />
          <circle r="4.5" />
        </g>
      </svg>
    </div>
  </figure>`
}

/** On the left, where what is used has only begun. A limit that is far above everything is told of, not drawn. */
function limitLine({ value, label }: LimitLine, { max }: Scale): Html {
  if (value > max) return html`<text class="limit-label" x="0" y="0" dx="7" dy="14">↑ ${label}</text>`
  const y = percent(1 - value / max)
  // Below the line where there is no room above it.
  return html`<line class="limit" x1="0" x2="100%" y1="${y}" y2="${y}" />
    <text class="limit-label" x="0" y="${y}" dx="7" dy="${value / max > 0.85 ? 15 : -6}">${label}</text>`
}

/** The time below the charts, with the place for the cursor's. */
export function timeAxis({ max, ticks }: Scale, format: (ms: number) => string): Html {
  const last = ticks.length - 1
  return html`<div class="drawing axis" aria-hidden="true">
    <svg class="labels"></svg>
    <svg class="plot">
      ${ticks.map((tick, index) => {
        const anchor = tick === 0 ? 'start' : index === last && tick / max > 0.96 ? 'end' : 'middle'
        return html`<line class="tick" x1="${percent(tick / max)}" x2="${percent(tick / max)}" y1="0" y2="5" />
          <text x="${percent(tick / max)}" y="20" text-anchor="${anchor}">${tick === 0 ? '0' : format(tick)}</text>`
      })}
      <g class="cursor" visibility="hidden">
        <rect y="3" width="84" height="22" rx="11" />
        <text y="18" text-anchor="middle"></text>
      </g>
    </svg>
  </div>`
}

/** A line, and the area below it. */
export function lineAndArea(xs: readonly number[], ys: readonly number[], time: Scale, values: Scale): Html {
  const points = xs.map((x, index) => `${across(x, time)} ${up(ys[index] as number, values)}`)
  return html`<path
      class="area"
      d="M${points.join('L')}L${across(xs.at(-1) as number, time)} ${HEIGHT}L${across(xs[0] as number, time)} ${HEIGHT}Z"
    />
    <path class="line" d="M${points.join('L')}" />`
}

/** Values that hold for a while: a line with steps. */
export function stepsAndArea(xs: readonly number[], ys: readonly number[], time: Scale, values: Scale): Html {
  const points = [`${across(xs[0] as number, time)} ${up(ys[0] as number, values)}`]
  for (let index = 1; index < xs.length; index++) {
    points.push(`H${across(xs[index] as number, time)}`, `V${up(ys[index] as number, values)}`)
  }
  const outline = `M${points.join('')}`
  return html`<path class="area" d="${outline}V${HEIGHT}H${across(xs[0] as number, time)}Z" />
    <path class="line" d="${outline}" />`
}

/** Slices of equal length, of which each has a value. */
export function slicesAndArea(sliceMs: number, ys: readonly number[], time: Scale, values: Scale): Html {
  const edges = [0, ...ys.map((_, index) => (index + 1) * sliceMs)]
  return stepsAndArea(edges, [ys[0] ?? 0, ...ys.slice(1), ys.at(-1) ?? 0], time, values)
}

/** Bars on top of each other, a path for each kind. */
export function stackedBars(
  sliceMs: number,
  kinds: readonly { readonly name: string; readonly counts: readonly number[] }[],
  time: Scale,
  values: Scale,
): Html[] {
  const below: number[] = []
  return kinds.map(({ name, counts }) => {
    const bars = counts.map((count, slice) => {
      const base = below[slice] ?? 0
      below[slice] = base + count
      if (count === 0) return ''
      const [from, to] = [across(slice * sliceMs, time), across(Math.min((slice + 1) * sliceMs, time.max), time)]
      return `M${from} ${up(base, values)}V${up(base + count, values)}H${to}V${up(base, values)}Z`
    })
    return html`<path class="bars ${name}" d="${bars.join('')}" />`
  })
}

/** Two decimals are a hundredth of a pixel. */
function across(ms: number, { max }: Scale): string {
  return rounded((Math.min(ms, max) / max) * WIDTH)
}

function up(value: number, { max }: Scale): string {
  return rounded((1 - Math.min(value, max) / max) * HEIGHT)
}

function rounded(number: number): string {
  return String(Math.round(number * 100) / 100)
}

function percent(part: number): string {
  return `${rounded(100 * part)}%`
}
