/**
 * The script of the page: a cursor across all charts, by pointer and by arrow keys, and what they say at its place.
 *
 * It runs in a browser, as it stands here, and is let run by its hash. It writes text and numbers only, never HTML. Without it the page is complete but for the cursor.
 */
export const script = `'use strict'
;(() => {
  const data = JSON.parse(document.getElementById('data').textContent)
  const charts = [...document.querySelectorAll('figure.chart')]
  const group = document.getElementById('charts')
  const spoken = document.getElementById('spoken')
  const axis = document.querySelector('.axis .plot')
  document.documentElement.dataset.ready = 'true'
  // A run that was over too soon has nothing to point at.
  if (group === null) return
  const digits = (number) =>
    number >= 100 || Number.isInteger(number)
      ? Math.round(number).toLocaleString('en-US')
      : number.toFixed(number >= 10 ? 1 : 2)
  const time = (ms) =>
    ms >= 120000 ? digits(ms / 60000) + ' min'
    : ms >= 1000 ? digits(ms / 1000) + ' s'
    : ms >= 1 || ms === 0 ? digits(ms) + ' ms'
    : digits(ms * 1000) + ' µs'
  const size = (bytes) => {
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
    const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1)
    return digits(bytes / 2 ** (10 * power)) + ' ' + units[power]
  }
  const slice = (values, sliceMs, ms) => Math.min(values.length - 1, Math.max(0, Math.floor(ms / sliceMs)))
  // The last sample at or before a moment.
  const sampleAt = (ms) => {
    let [low, high] = [0, data.timeMs.length - 1]
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if (data.timeMs[middle] <= ms) low = middle
      else high = middle - 1
    }
    return low
  }
  // What each chart has at a moment: how high it is, and in words.
  const readers = {
    load: (ms) => {
      const cores = data.load.values[slice(data.load.values, data.load.sliceMs, ms)]
      return [cores, (cores >= 10 ? digits(cores) : cores.toFixed(2)) + (cores === 1 ? ' core' : ' cores')]
    },
    cpu: (ms) => {
      const used = data.cpuTimeMs[sampleAt(ms)]
      return [used, time(used)]
    },
    memory: (ms) => {
      const bytes = data.memoryBytes[sampleAt(ms)]
      return [bytes, size(bytes)]
    },
    processes: (ms) => {
      const number = data.processes[sampleAt(ms)]
      return [number, number.toLocaleString('en-US')]
    },
    syscalls: (ms) => {
      const { intervalMs, totals, names, counts } = data.syscalls
      const at = Math.floor(ms / intervalMs)
      const parts = names.map((name, index) => [name, counts[index][at] || 0]).filter(([, number]) => number > 0)
      const total = totals[at] || 0
      const words = parts.map(([name, number]) => name + ' ' + number.toLocaleString('en-US')).join(', ')
      return [total, total === 0 ? 'none' : words + ' in ' + time(intervalMs)]
    },
  }
  let current = -1
  const show = (ms) => {
    current = Math.min(Math.max(ms, 0), data.endMs)
    const x = (100 * current) / data.axisMs + '%'
    for (const chart of charts) {
      const name = chart.dataset.chart
      const [value, text] = readers[name](current)
      const cursor = chart.querySelector('.cursor')
      const [line, dot] = cursor.children
      line.setAttribute('x1', x)
      line.setAttribute('x2', x)
      dot.setAttribute('cx', x)
      dot.setAttribute('cy', 100 * (1 - Math.min(value / data.max[name], 1)) + '%')
      cursor.setAttribute('visibility', 'visible')
      chart.querySelector('.value').textContent = text
      chart.classList.add('read')
    }
    const cursor = axis.querySelector('.cursor')
    const [pill, label] = cursor.children
    const width = axis.clientWidth
    const centre = Math.min(Math.max((width * current) / data.axisMs, 42), Math.max(42, width - 42))
    pill.setAttribute('x', centre - 42)
    label.setAttribute('x', centre)
    label.textContent = time(current)
    cursor.setAttribute('visibility', 'visible')
  }
  const hide = () => {
    current = -1
    for (const chart of charts) {
      chart.querySelector('.cursor').setAttribute('visibility', 'hidden')
      const value = chart.querySelector('.value')
      value.textContent = value.dataset.summary
      chart.classList.remove('read')
    }
    axis.querySelector('.cursor').setAttribute('visibility', 'hidden')
  }
  const follow = (event) => {
    const { left, width } = axis.getBoundingClientRect()
    if (width > 0) show(((event.clientX - left) / width) * data.axisMs)
  }
  group.addEventListener('pointermove', follow)
  group.addEventListener('pointerdown', follow)
  group.addEventListener('pointerleave', (event) => {
    if (event.pointerType === 'mouse') hide()
  })
  group.addEventListener('keydown', (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }
    if (event.key === 'Escape') return hide()
    if (event.key === 'Home') show(0)
    else if (event.key === 'End') show(data.endMs)
    else if (event.key in steps) {
      const last = data.timeMs.length - 1
      const from = current < 0 ? 0 : sampleAt(current)
      show(data.timeMs[Math.min(Math.max(from + steps[event.key], 0), last)])
    } else return
    event.preventDefault()
    const words = charts.map((chart) => chart.querySelector('h2').textContent + ' ' + chart.querySelector('.value').textContent)
    spoken.textContent = 'At ' + time(current) + ': ' + words.join('; ')
  })
  group.addEventListener('blur', hide)
})()
`
