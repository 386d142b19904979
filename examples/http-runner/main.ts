// Serves on 127.0.0.1, until it is told to end: then it takes nothing new, answers what it has taken, and ends.
//
//   PORT (8080; 0 for any), RUNS (as many as there are processors), QUEUE (64)

import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { Pool } from 'hotcell'
import { createApp, limits } from './app.js'

const { PORT = '8080', RUNS = String(availableParallelism()), QUEUE = '64' } = process.env

const pool = await Pool.create({ size: Number(RUNS), maxQueue: Number(QUEUE), container: { limits } })
const server = createApp(pool).listen(Number(PORT), '127.0.0.1')
await once(server, 'listening')
console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)

await Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')])
server.close()
await pool.drain()
// Those that a client keeps open for later.
server.closeIdleConnections()
