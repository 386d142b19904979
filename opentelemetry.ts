/**
 * OpenTelemetry for hotcell: spans and metrics of what it does, through `@opentelemetry/api`, which is an optional peer dependency.
 *
 * @packageDocumentation
 */
export { instrument, type Instrumentation, type InstrumentOptions } from './src/opentelemetry/instrument.js'
