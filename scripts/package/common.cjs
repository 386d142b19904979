// What a program in CommonJS does with hotcell: check-package.mjs runs it in a project that installed the packed tarballs.

const { Master } = require('hotcell')

Master.create().then(async (master) => {
  const result = await master.execve({ args: ['/bin/true'] })
  await master.destroy()
  if (result.status !== 'ok') throw new Error(JSON.stringify(result))
})
