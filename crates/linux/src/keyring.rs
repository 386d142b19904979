//! Kernel keyrings (keyrings(7), keyctl(2)). A kernel without them (`ENOSYS`) has nothing to leave behind either.

use crate::check;
use std::io;

/// `KEYCTL_JOIN_SESSION_KEYRING`.
pub const JOIN_SESSION: i32 = 1;
const GET_KEYRING_ID: i32 = 0;
const CLEAR: i32 = 7;
const UNLINK: i32 = 9;
const GET_PERSISTENT: i32 = 22;
const SESSION: i64 = -3;
const USER: i64 = -4;
const USER_SESSION: i64 = -5;

fn keyctl(operation: i32, first: i64, second: i64) -> io::Result<i64> {
    // SAFETY: none of the operations used here takes a pointer, but for JOIN_SESSION's name, which is null.
    check(unsafe { libc::syscall(libc::SYS_keyctl, operation, first, second, 0, 0) })
}

/// Takes a new, empty, anonymous session keyring in place of the inherited one, where there are keyrings.
pub fn join_new_session() -> io::Result<()> {
    keyctl(JOIN_SESSION, 0, 0).map(drop).or_else(absent)
}

/// Empties our session keyring.
pub fn clear_session() -> io::Result<()> {
    keyctl(CLEAR, SESSION, 0).map(drop).or_else(absent)
}

/// Empties the keyrings that outlive processes: those of the calling process's *real* user id in its user namespace (`@u`,
/// `@us`, persistent), with the right of its *file system* user id. One that does not exist stays so; keyrings that the kernel lacks
/// are skipped.
pub fn clear_user_keyrings() -> io::Result<()> {
    for keyring in [USER, USER_SESSION] {
        match keyctl(GET_KEYRING_ID, keyring, 0) {
            Ok(id) => keyctl(CLEAR, id, 0).map(drop)?,
            Err(error) => absent(error)?,
        }
    }
    // Asking for it makes it, and links it to the session keyring.
    match keyctl(GET_PERSISTENT, -1, SESSION) {
        Ok(id) => {
            keyctl(CLEAR, id, 0)?;
            keyctl(UNLINK, id, SESSION).map(drop)
        }
        Err(error) => absent(error),
    }
}

/// No such keyring, no keyrings of that kind, none at all, or none for anybody in here.
fn absent(error: io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::ENOKEY | libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM) => Ok(()),
        _ => Err(error),
    }
}
