//! Pid 1's command loop.
//!
//! One thread, one epoll over the socket to the host, a signalfd for SIGCHLD (pid 1 has to reap orphans that it never heard of, so a
//! pidfd for each child of its own would be one more way to learn the same), and for runs that were started beside others the pipe that
//! tells when the program is executed. Requests are answered in the
//! order in which they are done, not in which they came: a program that runs for ten seconds keeps no ping waiting. What would take
//! long is done in slices ([`crate::deletion`]) or elsewhere ([`crate::reset`]).
//!
//! The host is trusted, and what comes from it still decoded with bounds: a request that is not one means that the host and this
//! image do not belong together, and ends the container. Nothing else comes in: programs have neither the socket nor a way to
//! signal pid 1, which installs no handler and leaves every disposition at its default (a signal that would end it is not
//! delivered to a pid 1, pid_namespaces(7)).

use crate::deletion::{self, Deletion};
use crate::exec::forker::Filter;
use crate::exec::{Plan, Progress, Spawner, plan};
use crate::files::{self, BATCH_MAX, Tickets};
use crate::groups::Group;
use crate::identity::Ids;
use crate::landlock;
use crate::reset::Resetter;
use crate::runs::{Run, unborn};
use crate::setup::{Attached, Built, EnterAnywhere, Tree};
use crate::slots::{Slots, Surroundings};
use crate::sweep::{self, Tag, Thaw};
use crate::timeline::Timeline;
use crate::trace::{Trace, Word};
use crate::tree::Places;
use crate::tty::{Devpts, Ends, Terminal};
use crate::watch::{self, Breach, Sum, Wanted, Watch};
use hotcell_linux::affinity::Cpus;
use hotcell_linux::epoll::Epoll;
use hotcell_linux::eventfd::EventFd;
use hotcell_linux::seqpacket::{self, RecvError, Wait};
use hotcell_linux::{errno, memfd, process, signal};
use hotcell_protocol::{
    Exec, Failure, GroupFiles, Opened, Reach, Reply, ReplyBody, Request, RequestBody, Resource, Setup, Step,
    TraceConfig, VERSION, Verdict, codec,
};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;

const TOKEN_HOST: u64 = 0;
const TOKEN_CHILDREN: u64 = 1;
const TOKEN_THREADS: u64 = 2;
/// From here on: the progress of a run, by its id.
const TOKEN_RUNS: u64 = 3;
/// From here on: the listener of a slot, by its id.
const TOKEN_LISTENERS: u64 = 1 << 33;
/// From here on: what a supervisor says, by the id of its run.
const TOKEN_SUPERVISORS: u64 = 1 << 34;
/// From here on: the terminal of a run, by its id.
const TOKEN_TERMINALS: u64 = 1 << 35;
/// How long to wait until looking again for what a run left, in milliseconds: nobody tells of a process that ends traced.
const SWEEP_MS: i32 = 5;

/// A container, as its pid 1 knows it.
pub struct Container {
    socket: OwnedFd,
    ids: Ids,
    user_namespace: bool,
    tree: Tree,
    attached: Attached,
    proc: Option<OwnedFd>,
    devpts: Devpts,
    env: Vec<u8>,
    work_dir: Vec<u8>,
    /// Whether programs get cgroup namespaces of their own, because pid 1 has none.
    hides_cgroup: bool,
    runs: Vec<Run>,
    groups: Vec<Rc<Group>>,
    slots: Slots,
    thaw: Thaw,
    /// The tag of pid 1, and of what it clones.
    own_tag: Tag,
    /// What it had at the end of the set-up, where programs can change it, see [`Container::reset`].
    limits: Vec<(u64, u64)>,
    tickets: Tickets,
    deletions: Vec<Deletion>,
    resetter: Resetter,
    /// What programs could get at since the last reset.
    reached: Reach,
    /// Whether there may be more to reap than was.
    is_reaping: bool,
    /// How many resets were asked for, ever.
    resets_asked: u32,
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

/// How many ended processes are reaped before the host is listened to again: programs can make orphans as fast as we reap them.
const REAP_SLICE: usize = 128;
/// After how many looks that found nobody alive a run is over although there may be more to reap.
const REAP_ROUNDS: u32 = 64;

/// How the living processes of a run are found.
struct Look {
    main: Option<i32>,
    /// Nobody else is in the container.
    is_only: bool,
    tag: Option<Tag>,
}

impl Look {
    fn of(run: &Run, is_only: bool) -> Self {
        let tag = match &run.slot {
            None => Some(run.tag.clone()),
            Some(slot) => slot.forker.tag().cloned(),
        };
        Self { main: run.child.pid(), is_only, tag }
    }

