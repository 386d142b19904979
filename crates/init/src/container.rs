//! Pid 1's command loop.
//!
//! One thread, one epoll over two descriptors: the socket to the host, and a signalfd for SIGCHLD (pid 1 has to reap orphans that
//! it never heard of, so a pidfd for each child of its own would be one more way to learn the same). Requests are answered in the
//! order in which they are done, not in which they came: a program that runs for ten seconds keeps no ping waiting. What would take
//! long is done in slices ([`crate::deletion`]) or elsewhere ([`crate::reset`]).
//!
//! The host is trusted, and what comes from it still decoded with bounds: a request that is not one means that the host and this
//! image do not belong together, and ends the container. Nothing else comes in: programs have neither the socket nor a way to
//! signal pid 1, which installs no handler and leaves every disposition at its default (a signal that would end it is not
//! delivered to a pid 1, pid_namespaces(7)).

use crate::deletion::{self, Deletion, Progress};
use crate::exec::{Plan, Spawner, plan};
use crate::files::{self, BATCH_MAX, Tickets};
use crate::identity::Ids;
use crate::reset::Resetter;
use crate::runs::Run;
use crate::setup::{Attached, Built, Tree};
use crate::sweep;
use hotcell_linux::epoll::Epoll;
use hotcell_linux::seqpacket::{self, RecvError, Wait};
use hotcell_linux::{errno, memfd, process, signal};
use hotcell_protocol::{
    Exec, Failure, Opened, Reply, ReplyBody, Request, RequestBody, Setup, Step, VERSION, codec,
};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

const TOKEN_HOST: u64 = 0;
const TOKEN_CHILDREN: u64 = 1;

/// A container, as its pid 1 knows it.
pub struct Container {
    socket: OwnedFd,
    ids: Ids,
    tree: Tree,
    attached: Attached,
    proc: Option<OwnedFd>,
    env: Vec<u8>,
    work_dir: Vec<u8>,
    runs: Vec<Run>,
    own_tag: Vec<u8>,
    tickets: Tickets,
    deletions: Vec<Deletion>,
    resetter: Resetter,
    /// Requests for a reset that wait for the last process to be gone.
    resets: Vec<u32>,
    /// What came behind them.
    deferred: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    out: Vec<u8>,
}

/// Room for a packet. Larger than malloc(3) takes from its heap, so that it is fresh memory of the kernel's, of which an idle
/// container only has the pages that a packet ever reached.
pub fn packet_buffer() -> Vec<u8> {
    const { assert!(codec::PACKET_MAX <= 256 * 1024) }
    vec![0; 256 * 1024]
}

/// Why the loop ended.
enum End {
    /// The host closed its end, or is gone.
    Host,
    /// Something that cannot be.
    Broken,
}

/// Serves until the host is gone; returns the exit code.
pub fn serve(mut container: Container) -> i32 {
    match container.run() {
        Ok(()) | Err(End::Host) => 0,
        Err(End::Broken) => 1,
    }
}

impl Container {
    /// A container that was set up.
    pub fn new(setup: &Setup, socket: OwnedFd, built: Built) -> Self {
        let Built { ids, tree, attached, proc } = built;
        Self {
            socket,
            ids,
            tree,
            attached,
            own_tag: proc.as_ref().and_then(|proc| sweep::tag(proc.as_fd(), "1")).unwrap_or_default(),
            proc,
            env: setup.env.to_vec(),
            work_dir: setup.work_dir.to_vec(),
            runs: Vec::new(),
            tickets: Tickets::default(),
            deletions: Vec::new(),
            resetter: Resetter::default(),
            resets: Vec::new(),
            deferred: VecDeque::new(),
            out: Vec::with_capacity(256),
        }
    }

    fn run(&mut self) -> Result<(), End> {
        let (epoll, children, spawner) = match self.prepare() {
            Ok(prepared) => prepared,
            Err(failure) => {
                self.reply(0, ReplyBody::Failed(failure), &[])?;
                return Err(End::Broken);
            }
        };
        self.reply(0, ReplyBody::Hello { version: VERSION }, &[])?;
        let mut buffer = packet_buffer();
        loop {
            let (mut request, mut ended) = (false, false);
            let timeout = if self.deletions.is_empty() { None } else { Some(0) };
            let waited = epoll.wait(timeout, |token, _| match token {
                TOKEN_HOST => request = true,
                _ => ended = true,
            });
            waited.map_err(|_| End::Broken)?;
            if ended {
                signal::drain(children.as_fd());
                self.reap(&spawner)?;
            }
            if request {
                self.receive(&mut buffer, &spawner)?;
            }
            self.advance_deletions()?;
        }
    }

