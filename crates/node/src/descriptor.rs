//! Closing what a completion brought.

use napi_derive::napi;

/// Closes a descriptor that came with FILE or from `spawn`. `fs.close` does the same, but in a worker it prints a warning for each
/// descriptor that was not opened by `fs`.
#[napi(catch_unwind)]
pub fn close_descriptor(fd: i32) {
    if fd > 2 {
        // SAFETY: no memory involved; that the number is JavaScript's to close is its word, as for `fs.close`.
        unsafe { libc::close(fd) };
    }
}