    /// What they use.
    fn sum(&self, proc: Option<&OwnedFd>, wanted: Wanted) -> Sum {
        let (Some(proc), Some(own_tag)) = (proc, &self.tag) else {
            let cpu_us = self.main.and_then(process::cpu_time_us).unwrap_or(0);
            return Sum { cpu_us, threads: self.main.is_some().into(), ..Sum::default() };
        };
        let is_its = |pid: &i32| {
            self.is_only || Some(*pid) == self.main || sweep::tag(proc.as_fd(), *pid).is_some_and(|tag| tag == *own_tag)
        };
        watch::sum(proc.as_fd(), watch::processes(proc).into_iter().filter(is_its), wanted)
    }
}

/// What the loop waits and clones with.
struct Kernel {
    epoll: Rc<Epoll>,
    children: OwnedFd,
    /// What the threads that clone programs notify.
    news: Arc<EventFd>,
    spawner: Spawner,
    /// How many CPUs there are.
    cpus: u32,
}

/// The limits of this process, every resource of the kernel.
fn own_limits() -> Vec<(u64, u64)> {
    Resource::ALL.iter().map(|resource| process::rlimit(resource.number()).unwrap_or_default()).collect()
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
    let code = match container.run() {
        Ok(()) | Err(End::Host) => 0,
        Err(End::Broken) => 1,
    };
    // Not dropped: its threads would be waited for, and one may stand with a child at a sync point.
    std::mem::forget(container);
    code
}

fn surroundings<'a>(ids: Ids, proc: Option<&'a OwnedFd>, hides_cgroup: bool, kernel: &'a Kernel) -> Surroundings<'a> {
    Surroundings { init: ids.init, proc, hides_cgroup, news: &kernel.news }
}

impl Container {
    /// A container that was set up.
    pub fn new(setup: &Setup, hides_cgroup: bool, socket: OwnedFd, built: Built) -> Self {
        let Built { ids, tree, attached, proc, user_namespace } = built;
        Self {
            socket,
            ids,
            user_namespace,
            tree,
            attached,
            own_tag: proc.as_ref().and_then(|proc| sweep::tag(proc.as_fd(), 1)).unwrap_or_default(),
            limits: if ids.init == ids.program { own_limits() } else { Vec::new() },
            proc,
            devpts: Devpts::default(),
            env: setup.env.to_vec(),
            work_dir: setup.work_dir.to_vec(),
            hides_cgroup,
            runs: Vec::new(),
            groups: Vec::new(),
            slots: Slots::default(),
            thaw: Thaw::default(),
            tickets: Tickets::default(),
            deletions: Vec::new(),
            resetter: Resetter::default(),
            reached: Reach::default(),
            is_reaping: false,
            resets_asked: 0,
            resets: Vec::new(),
            deferred: VecDeque::new(),
            out: Vec::with_capacity(256),
        }
    }

    fn run(&mut self) -> Result<(), End> {
        let kernel = match self.prepare() {
            Ok(kernel) => kernel,
            Err(failure) => {
                self.reply(0, ReplyBody::Failed(failure), &[])?;
                return Err(End::Broken);
            }
        };
        self.reply(0, ReplyBody::Hello { version: VERSION }, &[])?;
        let mut buffer = packet_buffer();
        loop {
            let (mut request, mut ended, mut progress, mut threads, mut refused) = (false, false, false, false, false);
            let mut said = false;
            let mut terminals = Vec::new();
            let is_sweeping = self.runs.iter().any(|run| run.end.is_some() || run.killed);
            let waited = kernel.epoll.wait(self.timeout_ms(is_sweeping), |token, events| match token {
                TOKEN_HOST => request = true,
                TOKEN_CHILDREN => ended = true,
                TOKEN_THREADS => threads = true,
                token if token >= TOKEN_TERMINALS => terminals.push((token - TOKEN_TERMINALS, events)),
                token if token >= TOKEN_SUPERVISORS => said = true,
                token if token >= TOKEN_LISTENERS => refused = true,
                _ => progress = true,
            });
            waited.map_err(|_| End::Broken)?;
            if threads {
                kernel.news.drain();
                self.note_threads(&kernel)?;
            }
            if refused {
                self.note_disallowed();
            }
            if said {
                self.note_supervisors(&kernel);
            }
            if progress {
                self.note_progress(&kernel)?;
            }
            self.serve_terminals(&terminals);
            if ended {
                signal::drain(kernel.children.as_fd());
            }
            if ended || is_sweeping || self.is_reaping {
                self.reap(&kernel)?;
            }
            // After the ends: who has ended by itself is judged by what it used.
            self.watch_limits();
            self.thaw();
            self.take_samples();
            if request {
                self.receive(&mut buffer, &kernel)?;
            }
            self.advance_deletions()?;
        }
    }

    /// How long there is nothing to do by itself.
    fn timeout_ms(&self, is_sweeping: bool) -> Option<i32> {
        if self.is_reaping || !self.deletions.is_empty() {
            return Some(0);
        }
        let typing = self.runs.iter().filter_map(|run| run.terminal.as_ref()).map(Terminal::next_us);
        let thaw = (!self.runs.is_empty()).then(|| self.thaw.next_us());
        let next_us = self.runs.iter().map(|run| run.next_us()).chain(typing).chain(thaw).min();
        let next_us = next_us.filter(|next| *next < u64::MAX);
        // Rounded up, so that nobody looks too early.
        let left_ms = next_us.map(|next| next.saturating_sub(process::monotonic_us()).div_ceil(1000));
        let left_ms = left_ms.map(|left| i32::try_from(left).unwrap_or(i32::MAX));
        let sweep_ms = is_sweeping.then_some(SWEEP_MS);
        [left_ms, sweep_ms].into_iter().flatten().min()
    }

    fn prepare(&self) -> Result<Kernel, Failure> {
        let failed = |error: io::Error| Failure::new(Step::SetupKernel, errno(&error));
        self.enter_work_dir()?;
        let epoll = Rc::new(Epoll::new().map_err(failed)?);
        let children = signal::signalfd_only(libc::SIGCHLD).map_err(failed)?;
        epoll.add(self.socket.as_fd(), libc::EPOLLIN as u32, TOKEN_HOST).map_err(failed)?;
        epoll.add(children.as_fd(), libc::EPOLLIN as u32, TOKEN_CHILDREN).map_err(failed)?;
        let news = Arc::new(EventFd::new().map_err(failed)?);
        epoll.add(news.as_fd(), libc::EPOLLIN as u32, TOKEN_THREADS).map_err(failed)?;
        Ok(Kernel {
            epoll,
            children,
            news,
            spawner: Spawner::new().map_err(failed)?,
            cpus: Cpus::of_this_thread().map_or(1, |cpus| cpus.count()),
        })
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
        match seqpacket::send(self.socket.as_fd(), &self.out, fds, pid, Wait::Block) {
            // The process is gone already: its end is reported next.
            Err(error) if pid.is_some() && error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other.map_err(|_| End::Host),
        }
    }

    fn done(&mut self, id: u32, result: Result<(), Failure>) -> Result<(), End> {
        let body = result.map_or_else(ReplyBody::Failed, |()| ReplyBody::Done);
        self.reply(id, body, &[])
    }

