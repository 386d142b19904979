//! Collecting what a run writes, and feeding it what it reads, without a thread and without JavaScript.
//!
//! The reactor reads both outputs as they come, so a program never stands still for a reader, and writes the input as the program
//! takes it. The result is complete when init has reported the end of the run: every process of it is dead then, so what is in
//! the pipes is all there will be, and no end of file is waited for: somebody else may hold the other end. We do ourselves. With a
//! copy of it open, the end of a program does not make its pipes readable, so the reactor is not woken twice for one end.

use crate::connection::Connection;
use crate::error::Error;
use crate::event::{RequestId, Stream};
use crate::lock;
use crate::pipe::{self, Pipe};
use crate::reactor::{Reactor, Source};
use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use nix::unistd::{read, write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, Weak};

/// The parts of a collector, as the program numbers its descriptors.
const STDIN: u64 = 0;
const STDOUT: u64 = 1;
const STDERR: u64 = 2;

/// The most reads from one pipe once the run is over. A pipe holds at most 1 MiB (`fs.pipe-max-size`, for the unprivileged);
/// only a process of another run that keeps writing could go beyond.
const LAST_READS: usize = 32;

/// The pipes of one run.
pub(crate) struct Collector {
    key: RequestId,
    reactor: &'static Reactor,
    connection: Weak<Connection>,
    program_stdout: OwnedFd,
    program_stderr: OwnedFd,
    inner: Mutex<Inner>,
}

struct Inner {
    input: Option<Input>,
    stdout: Output,
    stderr: Output,
    breach: Option<Stream>,
}

struct Input {
    pipe: OwnedFd,
    rest: Vec<u8>,
    written: usize,
}

struct Output {
    stream: Stream,
    pipe: Option<OwnedFd>,
    bytes: Vec<u8>,
    limit: usize,
}

impl Collector {
    /// Makes the pipes, writes as much of the input as fits into one, and watches the rest. Ends with
    /// [`Collector::close`]. The descriptor is what the program reads, if there is input.
    pub(crate) fn start(
        reactor: &'static Reactor,
        connection: &Arc<Connection>,
        key: RequestId,
        input: &[u8],
        limit: usize,
    ) -> Result<(Arc<Self>, Option<OwnedFd>), Error> {
        let stdout = pipe::from_program()?;
        let stderr = pipe::from_program()?;
        let (stdin, input) = if input.is_empty() { (None, None) } else { feed(input)? };
        let output = |stream, pipe| Output { stream, pipe: Some(pipe), bytes: Vec::new(), limit };
        let inner = Inner {
            input,
            stdout: output(Stream::Stdout, stdout.ours),
            stderr: output(Stream::Stderr, stderr.ours),
            breach: None,
        };
        let collector = Arc::new(Self {
            key,
            reactor,
            connection: Arc::downgrade(connection),
            program_stdout: stdout.theirs,
            program_stderr: stderr.theirs,
            inner: Mutex::new(inner),
        });
        reactor.insert(key, Source::Collector(Arc::clone(&collector)));
        if let Err(error) = collector.watch() {
            collector.close();
            return Err(error);
        }
        Ok((collector, stdin))
    }

    /// What become the program's 1 and 2.
    pub(crate) fn program_ends(&self) -> [BorrowedFd<'_>; 2] {
        [self.program_stdout.as_fd(), self.program_stderr.as_fd()]
    }

    fn watch(&self) -> Result<(), Error> {
        let inner = lock(&self.inner);
        if let Some(input) = &inner.input {
            self.reactor.watch(self.key, STDIN, input.pipe.as_fd(), EpollFlags::EPOLLOUT)?;
        }
        for (part, output) in [(STDOUT, &inner.stdout), (STDERR, &inner.stderr)] {
            if let Some(pipe) = &output.pipe {
                self.reactor.watch(self.key, part, pipe.as_fd(), EpollFlags::EPOLLIN)?;
            }
        }
        Ok(())
    }

