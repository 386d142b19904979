// Sampling: interleaved, in an order that rotates, so that whatever slows the machine down for a while slows all alike.

export interface Case {
  name: string
  /** One sample, in microseconds. What comes before and after the measured part stays out of the figure. */
  sample: () => Promise<number>
  /** Takes part in every n-th round only: for what takes a hundred times longer than the rest. */
  every?: number
}

export interface Figure {
  name: string
  /** 'µs', 'bytes', or '' for a ratio. */
  unit: string
  median: number
  p99: number
  samples: number
}

/** The value below which the share `q` of the samples lies (nearest rank). */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}

export function figure(name: string, unit: string, values: readonly number[]): Figure {
  return { name, unit, median: quantile(values, 0.5), p99: quantile(values, 0.99), samples: values.length }
}

/** The time that `work` takes, in microseconds. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return (performance.now() - began) * 1000
}

/** `rounds` samples of each case, after a few rounds that warm up and do not count. */
export async function interleave(
  cases: readonly Case[],
  rounds: number,
  progress: (done: number, of: number) => void,
): Promise<Figure[]> {
  const warmUp = Math.min(50, Math.ceil(rounds / 10))
  const values = cases.map((): number[] => [])
  for (let round = -warmUp; round < rounds; round++) {
    progress(Math.max(0, round), rounds)
    for (let i = 0; i < cases.length; i++) {
      const at = (i + round + warmUp) % cases.length
      const one = cases[at]
      if (one === undefined || (one.every !== undefined && round % one.every !== 0)) continue
      const value = await one.sample()
      if (round >= 0) values[at]?.push(value)
    }
  }
  return cases.map(({ name }, i) => figure(name, 'µs', values[i] ?? []))
}
