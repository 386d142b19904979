//! Overlays: a directory of the host that programs may change, without changing it (overlayfs).
//!
//! Runs in pid 1, at the set-up and again at each reset, when no program runs. What is written goes to a tmpfs of its own that is mounted
//! nowhere where programs could see it; a reset puts a new one in its place. The order is forced by overlayfs, which (before Linux 6.15)
//! takes its layers only from what is mounted in our own mount namespace, by path:
//!
//! 1. the tmpfs is mounted at the target, and the host's directory inside of it,
//! 2. the overlay is made of both, by paths relative to the tmpfs, which is our current directory for a moment,
//! 3. both are taken off again (overlayfs has copies of its own), and the overlay takes their place.
//!
//! Features by which overlayfs would rename directories or copy only metadata are off: the upper layer then says by itself what was
//! changed, and the kernel does not follow what programs might forge in it.

use super::mounts::TmpfsOptions;
use hotcell_linux::mount_api::{self, attribute};
use hotcell_linux::{errno, file};
use hotcell_protocol::{Failure, Step};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const LOWER: &std::ffi::CStr = c"lower";
const UPPER: &std::ffi::CStr = c"upper";
const WORK: &std::ffi::CStr = c"work";

/// An overlay that reset replaces.
#[derive(Debug)]
pub struct OverlayMount {
    pub(super) path: Vec<u8>,
    /// What it is mounted on.
    target: OwnedFd,
    options: OverlayOptions,
    layers: Layers,
}

/// What makes one overlay like another.
#[derive(Debug, Clone, Copy)]
pub struct OverlayOptions {
    /// Of the tmpfs that takes the changes.
    pub tmpfs: TmpfsOptions,
    /// Whether we are in a user namespace: overlayfs may not use `trusted.` attributes there.
    pub user_namespace: bool,
}

#[derive(Debug)]
struct Layers {
    /// The overlay's root.
    mount: OwnedFd,
    /// The directory that takes the changes.
    upper: OwnedFd,
    /// A copy of the mount of the host's directory, attached nowhere.
    lower: OwnedFd,
}

impl OverlayMount {
    /// Makes and attaches one. `lower` is the host's directory, read-only, attached nowhere.
    pub fn attach(path: &[u8], target: OwnedFd, lower: &OwnedFd, options: OverlayOptions) -> Result<Self, Failure> {
        let layers = options.make(target.as_fd(), lower).map_err(|(step, error)| Failure::new(step, errno(&error)))?;
        Ok(Self { path: path.to_vec(), target, options, layers })
    }

    /// The overlay's root.
    pub fn mount(&self) -> BorrowedFd<'_> {
        self.layers.mount.as_fd()
    }

    /// The directory that takes the changes.
    pub fn upper(&self) -> BorrowedFd<'_> {
        self.layers.upper.as_fd()
    }

    /// The host's directory.
    pub fn lower(&self) -> BorrowedFd<'_> {
        self.layers.lower.as_fd()
    }

    /// Where it is to be mounted from now on.
    pub fn set_target(&mut self, target: OwnedFd) {
        self.target = target;
    }

    /// Attaches a new one without changes, after the old one was taken off. Returns what holds the old changes.
    pub fn renew(&mut self) -> io::Result<[OwnedFd; 2]> {
        let fresh = self.options.make(self.target.as_fd(), &self.layers.lower).map_err(|(_, error)| error)?;
        let Layers { mount, upper, .. } = std::mem::replace(&mut self.layers, fresh);
        Ok([mount, upper])
    }
}

impl OverlayOptions {
    /// As the head of this file says.
    fn make(&self, target: BorrowedFd<'_>, lower: &OwnedFd) -> Result<Layers, (Step, io::Error)> {
        let tmpfs = self.tmpfs.make().map_err(|error| (Step::MakeTmpfs, error))?;
        let layers = self.assemble(target, &tmpfs, lower).map_err(|error| (Step::MakeOverlay, error))?;
        mount_api::move_mount(layers.mount.as_fd(), target).map_err(|error| (Step::AttachMount, error))?;
        Ok(layers)
    }

    fn assemble(&self, target: BorrowedFd<'_>, tmpfs: &OwnedFd, lower: &OwnedFd) -> io::Result<Layers> {
        let place = tmpfs.as_fd();
        mount_api::move_mount(place, target)?;
        for name in [LOWER, UPPER, WORK] {
            file::mkdirat(place, name, 0o755)?;
        }
        let at = file::openat(place, LOWER, libc::O_PATH | libc::O_DIRECTORY, 0)?;
        mount_api::move_mount(lower.as_fd(), at.as_fd())?;
        // The root of the overlay is that of the upper layer.
        let upper = file::openat(place, UPPER, libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
        let mode = file::stat(lower.as_fd())?.st_mode & 0o777 | 0o700;
        file::chmod(upper.as_fd(), mode)?;
        file::chown(upper.as_fd(), self.tmpfs.owner.uid, self.tmpfs.owner.gid)?;
        file::fchdir(place)?;
        let context = mount_api::fsopen(c"overlay")?;
        for (key, value) in [
            (c"lowerdir", LOWER),
            (c"upperdir", UPPER),
            (c"workdir", WORK),
            (c"redirect_dir", c"nofollow"),
            (c"metacopy", c"off"),
            (c"index", c"off"),
        ] {
            context.set(key, value)?;
        }
        if self.user_namespace {
            context.set_flag(c"userxattr")?;
        }
        let no_exec = if self.tmpfs.no_exec { attribute::NOEXEC } else { 0 };
        let mount = context.mount(attribute::NOSUID | attribute::NODEV | no_exec)?;
        // Copied while it is attached: before Linux 6.15 the kernel copies nothing else.
        let copy = mount_api::clone_tree(Some(lower.as_fd()), c"", true, false)?;
        super::mounts::detach(lower.as_fd())?;
        super::mounts::detach(place)?;
        Ok(Layers { mount, upper, lower: copy })
    }
}