    /// Something can be read or written, or the program has closed its end.
    pub(crate) fn ready(&self, part: u64, buffer: &mut [u8]) {
        let mut guard = lock(&self.inner);
        let inner = &mut *guard;
        let breach = match part {
            STDIN => {
                inner.feed(self.reactor);
                None
            }
            STDOUT => inner.stdout.take(self.reactor, buffer).1,
            _ => inner.stderr.take(self.reactor, buffer).1,
        };
        if let (Some(stream), None) = (breach, inner.breach) {
            inner.breach = Some(stream);
            drop(guard);
            if let Some(connection) = self.connection.upgrade() {
                connection.cancel(self.key);
            }
        }
    }

    /// The run is over: takes what is left in the pipes, and gives all of it.
    pub(crate) fn finish(&self, buffer: &mut [u8]) -> (Vec<u8>, Vec<u8>, Option<Stream>) {
        let mut guard = lock(&self.inner);
        let inner = &mut *guard;
        for output in [&mut inner.stdout, &mut inner.stderr] {
            for _ in 0..LAST_READS {
                let (more, breach) = output.take(self.reactor, buffer);
                inner.breach = inner.breach.or(breach);
                if !more {
                    break;
                }
            }
        }
        let result = (std::mem::take(&mut inner.stdout.bytes), std::mem::take(&mut inner.stderr.bytes), inner.breach);
        drop(guard);
        self.close();
        result
    }

    /// Closes what is open and forgets the rest.
    pub(crate) fn close(&self) {
        let mut inner = lock(&self.inner);
        if let Some(input) = inner.input.take() {
            self.reactor.unwatch(input.pipe.as_fd());
        }
        inner.stdout.close(self.reactor);
        inner.stderr.close(self.reactor);
        drop(inner);
        self.reactor.remove(self.key);
    }
}

/// Writes into a new pipe what it takes at once; mostly that is all, and nobody has to look after it.
fn feed(bytes: &[u8]) -> Result<(Option<OwnedFd>, Option<Input>), Error> {
    let Pipe { ours, theirs } = pipe::to_program()?;
    let written = match write(&ours, bytes) {
        Ok(count) => count,
        Err(Errno::EAGAIN | Errno::EINTR) => 0,
        Err(errno) => return Err(Error::MakePipe { errno: errno as i32 }),
    };
    let rest = bytes.get(written..).unwrap_or_default();
    let input = (!rest.is_empty()).then(|| Input { pipe: ours, rest: rest.to_vec(), written: 0 });
    Ok((Some(theirs), input))
}

impl Inner {
    fn feed(&mut self, reactor: &Reactor) {
        let Some(input) = &mut self.input else { return };
        match write(&input.pipe, input.rest.get(input.written..).unwrap_or_default()) {
            Ok(count) => input.written += count,
            Err(Errno::EAGAIN | Errno::EINTR) => return,
            // EPIPE: nobody will read it any more, which is the program's own affair.
            Err(_) => input.written = input.rest.len(),
        }
        if input.written >= input.rest.len() {
            reactor.unwatch(input.pipe.as_fd());
            self.input = None;
        }
    }
}

impl Output {
    /// Reads once. Whether there may be more, and the stream if this went over its limit.
    fn take(&mut self, reactor: &Reactor, buffer: &mut [u8]) -> (bool, Option<Stream>) {
        let Some(pipe) = &self.pipe else { return (false, None) };
        let room = self.limit.saturating_sub(self.bytes.len());
        // One byte more than may be kept tells a breach from an output of exactly the limit.
        let most = buffer.len().min(room.saturating_add(1));
        let Some(buffer) = buffer.get_mut(..most) else { return (false, None) };
        match read(pipe, buffer) {
            Ok(0) => {
                self.close(reactor);
                (false, None)
            }
            Ok(count) => {
                self.bytes.extend_from_slice(buffer.get(..count.min(room)).unwrap_or_default());
                if count > room {
                    self.close(reactor);
                    return (false, Some(self.stream));
                }
                (true, None)
            }
            Err(Errno::EINTR) => (true, None),
            Err(Errno::EAGAIN) => (false, None),
            Err(_) => {
                self.close(reactor);
                (false, None)
            }
        }
    }

    fn close(&mut self, reactor: &Reactor) {
        if let Some(pipe) = self.pipe.take() {
            reactor.unwatch(pipe.as_fd());
        }
    }
}
