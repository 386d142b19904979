//! The mount API by descriptors (fsopen(2), open_tree(2), move_mount(2), mount_setattr(2); Linux 5.2 and 5.12) and what it
//! has no call for (pivot_root(2), umount2(2)).
//!
//! A mount made or cloned here is attached nowhere until [`move_mount`], so it can be looked at (fstat) and restricted before
//! any path leads to it.

use crate::check;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// `MOUNT_ATTR_*` of mount_setattr(2).
pub mod attribute {
    /// No writing.
    pub const RDONLY: u64 = 0x1;
    /// Set-user-ID bits and file capabilities mean nothing.
    pub const NOSUID: u64 = 0x2;
    /// Device files cannot be opened.
    pub const NODEV: u64 = 0x4;
    /// Nothing can be executed.
    pub const NOEXEC: u64 = 0x8;
    /// Access times are not kept.
    pub const NOATIME: u64 = 0x10;
}

const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;
const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const OPEN_TREE_CLONE: u32 = 1;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;
const AT_RECURSIVE: u32 = 0x8000;

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the callers pass the result of a call that makes a descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A file system being configured.
#[derive(Debug)]
pub struct Context(OwnedFd);

/// fsopen(2).
pub fn fsopen(kind: &CStr) -> io::Result<Context> {
    // SAFETY: the kernel reads the name.
    owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) }).map(Context)
}

impl Context {
    /// fsconfig(2) `FSCONFIG_SET_STRING`.
    pub fn set(&self, key: &CStr, value: &CStr) -> io::Result<()> {
        let (fd, key, value) = (self.0.as_raw_fd(), key.as_ptr(), value.as_ptr());
        // SAFETY: the kernel reads both strings.
        check(unsafe { libc::syscall(libc::SYS_fsconfig, fd, FSCONFIG_SET_STRING, key, value, 0) })?;
        Ok(())
    }

    /// fsconfig(2) `FSCONFIG_SET_FLAG`.
    pub fn set_flag(&self, key: &CStr) -> io::Result<()> {
        let (fd, key) = (self.0.as_raw_fd(), key.as_ptr());
        // SAFETY: the kernel reads the key.
        check(unsafe { libc::syscall(libc::SYS_fsconfig, fd, FSCONFIG_SET_FLAG, key, ptr::null::<u8>(), 0) })?;
        Ok(())
    }

    /// fsconfig(2) `FSCONFIG_CMD_CREATE`, then fsmount(2): a mount that is attached nowhere.
    pub fn mount(self, attributes: u64) -> io::Result<OwnedFd> {
        let (fd, none) = (self.0.as_raw_fd(), ptr::null::<u8>());
        // SAFETY: no memory involved.
        check(unsafe { libc::syscall(libc::SYS_fsconfig, fd, FSCONFIG_CMD_CREATE, none, none, 0) })?;
        // SAFETY: no memory involved.
        owned(unsafe { libc::syscall(libc::SYS_fsmount, fd, FSMOUNT_CLOEXEC, attributes) })
    }
}

/// open_tree(2) with `OPEN_TREE_CLONE`: a copy, attached nowhere, of what is mounted at `path` (and with `recursive` below).
/// `no_follow` opens a symbolic link itself.
pub fn clone_tree(
    directory: Option<BorrowedFd<'_>>,
    path: &CStr,
    recursive: bool,
    no_follow: bool,
) -> io::Result<OwnedFd> {
    let flags = OPEN_TREE_CLONE
        | libc::O_CLOEXEC as u32
        | if recursive { AT_RECURSIVE } else { 0 }
        | if no_follow { libc::AT_SYMLINK_NOFOLLOW as u32 } else { 0 }
        | if path.is_empty() { libc::AT_EMPTY_PATH as u32 } else { 0 };
    let directory = directory.map_or(libc::AT_FDCWD, |fd| fd.as_raw_fd());
    // SAFETY: the kernel reads the path.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, directory, path.as_ptr(), flags) })
}

/// mount_setattr(2): sets these attributes on the mount of `mount`, and with `recursive` on all below.
pub fn set_attributes(mount: BorrowedFd<'_>, attributes: u64, recursive: bool) -> io::Result<()> {
    setattr(mount, c"", [attributes, 0, 0, 0], libc::AT_EMPTY_PATH as u32 | if recursive { AT_RECURSIVE } else { 0 })
}

/// mount_setattr(2) `MOUNT_ATTR_IDMAP`, Linux 5.12: whom the files of a mount that is attached nowhere belong to is translated by the maps of
/// this user namespace (its inside is what the file system says). Takes CAP_SYS_ADMIN over the file system.
pub fn map_ids(mount: BorrowedFd<'_>, user_namespace: BorrowedFd<'_>) -> io::Result<()> {
    const IDMAP: u64 = 0x10_0000;
    setattr(mount, c"", [IDMAP, 0, 0, user_namespace.as_raw_fd() as u64], libc::AT_EMPTY_PATH as u32)
}

/// mount_setattr(2): no mount event of this namespace's tree leaves it or enters it (`MS_PRIVATE`, mount_namespaces(7)).
pub fn make_private(path: &CStr) -> io::Result<()> {
    // SAFETY: AT_FDCWD is not a descriptor that anybody could close.
    let here = unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) };
    setattr(here, path, [0, 0, libc::MS_PRIVATE, 0], AT_RECURSIVE)
}

fn setattr(directory: BorrowedFd<'_>, path: &CStr, attr: [u64; 4], flags: u32) -> io::Result<()> {
    let (directory, path, size) = (directory.as_raw_fd(), path.as_ptr(), size_of_val(&attr));
    // SAFETY: the kernel reads the path and `struct mount_attr`: attr_set, attr_clr, propagation, userns_fd.
    check(unsafe { libc::syscall(libc::SYS_mount_setattr, directory, path, flags, attr.as_ptr(), size) })?;
    Ok(())
}

/// move_mount(2) of a mount that is attached nowhere onto what the descriptor `target` is open on.
pub fn move_mount(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let (from, to, empty) = (mount.as_raw_fd(), target.as_raw_fd(), c"".as_ptr());
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: the kernel reads two empty strings.
    check(unsafe { libc::syscall(libc::SYS_move_mount, from, empty, to, empty, flags) })?;
    Ok(())
}

/// pivot_root(".", "."): the current directory becomes the root, and the old root lies on top of it (pivot_root(2), NOTES).
pub fn pivot_root_here() -> io::Result<()> {
    // SAFETY: the kernel reads two strings.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })?;
    Ok(())
}

/// umount2(2) with `MNT_DETACH | UMOUNT_NOFOLLOW`: gone from the tree now, freed with its last user.
pub fn detach(path: &CStr) -> io::Result<()> {
    // SAFETY: the kernel reads the path.
    check(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) }.into())?;
    Ok(())
}
