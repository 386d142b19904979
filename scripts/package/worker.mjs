// The worker of api.mjs: a container of a thread that is not the main one.

import { parentPort } from 'node:worker_threads'
import { Master } from 'hotcell'

const master = await Master.create()
const { stdout } = await master.run('echo', ['worker'])
await master.destroy()
parentPort.postMessage(stdout)
