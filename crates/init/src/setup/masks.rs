//! Hiding paths: a file behind /dev/null, a directory behind an empty read-only tmpfs, one for all.
//!
//! Runs in pid 1 after every mount is in its place (a mask under a later mount would hide nothing) and before any program.

use super::root::Tree;
use hotcell_linux::mount_api::{self, attribute};
use hotcell_linux::{errno, file};
use hotcell_protocol::{Failure, Step};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

const ATTRIBUTES: u64 = attribute::RDONLY | attribute::NOSUID | attribute::NODEV | attribute::NOEXEC;

/// Hides these paths; those that do not exist are skipped.
pub fn hide<P: AsRef<[u8]>>(tree: &Tree, paths: &[P]) -> Result<(), Failure> {
    let mut masks = Masks { empty: None };
    for (path, index) in paths.iter().zip(0..) {
        let path = path.as_ref();
        masks.hide(tree, path).map_err(|error| Failure::new(Step::MaskPath, errno(&error)).of(path).at(index))?;
    }
    Ok(())
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
