/**
 * One container, as the caller has it. This file names the methods and documents them; each verb has a file of its own.
 *
 * Everything runs on the JS thread that made the container: a request is written to the container's socket before the
 * method returns its promise, and the native reactor reports back through bridge.ts. Dropping the object without
 * `destroy()` is no leak: native kills the container when the object is collected, or when the process ends in any way.
 */
import type { Readable } from 'node:stream'
import { AbortError, Cancellation, refuseAborted } from './abort.js'
import { Batch } from './batch/batch.js'
import type { BatchInputs, BatchOptions, Cells } from './batch/batch-options.js'
import type { Container } from './binding.js'
import { expect, forget, keepAlive, launch, watch, type Reply } from './bridge.js'
import { build, type BuildOptions, type BuildResult } from './build.js'
import { copyIn, type CopyInOptions } from './copy-in.js'
import { copyOut, type CopyOutOptions } from './copy-out.js'
import type { CopySource } from './copy-source.js'
import {
  channels,
  isObserved,
  observe,
  observeLater,
  type CopyMessage,
  type RunMessage,
} from './diagnostics/channels.js'
import { failure } from './errors.js'
import { execve } from './execve.js'
import { Execution, outcomeOf } from './execution.js'
import { lost } from './loss.js'
import { openFlags } from './open-flags.js'
import { cancellableSignal, type Cancellable } from './options/cancellable.js'
import type { ExecveParam } from './options/execve-param.js'
import type { EncodedLimits, Limits } from './options/limits.js'
import { planContainer, type MasterOptions } from './options/master-options.js'
import { checkNames, names } from './options/names.js'
import { bytes, containerPath, display, fileMode, flag, type ContainerPath } from './options/primitives.js'
import {
  encodeSpawn,
  PIPE_STDERR,
  PIPE_STDOUT,
  type Encoding,
  type OutputOf,
  type RunOptions,
  type SpawnOptions,
} from './options/run-options.js'
import type { RunResult, TraceResult } from './result.js'
import { run } from './run.js'
import { requireFileDescriptors, requirePipeDescriptors } from './runtime.js'
import { SandboxFile } from './sandbox-file.js'
import { sealFrom, type SealOptions } from './seal.js'
import type { SealedFile } from './sealed-file.js'
import { changes, type Changes, type ChangesOptions } from './tree/changes.js'
import { copyInTar, type CopyInTarOptions } from './tree/copy-in-tar.js'
import { copyOutTar, type CopyOutTarOptions } from './tree/copy-out-tar.js'
import { list, type FileEntry, type ListOptions } from './tree/list.js'

/** Options of `delete()`. */
export interface DeleteOptions {
  /** Also delete what is in it; then it is no error either if there is nothing. @default false */
  recursive?: boolean | undefined
}

const allowedDelete = names<DeleteOptions>('options', { recursive: true })
const DEFAULT_FILE_MODE = 0o666

/** Destroys a container that is being made. */
class CreateCancellation extends Cancellation {
  readonly #container: Container

  constructor(signal: AbortSignal | undefined, container: Container) {
    super(signal)
    this.#container = container
  }

  protected cancel(): void {
    this.#container.destroy()
  }
}

/** Does nothing but stop waiting. */
class PingCancellation extends Cancellation {
  readonly #reply: Reply

  constructor(signal: AbortSignal | undefined, reply: Reply) {
    super(signal)
    this.#reply = reply
  }

  protected cancel(): void {
    forget(this.#reply)
    this.#reply.settle(this.#reply)
  }
}

/**
 * Another Master for the same container, which it reaches through what `through` makes of it, and whose `closed` settles with
 * that reply: how a pool lends one. @internal
 */
export let faceOf: (master: Master, through: (container: Container) => Container, closed: Reply) => Master

/** Whether a reset of this container would have nothing to do. @internal */
export let isUntouched: (master: Master) => boolean

/**
 * A container that is there already when a program comes: a process that waits as pid 1 of its own namespaces, and starts
 * programs on request.
 *
 * One container is one trust domain. Runs may overlap in it, and runs that must not see each other belong in different
 * containers. Paths are the container's; relative ones start at `workDir`.
 *
 * Every method rejects with `ERR_HOTCELL_CLOSED` after `destroy()`, and with `ERR_HOTCELL_CONTAINER_LOST` when the container
 * went away by itself, also while it waits.
 *
 * @example
 * ```ts
 * await using master = await Master.create()
 * await master.copyIn(Buffer.from('print(6 * 7)'), 'answer.py')
 * const { status, stdout } = await master.run('python3', ['answer.py'])
 * ```
 */
export class Master implements AsyncDisposable {
  /** The pid of the container's init, as the host sees it. */
  readonly pid: number
  /** Resolves when the container is gone, for whatever reason, and every process in it is dead. Never rejects. */
  readonly closed: Promise<void>
  readonly #container: Container
  readonly #closed: Reply
  readonly #limits: EncodedLimits

