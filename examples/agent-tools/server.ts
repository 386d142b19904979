// The tools, as an MCP server. What they take is checked by the SDK against these schemas before a handler sees it, and what
// a handler throws becomes a result that the agent can read.

import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { z } from 'zod'
import { report } from './report.js'
import type { Workspace } from './workspace.js'

const LONGEST_S = 120
const DEFAULT_S = 20
const READ_BYTES = 256 * 1024

const timeout = z
  .number()
  .positive()
  .max(LONGEST_S)
  .default(DEFAULT_S)
  .describe(`When to stop it, in seconds; at most ${LONGEST_S}`)
/** Limits are whole milliseconds. */
const milliseconds = (seconds: number): number => Math.ceil(seconds * 1_000)
const path = z.string().min(1).max(4_095).describe('Relative to the working directory /w')
const outcome = {
  status: z.string().describe("'ok', or why it was not"),
  stdout: z.string(),
  stderr: z.string(),
  cpuTimeMs: z.number(),
  wallTimeMs: z.number(),
  memoryBytes: z.number(),
}

const ABOUT =
  'Files in /w and /tmp stay from call to call, processes do not. There is no network. The rest of the file system is read-only.'

export function createServer(workspace: Workspace): McpServer {
  const server = new McpServer({ name: 'hotcell-agent-tools', version: '1.0.0' }, { instructions: ABOUT })
  const text = (said: string) => ({ content: [{ type: 'text' as const, text: said }] })
  let calls = 0

  server.registerTool(
    'run_python',
    {
      description: `Runs a Python 3 program in /w. ${ABOUT}`,
      inputSchema: { code: z.string().max(1_000_000).describe('The whole program'), timeout_seconds: timeout },
      outputSchema: outcome,
    },
    async ({ code, timeout_seconds }, { signal }) => {
      // A file, so that tracebacks can quote it; one for each call, for there may be several at once.
      const file = `/tmp/call-${++calls}.py`
      const files = { [file]: Buffer.from(code) }
      return report(
        await workspace.run({ args: ['python3', file], files, timeoutMs: milliseconds(timeout_seconds), signal }),
      )
    },
  )

  server.registerTool(
    'run_shell',
    {
      description: `Runs a command line by sh in /w. ${ABOUT}`,
      inputSchema: { command: z.string().max(100_000), timeout_seconds: timeout },
      outputSchema: outcome,
    },
    async ({ command, timeout_seconds }, { signal }) =>
      report(await workspace.run({ args: ['sh', '-c', command], timeoutMs: milliseconds(timeout_seconds), signal })),
  )

  server.registerTool(
    'write_file',
    {
      description: 'Writes a text file, in place of what is there; makes folders as needed.',
      inputSchema: { path, content: z.string().max(1_000_000) },
    },
    async ({ path: file, content }, { signal }) => {
      await workspace.write(file, content, signal)
      return text(`${Buffer.byteLength(content)} bytes written to ${file}`)
    },
  )

  server.registerTool(
    'read_file',
    { description: `Reads a text file of at most ${READ_BYTES} bytes.`, inputSchema: { path } },
    async ({ path: file }, { signal }) => text(await workspace.read(file, READ_BYTES, signal)),
  )

  server.registerTool('reset', { description: 'Deletes all files in /w and /tmp.' }, async ({ signal }) => {
    await workspace.reset(signal)
    return text('The workspace is empty')
  })

  return server
}
