//! Landlock (landlock_create_ruleset(2), Linux 5.13).

use crate::check;
use std::io;
use std::ptr;

const CREATE_RULESET_VERSION: u32 = 1;

/// The ABI of the running kernel. `ENOSYS` where it was built without, `EOPNOTSUPP` where it was not started with it.
pub fn abi() -> io::Result<u32> {
    let no_rules = ptr::null::<u8>();
    // SAFETY: with this flag the kernel reads nothing.
    let abi = check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, no_rules, 0, CREATE_RULESET_VERSION) })?;
    Ok(abi as u32)
}
