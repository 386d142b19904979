//! Anonymous files (memfd_create(2)) that nobody can change any more (fcntl(2), F_ADD_SEALS).

use crate::check;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const ALL_SEALS: libc::c_int = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
/// Linux 6.3: the file shall be executable whatever `vm.memfd_noexec` makes the default.
const MFD_EXEC: libc::c_uint = 0x10;

/// A file with this content, close-on-exec, sealed against every change.
///
/// `executable` asks for `MFD_EXEC` and goes on without where the kernel does not know it (before 6.3); with
/// `vm.memfd_noexec=2` it fails with `EACCES`.
pub fn sealed(name: &CStr, content: &[u8], executable: bool) -> io::Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    let fd = match create(name, flags | if executable { MFD_EXEC } else { 0 }) {
        Err(error) if executable && error.raw_os_error() == Some(libc::EINVAL) => create(name, flags)?,
        other => other?,
    };
    let mut file = File::from(fd);
    file.write_all(content)?;
    file.rewind()?;
    // SAFETY: no memory involved.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, ALL_SEALS) }.into())?;
    Ok(file.into())
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
    use std::os::fd::AsFd;

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
}
