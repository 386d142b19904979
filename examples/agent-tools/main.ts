// An MCP server on standard input and output, for one agent. It ends with its client.

import { once } from 'node:events'
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import { createServer } from './server.js'
import { Workspace } from './workspace.js'

await using workspace = await Workspace.create()
const server = createServer(workspace)
const over = Promise.race([once(process.stdin, 'end'), once(process, 'SIGTERM'), once(process, 'SIGINT')])
await server.connect(new StdioServerTransport())
await over
await server.close()
