//! /proc of the container's pid namespace (proc(5)).
//!
//! Runs in pid 1 before any program. The whole of it is read-only, so there is no list of read-only paths to keep up with the
//! kernel; `hidepid=ptraceable` (Linux 5.8) hides init from programs. What else is to be hidden: [`super::masks`].

use super::root::Tree;
use hotcell_linux::errno;
use hotcell_linux::mount_api::{self, attribute};
use hotcell_protocol::{Failure, ProcMode, Step};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

const ATTRIBUTES: u64 = attribute::RDONLY | attribute::NOSUID | attribute::NODEV | attribute::NOEXEC;

/// Mounts it as asked, and returns a procfs for init's own use. With [`ProcMode::None`] that one is attached nowhere, and absent
/// where the host allows none.
pub fn mount(tree: &Tree, mode: ProcMode) -> Result<Option<OwnedFd>, Failure> {
    let failed = |error: io::Error| Failure::new(Step::MakeProc, errno(&error)).of(b"/proc");
    if mode == ProcMode::None {
        return Ok(make(ProcMode::Pid).ok());
    }
    let proc = make(mode).map_err(failed)?;
    let target = tree.make_directory(b"/proc").map_err(failed)?;
    mount_api::move_mount(proc.as_fd(), target.as_fd()).map_err(failed)?;
    Ok(Some(proc))
}

fn make(mode: ProcMode) -> io::Result<OwnedFd> {
    let context = mount_api::fsopen(c"proc")?;
    let options: &[(&CStr, &CStr)] = match mode {
        ProcMode::Pid => &[(c"hidepid", c"ptraceable"), (c"subset", c"pid")],
        ProcMode::Masked | ProcMode::None => &[(c"hidepid", c"ptraceable")],
    };
    for (key, value) in options {
        context.set(key, value)?;
    }
    context.mount(ATTRIBUTES)
}
