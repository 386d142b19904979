//! Copies between files, part by part in libuv's thread pool, where Node's own reads and writes of files happen.
//!
//! A copy has descriptors of its own, so JavaScript may close those that it gave whenever it likes. They are closed as soon as the
//! last part is done: a file that is open for writing cannot be executed.

use crate::arguments::descriptor;
use hotcell_host::file_copy::{CopyError, FileCopy as Copying};
use napi::bindgen_prelude::AsyncTask;
use napi::{Env, Error, Result, Task};
use napi_derive::napi;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// What one part of a copy came to.
#[napi(object, object_from_js = false)]
pub struct Part {
    /// Whether there is nothing left to be done: it is copied, it failed, or it was given up.
    pub over: bool,
    /// Why it failed, errno(3); 0 if it did not.
    pub errno: i32,
    /// The system call that failed, as its man page spells it; empty if none did.
    pub syscall: String,
}

impl Part {
    fn failed(CopyError { errno, syscall }: CopyError) -> Self {
        Self { over: true, errno, syscall: syscall.to_owned() }
    }

    fn fine(over: bool) -> Self {
        Self { over, errno: 0, syscall: String::new() }
    }
}

/// A copy of a regular file to another one, which is empty.
#[napi]
pub struct FileCopy {
    /// How many bytes it is about, holes included.
    #[napi(readonly)]
    pub length: f64,
    /// Why it could not be begun with.
    failed: Option<CopyError>,
    /// None when it is over.
    copy: Arc<Mutex<Option<Copying>>>,
}

/// One part, for a thread of the pool.
pub struct NextPart {
    copy: Arc<Mutex<Option<Copying>>>,
    failed: Option<CopyError>,
    bytes: usize,
}

impl Task for NextPart {
    type Output = Part;
    type JsValue = Part;

    fn compute(&mut self) -> Result<Part> {
        if let Some(error) = self.failed {
            return Ok(Part::failed(error));
        }
        // Only the JavaScript thread could hold it, and that only for a moment.
        let mut copy = self.copy.lock().unwrap_or_else(PoisonError::into_inner);
        let advanced = catch_unwind(AssertUnwindSafe(|| copy.as_mut().map_or(Ok(true), |it| it.advance(self.bytes))));
        let part = match advanced {
            Ok(Ok(over)) => Part::fine(over),
            Ok(Err(error)) => Part::failed(error),
            Err(_) => {
                *copy = None;
                return Err(Error::from_reason("the copy panicked"));
            }
        };
        if part.over {
            *copy = None;
        }
        Ok(part)
    }

    fn resolve(&mut self, _: Env, part: Part) -> Result<Part> {
        Ok(part)
    }
}

#[napi]
impl FileCopy {
    /// From one descriptor to the other: from the current position of the source on, which moves, or with `whole` all of it. What
    /// fails already, the first part tells.
    #[napi(constructor, catch_unwind)]
    pub fn new(source: i32, target: i32, whole: bool) -> Self {
        let begun = own(source).and_then(|source| {
            let target = own(target)?;
            if whole { Copying::whole(source, target) } else { Copying::start(source, target) }
        });
        let (copy, failed) = match begun {
            Ok(copy) => (Some(copy), None),
            Err(error) => (None, Some(error)),
        };
        let length = copy.as_ref().map_or(0.0, |copy| copy.length() as f64);
        Self { length, failed, copy: Arc::new(Mutex::new(copy)) }
    }

    /// Copies about so many bytes more. To be called again when its promise has settled, until it is over.
    #[napi(catch_unwind, ts_return_type = "Promise<Part>")]
    pub fn advance(&self, bytes: u32) -> AsyncTask<NextPart> {
        AsyncTask::new(NextPart { copy: Arc::clone(&self.copy), failed: self.failed, bytes: bytes as usize })
    }

    /// Gives it up. To be called between two parts; when it is over it does nothing.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        *self.copy.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn own(fd: i32) -> std::result::Result<OwnedFd, CopyError> {
    let bad = CopyError { syscall: "fcntl", errno: libc::EBADF };
    let fd: BorrowedFd<'_> = descriptor(fd.into()).ok_or(bad)?;
    let failed =
        |error: std::io::Error| CopyError { syscall: "fcntl", errno: error.raw_os_error().unwrap_or(libc::EBADF) };
    fd.try_clone_to_owned().map_err(failed)
}
