/** The JSON schema of the configuration file, from the options that may stand there. */
import { configurable } from '../configurable.js'
import type { Option } from '../definition.js'

function optionSchema(option: Option): object {
  const description = `${option.summary.charAt(0).toUpperCase()}${option.summary.slice(1)}.`
  const more = option.details === undefined ? '' : ` ${option.details}`
  const fallback = option.default === undefined ? '' : ` Default: ${option.default}.`
  const text = { description: description + more + fallback }
  if (option.value === undefined) return { type: 'boolean', ...text }
  if (option.repeatable) return { type: 'array', items: option.value.schema, ...text }
  return { ...option.value.schema, ...text }
}

/** The schema, draft-07: what editors know. */
export function configurationSchema(): object {
  const properties = Object.fromEntries(
    Object.entries(configurable).map(([name, option]) => [name, optionSchema(option)]),
  )
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'hotcell.config.json',
    description: 'Options of the command hotcell. See docs/cli.md of the package.',
    type: 'object',
    additionalProperties: false,
    properties: {
      $schema: { type: 'string' },
      options: { $ref: '#/definitions/options', description: 'For all runs.' },
      profiles: {
        type: 'object',
        description: 'Chosen from by --profile.',
        additionalProperties: {
          type: 'object',
          additionalProperties: false,
          properties: {
            extends: { type: 'string', description: 'Another profile, which comes before.' },
            ...properties,
          },
        },
      },
    },
    definitions: { options: { type: 'object', additionalProperties: false, properties } },
  }
}
