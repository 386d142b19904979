//! Packets that a full socket has not taken yet.
//!
//! Callers send directly; only what fails with `EAGAIN`, and whatever follows it, lines up here until the reactor sees room
//! (`EPOLLOUT`). Order is kept for each sending thread: as long as something waits, everything lines up behind it.

use hotcell_linux::memfd;
use hotcell_linux::seqpacket::{self, Wait};
use hotcell_protocol::codec::{FDS_MAX, MEMFD_MAX, PACKET_MAX, TAG_MEMFD};
use nix::libc;
use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// A packet with descriptors of its own.
pub(crate) struct Outgoing {
    packet: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl Outgoing {
    /// A copy of what could not be sent; the descriptors are duplicated, for the caller may close its own when it likes.
    pub(crate) fn copy_of(packet: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<Self> {
        let fds = fds.iter().map(BorrowedFd::try_clone_to_owned).collect::<io::Result<_>>()?;
        Ok(Self { packet: packet.to_vec(), fds })
    }

    fn send(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let fds: Vec<RawFd> = self.fds.iter().map(AsRawFd::as_raw_fd).collect();
        seqpacket::send(socket, &self.packet, &fds, None, Wait::DontWait)
    }
}

/// Sends what waits, in order, until the socket is full again. Whether the queue is empty now.
pub(crate) fn flush(socket: BorrowedFd<'_>, queue: &mut VecDeque<Outgoing>) -> io::Result<bool> {
    while let Some(next) = queue.front() {
        match next.send(socket) {
            Ok(()) => drop(queue.pop_front()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Sends one packet at once, or fails with `WouldBlock`.
pub(crate) fn send(socket: BorrowedFd<'_>, packet: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut raw = [-1; FDS_MAX];
    let Some(raw) = raw.get_mut(..fds.len()) else {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    };
    for (place, fd) in raw.iter_mut().zip(fds) {
        *place = fd.as_raw_fd();
    }
    seqpacket::send(socket, packet, raw, None, Wait::DontWait)
}

/// Calls `with` with the bytes of the packet for `message`, and with the memfd that must travel first among its descriptors if
/// the message is too long for a packet.
///
/// The buffer belongs to the calling thread and is used again, so that a request allocates nothing.
pub(crate) fn encoded<T: serde::Serialize, R>(
    message: &T,
    with: impl FnOnce(&[u8], Option<BorrowedFd<'_>>) -> io::Result<R>,
) -> io::Result<R> {
    thread_local! {
        static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    // Without the thread's own buffer (the thread is ending) a new one will do.
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    hotcell_protocol::encode(message, &mut buffer);
    let result = if buffer.len() <= PACKET_MAX {
        with(&buffer, None)
    } else {
        let payload = buffer.get(1..).unwrap_or_default();
        if payload.len() > MEMFD_MAX {
            Err(io::Error::from_raw_os_error(libc::E2BIG))
        } else {
            memfd::sealed(c"hotcell-request", payload, false).and_then(|memfd| with(&[TAG_MEMFD], Some(memfd.as_fd())))
        }
    };
    buffer.clear();
    if buffer.capacity() <= 2 * PACKET_MAX {
        let _ = BUFFER.try_with(|place| place.set(buffer));
    }
    result
}
