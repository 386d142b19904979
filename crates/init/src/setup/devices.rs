//! A minimal /dev: six devices taken from the host's, the links that shells expect, and a /dev/shm of the container's own.
//!
//! /dev/tty is whatever the controlling terminal of its user is, and nothing to who has none (tty(4)): all that it could lead to is a terminal of the
//! run's own, [`crate::tty`]. What /dev/pts and /dev/ptmx are for is there from the first of these on; until then they are an empty directory and
//! a link that leads nowhere.
//!
//! Runs in pid 1 before any program. A device is opened as a detached copy of its mount and looked at before it is attached:
//! what stands at /dev/null of a host directory that somebody prepared is only used if it *is* the null device (CVE-2025-52565).

use super::mounts::{TmpfsMount, TmpfsOptions};
use super::root::{Tree, terminated};
use hotcell_linux::mount_api::{self, attribute};
use hotcell_linux::{errno, file};
use hotcell_protocol::{Failure, ProcMode, Step};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Name, major, minor (null(4), full(4), random(4), tty(4)).
const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
/// The one that a host, or a container around us, may lack.
const OPTIONAL: &str = "tty";
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// /dev, while it can still be written.
pub struct Dev {
    /// Its mount.
    pub mount: OwnedFd,
    /// /dev/shm.
    pub shared_memory: TmpfsMount,
}

/// The devices of the host's /dev, attached nowhere yet, in their order; none for what is absent.
pub fn open_sources() -> Result<Vec<Option<OwnedFd>>, Failure> {
    DEVICES
        .iter()
        .map(|&(name, major, minor)| {
            let path = format!("/dev/{name}");
            let failed = |error: io::Error| Failure::new(Step::MakeDevice, errno(&error)).of(path.as_bytes());
            let cloned = mount_api::clone_tree(None, &terminated(path.as_bytes()).map_err(failed)?, false, true);
            let device = match cloned {
                Err(error) if name == OPTIONAL && error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
                other => other.map_err(failed)?,
            };
            let stat = file::stat(device.as_fd()).map_err(failed)?;
            if !file::is_type(&stat, libc::S_IFCHR) || stat.st_rdev != libc::makedev(major, minor) {
                return Err(failed(io::Error::from_raw_os_error(libc::ENODEV)));
            }
            mount_api::set_attributes(device.as_fd(), attribute::NOSUID | attribute::NOEXEC, false).map_err(failed)?;
            Ok(Some(device))
        })
        .collect()
}

/// Makes /dev.
pub fn mount(tree: &Tree, devices: Vec<Option<OwnedFd>>, proc: ProcMode, shm: TmpfsOptions) -> Result<Dev, Failure> {
    let failed = |error: io::Error| Failure::new(Step::MakeDevice, errno(&error)).of(b"/dev");
    let target = tree.make_directory(b"/dev").map_err(failed)?;
    let context = mount_api::fsopen(c"tmpfs").map_err(failed)?;
    for (key, value) in [(c"size", c"64k"), (c"nr_inodes", c"64"), (c"mode", c"0755")] {
        context.set(key, value).map_err(failed)?;
    }
    let dev = context.mount(attribute::NOSUID | attribute::NOEXEC).map_err(failed)?;
    mount_api::move_mount(dev.as_fd(), target.as_fd()).map_err(failed)?;
    for ((name, ..), device) in DEVICES.iter().zip(devices) {
        let Some(device) = device else { continue };
        attach(dev.as_fd(), name, &device)
            .map_err(|error| Failure::new(Step::MakeDevice, errno(&error)).of(name.as_bytes()))?;
    }
    if proc != ProcMode::None {
        for (name, link) in LINKS {
            let make = || file::symlinkat(&terminated(link.as_bytes())?, dev.as_fd(), &terminated(name.as_bytes())?);
            make().map_err(|error| Failure::new(Step::MakeSymlink, errno(&error)).of(name.as_bytes()))?;
        }
    }
    (|| {
        file::mkdirat(dev.as_fd(), c"pts", 0o755)?;
        file::symlinkat(c"pts/ptmx", dev.as_fd(), c"ptmx")
    })()
    .map_err(|error| Failure::new(Step::MakeDirectory, errno(&error)).of(b"/dev/pts"))?;
    let shared_memory = (|| {
        file::mkdirat(dev.as_fd(), c"shm", 0o755)?;
        let target = file::openat(dev.as_fd(), c"shm", libc::O_PATH | libc::O_NOFOLLOW, 0)?;
        TmpfsMount::attach(b"/dev/shm", target, shm)
    })()
    .map_err(|error| Failure::new(Step::MakeTmpfs, errno(&error)).of(b"/dev/shm"))?;
    Ok(Dev { mount: dev, shared_memory })
}

fn attach(dev: BorrowedFd<'_>, name: &str, device: &OwnedFd) -> io::Result<()> {
    let name = terminated(name.as_bytes())?;
    drop(file::openat(dev, &name, libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW, 0o444)?);
    let target = file::openat(dev, &name, libc::O_PATH | libc::O_NOFOLLOW, 0)?;
    mount_api::move_mount(device.as_fd(), target.as_fd())
}

/// Makes /dev itself read-only; the devices and /dev/shm stay writable.
pub fn seal(dev: &OwnedFd) -> Result<(), Failure> {
    let attributes = attribute::RDONLY | attribute::NOSUID | attribute::NOEXEC;
    mount_api::set_attributes(dev.as_fd(), attributes, false)
        .map_err(|error| Failure::new(Step::SetMountAttributes, errno(&error)).of(b"/dev"))
}

/// Puts the container's own /dev/null in the place of the host's as descriptors 0 to 2: what a run without descriptors of its
/// own inherits.
pub fn take_standard_streams() -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(Step::MakeDevice, errno(&error)).of(b"/dev/null");
    // SAFETY: AT_FDCWD is not a descriptor that anybody could close.
    let here = unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) };
    let null = file::openat(here, c"/dev/null", libc::O_RDWR, 0).map_err(failed)?;
    for stream in 0..=2 {
        // SAFETY: nobody owns these three as `OwnedFd`.
        if unsafe { libc::dup3(null.as_raw_fd(), stream, 0) } < 0 {
            return Err(failed(io::Error::last_os_error()));
        }
    }
    Ok(())
}