    fn prepare(&self) -> Result<(Epoll, OwnedFd, Spawner), Failure> {
        let failed = |error: io::Error| Failure::new(Step::SetupKernel, errno(&error));
        self.enter_work_dir()?;
        let epoll = Epoll::new().map_err(failed)?;
        let children = signal::signalfd_only(libc::SIGCHLD).map_err(failed)?;
        epoll.add(self.socket.as_fd(), libc::EPOLLIN as u32, TOKEN_HOST).map_err(failed)?;
        epoll.add(children.as_fd(), libc::EPOLLIN as u32, TOKEN_CHILDREN).map_err(failed)?;
        Ok((epoll, children, Spawner::new().map_err(failed)?))
    }

    /// Programs start in the current directory of pid 1, so a run that wants no other pays for no chdir.
    fn enter_work_dir(&self) -> Result<(), Failure> {
        let enter = || {
            let path = crate::setup::terminated(&self.work_dir)?;
            let directory = crate::setup::open_in_root(self.tree.root(), &path, libc::O_PATH | libc::O_DIRECTORY, 0)?;
            hotcell_linux::file::fchdir(directory.as_fd())
        };
        enter().map_err(|error| Failure::new(Step::ChangeDirectory, errno(&error)).of(&self.work_dir))
    }

    fn reply(&mut self, id: u32, body: ReplyBody, fds: &[RawFd]) -> Result<(), End> {
        self.send(id, body, fds, None)
    }

    fn send(&mut self, id: u32, body: ReplyBody, fds: &[RawFd], pid: Option<i32>) -> Result<(), End> {
        self.out.clear();
        codec::encode(&Reply { id, body }, &mut self.out);
        seqpacket::send(self.socket.as_fd(), &self.out, fds, pid, Wait::Block).map_err(|_| End::Host)
    }

    fn done(&mut self, id: u32, result: Result<(), Failure>) -> Result<(), End> {
        let body = result.map_or_else(ReplyBody::Failed, |()| ReplyBody::Done);
        self.reply(id, body, &[])
    }

