/**
 * hotcell: pre-forked Linux containers that run programs for less than an unsandboxed `child_process.spawn` costs.
 *
 * @packageDocumentation
 */
import { startLog } from './src/diagnostics/log.js'

export { AbortError } from './src/abort.js'
export type { Batch } from './src/batch/batch.js'
export type { BatchInput, BatchInputOptions, BatchInputs, BatchOptions } from './src/batch/batch-options.js'
export type { BatchOutcome, BatchResult } from './src/batch/batch-result.js'
export type { BuildOptions, BuildResult } from './src/build.js'
export type { CopyInOptions } from './src/copy-in.js'
export type { CopyOutOptions } from './src/copy-out.js'
export type { CopySource } from './src/copy-source.js'
export {
  channels,
  type CloseMessage,
  type CopyMessage,
  type CreateMessage,
  type OperationMessage,
  type PipelineMessage,
  type PoolFailedMessage,
  type PoolLostMessage,
  type PoolMessage,
  type PoolTurnMessage,
  type ResetMessage,
  type RunMessage,
} from './src/diagnostics/channels.js'
export { defaultPath, type EnvInput } from './src/env.js'
export { HotcellError, type HotcellErrorCode } from './src/errors.js'
export type { Execution } from './src/execution.js'
export { Learned, mergeLearned } from './src/learned.js'
export { Master, type DeleteOptions } from './src/master.js'
export { defaultMounts, type Mount } from './src/mounts.js'
export type { Cancellable } from './src/options/cancellable.js'
export type { CgroupOptions } from './src/options/cgroup.js'
export type { ExecveParam } from './src/options/execve-param.js'
export type { LandlockRules } from './src/options/landlock.js'
export type { Limits } from './src/options/limits.js'
export { defaultMaskedPaths, type MasterOptions } from './src/options/master-options.js'
export type { ContainerPath } from './src/options/primitives.js'
export type { RLimit } from './src/options/rlimits.js'
export type { Encoding, OutputOf, RunOptions, SpawnOptions, StreamOption } from './src/options/run-options.js'
export type { SeccompInput } from './src/options/seccomp.js'
export { pipeline } from './src/pipeline/pipeline.js'
export type { PipelineResult, PipeResult, StageResult } from './src/pipeline/result.js'
export type {
  EndWhen,
  Pipe,
  PipeEnd,
  PipelineOptions,
  Stage,
  StageName,
  StageOptions,
  Stages,
} from './src/pipeline/stages.js'
export type { Waiting } from './src/pipeline/waiting.js'
export { DurationHistogram } from './src/pool/duration-histogram.js'
export { Pool, type PoolStats } from './src/pool/pool.js'
export type { PoolOptions } from './src/pool/pool-options.js'
export type { TimelineOptions } from './src/options/timeline.js'
export type { TraceOptions } from './src/options/trace.js'
export { seal, type SealOptions } from './src/seal.js'
export type { SealedFile } from './src/sealed-file.js'
export type { TerminalSize, TtyOption } from './src/options/tty.js'
export {
  SeccompPolicy,
  type OciSeccomp,
  type OciSeccompAction,
  type OciSeccompArg,
  type OciSeccompSyscall,
  type SeccompAction,
  type SeccompCondition,
} from './src/seccomp-policy.js'
export type { Changes, ChangesOptions } from './src/tree/changes.js'
export type { CopyInTarOptions } from './src/tree/copy-in-tar.js'
export type { CopyOutTarOptions } from './src/tree/copy-out-tar.js'
export type { FileEntry, FileType, ListOptions } from './src/tree/list.js'
export type { TreeSelection } from './src/tree/selection.js'
export { probe, type HostFeature, type HostSupport } from './src/probe.js'
export type { FileOperation, RunResult, TraceResult, Usage } from './src/result.js'
export type { SandboxFile, SandboxStreamOptions } from './src/sandbox-file.js'
export type { Terminal } from './src/terminal.js'
export type { Trace, TraceEvent, TraceSubject } from './src/trace.js'
export { renderTimeline, type RenderTimelineOptions } from './src/timeline/render.js'
export type { SyscallClass, TimelineSyscalls } from './src/timeline/syscalls.js'
export type { Timeline, TimelineMark, TimelineSample } from './src/timeline/timeline.js'

// Asked for by the environment, and so by whoever starts the program, not by its code.
startLog(process.env, (line) => process.stderr.write(line))
