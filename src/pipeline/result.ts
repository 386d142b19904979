import type { Encoding, OutputOf } from '../options/run-options.js'
import type { TraceResult, Usage } from '../result.js'
import type { StageName, Stages } from './stages.js'
import type { Waiting } from './waiting.js'

/** How one stage of a pipeline ended. `killed`: with the pipeline, for no fault of its own. */
export type StageResult<
  Output extends string | Buffer = string | Buffer,
  Name extends string | number = string | number,
> = (TraceResult | ({ status: 'killed' } & Usage)) & {
  /** What it wrote to descriptor 1, unless a pipe begins there; cut at `limits.outputBytes`. */
  stdout: Output
  /** What it wrote to descriptor 2, unless a pipe begins there; cut at `limits.outputBytes`. */
  stderr: Output
  /** The files named by `collect`, by the names given there. A file that does not exist is absent. */
  files: Record<string, Buffer>
  /**
   * What it was blocked in when `wallTimeMs` of the pipeline was over. Absent if it computed, slept or waited for something
   * else, and where this process may not look (/proc/pid/syscall, proc(5)).
   */
  waiting?: Waiting<Name>
}

/** What was seen of one pipe. */
export interface PipeResult {
  /** How much passed, in bytes; undefined of a pipe that is the kernel's own. */
  bytes: number | undefined
  /** The beginning of it, up to `captureBytes`; what a reader did not live to read is included. */
  captured: Buffer
}

/** How a pipeline ended. */
export interface PipelineResult<S extends Stages = Stages, E extends Encoding = Encoding> {
  /** Whether no stage has failed, and none was ended for the wall time. */
  ok: boolean
  /** What ended it: nothing but all its stages, or one of them, or `wallTimeMs`. */
  cause: 'all-ended' | 'first-failure' | 'main-ended' | 'wall-time-limit'
  /** The stage that ended it, with `first-failure` and `main-ended`. */
  causedBy: StageName<S> | undefined
  /** Whether it was over time with each stage that was left waiting for another one of them: none could have gone on. */
  deadlock: boolean
  /** By their names, or in their order. */
  stages: { readonly [Name in keyof S]: StageResult<OutputOf<E>, StageName<S>> }
  /** The stages in the order in which their ends were reported. */
  order: StageName<S>[]
  /** In the order of the option `pipes`. */
  pipes: PipeResult[]
  /** From the start of all stages to the end of the last one, in milliseconds. */
  wallTimeMs: number
}
