// What a program sees where the addon cannot be: check-package.mjs runs it without the platform's package, and with another
// platform's name in `process` (foreign.mjs). Importing works, `probe` tells, and `create` rejects; printed as JSON.

import { HotcellError, Master, Pool, probe } from 'hotcell'

const { supported, features } = await probe()
const errors = []
for (const create of [() => Master.create(), () => Master.create(), () => Pool.create({ size: 1 })]) {
  const error = await create().then(
    () => undefined,
    (reason) => reason,
  )
  errors.push({ isTyped: error instanceof HotcellError, code: error?.code, message: error?.message })
}
console.log(JSON.stringify({ supported, features: features.map(({ name }) => name), errors }))
