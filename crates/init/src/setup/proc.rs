//! /proc of the container's pid namespace (proc(5)), and what of it (or of any path) is hidden.
//!
//! Runs in pid 1 before any program. The whole of it is read-only, so there is no list of read-only paths to keep up with the
//! kernel; `hidepid=ptraceable` (Linux 5.8) hides init from programs. Masked files lie behind /dev/null, masked directories behind an
//! empty read-only tmpfs, one for all.

use super::root::Tree;
use hotcell_linux::mount_api::{self, attribute};
use hotcell_linux::{errno, file};
use hotcell_protocol::{Failure, ProcMode, Step};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

const ATTRIBUTES: u64 = attribute::RDONLY | attribute::NOSUID | attribute::NODEV | attribute::NOEXEC;

/// Mounts it as asked, masks, and returns a procfs for init's own use. With [`ProcMode::None`] that one is attached nowhere,
/// and absent where the host allows none.
pub fn mount<P: AsRef<[u8]>>(tree: &Tree, mode: ProcMode, masked: &[P]) -> Result<Option<OwnedFd>, Failure> {
    let failed = |error: io::Error| Failure::new(Step::MakeProc, errno(&error)).of(b"/proc");
    if mode == ProcMode::None {
        return Ok(make(ProcMode::Pid).ok());
    }
    let proc = make(mode).map_err(failed)?;
    let target = tree.make_directory(b"/proc").map_err(failed)?;
    mount_api::move_mount(proc.as_fd(), target.as_fd()).map_err(failed)?;
    let mut masks = Masks { empty: None };
    for path in masked {
        let path = path.as_ref();
        masks.hide(tree, path).map_err(|error| Failure::new(Step::MaskPath, errno(&error)).of(path))?;
    }
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

struct Masks {
    /// Where the empty directory is attached first; the others are copies.
    empty: Option<OwnedFd>,
}

impl Masks {
    fn hide(&mut self, tree: &Tree, path: &[u8]) -> io::Result<()> {
        let target = match tree.handle(path) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => return Ok(()),
            other => other?,
        };
        let mask = if file::is_type(&file::stat(target.as_fd())?, libc::S_IFDIR) {
            match &self.empty {
                Some(empty) => mount_api::clone_tree(Some(empty.as_fd()), c"", false, false)?,
                None => {
                    let context = mount_api::fsopen(c"tmpfs")?;
                    context.set(c"size", c"4k")?;
                    context.set(c"nr_inodes", c"1")?;
                    context.set(c"mode", c"0555")?;
                    let empty = context.mount(ATTRIBUTES)?;
                    mount_api::move_mount(empty.as_fd(), target.as_fd())?;
                    self.empty = Some(empty);
                    return Ok(());
                }
            }
        } else {
            let null = mount_api::clone_tree(None, c"/dev/null", false, false)?;
            mount_api::set_attributes(null.as_fd(), attribute::RDONLY | attribute::NOSUID | attribute::NOEXEC, false)?;
            null
        };
        mount_api::move_mount(mask.as_fd(), target.as_fd())
    }
}
