//! `AF_UNIX` `SOCK_SEQPACKET` sockets with descriptors and credentials (unix(7), cmsg(3)).
//!
//! A received descriptor is owned before anything about the packet is looked at, so whatever the reader decides, nothing
//! leaks; a truncated packet closes all of them, and so does one whose descriptors did not all fit (the kernel has installed those
//! that did).

use crate::check;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// Of a msghdr: what the kernel has is glibc's; musl has half of it, and padding.
#[cfg(not(target_env = "musl"))]
type ControlLength = usize;
#[cfg(target_env = "musl")]
type ControlLength = libc::socklen_t;

/// The kernel's `SCM_MAX_FD`.
const FDS_MAX: usize = 253;
const FDS_SPACE: usize = space(FDS_MAX * size_of::<RawFd>());
const CREDENTIALS_SPACE: usize = space(size_of::<libc::ucred>());
const CONTROL_SPACE: usize = FDS_SPACE + CREDENTIALS_SPACE;

const fn space(length: usize) -> usize {
    // SAFETY: CMSG_SPACE is arithmetic only.
    unsafe { libc::CMSG_SPACE(length as u32) as usize }
}

/// A control buffer with the alignment that `cmsghdr` asks for.
#[repr(C, align(8))]
struct Control([u8; CONTROL_SPACE]);

/// Whether a call may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Until there is room, or a packet.
    Block,
    /// Fail with `EAGAIN` instead.
    DontWait,
}

impl Wait {
    const fn flag(self) -> i32 {
        match self {
            Self::Block => 0,
            Self::DontWait => libc::MSG_DONTWAIT,
        }
    }
}

/// Two connected sockets, close-on-exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: the kernel writes two ints into `fds`.
    let result = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) };
    check(result.into())?;
    // SAFETY: the kernel has just made this descriptor, and nothing else knows it.
    let first = unsafe { OwnedFd::from_raw_fd(fds[0]) };
    // SAFETY: as above.
    let second = unsafe { OwnedFd::from_raw_fd(fds[1]) };
    Ok((first, second))
}

/// `SO_PASSCRED`: every packet received from now on carries its sender's credentials.
pub fn enable_credentials(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads one int from `on`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PASSCRED,
            ptr::from_ref(&on).cast(),
            size_of::<libc::c_int>() as u32,
        )
    };
    check(result.into()).map(drop)
}

