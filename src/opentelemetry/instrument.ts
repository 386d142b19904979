/**
 * What OpenTelemetry is told of hotcell. A subscriber of its channels like any other: hotcell itself knows nothing of it, and whoever does not import
 * `hotcell/opentelemetry` needs no `@opentelemetry/api`.
 */
import { metrics, trace, type Meter, type Tracer } from '@opentelemetry/api'
import { createRequire } from 'node:module'
import { invalidType } from '../options/invalid.js'
import { checkNames, names } from '../options/names.js'
import { flag } from '../options/primitives.js'
import { measure } from './metrics.js'
import { traceOperations } from './spans.js'

/** What is told of, and to whom. */
export interface InstrumentOptions {
  /** Where spans come from; `false` for none. @default that of the global provider, named `hotcell` */
  tracer?: Tracer | false | undefined
  /** Where metrics come from; `false` for none. @default that of the global provider, named `hotcell` */
  meter?: Meter | false | undefined
  /**
   * Whether spans of runs have the arguments of programs (`process.command_args`), and those of copies the path (`file.path`). Users may have put into them what is nobody's
   * business. The program's name is always there. @default false
   */
  arguments?: boolean | undefined
}

/** What `instrument()` gives back. */
export interface Instrumentation extends Disposable {
  /** Tells of nothing more. What goes on ends without a span's end. Idempotent. */
  disable(): void
}

const allowed = names<InstrumentOptions>('options', { tracer: true, meter: true, arguments: true })

/**
 * Has OpenTelemetry told of everything that hotcell does in this thread from now on.
 *
 * Spans: `hotcell.create`, `hotcell.run`, `hotcell.copy`, `hotcell.reset`, `hotcell.pipeline`, `hotcell.pool.turn` and `hotcell.pool.wait`, children of
 * what was active in the call, and parents of what is done in it. A verdict is an attribute; a span has the status ERROR if the promise is rejected. Metrics: see docs/observability.md.
 *
 * Call it once, before the first pool is made: a pool is known from its making or its next turn on.
 *
 * @throws {TypeError} for an option that is not understood
 *
 * @example
 * ```ts
 * import { instrument } from 'hotcell/opentelemetry'
 *
 * const instrumentation = instrument()
 * // …
 * instrumentation.disable()
 * ```
 */
export function instrument(options: InstrumentOptions = {}): Instrumentation {
  checkNames(options, allowed)
  const version = (createRequire(import.meta.url)('hotcell/package.json') as { version: string }).version
  const tracer = options.tracer ?? trace.getTracer('hotcell', version)
  const meter = options.meter ?? metrics.getMeter('hotcell', version)
  if (tracer !== false && typeof tracer?.startSpan !== 'function')
    throw invalidType('tracer', 'a Tracer or false', tracer)
  if (meter !== false && typeof meter?.createCounter !== 'function')
    throw invalidType('meter', 'a Meter or false', meter)
  const withArguments = flag('arguments', options.arguments, false)
  const ends: (() => void)[] = []
  if (tracer !== false) ends.push(traceOperations(tracer, withArguments))
  if (meter !== false) ends.push(measure(meter))
  const disable = (): void => {
    for (const end of ends.splice(0)) end()
  }
  return { disable, [Symbol.dispose]: disable }
}