  static {
    faceOf = (master, through, closed) => new Master(through(master.#container), master.pid, closed, master.#limits)
    isUntouched = (master) => master.#container.isUntouched()
  }

  private constructor(container: Container, pid: number, closed: Reply, limits: EncodedLimits) {
    this.#container = container
    this.pid = pid
    this.#closed = closed
    // Weakly: a container that nobody has any more is collected, and ends with that.
    const weak = new WeakRef(container)
    this.closed = closed.settled.then(() => lost(weak.deref()))
    this.#limits = limits
  }

  /**
   * Makes a container. When the signal is aborted, what was made is destroyed before the promise rejects.
   *
   * @throws {HotcellError} `ERR_HOTCELL_UNSUPPORTED_PLATFORM`; `ERR_HOTCELL_UNSUPPORTED` for what this version or this
   * kernel does not do; the kernel's code for a step that failed, with the path concerned
   * @throws {TypeError} (or RangeError) for an option that is not understood
   * @see namespaces(7), pivot_root(2)
   */
  static async create(options?: MasterOptions): Promise<Master> {
    if (!isObserved(channels.create)) return await Master.#create(options)
    return await observe(channels.create, { options }, () => Master.#create(options))
  }

  static async #create(options: MasterOptions | undefined): Promise<Master> {
    const { setup, seccomp, signal, limits } = planContainer(options)
    refuseAborted(signal)
    const container = launch(setup, seccomp)
    const created = expect(container, container.id)
    const closed = watch(container.closedId)
    const cancellation = new CreateCancellation(signal, container)
    await created.settled
    cancellation.stop()
    if (created.error === undefined && !cancellation.aborted) {
      void closed.settled.then(tellClose.bind(undefined, created.pid))
      return new Master(container, created.pid, closed, limits)
    }
    container.destroy()
    keepAlive(closed)
    await closed.settled
    cancellation.check()
    throw failure(created.error ?? { kind: 'closed' })
  }

  /** Asks init for a sign of life. A run that goes on does not delay it. An aborted signal only ends the waiting. */
  async ping(options?: Cancellable): Promise<void> {
    const signal = cancellableSignal(options)
    refuseAborted(signal)
    const reply = expect(this.#container, this.#container.ping())
    const cancellation = new PingCancellation(signal, reply)
    await reply.settled
    cancellation.stop()
    cancellation.check()
    done(reply)
  }

  /**
   * Copies into a file, making missing parent directories and replacing what is there, atomically. When it fails or is
   * aborted, what was there is unchanged, and a source that is a stream is destroyed.
   *
   * A source that is the path (or URL) of a directory is copied with all that is in it, into a directory that is made where it is missing; what
   * is there stays, but for what something of the same name comes for. Modes and modification times are kept, so are symbolic links (as they
   * are), hard links and holes; sockets, FIFOs and devices are left out. File after file is replaced atomically, and when it fails or is aborted, those
   * that are there stay, unless the directory was missing before: then it is deleted again.
   *
   * The file belongs to the user that programs run as.
   *
   * @throws {HotcellError} the kernel's code; its message says whether the path is the host's or the container's. `ENOSPC`:
   * the tmpfs is full
   */
  async copyIn(source: CopySource, path: ContainerPath, options?: CopyInOptions): Promise<void> {
    if (!isObserved(channels.copy)) return await copyIn(this.#container, source, path, options)
    const copy = (): Promise<void> => copyIn(this.#container, source, path, options)
    await observe(channels.copy, { direction: 'in', initPid: this.pid, path }, copy)
  }

  /**
   * Unpacks a tar archive into a directory, as `copyIn()` copies one: ustar, pax and GNU's formats, holes included, not compressed.
   *
   * An archive may come from anybody: names that are absolute or have a `..` are refused, nothing is unpacked through a symbolic link that the archive
   * has brought (or a program), and neither are devices and FIFOs.
   *
   * @throws {HotcellError} `ERR_HOTCELL_ARCHIVE`: it is malformed, or holds what may not be unpacked; `ERR_HOTCELL_TOO_LARGE` beyond
   * `maxBytes` or `maxEntries`; `ELOOP`, `ENOTDIR`: a name leads through a link or a file; `ENOSPC`: the tmpfs is full
   */
  async copyInTar(source: CopySource, path: ContainerPath, options?: CopyInTarOptions): Promise<void> {
    const copy = (): Promise<void> => copyInTar(this.#container, source, path, options)
    if (!isObserved(channels.copy)) return await copy()
    await observe(channels.copy, { direction: 'in', initPid: this.pid, path }, copy)
  }

  /**
   * What is in a directory, and below, as a stream of a tar archive (ustar with pax records; holes are kept). Names are relative to the directory.
   *
   * Programs may go on meanwhile: each file is as long as it was when its turn came, and what is gone by then is left out. So are sockets,
   * FIFOs and devices. Symbolic links are in it as programs made them: whoever unpacks it **on the host** must not follow them out
   * (tar(1) and `copyInTar` do not).
   *
   * Errors, those below and AbortError, come as the stream's `'error'`; wrong options throw.
   *
   * @throws {HotcellError} `ENOENT`, `ENOTDIR`, `EACCES`; `ERR_HOTCELL_TOO_LARGE` beyond `maxBytes` or `maxEntries`; `ENAMETOOLONG` for paths of more
   * than 4,095 bytes; `ESTALE`: there was a `reset()`
   */
  copyOutTar(path: ContainerPath, options?: CopyOutTarOptions): Readable {
    return copyOutTar(this.#container, path, options, (begin, archive) => {
      if (!isObserved(channels.copy)) return begin()
      const message: CopyMessage = { direction: 'out', initPid: this.pid, path }
      return observeLater(channels.copy, message, begin, () => endOf(archive))
    })
  }

  /**
   * Lists what is in a directory, and below; by default of `workDir`. Symbolic links are not followed.
   *
   * @example
   * ```ts
   * const sources = await master.list('src', { include: ['*.c', '*.h'], exclude: ['vendor'] })
   * ```
   * @throws {HotcellError} as {@link Master.copyOutTar}
   */
  async list(path: ContainerPath = '.', options?: ListOptions): Promise<FileEntry[]> {
    return await list(this.#container, path, options)
  }

  /**
   * What was changed in the overlay that is mounted at this path (see {@link Mount}): since the container was made, or since the last `reset()`.
   *
   * @throws {HotcellError} `ENOENT`: no overlay is mounted there; `ERR_HOTCELL_TOO_LARGE` beyond `maxEntries`
   */
  async changes(path: ContainerPath, options?: ChangesOptions): Promise<Changes> {
    return await changes(this.#container, path, options)
  }

  /**
   * Reads a regular file. The last part of the path may not be a symbolic link.
   *
   * @throws {HotcellError} `ENOENT`, `EISDIR`, `ELOOP`, …; `ERR_HOTCELL_TOO_LARGE` beyond `maxBytes`
   */
  async copyOut(path: ContainerPath, options?: CopyOutOptions): Promise<Buffer> {
    if (!isObserved(channels.copy)) return await copyOut(this.#container, path, options)
    const copy = (): Promise<Buffer> => copyOut(this.#container, path, options)
    return await observe(channels.copy, { direction: 'out', initPid: this.pid, path }, copy)
  }

  /**
   * Opens a regular file as `fs.open` does. No parents are made. The last part of the path may not be a symbolic link.
   *
   * @param flags as for `fs.open`: `'r'`, `'w+'`, `'ax'`, …, or `O_…` bits of open(2)
   * @param mode permission bits of a file that is made, exactly (no umask applies)
   * @throws {HotcellError} the kernel's code
   */
  async open(
    path: ContainerPath,
    flags: string | number = 'r',
    mode: number = DEFAULT_FILE_MODE,
  ): Promise<SandboxFile> {
    const target = containerPath('path', path)
    requireFileDescriptors('open()')
    const reply = await expect(this.#container, this.#container.open(target, openFlags(flags), fileMode('mode', mode)))
      .settled
    done(reply)
    return new SandboxFile(reply.fd, display(target))
  }

  /**
   * Copies a file into memory where nobody can change it any more, to be executed or copied by other containers: what a
   * compiler has made, for instance. It does not pass through JavaScript. The last part of the path may not be a symbolic link.
   *
   * @throws {HotcellError} `ENOENT`, `EISDIR`, `ELOOP`, …; `ERR_HOTCELL_TOO_LARGE` beyond `maxBytes`
   */
  async seal(path: ContainerPath, options?: SealOptions): Promise<SealedFile> {
    return await sealFrom(this.#container, path, options)
  }

  /**
   * Makes a symbolic link, and missing parents. The target is neither checked nor resolved; symlink(2).
   *
   * @throws {HotcellError} `EEXIST` if there is something at `path`
   */
  async symlink(target: ContainerPath, path: ContainerPath): Promise<void> {
    const says = bytes('target', target)
    done(await expect(this.#container, this.#container.symlink(says, containerPath('path', path))).settled)
  }

  /**
   * Deletes a file or an empty directory, with `recursive` also a full one. Symbolic links are not followed.
   *
   * @throws {HotcellError} `ENOENT` (not with `recursive`), `ENOTEMPTY`, `EROFS`, `EBUSY` for a mount point
   */
  async delete(path: ContainerPath, options: DeleteOptions = {}): Promise<void> {
    checkNames(options, allowedDelete)
    const recursive = flag('recursive', options.recursive, false)
    done(await expect(this.#container, this.#container.delete(containerPath('path', path), recursive)).settled)
  }

  /**
   * Kills every run, and leaves nothing of what runs can leave behind: /w and /tmp (and every other tmpfs) are empty
   * again, so are /dev/shm, System V IPC and message queues. Takes as long for 100,000 files as for none.
   *
   * It cannot stop half way: when the signal is aborted, the promise rejects once the reset is done.
   */
  async reset(options?: Cancellable): Promise<void> {
    if (!isObserved(channels.reset)) return await this.#reset(options)
    await observe(channels.reset, { initPid: this.pid }, () => this.#reset(options))
  }

  async #reset(options: Cancellable | undefined): Promise<void> {
    const signal = cancellableSignal(options)
    refuseAborted(signal)
    const reply = expect(this.#container, this.#container.reset())
    await reply.settled
    if (signal?.aborted) throw new AbortError(signal)
    done(reply)
  }

  /**
   * Executes a program on descriptors of the caller's, and waits for its end; execve(2).
   *
   * When the signal is aborted, the run is killed, and the promise rejects when all its processes are dead, with what they
   * used as `error.result`.
   *
   * @throws {HotcellError} `ENOENT`, `EACCES`, `ENOEXEC`, `E2BIG`, `ETXTBSY`, …: it could not be started; `EBADF`: no such
   * descriptor; `EPERM`, `EINVAL`: no such limit
   */
  async execve(param: ExecveParam, options?: Cancellable): Promise<TraceResult> {
    if (!isObserved(channels.run)) return await execve(this.#container, param, options, this.#limits)
    const message = this.#runMessage('execve', param?.args, param?.limits)
    return await observe(channels.run, message, () => execve(this.#container, param, options, this.#limits))
  }

  /**
   * Starts a program with pipes, and returns at once. Wrong options throw; whatever else fails, the execution tells.
   *
   * @param file with a slash a path, without one looked up in the `PATH` of the run's own environment
   * @param args without the program's own name
   */
  spawn<E extends Encoding = 'utf8'>(
    file: ContainerPath,
    args: readonly ContainerPath[] = [],
    options: SpawnOptions<E> = {},
  ): Execution<E> {
    const start = (): Execution<E> => {
      const { pipes, ...command } = encodeSpawn(file, args, options, this.#limits)
      if ((pipes & (PIPE_STDOUT | PIPE_STDERR)) !== 0) requirePipeDescriptors('spawn() with output')
      return new Execution<E>(this.#container, command, pipes)
    }
    if (!isObserved(channels.run)) return start()
    const message = this.#runMessage('spawn', [file, ...listOf(args)], options?.limits)
    return observeLater(channels.run, message, start, (execution) => outcomeOf(execution))
  }

  /**
   * Runs a program to its end and collects its output: files in, program, files out.
   *
   * @param file with a slash a path, without one looked up in the `PATH` of the run's own environment
   * @param args without the program's own name
   * @throws {HotcellError} as `execve`, `copyIn` and `copyOut`; with `error.result` if the program has run
   */
  async run<E extends Encoding = 'utf8'>(
    file: ContainerPath,
    args: readonly ContainerPath[] = [],
    options: RunOptions<E> = {},
  ): Promise<RunResult<OutputOf<E>>> {
    const toEnd = (): Promise<RunResult> => run(this.#container, file, args, options, this.#limits, this)
    const result = isObserved(channels.run)
      ? observe(channels.run, this.#runMessage('run', [file, ...listOf(args)], options?.limits), toEnd)
      : toEnd()
    return (await result) as RunResult<OutputOf<E>>
  }

  /** For a subscriber. Nothing was checked yet: whatever is wrong is said by the run itself. */
  #runMessage(method: RunMessage['method'], args: unknown, limits: Limits | undefined): RunMessage {
    return { method, initPid: this.pid, args: listOf(args), limits: { ...this.#limits.given, ...limits } }
  }

  /**
   * Runs a program that makes files, such as a compiler, and seals what it has made: to be executed (`execFile`) or copied
   * (`files`) by any number of runs in whichever containers. Dispose of the result, or of its outputs, when they are over.
   *
   * @param file with a slash a path, without one looked up in the `PATH` of the run's own environment
   * @param args without the program's own name
   * @throws {HotcellError} as `run`; with the run's result as `error.result`: `ENOENT` if the status is `ok` and an output is
   * missing, `ERR_HOTCELL_TOO_LARGE` beyond `maxOutputBytes`
   */
  async build<const Name extends string, E extends Encoding = 'utf8'>(
    file: ContainerPath,
    args: readonly ContainerPath[],
    options: BuildOptions<Name, E>,
  ): Promise<BuildResult<Name, OutputOf<E>>> {
    return await build(this, file, args, options)
  }

  /**
   * Runs one program over many inputs in this container: an outcome for each. One after the other, unless `concurrency` has them
   * overlap; whatever one of them leaves in files is there for the next, unless `reset` is true. `Pool.runMany` gives each
   * input a container of its own.
   *
   * Await it for all outcomes, or iterate over it; nothing starts before. See {@link Batch}. Wrong options throw.
   *
   * @param file with a slash a path, without one looked up in the `PATH` of the run's own environment; with `execFile` only a name
   * @param args without the program's own name
   * @param inputs each of them standard input, or whatever one run differs in from the others
   */
  runMany<E extends Encoding = 'utf8'>(
    file: ContainerPath,
    args: readonly ContainerPath[],
    inputs: BatchInputs,
    options: BatchOptions<E> = {},
  ): Batch<E> {
    const cells: Cells = { size: Infinity, usual: 1, isPool: false, use: async (fn) => await fn(this) }
    return new Batch<E>(cells, file, args, inputs, options)
  }

  /** Kills the container. Every process in it is dead when the promise resolves. Idempotent; never rejects. */
  destroy(): Promise<void> {
    this.#container.destroy()
    keepAlive(this.#closed)
    return this.closed
  }

  /** The same, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.destroy()
  }
}

function listOf(args: unknown): ContainerPath[] {
  return Array.isArray(args) ? (args as ContainerPath[]) : []
}

/** Says that a container is gone. A function of its own: a closure could hold the Master, whose collection is an end as well. */
function tellClose(initPid: number, { requested }: Reply): void {
  if (channels.close.hasSubscribers) channels.close.publish({ initPid, requested })
}

/** Until a stream is closed, and what it failed with. */
async function endOf(stream: Readable): Promise<Error | undefined> {
  await new Promise((resolve) => stream.once('close', resolve))
  return stream.errored ?? undefined
}

function done(reply: Reply): void {
  if (reply.error !== undefined) throw failure(reply.error)
}
