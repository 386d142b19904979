//! The public face of a container.

use crate::cgroups::{CgroupChoice, Groups, for_container};
use crate::connection::Connection;
use crate::error::{Error, errno};
use crate::event::{Batch, Event, RequestId, Sink};
use crate::launch::launch;
use crate::limits::{Limits, Shares};
use crate::pending::{Deadline, Kind};
use crate::pipe;
use crate::run::Collector;
use crate::seccomp::Seccomp;
use crate::trace::Trace;
use hotcell_linux::seqpacket;
use hotcell_protocol::{
    Exec, ExecFlags, Failure, Landlock, OpenFile, OpenHow, RLimit, RequestBody, Setup, Step, Terminal, WindowSize,
};
use hotcell_seccomp::Profile;
use nix::libc;
use serde_bytes::Bytes;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How long a container may take to come up.
const CREATE_SECONDS: u64 = 30;
/// How long a request may take that only touches the container's files.
const REQUEST_SECONDS: u64 = 10;
/// How long a reset may take.
const RESET_SECONDS: u64 = 30;
/// The most descriptors that a program can be given: those of a packet, less the memfd and the executable.
const PROGRAM_FDS_MAX: usize = 251;

/// A container, pre-forked: its init waits for requests.
///
/// Every method returns at once, with the [`RequestId`] under which its [`Event`]s arrive at the [`Sink`]; nothing that can
/// happen while a program runs is an error of the method itself. Requests overlap freely. Dropping the master destroys the container.
///
/// [`crate::blocking::Container`] is the same for threads that may wait.
pub struct Master {
    connection: Arc<Connection>,
    /// Of runs that bring none.
    seccomp: Seccomp,
}

/// What to execute. Strings are lists of NUL-terminated ones, laid end to end.
#[derive(Debug, Clone, Default)]
pub struct Program<'a> {
    /// The arguments; the first names the program and is looked up in the PATH of `env` unless it has a slash.
    pub args: &'a [u8],
    /// What is executed, whatever the first argument says. Give a sealed file to containers that must not see each other: a program
    /// can open what it was made from anew, through /proc/self/exe.
    pub executable: Option<BorrowedFd<'a>>,
    /// The whole environment; without one, the container's.
    pub env: Option<&'a [u8]>,
    /// The working directory; without one, the container's `work_dir`.
    pub cwd: Option<&'a [u8]>,
    /// Set in this order.
    pub rlimits: Vec<RLimit>,
    /// Resource limits among them are set after `rlimits`.
    pub limits: Limits,
    /// What system calls it may make; without one, what the container says.
    pub seccomp: Option<Seccomp>,
    /// What it may do with files and ports, beside what all programs may.
    pub landlock: Option<Landlock<'a>>,
    /// Have it supervised. Takes a host that lets init have a /proc, be it shown to programs or not.
    pub trace: Option<Trace<'a>>,
    /// Give it a terminal of this size as its descriptors 0, 1 and 2, and as its controlling terminal.
    pub terminal: Option<WindowSize>,
    /// Deliver [`Event::Timeline`] before its end: what it uses is looked at now and then, with at least so many microseconds in between. It
    /// is in a cgroup where that can be had.
    pub sample_us: Option<u32>,
    /// Deliver [`Event::SyncPoint`] before it is executed, and wait for [`Master::resume`] or [`Master::abort`].
    pub sync: bool,
    /// Deliver [`Event::Started`] once it is executed.
    pub report_start: bool,
}

impl<'a> Program<'a> {
    /// With these arguments, and defaults for all else.
    pub fn new(args: &'a [u8]) -> Self {
        Self { args, ..Self::default() }
    }
}

/// Which descriptors of a spawned program are pipes; the others are /dev/null.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pipes {
    /// Descriptor 0.
    pub stdin: bool,
    /// Descriptor 1.
    pub stdout: bool,
    /// Descriptor 2.
    pub stderr: bool,
}

/// Our ends of a spawned program's pipes: non-blocking, close-on-exec.
#[derive(Debug)]
pub struct Spawned {
    /// Of the run.
    pub id: RequestId,
    /// To write to.
    pub stdin: Option<OwnedFd>,
    /// To read from.
    pub stdout: Option<OwnedFd>,
    /// To read from.
    pub stderr: Option<OwnedFd>,
}

