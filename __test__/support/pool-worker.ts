/** A worker thread that runs programs in a pool of its own, posts what they wrote, and ends without destroying the pool. */
import { parentPort } from 'node:worker_threads'
import { Pool } from '../../index.js'
import { masterOptions } from './mode.js'

const pool = await Pool.create({ size: 2, container: masterOptions() })
const results = await Promise.all(Array.from({ length: 20 }, (_, i) => pool.run('echo', [String(i)])))
parentPort?.postMessage(results.map(({ stdout }) => Number(stdout)))
