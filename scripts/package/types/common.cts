// The same from CommonJS.

import hotcell = require('hotcell')

export const master: Promise<hotcell.Master> = hotcell.Master.create()
// @ts-expect-error: were everything `any`, this would be no error.
export const wrong: number = hotcell.Master.create()