/// The descriptors that a program has as its own, or its terminal is connected to.
struct Streams<'a> {
    fds: &'a [BorrowedFd<'a>],
    /// What they are, with a terminal.
    keyboard: bool,
    screen: bool,
}

/// The program's 0, 1 and 2; or what its terminal is connected to. How many of them count.
fn standard_streams<'a>(
    (stdin, stdout, stderr): (Option<BorrowedFd<'a>>, Option<BorrowedFd<'a>>, Option<BorrowedFd<'a>>),
    has_terminal: bool,
    null: BorrowedFd<'a>,
) -> ([BorrowedFd<'a>; 3], usize) {
    match (has_terminal, stdin, stdout) {
        (false, ..) => ([stdin, stdout, stderr].map(|stream| stream.unwrap_or(null)), 3),
        (true, Some(keyboard), Some(screen)) => ([keyboard, screen, null], 2),
        (true, Some(end), None) | (true, None, Some(end)) => ([end, null, null], 1),
        (true, None, None) => ([null; 3], 0),
    }
}

impl Master {
    /// Starts to create a container. [`Event::Created`] or [`Event::Failed`] arrives under [`Master::id`], and at the end, in either
    /// case, [`Event::Closed`] under [`Master::closed_id`].
    ///
    /// The first container of a process starts its launcher, which takes a millisecond or two.
    pub fn create(setup: Setup, sink: &Arc<dyn Sink>) -> Result<Self, Error> {
        let seccomp = Seccomp::profile(Profile::Default)?;
        Self::create_in(setup, &CgroupChoice::Preferred, &Limits::default(), seccomp, sink)
    }

    /// The same, with a choice of cgroups that runs with limits are born in. `expected` are the limits that runs will have: an error if
    /// they cannot be held here, and if they need a cgroup, one is ready a moment after [`Event::Created`]. Without that the first run
    /// with limits makes it. `seccomp` is the policy of runs that bring none.
    pub fn create_in(
        setup: Setup,
        cgroup: &CgroupChoice,
        expected: &Limits,
        seccomp: Seccomp,
        sink: &Arc<dyn Sink>,
    ) -> Result<Self, Error> {
        let always = matches!(cgroup, CgroupChoice::Required(_));
        // Before the launcher is started, so that it is there too if this process has to move.
        let groups = for_container(cgroup)?.map(|made| Groups::new(made, always));
        let prepare = share(groups.as_ref(), expected, false)?.group.is_some();
        let entrance = groups.as_ref().map_or(Ok(None), Groups::init_entrance)?;
        let make_socket = |error| Error::MakeSocket { errno: errno(&error) };
        let (socket, end) = seqpacket::pair().map_err(make_socket)?;
        seqpacket::enable_credentials(socket.as_fd()).map_err(make_socket)?;
        let ids = (RequestId::next(), RequestId::next());
        let deadline = Deadline::after(CREATE_SECONDS, "the creation of a container");
        let connection = Connection::open(socket, ids, Arc::clone(sink), deadline, (groups, prepare))?;
        match launch(&connection, setup, end, entrance) {
            // Waits in the socket for init, which then makes a thread for it while the caller learns that the container is there.
            Ok(()) => match connection.filter(&seccomp, !always) {
                Ok(number) => connection.filters.set_usual(number),
                // It may have failed by now, for a reason of its own, which then counts.
                Err(error) => connection.not_created(error),
            },
            Err(error) => connection.not_launched(error, &mut Batch::default()),
        }
        Ok(Self { connection, seccomp })
    }

    pub(crate) fn connection(&self) -> Arc<Connection> {
        Arc::clone(&self.connection)
    }

    /// Of a connection that a test made.
    #[cfg(test)]
    pub(crate) fn of(connection: Arc<Connection>) -> Self {
        let seccomp = Seccomp::profile(Profile::Off).expect("there is nothing to compile");
        Self { connection, seccomp }
    }

    /// Where [`Event::Created`] arrives.
    pub fn id(&self) -> RequestId {
        self.connection.key()
    }

    /// Where [`Event::Closed`] arrives.
    pub fn closed_id(&self) -> RequestId {
        self.connection.closed_id()
    }

    /// Init's pid as this process sees it, once the launcher has said so.
    pub fn pid(&self) -> Option<u32> {
        self.connection.pid()
    }

    /// Asks for a sign of life: [`Event::Done`].
    pub fn ping(&self, sink: &Arc<dyn Sink>) -> RequestId {
        self.plain(RequestBody::Ping, REQUEST_SECONDS, "ping", sink)
    }

    /// Opens a regular file of the container: [`Event::File`]. `flags` and `mode` as for open(2).
    pub fn open(&self, path: &[u8], flags: i32, mode: u32, sink: &Arc<dyn Sink>) -> RequestId {
        self.open_as(path, OpenHow::Flags(flags), mode, sink)
    }

    /// Begins to replace a file (or to make one, with missing parents): [`Event::File`], to be written and then
    /// [committed](Master::commit) or [discarded](Master::discard) by its ticket.
    pub fn replace(&self, path: &[u8], mode: u32, sink: &Arc<dyn Sink>) -> RequestId {
        self.open_as(path, OpenHow::Replace, mode, sink)
    }

    fn open_as(&self, path: &[u8], how: OpenHow, mode: u32, sink: &Arc<dyn Sink>) -> RequestId {
        let kind = Kind::Open { replace: how == OpenHow::Replace };
        let body = RequestBody::Open(vec![OpenFile { path, how, mode }]);
        let id = RequestId::next();
        let deadline = Deadline::after(REQUEST_SECONDS, "open");
        self.connection.request(id, kind, Some(deadline), sink, body, &[]);
        id
    }

    /// Gives a replacement its name, atomically: [`Event::Done`].
    pub fn commit(&self, ticket: u32, sink: &Arc<dyn Sink>) -> RequestId {
        self.plain(RequestBody::Commit(vec![ticket]), REQUEST_SECONDS, "commit", sink)
    }

    /// Forgets a replacement: [`Event::Done`].
    pub fn discard(&self, ticket: u32, sink: &Arc<dyn Sink>) -> RequestId {
        self.plain(RequestBody::Discard(vec![ticket]), REQUEST_SECONDS, "discard", sink)
    }

    /// Deletes a file, an empty directory, or with `recursive` whatever is there: [`Event::Done`].
    pub fn delete(&self, path: &[u8], recursive: bool, sink: &Arc<dyn Sink>) -> RequestId {
        self.plain(RequestBody::Delete { path, recursive }, REQUEST_SECONDS, "delete", sink)
    }

    /// Makes a symbolic link, with missing parents: [`Event::Done`].
    pub fn symlink(&self, target: &[u8], path: &[u8], sink: &Arc<dyn Sink>) -> RequestId {
        self.plain(RequestBody::Symlink { target, path }, REQUEST_SECONDS, "symlink", sink)
    }

    /// Kills every run and puts fresh file systems in the place of what they wrote to: [`Event::Done`].
    pub fn reset(&self, sink: &Arc<dyn Sink>) -> RequestId {
        // What copies directories goes on in other threads, and is to end with this.
        self.connection.resets.fetch_add(1, Ordering::SeqCst);
        self.plain(RequestBody::Reset, RESET_SECONDS, "reset", sink)
    }

    fn plain(&self, body: RequestBody<'_>, seconds: u64, name: &'static str, sink: &Arc<dyn Sink>) -> RequestId {
        let id = RequestId::next();
        self.connection.request(id, Kind::Plain, Some(Deadline::after(seconds, name)), sink, body, &[]);
        id
    }

    /// Runs a program with these descriptors as its 0, 1, 2, … (/dev/null thrice, if there are none): [`Event::Ended`].
    ///
    /// The descriptors are looked at in this call and never after it.
    ///
    /// With a [terminal](Program::terminal) they are not the program's, but what the terminal is connected to: at most two pipes. From the first
    /// one comes what is typed; at its end, and without one, the end of file is typed. The second one takes what is shown, and when its last reader
    /// is gone, the terminal is hung up; without one that is thrown away.
    pub fn execve(&self, program: Program<'_>, fds: &[BorrowedFd<'_>], sink: &Arc<dyn Sink>) -> RequestId {
        let id = RequestId::next();
        let streams = Streams { fds, keyboard: !fds.is_empty(), screen: fds.len() > 1 };
        self.start(id, program, streams, None, sink);
        id
    }

    /// Runs a program whose descriptor 0 reads `input` and whose outputs are collected, up to `limit` bytes each:
    /// [`Event::Collected`]. One that writes more is killed. On a terminal the input is typed, and what is shown is its `stdout`.
    pub fn run(&self, program: Program<'_>, input: &[u8], limit: usize, sink: &Arc<dyn Sink>) -> RequestId {
        let id = RequestId::next();
        let started = pipe::null().and_then(|null| {
            let (collector, stdin) = Collector::start(self.connection.reactor, &self.connection, id, input, limit)?;
            Ok((null, collector, stdin))
        });
        match started {
            Ok((null, collector, stdin)) => {
                let [stdout, stderr] = collector.program_ends();
                let stdin = stdin.as_ref().map(AsFd::as_fd);
                let streams = (stdin, Some(stdout), Some(stderr));
                let (fds, count) = standard_streams(streams, program.terminal.is_some(), null);
                let fds = fds.get(..count).unwrap_or_default();
                let streams = Streams { fds, keyboard: stdin.is_some(), screen: true };
                self.start(id, program, streams, Some(Arc::clone(&collector)), sink);
            }
            Err(error) => Batch::default().deliver(Arc::clone(sink), id, Event::Failed(error)),
        }
        id
    }

    /// Runs a program with pipes, whose other ends are the caller's: [`Event::Ended`]. An error means that it was not started,
    /// and no event comes. On a terminal what is written to `stdin` is typed, what is shown is read from `stdout`, and there is no `stderr`.
    pub fn spawn(&self, program: Program<'_>, pipes: Pipes, sink: &Arc<dyn Sink>) -> Result<Spawned, Error> {
        let null = pipe::null()?;
        let stdin = pipes.stdin.then(pipe::to_program).transpose()?;
        let stdout = pipes.stdout.then(pipe::from_program).transpose()?;
        let has_terminal = program.terminal.is_some();
        let stderr = (pipes.stderr && !has_terminal).then(pipe::from_program).transpose()?;
        let id = RequestId::next();
        let [input, output, errors] =
            [&stdin, &stdout, &stderr].map(|pipe| pipe.as_ref().map(|pipe| pipe.theirs.as_fd()));
        let (fds, count) = standard_streams((input, output, errors), has_terminal, null);
        let fds = fds.get(..count).unwrap_or_default();
        let streams = Streams { fds, keyboard: stdin.is_some(), screen: stdout.is_some() };
        self.start(id, program, streams, None, sink);
        let [stdin, stdout, stderr] = [stdin, stdout, stderr].map(|pipe| pipe.map(|pipe| pipe.ours));
        Ok(Spawned { id, stdin, stdout, stderr })
    }

    fn start(
        &self,
        id: RequestId,
        program: Program<'_>,
        streams: Streams<'_>,
        collector: Option<Arc<Collector>>,
        sink: &Arc<dyn Sink>,
    ) {
        let fail = |error| {
            if let Some(collector) = &collector {
                collector.close();
            }
            Batch::default().deliver(Arc::clone(sink), id, Event::Failed(error));
        };
        let Streams { fds, keyboard, screen } = streams;
        let count = fds.len();
        let terminal = program.terminal.map(|size| Terminal { size, keyboard, screen });
        if terminal.is_some_and(|terminal| terminal.descriptors() != count) {
            return fail(Error::Perform(Failure::new(Step::OpenTerminal, libc::EINVAL)));
        }
        let most = PROGRAM_FDS_MAX - usize::from(program.trace.is_some());
        if count > most {
            let failure = Failure::new(Step::DupDescriptor, libc::E2BIG).at(most as u32);
            return fail(Error::Perform(failure));
        }
        let Program {
            args,
            executable,
            env,
            cwd,
            mut rlimits,
            limits,
            seccomp,
            landlock,
            trace,
            sample_us,
            sync,
            report_start,
            ..
        } = program;
        let groups = self.connection.groups.as_ref();
        let policy = seccomp.as_ref().unwrap_or(&self.seccomp);
        let asking = trace.as_ref().map(|trace| trace.tracing.filter(policy)).transpose();
        let filter = asking.and_then(|asking| self.connection.filter(asking.as_ref().unwrap_or(policy), false));
        let filter = match filter {
            Ok(filter) => filter,
            Err(error) => return fail(error),
        };
        let leased = share(groups, &limits, sample_us.is_some()).and_then(|shares| {
            let lease = shares.group.as_ref().map_or(Ok(None), |limits| self.connection.lease(limits, filter))?;
            Ok((shares, lease))
        });
        let (shares, lease) = match leased {
            Ok(leased) => leased,
            Err(error) => return fail(error),
        };
        let asked = rlimits.len() as u32;
        let (more, names): (Vec<_>, Vec<_>) = shares.resources.into_iter().unzip();
        rlimits.extend(more);
        let body = RequestBody::Execve(Exec {
            args,
            env: env.map(Bytes::new),
            cwd: cwd.map(Bytes::new),
            rlimits,
            limits: shares.init,
            group: lease.as_ref().map(|lease| lease.numbered.as_run_group()),
            filter,
            landlock: landlock.map(Box::new),
            trace: trace.as_ref().map(|trace| Box::new(trace.tracing.config().clone())),
            terminal,
            sample_us: sample_us.unwrap_or(0),
            fds: if terminal.is_some() { 0 } else { count as u32 },
            flags: ExecFlags { execute_fd: executable.is_some(), sync, report_start },
        });
        let (limits, resources) = (Box::new(limits), (asked, names));
        let timeline = sample_us.is_some();
        let kind = Kind::Run { sync, report_start, timeline, collector, limits, lease, resources };
        // The executable comes first, the events last.
        let events = trace.as_ref().map(|trace| trace.events);
        let all: Vec<_>;
        let fds = if executable.is_none() && events.is_none() {
            fds
        } else {
            all = executable.into_iter().chain(fds.iter().copied()).chain(events).collect();
            &all
        };
        self.connection.request(id, kind, None, sink, body, fds);
    }

    /// Lets a run pass its sync point.
    pub fn resume(&self, run: RequestId) {
        self.connection.answer_sync(run, true);
    }

    /// Ends a run at its sync point: its program is never executed.
    pub fn abort(&self, run: RequestId) {
        self.connection.answer_sync(run, false);
    }

    /// Sends a signal to the main process of a run. One that is over is ignored.
    pub fn kill(&self, run: RequestId, signal: u8) {
        self.connection.kill(run, signal);
    }

    /// Gives the terminal of a run another size. One that is over, or has none, is ignored.
    pub fn resize(&self, run: RequestId, size: WindowSize) {
        self.connection.resize(run, size);
    }

    /// Kills a run. If init has not reported its end 10 seconds later, the container is killed.
    pub fn cancel(&self, run: RequestId) {
        self.connection.cancel(run);
    }

    /// Whether it is as a reset leaves it: the last request that could change anything was a run, and nothing is left of that or of any
    /// before. `false` if that is not known; it is known of no container that was never reset.
    pub fn is_untouched(&self) -> bool {
        self.connection.is_untouched()
    }

    /// Kills the container with everything in it. [`Event::Closed`] tells when that is done; doing it again does nothing.
    pub fn destroy(&self) {
        self.connection.destroy();
    }
}

/// Divides the work of holding limits, as far as it can be done here. `counted`: in a cgroup if there are any, whatever the limits.
fn share(groups: Option<&Groups>, limits: &Limits, counted: bool) -> Result<Shares, Error> {
    groups.map_or(Ok(()), |groups| groups.check_cpus(limits))?;
    let always = counted || groups.is_some_and(|groups| groups.always);
    limits.share(groups.map(|groups| groups.controllers), always)
}

impl Drop for Master {
    fn drop(&mut self) {
        self.connection.destroy();
    }
}

impl std::fmt::Debug for Master {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Master").field("id", &self.id()).field("pid", &self.pid()).finish()
    }
}
