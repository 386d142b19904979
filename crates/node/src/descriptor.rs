//! Descriptors that JavaScript has as numbers: closing what a completion brought, and making pipes and sealed files, for which Node has
//! no call.

use crate::arguments::descriptor;
use hotcell_host::pipe::{self, Ends, Ours};
use hotcell_host::sealed;
use napi_derive::napi;
use std::os::fd::IntoRawFd;

/// The ends of a pipe, which are the caller's; or why there is none.
#[napi(object, object_from_js = false)]
pub struct PipeEnds {
    /// To read from; -1 if there is none.
    pub read: i32,
    /// To write to; -1 if there is none.
    pub write: i32,
    /// Why there is none, errno(3); 0 if there is one.
    pub errno: i32,
}

/// Makes a pipe(7) to give to programs: close-on-exec, of mode 0666. `ours` is the end that stays here and is non-blocking: 0 for none,
/// 1 for the one to read from, 2 for the one to write to.
#[napi(catch_unwind)]
pub fn make_pipe(ours: u32) -> PipeEnds {
    let ours = match ours {
        1 => Ours::Read,
        2 => Ours::Write,
        _ => Ours::Neither,
    };
    match pipe::make(ours) {
        Ok(Ends { read, write }) => PipeEnds { read: read.into_raw_fd(), write: write.into_raw_fd(), errno: 0 },
        Err(error) => PipeEnds { read: -1, write: -1, errno: error.errno().unwrap_or(libc::EMFILE) },
    }
}

/// Makes a file in memory that can be executed, to be written and then sealed: its descriptor, which is the caller's, or a negative errno(3).
#[napi(catch_unwind)]
pub fn make_memfd() -> i32 {
    match sealed::make() {
        Ok(file) => file.into_raw_fd(),
        Err(error) => -error.errno().unwrap_or(libc::EMFILE),
    }
}

/// Seals one of these against every change: 0, or a negative errno(3).
#[napi(catch_unwind)]
pub fn seal_memfd(fd: i32) -> i32 {
    let sealed = descriptor(fd.into()).map(sealed::seal);
    match sealed {
        Some(Ok(())) => 0,
        Some(Err(error)) => -error.errno().unwrap_or(libc::EINVAL),
        None => -libc::EBADF,
    }
}

/// Closes a descriptor that came with FILE or from `spawn`. `fs.close` does the same, but in a worker it prints a warning for each
/// descriptor that was not opened by `fs`.
#[napi(catch_unwind)]
pub fn close_descriptor(fd: i32) {
    if fd > 2 {
        // SAFETY: no memory involved; that the number is JavaScript's to close is its word, as for `fs.close`.
        unsafe { libc::close(fd) };
    }
}
