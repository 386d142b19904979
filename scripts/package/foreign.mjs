// Preloaded: makes this process one of the platform in HOTCELL_TEST_PLATFORM (`darwin-arm64`), as far as programs can tell.

const [platform, arch] = process.env.HOTCELL_TEST_PLATFORM.split('-')
Object.defineProperty(process, 'platform', { value: platform })
Object.defineProperty(process, 'arch', { value: arch })
