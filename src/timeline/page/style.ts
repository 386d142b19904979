/**
 * The looks of the page. By hash it is let in, so all of it is here: there is no style attribute.
 *
 * Colours: one hue a chart, told apart in both schemes and by those who see no red or green; what a limit has to do with is the only red.
 */
export const style = `
:root {
  color-scheme: light dark;
  --paper: #f7f5f1; --card: #fffefc; --ink: #1d1b18; --quiet: #6a655d; --faint: #e6e1d8; --edge: #e9e5dd;
  --load: #d9620f; --cpu: #b5820a; --memory: #5a55c9; --processes: #0c8577;
  --limit: #c4213f; --good: #217a46; --odd: #96600a; --bad: #bf1f3c; --none: #6a655d;
  --file: #2f6fc0; --mem: #8a63d2; --process: #0c8577; --network: #d9620f; --signal: #c23a76; --time: #a88414; --other: #8d877d;
  --shadow: 0 1px 2px rgb(60 45 20 / 6%), 0 8px 28px -12px rgb(60 45 20 / 14%);
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #131211; --card: #1b1a18; --ink: #f0ece5; --quiet: #a29b90; --faint: #2f2c28; --edge: #292623;
    --load: #ff9147; --cpu: #e5b843; --memory: #9d98ff; --processes: #3cc4b2;
    --limit: #ff6b81; --good: #5fcf8d; --odd: #eab054; --bad: #ff7086; --none: #a29b90;
    --file: #6aa7f5; --mem: #b99bf5; --process: #3cc4b2; --network: #ff9147; --signal: #f27bad; --time: #d9bd52; --other: #8f887d;
    --shadow: none;
  }
}
* { box-sizing: border-box; margin: 0; }
html { -webkit-text-size-adjust: 100%; }
body {
  background: var(--paper); color: var(--ink); padding: clamp(20px, 4.5vw, 56px) clamp(14px, 4vw, 40px) 48px;
  font: 15px/1.55 ui-sans-serif, system-ui, -apple-system, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif;
  font-variant-numeric: tabular-nums; font-feature-settings: 'tnum'; text-rendering: optimizeLegibility;
}
main, footer { max-width: 1040px; margin-inline: auto; }
header { margin-bottom: clamp(22px, 3.4vw, 36px); }
.kicker { color: var(--quiet); font-size: 13px; margin-bottom: 8px; }
h1 { font-size: clamp(27px, 4.4vw, 42px); font-weight: 680; line-height: 1.12; letter-spacing: -0.022em; overflow-wrap: anywhere; display: flex; gap: 0.36em; align-items: baseline; }
h1 .dot { flex: none; width: 0.5em; height: 0.5em; border-radius: 50%; align-self: center; background: currentColor; box-shadow: 0 0 0 0.2em color-mix(in srgb, currentColor 17%, transparent); }
h1 .words { color: var(--ink); }
.good { color: var(--good); } .odd { color: var(--odd); } .bad { color: var(--bad); } .none { color: var(--none); }
.story { margin-top: 12px; font-size: clamp(15px, 1.7vw, 17.5px); color: var(--quiet); max-width: 66ch; text-wrap: pretty; }
.command { margin-top: 18px; display: flex; border: 1px solid var(--edge); background: var(--card); border-radius: 10px; overflow: hidden; }
.command::before { content: '$'; color: var(--quiet); padding: 10px 0 10px 15px; font: 13px/1.6 ui-monospace, 'SF Mono', Menlo, 'DejaVu Sans Mono', monospace; user-select: none; }
code { font: 13px/1.6 ui-monospace, 'SF Mono', Menlo, 'DejaVu Sans Mono', monospace; unicode-bidi: isolate; }
.command code { padding: 10px 15px 10px 10px; overflow-wrap: anywhere; white-space: pre-wrap; max-height: 9.2em; overflow-y: auto; flex: 1; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 14px; margin-bottom: 14px; padding: 0; list-style: none; }
.tile, .card { background: var(--card); border: 1px solid var(--edge); border-radius: 16px; box-shadow: var(--shadow); }
.tile { padding: 16px 18px 15px; display: flex; flex-direction: column; }
.tile .name { color: var(--quiet); font-size: 13px; }
.tile .figure { font-size: 27px; line-height: 1.25; font-weight: 640; letter-spacing: -0.02em; }
.tile .figure small { font-size: 0.58em; font-weight: 560; letter-spacing: 0; color: var(--quiet); }
.tile .note { color: var(--quiet); font-size: 13px; min-height: 1.55em; }
.meter { display: block; width: 100%; height: 5px; margin: 9px 0 8px; border-radius: 3px; overflow: hidden; }
.meter .all { fill: var(--faint); } .meter .part { fill: currentColor; }
.meter.unlimited { visibility: hidden; }
.tile.wall { color: var(--quiet); } .tile.cpu { color: var(--cpu); } .tile.memory { color: var(--memory); } .tile.processes { color: var(--processes); }
.tile .figure { color: var(--ink); } .tile.over .figure, .tile.over .meter { color: var(--bad); }
.card { padding: clamp(14px, 2.2vw, 24px) clamp(12px, 2.4vw, 26px); margin-bottom: 14px; }
#charts { touch-action: pan-y; cursor: crosshair; outline: none; padding-bottom: 12px; }
#charts:focus-visible { outline: 2px solid var(--memory); outline-offset: 3px; }
.chart + .chart { margin-top: 20px; }
figcaption { display: flex; gap: 16px; align-items: baseline; justify-content: space-between; margin-bottom: 8px; }
h2 { font-size: 14.5px; font-weight: 620; letter-spacing: -0.005em; }
.value { color: var(--quiet); font-size: 14px; text-align: right; }
.read .value { color: var(--ink); font-weight: 620; }
.drawing { display: grid; grid-template-columns: 64px minmax(0, 1fr); column-gap: 10px; }
.drawing svg { display: block; }
.labels, .drawing > .plot { width: 100%; height: 118px; overflow: visible; }
[data-chart='cpu'] :is(.labels, .plot), [data-chart='processes'] :is(.labels, .plot) { height: 84px; }
.axis { margin-top: 6px; } .axis :is(.labels, .plot) { height: 26px; }
svg text { font-size: 11.5px; fill: var(--quiet); }
.labels text { text-anchor: end; dominant-baseline: middle; }
.grid { stroke: var(--faint); shape-rendering: crispEdges; } .tick { stroke: var(--quiet); opacity: 0.5; }
.setup { fill: var(--quiet); opacity: 0.12; }
[data-chart='load'] { color: var(--load); } [data-chart='cpu'] { color: var(--cpu); } [data-chart='memory'] { color: var(--memory); } [data-chart='processes'] { color: var(--processes); } [data-chart='syscalls'] { color: var(--file); }
.chart h2 { color: var(--ink); }
.line { fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; vector-effect: non-scaling-stroke; }
.area { fill: currentColor; opacity: 0.15; }
.bars.file, .swatch.file { fill: var(--file); } .bars.memory, .swatch.memory { fill: var(--mem); } .bars.process, .swatch.process { fill: var(--process); } .bars.network, .swatch.network { fill: var(--network); }
.bars.signal, .swatch.signal { fill: var(--signal); } .bars.time, .swatch.time { fill: var(--time); } .bars.other, .swatch.other { fill: var(--other); }
.limit { stroke: var(--limit); stroke-width: 1.3; stroke-dasharray: 5 4; }
.limit-label { fill: var(--limit); font-weight: 600; paint-order: stroke; stroke: var(--card); stroke-width: 4px; stroke-linejoin: round; }
.cursor line { stroke: var(--ink); opacity: 0.45; shape-rendering: crispEdges; }
.cursor circle { fill: currentColor; stroke: var(--card); stroke-width: 2; }
.cursor rect { fill: var(--ink); } .cursor text { fill: var(--paper); font-weight: 600; }
.legend { display: flex; flex-wrap: wrap; gap: 3px 16px; margin: -2px 0 9px; padding: 0; list-style: none; color: var(--quiet); font-size: 13px; }
.legend li { display: flex; align-items: center; gap: 6px; } .legend b { color: var(--ink); font-weight: 560; }
.swatch { width: 10px; height: 10px; border-radius: 3px; }
.scroll { overflow: auto; max-height: 420px; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th, td { padding: 5px 12px; text-align: right; white-space: nowrap; } th:first-child, td:first-child { text-align: left; padding-left: 0; } th:last-child, td:last-child { padding-right: 0; }
thead th { position: sticky; top: 0; background: var(--card); color: var(--quiet); font-weight: 560; border-bottom: 1px solid var(--edge); }
tbody tr + tr :is(td, th) { border-top: 1px solid var(--edge); } tbody th { font-weight: 500; }
.share { width: 30%; min-width: 90px; } .share svg { display: block; width: 100%; height: 8px; } .share rect { fill: var(--file); }
summary { cursor: pointer; font-weight: 600; font-size: 14.5px; } details[open] summary { margin-bottom: 12px; }
.hint { color: var(--quiet); font-size: 13px; margin-bottom: 12px; } .scroll + .hint { margin: 12px 0 0; } .nothing { color: var(--quiet); max-width: 62ch; }
.visually-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
footer { color: var(--quiet); font-size: 13px; margin-top: 22px; }
@media (max-width: 560px) {
  .tiles { grid-template-columns: 1fr 1fr; gap: 10px; } .tile { padding: 13px 14px; border-radius: 13px; } .tile .figure { font-size: 22px; }
  .drawing { grid-template-columns: 52px minmax(0, 1fr); column-gap: 7px; } svg text { font-size: 10.5px; }
  .share { display: none; } th, td { padding-inline: 8px; } th:nth-last-child(2), td:nth-last-child(2) { padding-right: 0; }
}
@media print { body { background: none; padding: 0; } .card, .tile { break-inside: avoid; box-shadow: none; } }
`
