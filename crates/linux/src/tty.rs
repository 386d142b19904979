//! Pseudoterminals (pty(7), ioctl_tty(2)) by descriptors alone: no path is ever asked for or followed.

use crate::check;
use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// ^D, end of transmission: what [`end_of_file`] is unless somebody has changed it.
const EOT: u8 = 4;

/// The ioctl(2) that makes a terminal the controlling one of its caller's session.
pub const TAKE: u32 = libc::TIOCSCTTY as u32;

/// `TIOCSPTLCK` with 0: lets the slave of this master be opened.
pub fn unlock(master: BorrowedFd<'_>) -> io::Result<()> {
    let locked: c_int = 0;
    // SAFETY: the kernel reads one int.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const locked) }.into())?;
    Ok(())
}

/// `TIOCGPTPEER` (Linux 4.13): opens the slave of this master for reading and writing, close-on-exec, and not as a controlling terminal.
pub fn open_slave(master: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: no memory involved.
    let fd = check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) }.into())?;
    // SAFETY: a new descriptor that nothing else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// `TIOCSWINSZ`: the terminal has this size. If that is another than before, its foreground processes get SIGWINCH.
pub fn set_window_size(tty: BorrowedFd<'_>, columns: u16, rows: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel reads one winsize.
    check(unsafe { libc::ioctl(tty.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }.into())?;
    Ok(())
}

/// `FIONREAD`: how many bytes a read would give at once. Of a terminal that reads lines, those of whole lines.
pub fn unread(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut count: c_int = 0;
    // SAFETY: the kernel writes one int.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut count) }.into())?;
    Ok(count.unsigned_abs())
}

/// The character that is the end of file to who reads this terminal by lines (`VEOF`, termios(3)); ^D where there is none.
pub fn end_of_file(tty: BorrowedFd<'_>) -> u8 {
    let mut termios = MaybeUninit::<libc::termios>::zeroed();
    // SAFETY: libc writes one termios.
    if unsafe { libc::tcgetattr(tty.as_raw_fd(), termios.as_mut_ptr()) } != 0 {
        return EOT;
    }
    // SAFETY: zeroed before, and written.
    let termios = unsafe { termios.assume_init() };
    match termios.c_cc[libc::VEOF] {
        // _POSIX_VDISABLE
        0 => EOT,
        character => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, OpenOptions};
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    fn pair() -> (File, File) {
        let master = OpenOptions::new().read(true).write(true).open("/dev/ptmx").unwrap();
        unlock(master.as_fd()).unwrap();
        let slave = File::from(open_slave(master.as_fd()).unwrap());
        (master, slave)
    }

    #[test]
    fn what_is_typed_is_read_by_lines() {
        let (mut master, mut slave) = pair();
        master.write_all(b"lin").unwrap();
        assert_eq!(unread(slave.as_fd()).unwrap(), 0);
        master.write_all(b"e\n").unwrap();
        let mut line = [0; 16];
        assert_eq!(slave.read(&mut line).unwrap(), 5);
        master.write_all(&[end_of_file(master.as_fd())]).unwrap();
        assert_eq!(slave.read(&mut line).unwrap(), 0);
    }

    #[test]
    fn a_size_is_that_of_both_ends() {
        let (master, slave) = pair();
        set_window_size(master.as_fd(), 132, 43).unwrap();
        let mut size = MaybeUninit::<libc::winsize>::zeroed();
        // SAFETY: the kernel writes one winsize.
        assert_eq!(unsafe { libc::ioctl(slave.as_raw_fd(), libc::TIOCGWINSZ, size.as_mut_ptr()) }, 0);
        // SAFETY: zeroed before, and written.
        let size = unsafe { size.assume_init() };
        assert_eq!((size.ws_col, size.ws_row), (132, 43));
    }

    #[test]
    fn what_is_no_terminal_says_so() {
        let file = File::open("/dev/null").unwrap();
        assert_eq!(unlock(file.as_fd()).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert_eq!(open_slave(file.as_fd()).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        assert_eq!(end_of_file(file.as_fd()), EOT);
    }
}
