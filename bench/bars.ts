// What the figures are held against. Each bar is a ratio of two medians of one run, or one median.

import type { Figure } from './sample.js'

export interface Bar {
  what: string
  atMost: number
  unit?: 'bytes' | 'µs'
  figure: string
  per?: string
}

export const bars: readonly Bar[] = [
  {
    what: 'execve of /bin/true ÷ the floor',
    atMost: 1.3,
    figure: 'master.execve of /bin/true',
    per: 'floor: vfork+execve+wait4 of /bin/true',
  },
  {
    what: 'execve of a static binary ÷ the floor',
    atMost: 1.8,
    figure: 'master.execve of static',
    per: 'floor: vfork+execve+wait4 of static',
  },
  {
    what: 'execve of /bin/true ÷ child_process.spawn',
    atMost: 0.42,
    figure: 'master.execve of /bin/true',
    per: 'child_process.spawn of /bin/true',
  },
  {
    what: 'create ÷ a bare clone3+mounts+pivot_root',
    atMost: 2,
    figure: 'Master.create',
    per: 'floor: clone3+mounts+pivot_root',
  },
  {
    what: 'create with 1 GB heap ÷ with 50 MB',
    atMost: 1.15,
    figure: 'Master.create, 1 GB heap',
    per: 'Master.create, 50 MB heap',
  },
  {
    what: 'execve with 1 GB heap ÷ with 50 MB',
    atMost: 1.15,
    figure: 'master.execve of /bin/true, 1 GB heap',
    per: 'master.execve of /bin/true, 50 MB heap',
  },
  {
    what: 'reset with 10,000 files ÷ with none',
    atMost: 2,
    figure: 'master.reset with 10,000 files',
    per: 'master.reset with no file',
  },
  {
    what: 'anonymous memory of an idle init',
    atMost: 128 * 1024,
    unit: 'bytes',
    figure: 'idle init, anonymous memory',
  },
  {
    what: 'execve with every limit ÷ without',
    atMost: 1.15,
    figure: 'execve of /bin/true with every limit',
    per: 'execve of /bin/true without limits',
  },
  {
    what: "execve with seccomp: 'default' ÷ with 'off'",
    atMost: 1.05,
    figure: "execve of /bin/true, seccomp: 'default'",
    per: "execve of /bin/true, seccomp: 'off'",
  },
  {
    what: 'calls that nobody asks about, with files watched ÷ without',
    atMost: 1.1,
    figure: '1,000,000 getppid, files watched',
    per: '1,000,000 getppid',
  },
  {
    what: 'a full trace ÷ strace -f',
    atMost: 0.5,
    figure: '100,000 getppid, traced',
    per: '100,000 getppid under strace -f',
  },
  {
    what: 'overshoot of 100 ms of CPU time by 8 threads',
    atMost: 20_000,
    unit: 'µs',
    figure: 'overshoot of cpuTimeMs: 100, 8 threads',
  },
  {
    what: 'a fork bomb with 64 processes and 1 s',
    atMost: 1_300_000,
    unit: 'µs',
    figure: 'fork bomb, processes: 64, wallTimeMs: 1000',
  },
  {
    what: 'CPU time ÷ what getrusage says, of what is allowed',
    atMost: 1,
    figure: 'accuracy of cpu, share of what is allowed',
  },
  {
    what: 'memory ÷ what getrusage says, of what is allowed',
    atMost: 1,
    figure: 'accuracy of memory, share of what is allowed',
  },
  {
    what: 'pool.run, 4 at once, ÷ child_process.spawn',
    atMost: 1 / 4.5,
    figure: 'pool.run, 4 at once, size 4',
    per: 'child_process.spawn, 4 at once',
  },
  {
    what: "a reset cell's turn-around ÷ execve without reset",
    atMost: 1.3,
    figure: 'turn-around of a cell, reset',
    per: 'execve without reset',
  },
  {
    what: 'an idle pool of 100, launcher included',
    atMost: 25 * 1024 * 1024,
    unit: 'bytes',
    figure: 'idle pool of 100, PSS with the launcher',
  },
]

export interface Verdict extends Bar {
  value: number
  met: boolean
}

/** The bars whose figures were measured in this run. */
export function hold(figures: ReadonlyMap<string, Figure>): Verdict[] {
  return bars.flatMap((bar): Verdict[] => {
    const value = figures.get(bar.figure)?.median
    const per = bar.per === undefined ? 1 : figures.get(bar.per)?.median
    if (value === undefined || per === undefined) return []
    return [{ ...bar, value: value / per, met: value / per <= bar.atMost }]
  })
}
