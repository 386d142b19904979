/**
 * The version of this package. A constant, since a bundled copy has no package.json to read; `npm version` keeps it, the
 * crates' and the platform packages' the same (scripts/set-version.mjs).
 */
export const version = '0.1.0'
