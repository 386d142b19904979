//! The init image: a static ELF inside of this library, put into a sealed memfd once a process.
//!
//! Sealed, it cannot be overwritten through /proc/self/exe (CVE-2019-5736), and nothing of this process's own binary is ever
//! visible in a container.

use crate::error::{Error, errno};
use hotcell_linux::memfd;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

static ELF: &[u8] = include_bytes!(env!("HOTCELL_INIT_IMAGE"));

/// The sealed memfd.
pub(crate) fn sealed() -> Result<BorrowedFd<'static>, Error> {
    static IMAGE: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(image) = IMAGE.get() {
        return Ok(image.as_fd());
    }
    let made = memfd::sealed(c"hotcell-init", ELF, true).map_err(|error| Error::SealImage { errno: errno(&error) })?;
    // A thread that was faster has made the same.
    Ok(IMAGE.get_or_init(|| made).as_fd())
}