    fn receive(&mut self, buffer: &mut [u8], spawner: &Spawner) -> Result<(), End> {
        let received = match seqpacket::recv(self.socket.as_fd(), buffer, Wait::DontWait) {
            Ok(received) if received.len == 0 => return Err(End::Host),
            Ok(received) => received,
            Err(RecvError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(RecvError::Io(_)) => return Err(End::Host),
            Err(RecvError::Truncated) => return Err(End::Broken),
        };
        let packet = buffer.get(..received.len).ok_or(End::Broken)?;
        let (tag, inline) = codec::split(packet).map_err(|_| End::Broken)?;
        let mut fds = received.fds;
        if tag == codec::TAG_INLINE {
            return self.handle(inline, fds, spawner);
        }
        if fds.is_empty() {
            return Err(End::Broken);
        }
        let payload = fds.remove(0);
        let content = memfd::read_sealed(payload.as_fd(), codec::MEMFD_MAX).map_err(|_| End::Broken)?;
        self.handle(&content, fds, spawner)
    }

    fn handle(&mut self, payload: &[u8], fds: Vec<OwnedFd>, spawner: &Spawner) -> Result<(), End> {
        let Request { id, body } = codec::decode(payload).map_err(|_| End::Broken)?;
        // What comes after a reset shall find the new tree. Answers to runs in flight and pings are no part of it.
        let is_urgent = matches!(
            body,
            RequestBody::Ping | RequestBody::Resume(_) | RequestBody::Abort(_) | RequestBody::Kill { .. }
        );
        if !self.resets.is_empty() && !is_urgent {
            self.deferred.push_back((payload.to_vec(), fds));
            return Ok(());
        }
        match body {
            RequestBody::Ping => self.done(id, Ok(())),
            RequestBody::Execve(exec) => self.execute(id, &exec, fds, spawner),
            RequestBody::Kill { run, signal } => {
                self.kill(run, signal.into());
                Ok(())
            }
            RequestBody::Resume(run) => {
                let waiting = self.runs.iter_mut().find(|known| known.id == run).and_then(|run| run.waiting.as_mut());
                if let Some(waiting) = waiting {
                    waiting.resume();
                }
                Ok(())
            }
            RequestBody::Abort(run) => {
                self.kill(run, libc::SIGKILL);
                Ok(())
            }
            RequestBody::Open(list) => {
                if list.len() > BATCH_MAX {
                    return self.done(id, Err(Failure::new(Step::Request, libc::E2BIG)));
                }
                let (mut opened, mut fds) = (Vec::with_capacity(list.len()), Vec::with_capacity(list.len()));
                for file in &list {
                    opened.push(match files::open(&self.tree, &self.work_dir, file, &mut self.tickets) {
                        Ok((result, fd)) => {
                            fds.push(fd);
                            Ok(result)
                        }
                        // In a batch the host knows by its place which it was, and the answer has to fit a packet.
                        Err(failure) => Err(if list.len() > 1 { Failure::new(failure.step, failure.errno) } else { failure }),
                    });
                }
                self.opened(id, opened, &fds)
            }
            RequestBody::Commit(tickets) => {
                let result = self.tickets.commit(&tickets);
                self.done(id, result)
            }
            RequestBody::Discard(tickets) => {
                self.tickets.discard(&tickets);
                self.done(id, Ok(()))
            }
            RequestBody::Delete { path, recursive } => {
                let progress = deletion::start(&self.tree, &self.work_dir, id, path, recursive);
                self.delete_on(id, progress)
            }
            RequestBody::Symlink { target, path } => {
                let result = files::symlink(&self.tree, &self.work_dir, target, path);
                self.done(id, result)
            }
            RequestBody::Reset => {
                self.resets.push(id);
                for run in &mut self.runs {
                    run.killed = true;
                }
                let _ = process::kill(-1, libc::SIGKILL);
                self.reap(spawner)
            }
        }
    }

    fn opened(&mut self, id: u32, opened: Vec<Result<Opened, Failure>>, fds: &[OwnedFd]) -> Result<(), End> {
        let numbers: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        self.reply(id, ReplyBody::Opened(opened), &numbers)
    }

    fn execute(&mut self, id: u32, exec: &Exec<'_>, fds: Vec<OwnedFd>, spawner: &Spawner) -> Result<(), End> {
        let started_us = process::monotonic_us();
        match self.start(id, exec, fds, spawner, started_us) {
            Err(failure) => self.reply(id, ReplyBody::Failed(failure), &[]),
            Ok(run) => {
                let pid = run.pid;
                let has_sync_point = run.waiting.is_some();
                self.runs.push(run);
                if has_sync_point {
                    self.send(id, ReplyBody::SyncPoint, &[], Some(pid))?;
                } else if exec.flags.report_start {
                    self.send(id, ReplyBody::Started, &[], Some(pid))?;
                }
                Ok(())
            }
        }
    }

    fn start(
        &self,
        id: u32,
        exec: &Exec<'_>,
        fds: Vec<OwnedFd>,
        spawner: &Spawner,
        started_us: u64,
    ) -> Result<Run, Failure> {
        let Ids { init, program } = self.ids;
        let identity = (init != program).then_some((program.uid, program.gid));
        let fds = plan::clear_targets(fds).map_err(|error| Failure::new(Step::DupDescriptor, errno(&error)))?;
        let mut plan = Plan::new(exec, &self.env, fds, identity)?;
        // One run at a time may go without a tag of its own.
        let needs_tag = self.runs.iter().any(|run| run.tag.is_none());
        let namespaces = if needs_tag { libc::CLONE_NEWUTS as u64 } else { 0 };
        let limits = plan.limits;
        let (pid, setup_us, waiting) = if exec.flags.sync {
            let waiting = spawner.start_waiting(plan, namespaces)?;
            (waiting.pid, 0, Some(waiting))
        } else {
            let started = spawner.execute(&mut plan, namespaces)?;
            (started.pid, process::monotonic_us().saturating_sub(started_us), None)
        };
        let tag = needs_tag.then(|| {
            self.proc.as_ref().and_then(|proc| sweep::tag(proc.as_fd(), &pid.to_string())).unwrap_or_default()
        });
        Ok(Run { id, pid, tag, started_us, setup_us, limits, waiting, killed: false, end: None, sweeps: 0 })
    }

    /// Signals the main process of a run, which is ours to reap: the number is its own until then.
    fn kill(&mut self, id: u32, signal: i32) {
        if let Some(run) = self.runs.iter_mut().find(|run| run.id == id && run.end.is_none()) {
            run.killed |= signal == libc::SIGKILL;
            let _ = process::kill(run.pid, signal);
        }
    }

    /// Reaps whoever has ended, and reports the runs that this completes.
    fn reap(&mut self, spawner: &Spawner) -> Result<(), End> {
        let somebody_is_left = loop {
            match process::wait_any(false) {
                Ok(Some(reaped)) => {
                    if let Some(run) = self.runs.iter_mut().find(|run| run.pid == reaped.pid && run.end.is_none()) {
                        run.ended(&reaped);
                    }
                }
                Ok(None) => break true,
                // ECHILD: everybody's last parent has no child, so nobody is there.
                Err(_) => break false,
            }
        };
        if somebody_is_left {
            self.sweep();
        }
        let is_complete = |run: &Run, alone: bool| run.end.is_some() && (alone || run.sweeps == u32::MAX);
        while let Some(index) = self.runs.iter().position(|run| is_complete(run, !somebody_is_left)) {
            let run = self.runs.swap_remove(index);
            if let Some(end) = run.end {
                self.reply(run.id, end, &[])?;
            }
        }
        if !somebody_is_left && !self.resets.is_empty() {
            self.reset(spawner)?;
        }
        Ok(())
    }

    /// Kills what ended runs left behind. A run of which nothing is left gets `sweeps == u32::MAX`.
    fn sweep(&mut self) {
        if self.runs.iter().all(|run| run.end.is_some()) {
            // Nobody who is still there belongs to anybody.
            if !self.runs.is_empty() || !self.resets.is_empty() {
                let _ = process::kill(-1, libc::SIGKILL);
            }
            return;
        }
        if self.runs.iter().all(|run| run.end.is_none()) {
            return;
        }
        let Some(proc) = &self.proc else { return };
        let mains: Vec<i32> = self.runs.iter().filter(|run| run.end.is_none()).map(|run| run.pid).collect();
        let is_main = |pid| mains.contains(&pid);
        let Some(orphans) = sweep::orphans(proc.as_fd(), is_main) else { return };
        for run in self.runs.iter_mut().filter(|run| run.end.is_some()) {
            let tag = run.tag.as_ref().unwrap_or(&self.own_tag);
            if sweep::kill_tagged(proc.as_fd(), &orphans, tag).is_empty() {
                run.sweeps = u32::MAX;
            } else if run.sweeps < sweep::GENTLE_ROUNDS {
                run.sweeps += 1;
            } else {
                sweep::freeze_and_kill(proc, is_main, tag);
                run.sweeps = u32::MAX;
            }
        }
    }

    fn reset(&mut self, spawner: &Spawner) -> Result<(), End> {
        // Whoever waits for a deletion or a file of the old tree: it is gone, as was to be.
        for deletion in std::mem::take(&mut self.deletions) {
            self.done(deletion.id, Ok(()))?;
        }
        self.tickets.clear();
        let result = self
            .resetter
            .reset(&self.tree, &mut self.attached, self.ids.init, self.ids.program)
            .and_then(|()| self.enter_work_dir());
        for id in std::mem::take(&mut self.resets) {
            self.done(id, result.clone())?;
        }
        while let Some((payload, fds)) = self.deferred.pop_front() {
            self.handle(&payload, fds, spawner)?;
            if !self.resets.is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn delete_on(&mut self, id: u32, progress: Progress) -> Result<(), End> {
        match progress {
            Progress::Finished(result) => self.done(id, result),
            Progress::Unfinished(deletion) => {
                self.deletions.push(deletion);
                Ok(())
            }
        }
    }

    fn advance_deletions(&mut self) -> Result<(), End> {
        for deletion in std::mem::take(&mut self.deletions) {
            let id = deletion.id;
            self.delete_on(id, deletion.advance())?;
        }
        Ok(())
    }
}
