//! Anonymous files (memfd_create(2)) that nobody can change any more (fcntl(2), F_ADD_SEALS).

use crate::check;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const FLAGS: libc::c_uint = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
const ALL_SEALS: libc::c_int = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
/// Linux 6.3: the file shall be executable whatever `vm.memfd_noexec` makes the default.
const MFD_EXEC: libc::c_uint = 0x10;
/// Linux 6.3: the execute bits stay as they are.
const F_SEAL_EXEC: libc::c_int = 0x20;

/// A file with this content, close-on-exec, sealed against every change.
///
/// `executable` asks for `MFD_EXEC` and goes on without where the kernel does not know it (before 6.3); with
/// `vm.memfd_noexec=2` it fails with `EACCES`.
pub fn sealed(name: &CStr, content: &[u8], executable: bool) -> io::Result<OwnedFd> {
    let mut file = File::from(if executable { executable_memfd(name) } else { create(name, FLAGS) }?);
    file.write_all(content)?;
    file.rewind()?;
    add_seals(file.as_fd(), ALL_SEALS)?;
    Ok(file.into())
}

/// An empty file that can be executed and sealed, close-on-exec. As in [`sealed`], `EACCES` with `vm.memfd_noexec=2`.
pub fn executable_memfd(name: &CStr) -> io::Result<OwnedFd> {
    match create(name, FLAGS | MFD_EXEC) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => create(name, FLAGS),
        other => other,
    }
}

/// Seals one of [`executable_memfd`] against every change of its content, and since Linux 6.3 of its execute bits: before that,
/// whoever has the uid of its maker can take these away, through /proc.
pub fn seal(fd: BorrowedFd<'_>) -> io::Result<()> {
    match add_seals(fd, ALL_SEALS | F_SEAL_EXEC) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => add_seals(fd, ALL_SEALS),
        other => other,
    }
}

fn add_seals(fd: BorrowedFd<'_>, seals: libc::c_int) -> io::Result<()> {
    // SAFETY: no memory involved.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) }.into())?;
    Ok(())
}

fn create(name: &CStr, flags: libc::c_uint) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads the NUL-terminated name.
    let fd = check(unsafe { libc::memfd_create(name.as_ptr(), flags) }.into())?;
    // SAFETY: a new descriptor that nothing else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The content of a memfd that is sealed in every way and no longer than `max`; anything else is `EINVAL`, unread.
pub fn read_sealed(fd: BorrowedFd<'_>, max: usize) -> io::Result<Vec<u8>> {
    // SAFETY: no memory involved.
    let seals = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) }.into())?;
    let mut file = File::from(fd.try_clone_to_owned()?);
    let size = file.metadata()?.len();
    if seals as libc::c_int & ALL_SEALS != ALL_SEALS || size > max as u64 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    file.rewind()?;
    let mut content = Vec::with_capacity(size as usize);
    file.read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_sealed_file_cannot_change_and_reads_back() {
        let fd = sealed(c"test", b"content", false).unwrap();
        let mut file = File::from(fd.try_clone().unwrap());
        assert_eq!(file.write(b"x").unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert_eq!(file.set_len(0).unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert_eq!(read_sealed(fd.as_fd(), 7).unwrap(), b"content");
    }

    #[test]
    fn what_is_too_long_or_not_sealed_is_not_read() {
        let fd = sealed(c"test", b"content", false).unwrap();
        assert_eq!(read_sealed(fd.as_fd(), 6).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        let open = create(c"test", libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING).unwrap();
        assert_eq!(read_sealed(open.as_fd(), 100).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn what_is_sealed_later_can_neither_be_changed_nor_sealed_again() {
        let fd = executable_memfd(c"test").unwrap();
        let mut file = File::from(fd.try_clone().unwrap());
        file.write_all(b"content").unwrap();
        seal(fd.as_fd()).unwrap();
        assert_eq!(file.write(b"x").unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert_eq!(file.set_len(99).unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert_eq!(seal(fd.as_fd()).unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert_eq!(read_sealed(fd.as_fd(), 7).unwrap(), b"content");
        let mut permissions = file.metadata().unwrap().permissions();
        assert_eq!(permissions.mode() & 0o111, 0o111);
        permissions.set_mode(0o600);
        // SAFETY: no memory involved.
        let seals = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) };
        if seals & F_SEAL_EXEC != 0 {
            assert_eq!(file.set_permissions(permissions).unwrap_err().raw_os_error(), Some(libc::EPERM));
        }
    }
}