    fn receive(&mut self, buffer: &mut [u8], kernel: &Kernel) -> Result<(), End> {
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
            if received.fds_lost {
                let Request { id, .. } = codec::decode(inline).map_err(|_| End::Broken)?;
                return self.done(id, Err(Failure::new(Step::Request, libc::EMFILE)));
            }
            return self.handle(inline, fds, kernel);
        }
        if fds.is_empty() {
            return Err(End::Broken);
        }
        let payload = fds.remove(0);
        let content = memfd::read_sealed(payload.as_fd(), codec::MEMFD_MAX).map_err(|_| End::Broken)?;
        self.handle(&content, fds, kernel)
    }

    fn handle(&mut self, payload: &[u8], fds: Vec<OwnedFd>, kernel: &Kernel) -> Result<(), End> {
        let Request { id, body } = codec::decode(payload).map_err(|_| End::Broken)?;
        // What comes after a reset shall find the new tree. Answers to runs in flight and pings are no part of it.
        let is_urgent = matches!(
            body,
            RequestBody::Ping
                | RequestBody::Resume(_)
                | RequestBody::Abort(_)
                | RequestBody::Kill { .. }
                | RequestBody::AddGroup { .. }
                | RequestBody::RemoveGroup(_)
                | RequestBody::AddFilter { .. }
                | RequestBody::RemoveFilter(_)
        );
        if !self.resets.is_empty() && !is_urgent {
            self.deferred.push_back((payload.to_vec(), fds));
            return Ok(());
        }
        match body {
            RequestBody::Ping => self.done(id, Ok(())),
            RequestBody::Execve(exec) => self.execute(id, &exec, fds, kernel),
            RequestBody::Kill { run, signal } => {
                if i32::from(signal) == libc::SIGKILL && self.cancel_deferred(run) {
                    let now = process::monotonic_us();
                    return self.reply(run, unborn(Verdict::Signaled(signal), now), &[]);
                }
                self.kill(run, signal.into());
                Ok(())
            }
            RequestBody::Resize { run, size } => {
                let resized = self.runs.iter().find(|known| known.id == run && known.end.is_none());
                if let Some(terminal) = resized.and_then(|run| run.terminal.as_ref()) {
                    terminal.resize(size);
                }
                Ok(())
            }
            RequestBody::Resume(run) => {
                if let Some(run) = self.runs.iter().find(|known| known.id == run) {
                    run.child.resume();
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
                        Err(failure) => {
                            Err(if list.len() > 1 { Failure::new(failure.step, failure.errno) } else { failure })
                        }
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
            RequestBody::List { resets, .. }
            | RequestBody::Read { resets, .. }
            | RequestBody::Fill { resets, .. }
            | RequestBody::Settle { resets, .. }
            | RequestBody::Unmake { resets, .. }
                if resets != self.resets_asked =>
            {
                self.done(id, Err(Failure::new(Step::OutliveReset, libc::ESTALE)))
            }
            RequestBody::List { base, directory, offset, .. } => match self.places().list(base, directory, offset) {
                Ok(listing) => self.reply(id, ReplyBody::Listed(listing), &[]),
                Err(failure) => self.done(id, Err(failure)),
            },
            RequestBody::Read { base, directory, names, .. } => match self.places().read(base, directory, &names) {
                Ok((opened, fds)) => self.opened(id, opened, &fds),
                Err(failure) => self.done(id, Err(failure)),
            },
            RequestBody::Fill { base, items, .. } => {
                let mut tickets = std::mem::take(&mut self.tickets);
                let filled = self.places().fill(base, &items, &mut tickets);
                self.tickets = tickets;
                match filled {
                    Ok((filled, fds)) => {
                        let numbers: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
                        self.reply(id, ReplyBody::Filled(filled), &numbers)
                    }
                    Err(failure) => self.done(id, Err(failure)),
                }
            }
            RequestBody::Settle { base, items, .. } => {
                let mut tickets = std::mem::take(&mut self.tickets);
                let settled = self.places().settle(base, &items, &mut tickets);
                self.tickets = tickets;
                self.done(id, settled)
            }
            RequestBody::Unmake { base, .. } => {
                let progress = deletion::start(&self.tree, &self.work_dir, id, base, true);
                self.delete_on(id, progress)
            }
            RequestBody::AddGroup { group, files, filter } => {
                match self.add_group(id, group, files, filter, fds, kernel) {
                    Ok(()) => Ok(()),
                    Err(failure) => self.reply(id, ReplyBody::Failed(failure), &[]),
                }
            }
            RequestBody::AddFilter { filter, warm } => {
                let added = Filter::new(&filter);
                let added = added.and_then(|filter| self.slots.add_filter(filter));
                let started = added.and_then(|()| {
                    if !warm {
                        return Ok(None);
                    }
                    let around = surroundings(self.ids, self.proc.as_ref(), self.hides_cgroup, kernel);
                    self.slots.start(None, filter.filter, &around).map(Some)
                });
                match started {
                    Ok(None) => self.done(id, Ok(())),
                    Ok(Some(slot)) => {
                        slot.request.set(Some(id));
                        Ok(())
                    }
                    Err(failure) => self.done(id, Err(failure)),
                }
            }
            RequestBody::RemoveFilter(filter) => {
                self.slots.remove_filter(filter);
                Ok(())
            }
            RequestBody::RemoveGroup(group) => {
                let busy = self.runs.iter().any(|run| run.group().is_some_and(|known| known.number == group));
                if busy {
                    return self.done(id, Err(Failure::new(Step::Request, libc::EBUSY)));
                }
                // Their threads leave it.
                self.slots.retain(|slot| slot.group.as_ref().is_none_or(|known| known.number != group));
                self.groups.retain(|known| known.number != group);
                self.done(id, Ok(()))
            }
            RequestBody::Reset => {
                self.resets_asked = self.resets_asked.wrapping_add(1);
                self.resets.push(id);
                for run in &mut self.runs {
                    run.killed = true;
                    // Also who is not there yet.
                    run.child.signal(libc::SIGKILL);
                }
                for trace in self.runs.iter_mut().filter_map(|run| run.trace.as_mut()) {
                    trace.give_up();
                }
                if !self.runs.is_empty() {
                    let _ = process::kill(-1, libc::SIGKILL);
                }
                // Finds out, for less, whether there is anybody without a run, and kills if there is.
                self.reap(kernel)
            }
        }
    }

    fn places(&self) -> Places<'_> {
        Places { tree: &self.tree, attached: &self.attached, work_dir: &self.work_dir }
    }

    fn opened(&mut self, id: u32, opened: Vec<Result<Opened, Failure>>, fds: &[OwnedFd]) -> Result<(), End> {
        let numbers: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        self.reply(id, ReplyBody::Opened(opened), &numbers)
    }

    fn execute(&mut self, id: u32, exec: &Exec<'_>, fds: Vec<OwnedFd>, kernel: &Kernel) -> Result<(), End> {
        let run = match self.start(id, exec, fds, kernel) {
            Ok(run) => run,
            Err(failure) => return self.reply(id, ReplyBody::Failed(failure), &[]),
        };
        // Of one that runs beside us we hear when.
        let runs_already = run.child.progress().is_none();
        let pid = run.child.pid();
        self.runs.push(run);
        if runs_already && exec.flags.report_start {
            self.send(id, ReplyBody::Started, &[], pid)?;
        }
        Ok(())
    }

    fn start(&mut self, id: u32, exec: &Exec<'_>, fds: Vec<OwnedFd>, kernel: &Kernel) -> Result<Run, Failure> {
        let started_us = process::monotonic_us();
        let failed = |error: io::Error| Failure::new(Step::CloneChild, errno(&error));
        let (fds, trace) = self.take_trace(exec, fds)?;
        let (fds, terminal) = self.take_terminal(id, exec, fds, kernel)?;
        let Ids { init, program } = self.ids;
        let identity = (init != program).then_some((program.uid, program.gid));
        let fds = plan::clear_targets(fds).map_err(|error| Failure::new(Step::DupDescriptor, errno(&error)))?;
        let mut plan = Plan::new(exec, &self.env, fds, identity)?;
        // (A slot has its own say.)
        plan.hides_cgroup = self.hides_cgroup;
        if let Some(rules) = &exec.landlock
            && let Some(ruleset) = landlock::ruleset(&self.tree, &self.work_dir, rules)?
        {
            plan.restrict(ruleset).map_err(failed)?;
        }
        if exec.flags.sync {
            let terminals = self.runs.iter().filter_map(|run| run.terminal.as_ref()).chain(&terminal);
            plan.withhold(terminals.flat_map(Terminal::descriptors));
        }
        let limits = plan.limits;
        let group = match &exec.group {
            None => None,
            Some(wanted) => {
                let known = self.groups.iter().find(|group| group.number == wanted.group);
                Some((*wanted, Rc::clone(known.ok_or_else(|| Failure::new(Step::Request, libc::ENOENT))?)))
            }
        };
        let known = group.as_ref().map(|(wanted, group)| (*wanted, &**group));
        let watch = Watch::new(exec.limits, known, started_us, kernel.cpus);
        let mut setup_us = 0;
        let slot = if group.is_some() || exec.filter != 0 {
            let around = surroundings(self.ids, self.proc.as_ref(), self.hides_cgroup, kernel);
            Some(self.slots.take(group.as_ref().map(|(_, group)| group), exec.filter, &around)?)
        } else {
            None
        };
        if let Some(most) = exec.limits.processes {
            // Where programs have pid 1's identity, its own threads count, the one that will clone this one included.
            let supervisors = self.runs.iter().filter(|run| run.trace.is_some()).count() + usize::from(trace.is_some());
            let own = 1 + supervisors as u64 + self.resetter.threads() + self.slots.threads();
            let own = if init == program { own } else { 0 };
            plan.limit_processes(most.saturating_add(own));
        }
        self.reached = self.reached.or(slot.as_ref().map_or(Reach::ALL, |slot| slot.forker.reach()));
        let child = if let Some(slot) = &slot {
            let cloned = slot.forker.clone_child(plan, exec.flags.sync || exec.flags.report_start);
            if cloned.is_err() {
                self.slots.release(slot);
            }
            cloned?
        } else {
            self.take_fresh_tag().map_err(failed)?;
            if exec.flags.sync || !self.runs.is_empty() {
                kernel.spawner.start_beside(plan)?
            } else {
                let child = kernel.spawner.execute(plan)?;
                setup_us = process::monotonic_us().saturating_sub(started_us);
                child
            }
        };
        if let Some(progress) = child.progress()
            && let Err(error) = kernel.epoll.add(progress, libc::EPOLLIN as u32, TOKEN_RUNS + u64::from(id))
        {
            child.signal(libc::SIGKILL);
            if slot.is_none()
                && let Some(pid) = child.pid()
            {
                process::wait_for(pid);
            }
            return Err(failed(error));
        }
        Ok(Run {
            id,
            child,
            tag: if slot.is_some() { Tag::new() } else { self.own_tag.clone() },
            slot,
            started_us,
            setup_us,
            limits,
            watch,
            breach: None,
            report_start: exec.flags.report_start,
            killed: false,
            end: None,
            orphans: process::ChildUsage::default(),
            sweeps: 0,
            quiet_sweeps: 0,
            is_swept: false,
            group_killed: false,
            trace,
            terminal,
            timeline: (exec.sample_us > 0).then(|| Timeline::new(exec.sample_us, started_us)),
        })
    }

    /// The terminal that is asked for, and the other descriptors, with its slave in the place of the host's ends.
    fn take_terminal(
        &mut self,
        id: u32,
        exec: &Exec<'_>,
        mut fds: Vec<OwnedFd>,
        kernel: &Kernel,
    ) -> Result<(Vec<OwnedFd>, Option<Terminal>), Failure> {
        let Some(wanted) = exec.terminal else { return Ok((fds, None)) };
        let executables = usize::from(exec.flags.execute_fd);
        if exec.fds != 0 || fds.len() != executables + wanted.descriptors() {
            return Err(Failure::new(Step::OpenTerminal, libc::EBADF));
        }
        let mut ends = fds.split_off(executables).into_iter();
        let ends = Ends {
            keyboard: wanted.keyboard.then(|| ends.next()).flatten(),
            screen: wanted.screen.then(|| ends.next()).flatten(),
        };
        let pair = self.devpts.open(&self.tree, self.ids, wanted.size)?;
        let failed = |error: io::Error| Failure::new(Step::OpenTerminal, errno(&error));
        fds.push(pair.slave.try_clone().map_err(failed)?);
        let terminal = Terminal::new(pair, ends, &kernel.epoll, TOKEN_TERMINALS + u64::from(id))?;
        Ok((fds, Some(terminal)))
    }

    /// Moves what is typed and shown, where these events say so or it is time.
    fn serve_terminals(&mut self, events: &[(u64, u32)]) {
        for (id, events) in events {
            let run = self.runs.iter_mut().find(|run| u64::from(run.id) == *id);
            if let Some(terminal) = run.and_then(|run| run.terminal.as_mut()) {
                terminal.advance(*events);
            }
        }
        if self.runs.iter().all(|run| run.terminal.is_none()) {
            return;
        }
        let now = process::monotonic_us();
        for terminal in self.runs.iter_mut().filter_map(|run| run.terminal.as_mut()) {
            if terminal.next_us() <= now {
                terminal.advance(0);
            }
        }
    }

    /// The tracing that is asked for, and the other descriptors.
    fn take_trace(&self, exec: &Exec<'_>, mut fds: Vec<OwnedFd>) -> Result<(Vec<OwnedFd>, Option<Trace>), Failure> {
        let Some(config) = &exec.trace else { return Ok((fds, None)) };
        let invalid = |errno| Failure::new(Step::UseTrace, errno);
        if exec.filter == 0 {
            return Err(invalid(libc::EINVAL));
        }
        // Paths are judged by it, and who kills the rest of a run tells its supervisor apart.
        if self.proc.is_none() {
            return Err(invalid(libc::ENOENT));
        }
        let events = fds.pop().ok_or_else(|| invalid(libc::EBADF))?;
        let config = TraceConfig { program_uid: self.ids.program.uid, ..(**config).clone() };
        Ok((fds, Some(Trace::new(config, events))))
    }

    /// Starts the supervisors of programs that stand behind their execve.
    fn start_supervisors(&mut self, kernel: &Kernel) {
        let (proc, is_bare) = (self.proc.as_ref(), !self.user_namespace);
        for run in self.runs.iter_mut().filter(|run| run.end.is_none() && !run.killed) {
            let Some(pid) = run.child.pid().filter(|_| run.child.is_handed_over()) else { continue };
            let Some(trace) = run.trace.as_mut().filter(|trace| trace.is_to_start()) else { continue };
            let token = TOKEN_SUPERVISORS + u64::from(run.id);
            if trace.start(pid, proc, is_bare, &kernel.epoll, token).is_err() {
                run.child.signal(libc::SIGKILL);
            }
        }
    }

    /// Lets programs begin that are traced now, and ends those that cannot be.
    fn note_supervisors(&mut self, kernel: &Kernel) {
        for run in &mut self.runs {
            match run.trace.as_mut().and_then(|trace| trace.listen(&kernel.epoll)) {
                None => {}
                Some(Word::Ready) => run.child.signal(libc::SIGCONT),
                Some(Word::Failed) => run.child.signal(libc::SIGKILL),
            }
        }
    }

    fn supervisors(&self) -> Vec<i32> {
        self.runs.iter().filter_map(Run::supervisor).collect()
    }

    /// Whether a program is being handed to its supervisor. SIGCONT for all would let it begin without.
    fn is_handing_over(&self) -> bool {
        self.runs.iter().any(|run| run.end.is_none() && run.trace.as_ref().is_some_and(|trace| !trace.is_ready()))
    }

    /// Kills everybody at once; one by one where there are supervisors, which have a summary to write.
    fn kill_everybody(&mut self, rounds: u32) {
        let supervisors = self.supervisors();
        let Some(proc) = self.proc.as_ref().filter(|_| !supervisors.is_empty()) else {
            let _ = process::kill(-1, libc::SIGKILL);
            return;
        };
        let is_frozen = rounds > sweep::GENTLE_ROUNDS && !self.is_handing_over();
        sweep::kill_if(proc, is_frozen.then_some(&mut self.thaw), &supervisors, |_| true);
    }

    /// Continues whoever was born stopped since everybody was.
    fn thaw(&mut self) {
        let now = process::monotonic_us();
        if !self.thaw.is_due(now) {
            return;
        }
        if self.is_handing_over() {
            self.thaw.begin(now);
        } else {
            let _ = process::kill(-1, libc::SIGCONT);
        }
    }

    /// Sees to it that no run in flight has the tag that pid 1 clones with.
    fn take_fresh_tag(&mut self) -> io::Result<()> {
        if !self.runs.iter().any(|run| run.slot.is_none() && run.tag == self.own_tag) {
            return Ok(());
        }
        process::unshare(libc::CLONE_NEWUTS)?;
        self.own_tag = match &self.proc {
            None => Tag::new(),
            Some(proc) => sweep::tag(proc.as_fd(), 1).ok_or_else(|| io::Error::from_raw_os_error(libc::EAGAIN))?,
        };
        Ok(())
    }

    fn add_group(
        &mut self,
        request: u32,
        number: u32,
        files: GroupFiles,
        filter: u32,
        fds: Vec<OwnedFd>,
        kernel: &Kernel,
    ) -> Result<(), Failure> {
        if self.groups.iter().any(|group| group.number == number) {
            return Err(Failure::new(Step::Request, libc::EEXIST));
        }
        let group = Rc::new(Group::new(number, files, fds)?);
        let around = surroundings(self.ids, self.proc.as_ref(), self.hides_cgroup, kernel);
        let slot = self.slots.start(Some(Rc::clone(&group)), filter, &around)?;
        slot.request.set(Some(request));
        self.groups.push(group);
        Ok(())
    }

    /// Tells the host which threads are in their place, and which programs they could not clone.
    fn note_threads(&mut self, kernel: &Kernel) -> Result<(), End> {
        let mut news = Vec::new();
        let mut failed = Vec::new();
        for slot in self.slots.iter() {
            let Some(entered) = slot.forker.entered() else { continue };
            if let Some(request) = slot.request.take() {
                if entered.is_err() {
                    failed.extend(slot.group.as_ref().map(|group| group.number));
                }
                let body = entered.map_or_else(|failure| ReplyBody::Failed(failure.clone()), |()| ReplyBody::Done);
                news.push((request, body));
            }
            if let Some(listener) = slot.forker.listener()
                && !slot.watched.replace(true)
            {
                let token = TOKEN_LISTENERS + u64::from(slot.id);
                // Unwatched, a call that is not allowed would stand still until another limit.
                kernel.epoll.add(listener.as_fd(), libc::EPOLLIN as u32, token).map_err(|_| End::Broken)?;
            }
        }
        // The host forgets a group that its first thread could not enter.
        self.groups.retain(|group| !failed.contains(&group.number));
        while let Some(index) =
            self.runs.iter().position(|run| run.end.is_none() && run.child.clone_failure().is_some())
        {
            let run = self.runs.swap_remove(index);
            let slot = run.slot.clone();
            let entered = slot.as_ref().and_then(|slot| slot.forker.entered());
            let failure = match entered {
                Some(Err(failure)) => Some(failure.clone()),
                _ => run.child.clone_failure(),
            };
            let id = run.id;
            news.push((id, run.not_cloned(failure)));
            if let Some(slot) = slot {
                self.slots.release(&slot);
            }
        }
        // Who could not get there is of no use, and of no more harm than a thread that does nothing.
        self.slots.retain(|slot| slot.busy.get() || !matches!(slot.forker.entered(), Some(Err(_))));
        if !self.resets.is_empty() {
            // They may have waited for just these.
            self.is_reaping = true;
        }
        self.start_supervisors(kernel);
        for (id, body) in news {
            self.reply(id, body, &[])?;
        }
        Ok(())
    }

    /// Ends the runs whose programs have made a call that their filter kills for.
    fn note_disallowed(&mut self) {
        let readable = |slot: &Rc<crate::slots::Slot>| {
            slot.forker.listener().is_some_and(|listener| hotcell_linux::poll::is_readable(listener.as_fd()))
        };
        let slots: Vec<_> = self.slots.iter().filter(|slot| slot.watched.get()).cloned().collect();
        for slot in slots.iter().filter(|slot| readable(slot)) {
            let Some(call) = slot.disallowed() else { continue };
            let of_slot = |run: &&mut Run| run.slot.as_ref().is_some_and(|known| known.id == slot.id);
            let Some(run) = self.runs.iter_mut().find(of_slot) else { continue };
            if run.breach.is_none() && run.end.is_none() && !run.killed {
                run.breach = Some(Breach::Syscall(call));
            }
            let id = run.id;
            self.kill_all(id);
        }
    }

    /// Looks at the limits of runs whose time has come.
    fn watch_limits(&mut self) {
        let now = process::monotonic_us();
        for index in 0..self.runs.len() {
            let Some(run) = self.runs.get(index) else { return };
            if run.watch.next_us() > now || run.end.is_some() {
                continue;
            }
            let breach = self.look(index);
            if breach.is_some() {
                // What it was ended for shall be seen.
                self.take_sample(index);
            }
            if let (Some(breach), Some(run)) = (breach, self.runs.get_mut(index)) {
                run.watch.end();
                run.breach = Some(breach);
                let id = run.id;
                self.kill(id, libc::SIGKILL);
            }
        }
    }

    fn look(&mut self, index: usize) -> Option<Breach> {
        let is_only = self.runs.len() == 1 && self.supervisors().is_empty();
        let proc = self.proc.as_ref();
        let run = self.runs.get_mut(index)?;
        let (look, group, reaped_us) = (Look::of(run, is_only), run.group().cloned(), run.reaped_us());
        run.watch.look(group.as_deref(), reaped_us, |wanted| look.sum(proc, wanted))
    }

    /// Takes the samples of runs whose time has come.
    fn take_samples(&mut self) {
        let now = process::monotonic_us();
        let is_due =
            |run: &Run| run.end.is_none() && run.timeline.as_ref().is_some_and(|timeline| timeline.next_us() <= now);
        for index in 0..self.runs.len() {
            if self.runs.get(index).is_some_and(is_due) {
                self.take_sample(index);
            }
        }
    }

    /// Takes one, if the run asked for any.
    fn take_sample(&mut self, index: usize) {
        let is_only = self.runs.len() == 1 && self.supervisors().is_empty();
        let proc = self.proc.as_ref();
        let Some(run) = self.runs.get_mut(index) else { return };
        let (look, reaped_us) = (Look::of(run, is_only), run.reaped_us());
        let Some(timeline) = &mut run.timeline else { return };
        let group = run.slot.as_ref().and_then(|slot| slot.group.as_ref());
        // One for each filter that programs were born with there.
        let lives_there = |slot: &&Rc<crate::slots::Slot>| {
            slot.group.as_ref().is_some_and(|known| group.is_some_and(|group| Rc::ptr_eq(group, known)))
        };
        let own = self.slots.iter().filter(lives_there).count() as u64;
        let group = group.map(|group| (&**group, own));
        let began = process::monotonic_us();
        let sample = run.watch.sample(group, reaped_us, |wanted| look.sum(proc, wanted));
        let now = process::monotonic_us();
        timeline.add(sample, now, now.saturating_sub(began));
    }

    /// Takes note of what the children that run beside us have come to, and tells the host.
    fn note_progress(&mut self, kernel: &Kernel) -> Result<(), End> {
        let mut news = Vec::new();
        for run in &mut self.runs {
            let progress = run.child.advance(&kernel.epoll);
            // There is a child, or there would be no progress.
            let Some(pid) = run.child.pid() else { continue };
            match progress {
                None => {}
                Some(Progress::AtSyncPoint) => news.push((run.id, pid, ReplyBody::SyncPoint)),
                // One that failed has closed the pipe by ending, and is about to be reaped.
                Some(Progress::Over) if run.child.failure().is_some() => {}
                Some(Progress::Over) => {
                    // Of a run that waited for the host the time until now says nothing.
                    if !run.child.has_sync_point() {
                        run.setup_us = process::monotonic_us().saturating_sub(run.started_us);
                    }
                    if run.report_start {
                        news.push((run.id, pid, ReplyBody::Started));
                    }
                }
            }
        }
        for (id, pid, body) in news {
            self.send(id, body, &[], Some(pid))?;
        }
        Ok(())
    }

    /// Signals the main process of a run, which is ours to reap: the number is its own until then. The rest of the run is killed
    /// when that has ended; or, should it not, by [`Container::kill_traced`].
    fn kill(&mut self, id: u32, signal: i32) {
        let is_only = self.runs.len() == 1;
        let Some(run) = self.runs.iter_mut().find(|run| run.id == id && run.end.is_none()) else { return };
        run.child.signal(signal);
        if signal == libc::SIGKILL {
            run.killed = true;
            if let Some(trace) = &mut run.trace {
                trace.hurry(true);
            }
            if is_only {
                self.kill_everybody(0);
            }
        }
    }

    /// The same by SIGKILL, also of those of its processes that are not the main one, if it can be told which they are.
    fn kill_all(&mut self, id: u32) {
        self.kill(id, libc::SIGKILL);
        let (Some(proc), Some(run)) = (&self.proc, self.runs.iter().find(|run| run.id == id)) else { return };
        if self.runs.len() > 1 {
            sweep::kill_if(proc, None, &self.supervisors(), |tag| run.is_tagged(tag));
        }
    }

    /// Forgets a run that waits behind a reset; whether there was one.
    fn cancel_deferred(&mut self, id: u32) -> bool {
        let is_it = |(payload, _): &(Vec<u8>, Vec<OwnedFd>)| matches!(codec::decode(payload), Ok(Request { id: known, body: RequestBody::Execve(_) }) if known == id);
        let index = self.deferred.iter().position(is_it);
        index.and_then(|index| self.deferred.remove(index)).is_some()
    }

    /// A main process that was killed and is still not ours to reap is traced by a process of its own run (or of another, which it
    /// then has to wait for). Whoever carries its tag goes.
    fn kill_traced(&mut self) {
        let (supervisors, is_handing_over) = (self.supervisors(), self.is_handing_over());
        let Some(proc) = &self.proc else { return };
        for run in self.runs.iter_mut().filter(|run| run.killed && run.end.is_none()) {
            if run.sweeps > 0 {
                run.group_killed |= run.group().is_some_and(|group| group.kill());
                let is_frozen = run.sweeps > sweep::GENTLE_ROUNDS && !is_handing_over;
                let freeze = is_frozen.then_some(&mut self.thaw);
                sweep::kill_if(proc, freeze, &supervisors, |tag| run.is_tagged(tag));
            }
            run.sweeps += 1;
        }
    }

    /// Reaps whoever has ended, and reports the runs that this completes.
    fn reap(&mut self, kernel: &Kernel) -> Result<(), End> {
        self.is_reaping = true;
        let mut somebody_is_left = true;
        for _ in 0..REAP_SLICE {
            // Before each end: a program has begun before it has ended.
            if self.runs.iter().any(|run| run.child.progress().is_some()) {
                self.note_progress(kernel)?;
            }
            match process::wait_any(false) {
                Ok(Some(stopped)) if libc::WIFSTOPPED(stopped.status) => {
                    // One on its way to its supervisor is let go by the thread that has cloned it. Another has made us its tracer (PTRACE_TRACEME),
                    // and stopped: nobody will ever let it go on.
                    let is_handed_over = |run: &Run| run.trace.is_some() && run.child.pid() == Some(stopped.pid);
                    if !self.runs.iter().any(is_handed_over) {
                        let _ = process::kill(stopped.pid, libc::SIGKILL);
                    }
                    continue;
                }
                Ok(Some(reaped)) => {
                    if let Some(run) = self.runs.iter_mut().find(|run| run.is_supervised_by(reaped.pid)) {
                        // Without it the kernel ends whom it traced, but not who still waits for it.
                        if run.end.is_none() {
                            run.child.signal(libc::SIGKILL);
                        }
                        if let Some(trace) = &mut run.trace {
                            trace.ended(&kernel.epoll);
                        }
                        continue;
                    }
                    let is_main = |run: &&mut Run| run.child.pid() == Some(reaped.pid) && run.end.is_none();
                    if let Some(run) = self.runs.iter_mut().find(is_main) {
                        run.ended(&reaped, &kernel.epoll);
                        if let Some(trace) = &mut run.trace {
                            trace.hurry(run.killed);
                        }
                    } else if let [run] = self.runs.as_mut_slice() {
                        run.add_orphan(&reaped.usage);
                    }
                    continue;
                }
                Ok(None) => {}
                // ECHILD: everybody's last parent has no child, so nobody is there.
                Err(_) => somebody_is_left = false,
            }
            self.is_reaping = false;
            break;
        }
        if somebody_is_left {
            for run in self.runs.iter_mut().filter(|run| run.end.is_some() || run.killed) {
                if let Some(trace) = &mut run.trace {
                    trace.hurry(run.killed);
                }
            }
            self.kill_traced();
            self.sweep();
        }
        while let Some(index) = self
            .runs
            .iter_mut()
            .position(|run| run.end.is_some() && (run.is_swept || !somebody_is_left) && run.is_shown())
        {
            let mut run = self.runs.swap_remove(index);
            let id = run.id;
            if let Some(slot) = &run.slot {
                self.slots.release(slot);
            }
            let timeline = run.timeline.take();
            if let Some(mut end) = run.report() {
                if let ReplyBody::Ended(outcome) = &mut end {
                    outcome.untouched = !somebody_is_left && self.is_untouched();
                    if let Some(timeline) = timeline {
                        self.reply(id, ReplyBody::Timeline(timeline.end()), &[])?;
                    }
                }
                self.reply(id, end, &[])?;
            }
        }
        // Who was not cloned yet is told of in `note_threads`, and comes here again.
        if !somebody_is_left && self.runs.is_empty() && !self.resets.is_empty() {
            self.reset(kernel)?;
        }
        Ok(())
    }

    /// Kills whatever belongs to no run that goes on, and marks the ended runs as swept if there was nothing.
    fn sweep(&mut self) {
        // Of those that were killed nobody is to stay either.
        if self.runs.iter().all(|run| run.end.is_some() || run.killed) {
            if !self.runs.is_empty() || !self.resets.is_empty() {
                let rounds = self.runs.iter().map(|run| run.sweeps).max().unwrap_or(0);
                self.kill_everybody(rounds);
                for run in self.runs.iter_mut().filter(|run| run.end.is_some()) {
                    run.sweeps += 1;
                }
            }
            return;
        }
        let Some(rounds) = self.runs.iter().filter(|run| run.end.is_some()).map(|run| run.sweeps).max() else { return };
        // Without a /proc an ended run waits for the others, and is swept with them.
        let Some(proc) = &self.proc else { return };
        let (supervisors, is_handing_over) = (self.supervisors(), self.is_handing_over());
        let live: Vec<&Run> = self.runs.iter().filter(|run| run.end.is_none()).collect();
        let is_main = |pid| supervisors.contains(&pid) || live.iter().any(|run| run.child.pid() == Some(pid));
        let has_orphans = sweep::has_orphans(proc.as_fd(), is_main);
        let strangers = match has_orphans {
            Some(false) => 0,
            _ => {
                let is_frozen = rounds >= sweep::GENTLE_ROUNDS && !is_handing_over;
                let is_stranger = |tag: &Tag| !live.iter().any(|run| run.is_tagged(tag));
                sweep::kill_if(proc, is_frozen.then_some(&mut self.thaw), &supervisors, is_stranger)
            }
        };
        let mut looks_again = false;
        for run in self.runs.iter_mut().filter(|run| run.end.is_some()) {
            run.sweeps += 1;
            run.quiet_sweeps = if strangers == 0 { run.quiet_sweeps + 1 } else { 0 };
            // Its dead are to be reaped as well: whoever died since we last looked for them is seen by the look after this one. But not
            // those that another run makes without end.
            let is_reaped = has_orphans == Some(false)
                || (run.quiet_sweeps > 1 && !self.is_reaping)
                || run.quiet_sweeps > REAP_ROUNDS;
            run.is_swept = strangers == 0 && is_reaped && run.supervisor().is_none();
            looks_again |= strangers == 0 && !is_reaped;
            if strangers > 0 && !run.group_killed {
                run.group_killed = run.group().is_some_and(|group| group.kill());
            }
        }
        self.is_reaping |= looks_again;
    }

    /// Whether [`Container::reset`] would find nothing to do, once everybody is gone.
    fn is_untouched(&self) -> bool {
        let Ids { init, program } = self.ids;
        self.runs.is_empty()
            && self.deletions.is_empty()
            && self.reached == Reach::default()
            && !self.devpts.is_mounted()
            && self.attached.is_pristine()
            && (init != program || own_limits() == self.limits)
    }

    fn reset(&mut self, kernel: &Kernel) -> Result<(), End> {
        let Ids { init, program } = self.ids;
        // Where programs have init's own identity they can lower its limits, and what they start would inherit them (prlimit(2)).
        if init == program && own_limits() != self.limits {
            return Err(End::Broken);
        }
        // Whoever waits for a deletion or a file of the old tree: it is gone, as was to be.
        for deletion in std::mem::take(&mut self.deletions) {
            self.done(deletion.id, Ok(()))?;
        }
        self.tickets.clear();
        let reached = std::mem::take(&mut self.reached);
        let entering = EnterAnywhere::raised(self.user_namespace);
        let result = self.devpts.reset();
        let result = result.and_then(|()| Resetter::reset(&self.tree, &mut self.attached, (init, program), reached));
        let result = result.and_then(|old| {
            if !old.is_empty() {
                self.tree
                    .make_directory(&self.work_dir)
                    .map_err(|error| Failure::new(Step::MakeDirectory, errno(&error)).of(&self.work_dir))?;
                self.enter_work_dir()?;
            }
            Ok(old)
        });
        drop(entering);
        if reached.ipc {
            for slot in self.slots.iter() {
                slot.forker.follow();
            }
        }
        for id in std::mem::take(&mut self.resets) {
            self.done(id, result.as_ref().map(|_| ()).map_err(Failure::clone))?;
        }
        // Half a reset is none: nobody shall go on in what may hold the last one's files.
        for mount in result.map_err(|_| End::Broken)? {
            self.resetter.dispose(mount);
        }
        while let Some((payload, fds)) = self.deferred.pop_front() {
            self.handle(&payload, fds, kernel)?;
            if !self.resets.is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn delete_on(&mut self, id: u32, progress: deletion::Progress) -> Result<(), End> {
        match progress {
            deletion::Progress::Finished(result) => self.done(id, result),
            deletion::Progress::Unfinished(deletion) => {
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