/// Sends one packet, whole or not at all, with descriptors, and with the credentials of the process `pid` (as the sender
/// sees it; another process than the sender needs CAP_SYS_ADMIN over its pid namespace) where given. `EPIPE` raises no signal.
pub fn send(socket: BorrowedFd<'_>, packet: &[u8], fds: &[RawFd], pid: Option<i32>, wait: Wait) -> io::Result<()> {
    if fds.len() > FDS_MAX {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut iov = libc::iovec { iov_base: packet.as_ptr().cast_mut().cast(), iov_len: packet.len() };
    let mut control = Control([0; CONTROL_SPACE]);
    // SAFETY: msghdr is plain data for which zero is valid.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    let mut used = 0;
    if !fds.is_empty() {
        let bytes = size_of_val(fds);
        put_header(&mut control, used, libc::SCM_RIGHTS, bytes);
        let payload: Vec<u8> = fds.iter().flat_map(|fd| fd.to_ne_bytes()).collect();
        control.0[space(0)..space(0) + bytes].copy_from_slice(&payload);
        used += space(bytes);
    }
    if let Some(pid) = pid {
        // SAFETY: cannot fail, touches no memory.
        let uid = unsafe { libc::geteuid() };
        // SAFETY: as above.
        let gid = unsafe { libc::getegid() };
        // struct ucred: pid, uid, gid
        let credentials = [pid as u32, uid, gid];
        put_header(&mut control, used, libc::SCM_CREDENTIALS, size_of::<libc::ucred>());
        for (place, word) in control.0[used + space(0)..].chunks_exact_mut(4).zip(credentials) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        used += CREDENTIALS_SPACE;
    }
    if used > 0 {
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = used as ControlLength;
    }
    loop {
        // SAFETY: `message` points to the packet and the control buffer, which both outlive the call; the kernel only reads.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL | wait.flag()) };
        match check(sent as libc::c_long) {
            Ok(_) => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Lays out a `struct cmsghdr` (cmsg_len, cmsg_level, cmsg_type).
fn put_header(control: &mut Control, offset: usize, kind: i32, payload: usize) {
    const _: () = assert!(size_of::<libc::cmsghdr>() == 16, "cmsg_len is 8 bytes long and nothing is padded");
    // SAFETY: CMSG_LEN is arithmetic only.
    let length = unsafe { libc::CMSG_LEN(payload as u32) } as usize;
    let header = &mut control.0[offset..offset + 16];
    header[..8].copy_from_slice(&length.to_ne_bytes());
    header[8..12].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
    header[12..].copy_from_slice(&kind.to_ne_bytes());
}

/// A packet that was received; its bytes are in the caller's buffer.
#[derive(Debug)]
pub struct Received {
    /// How many bytes; 0 means that the other end is closed (the protocol has no empty packets).
    pub len: usize,
    /// Descriptors that came along, close-on-exec.
    pub fds: Vec<OwnedFd>,
    /// Whether there were more than this process could take (`MSG_CTRUNC`). The buffer has room for as many as a packet can carry,
    /// so this means that the limit on open files was reached (`EMFILE`, `ENFILE`). None is left then.
    pub fds_lost: bool,
    /// The pid of `SCM_CREDENTIALS`, translated by the kernel, where [`enable_credentials`] was called.
    pub pid: Option<i32>,
}

/// Why a packet could not be received.
#[derive(Debug)]
pub enum RecvError {
    /// The kernel's error; `WouldBlock` with [`Wait::DontWait`] and no packet.
    Io(io::Error),
    /// The packet was longer than the buffer (`MSG_TRUNC`). Its descriptors are closed.
    Truncated,
}

/// Receives one packet.
pub fn recv(socket: BorrowedFd<'_>, buffer: &mut [u8], wait: Wait) -> Result<Received, RecvError> {
    let mut iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = Control([0; CONTROL_SPACE]);
    // SAFETY: msghdr is plain data for which zero is valid.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut iov;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_SPACE as ControlLength;
    let len = loop {
        // SAFETY: the kernel writes at most the lengths given, into `buffer` and `control`.
        let result =
            unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC | wait.flag()) };
        match check(result as libc::c_long) {
            Ok(len) => break len as usize,
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            Err(error) => return Err(RecvError::Io(error)),
        }
    };
    let mut received = Received { len, fds: Vec::new(), fds_lost: false, pid: None };
    // SAFETY: `message` and the control buffer it points to are as the kernel left them.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: the kernel wrote a whole header here, aligned.
        let cmsg = unsafe { *header };
        // SAFETY: the payload follows its header.
        let data = unsafe { libc::CMSG_DATA(header) };
        #[allow(clippy::unnecessary_cast, reason = "musl has it in 32 bits")]
        let length = (cmsg.cmsg_len as usize).saturating_sub(space(0));
        match (cmsg.cmsg_level, cmsg.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                for index in 0..length / size_of::<RawFd>() {
                    // SAFETY: `index` counts whole descriptors inside of the payload.
                    let place = unsafe { data.cast::<RawFd>().add(index) };
                    // SAFETY: as above.
                    let fd = unsafe { place.read_unaligned() };
                    // SAFETY: the kernel has just installed this descriptor for us alone.
                    received.fds.push(unsafe { OwnedFd::from_raw_fd(fd) });
                }
            }
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if length >= size_of::<libc::ucred>() => {
                // SAFETY: the payload holds a whole ucred.
                let credentials = unsafe { data.cast::<libc::ucred>().read_unaligned() };
                received.pid = Some(credentials.pid);
            }
            _ => {}
        }
        // SAFETY: as for CMSG_FIRSTHDR.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    if message.msg_flags & libc::MSG_TRUNC != 0 {
        return Err(RecvError::Truncated);
    }
    if message.msg_flags & libc::MSG_CTRUNC != 0 {
        received.fds.clear();
        received.fds_lost = true;
    }
    Ok(received)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_packet_arrives_whole_with_descriptors_and_pid() {
        let (a, b) = pair().unwrap();
        enable_credentials(b.as_fd()).unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        send(a.as_fd(), b"hello", &[null.as_raw_fd(), null.as_raw_fd()], Some(pid), Wait::Block).unwrap();
        let mut buffer = [0; 64];
        let received = recv(b.as_fd(), &mut buffer, Wait::DontWait).unwrap();
        assert_eq!(&buffer[..received.len], b"hello");
        assert_eq!(received.fds.len(), 2);
        assert_eq!(received.pid, Some(pid));
        for fd in &received.fds {
            // SAFETY: no memory involved.
            assert_eq!(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) }, libc::FD_CLOEXEC);
        }
    }

    #[test]
    fn the_most_descriptors_fit_and_one_more_is_refused() {
        let (a, b) = pair().unwrap();
        let fds = vec![a.as_raw_fd(); FDS_MAX];
        send(a.as_fd(), b"x", &fds, None, Wait::Block).unwrap();
        assert_eq!(recv(b.as_fd(), &mut [0; 8], Wait::Block).unwrap().fds.len(), FDS_MAX);
        let too_many = vec![a.as_raw_fd(); FDS_MAX + 1];
        let error = send(a.as_fd(), b"x", &too_many, None, Wait::Block).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn a_truncated_packet_closes_its_descriptors() {
        let (a, b) = pair().unwrap();
        let (marker, other_end) = pair().unwrap();
        send(a.as_fd(), &[7; 100], &[marker.as_raw_fd()], None, Wait::Block).unwrap();
        drop(marker);
        assert!(matches!(recv(b.as_fd(), &mut [0; 10], Wait::Block), Err(RecvError::Truncated)));
        // With every copy of `marker` closed its peer sees the end.
        assert_eq!(recv(other_end.as_fd(), &mut [0; 1], Wait::DontWait).unwrap().len, 0);
    }

    #[test]
    fn no_packet_is_would_block_and_a_closed_peer_is_length_zero() {
        let (a, b) = pair().unwrap();
        match recv(b.as_fd(), &mut [0; 8], Wait::DontWait) {
            Err(RecvError::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            other => panic!("{other:?}"),
        }
        drop(a);
        assert_eq!(recv(b.as_fd(), &mut [0; 8], Wait::DontWait).unwrap().len, 0);
        let error = send(b.as_fd(), b"x", &[], None, Wait::Block).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
    }
}
