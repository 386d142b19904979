//! The launcher: makes containers for one host process, and takes them along when that process is gone.
//!
//! A single-threaded process with the host's identity. Descriptors 0 to 2 are /dev/null, 3 is the socket to the host. For each
//! [`Launch`] it clones init into new namespaces (fork semantics: init is a copy of this process), writes the id maps while
//! init opens the sources of its mounts, and answers with init's pidfd. From then on host and init talk without it.
//!
//! It reaps what it made. When the host's end of the socket closes it kills every container by pidfd (a stopped or hung init
//! would not notice the end of its own socket), waits for them, removes
//! the host's cgroups ([`crate::guard`]) and ends. Should the launcher itself be killed, init's
//! parent-death signal takes the containers along: this process has one thread, so the signal cannot come early.

use crate::container::packet_buffer;
use crate::guard::Guarded;
use crate::identity::{self, Ids, Strategy};
use crate::owner_map;
use crate::setup::{self, Placement};
use hotcell_linux::affinity::Cpus;
use hotcell_linux::clone3::{self, Fork};
use hotcell_linux::epoll::Epoll;
use hotcell_linux::seqpacket::{self, RecvError, Wait};
use hotcell_linux::{errno, file, memfd, pidfd, prctl, process, signal};
use hotcell_protocol::{Cloned, Failure, Identity, Launch, Launched, Network, Order, Resource, Setup, Step, codec};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::process::ExitCode;

const HOST_SOCKET: i32 = 3;
/// The niceness of init.
const INIT_NICE: i32 = -10;
const TOKEN_HOST: u64 = 0;
const TOKEN_CHILDREN: u64 = 1;

/// Runs until the host is gone.
pub fn main() -> ExitCode {
    // SAFETY: the host placed its socket here for us, and nothing else knows the number.
    let socket = unsafe { OwnedFd::from_raw_fd(HOST_SOCKET) };
    prepare();
    let mut launcher = match Launcher::new(socket) {
        Ok(launcher) => launcher,
        Err(_) => return ExitCode::FAILURE,
    };
    let _ = launcher.serve();
    launcher.end();
    ExitCode::SUCCESS
}

/// What the host has for itself is not for containers: its terminal and the signals typed there, its mask of file modes, its CPUs,
/// priorities and personality, its immunity to the OOM killer. Each is best effort: without the right to it the host's own stays.
fn prepare() {
    let _ = process::setsid();
    file::set_umask(0);
    let _ = process::use_normal_scheduling();
    let _ = process::set_nice(0, 0);
    let _ = process::use_normal_io_priority();
    let _ = Cpus::ALL.bind(0);
    let _ = process::use_normal_personality();
    // the default of Linux: 50 microseconds
    let _ = prctl::set_timer_slack(50_000);
    let _ = prctl::set_huge_pages_disabled(false);
    let immune = fs::read_to_string(OOM_SCORE_ADJ).is_ok_and(|score| score.trim_start().starts_with('-'));
    if immune {
        let _ = fs::write(OOM_SCORE_ADJ, "0");
    }
    // 1, not 0: with a piped core_pattern 0 still starts the host's handler, as root, for every crash (core(5)).
    let _ = process::set_rlimit(Resource::Core.number(), 1, 1);
    // A host that is content with few descriptors may still have many containers.
    if let Ok((_, hard)) = process::rlimit(Resource::Nofile.number()) {
        let _ = process::set_rlimit(Resource::Nofile.number(), hard, hard);
    }
}

const OOM_SCORE_ADJ: &str = "/proc/self/oom_score_adj";

struct Launcher {
    socket: OwnedFd,
    epoll: Epoll,
    children: OwnedFd,
    containers: HashMap<i32, OwnedFd>,
    guarded: Vec<Guarded>,
}

impl Launcher {
    fn new(socket: OwnedFd) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let children = signal::signalfd_only(libc::SIGCHLD)?;
        epoll.add(socket.as_fd(), libc::EPOLLIN as u32, TOKEN_HOST)?;
        epoll.add(children.as_fd(), libc::EPOLLIN as u32, TOKEN_CHILDREN)?;
        Ok(Self { socket, epoll, children, containers: HashMap::new(), guarded: Vec::new() })
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut buffer = packet_buffer();
        loop {
            let (mut request, mut ended) = (false, false);
            self.epoll.wait(None, |token, _| match token {
                TOKEN_HOST => request = true,
                _ => ended = true,
            })?;
            if ended {
                signal::drain(self.children.as_fd());
                self.reap(false);
            }
            if request && !self.receive(&mut buffer)? {
                return Ok(());
            }
        }
    }

    /// Takes one request; false when the host is gone.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let received = match seqpacket::recv(self.socket.as_fd(), buffer, Wait::DontWait) {
            Ok(received) if received.len == 0 => return Ok(false),
            Ok(received) => received,
            Err(RecvError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(RecvError::Io(error)) => return Err(error),
            Err(RecvError::Truncated) => return Err(io::Error::from_raw_os_error(libc::EMSGSIZE)),
        };
        let lost = received.fds_lost;
        let mut fds = received.fds.into_iter();
        let malformed = || io::Error::from_raw_os_error(libc::EBADMSG);
        let (tag, inline) =
            buffer.get(..received.len).and_then(|packet| codec::split(packet).ok()).ok_or_else(malformed)?;
        let mut content = Vec::new();
        let payload = if tag == codec::TAG_MEMFD {
            // Without it not even the id is known: the host finds out by its deadline.
            let Some(fd) = fds.next() else { return if lost { Ok(true) } else { Err(malformed()) } };
            content = memfd::read_sealed(fd.as_fd(), codec::MEMFD_MAX)?;
            &content
        } else {
            inline
        };
        let order = codec::decode(payload).map_err(|_| malformed())?;
        let Launch { id, mut setup, cgroup } = match order {
            Order::Launch(launch) => *launch,
            Order::Guard(guard) => {
                // Without a descriptor for it, the sweep of the next host will do.
                if let Some(base) = fds.next() {
                    let new = Guarded::new(guard, base);
                    self.guarded.retain(|known| !known.is_same(&new));
                    self.guarded.push(new);
                }
                return Ok(true);
            }
        };
        content.fill(0);
        buffer.get_mut(..received.len).unwrap_or_default().fill(0);
        let launched = match (fds.next(), fds.next()) {
            (Some(socket), None) if !cgroup => self.launch(&setup, &socket, None),
            (Some(socket), Some(cgroup)) => self.launch(&setup, &socket, Some(cgroup.as_fd())),
            _ if lost => Err(Failure::new(Step::Request, libc::EMFILE)),
            _ => return Err(malformed()),
        };
        // The next init is a copy of this process, and what was in this one's environment none of its business.
        setup.env.fill(0);
        std::hint::black_box(&setup.env);
        let (result, fd) = match &launched {
            Ok((pid, init, pidfd)) => (Ok(Cloned { pid: *pid as u32, init: *init }), Some(pidfd.as_raw_fd())),
            Err(failure) => (Err(failure.clone()), None),
        };
        let mut packet = Vec::new();
        codec::encode(&Launched { id, result }, &mut packet);
        seqpacket::send(self.socket.as_fd(), &packet, fd.as_slice(), None, Wait::Block)?;
        if let Ok((pid, _, pidfd)) = launched {
            self.containers.insert(pid, pidfd);
        }
        Ok(true)
    }

    /// Clones init, by the best strategy for ids that works.
    fn launch(
        &self,
        setup: &Setup,
        socket: &OwnedFd,
        cgroup: Option<BorrowedFd<'_>>,
    ) -> Result<(i32, Identity, OwnedFd), Failure> {
        let mut outcome = Err(Failure::new(Step::CloneContainer, libc::EPERM));
        for strategy in identity::strategies(setup) {
            outcome = self.launch_as(setup, socket, strategy, cgroup);
            match &outcome {
                Err(failure) if identity::next_may_work(failure) => {}
                _ => break,
            }
        }
        outcome
    }

    fn launch_as(
        &self,
        setup: &Setup,
        socket: &OwnedFd,
        strategy: Strategy,
        cgroup: Option<BorrowedFd<'_>>,
    ) -> Result<(i32, Identity, OwnedFd), Failure> {
        let (gate, opener) = io::pipe().map_err(|error| Failure::new(Step::CloneContainer, errno(&error)))?;
        let mut flags = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
        if cgroup.is_none() {
            flags |= libc::CLONE_NEWCGROUP;
        }
        if setup.network == Network::None {
            flags |= libc::CLONE_NEWNET;
        }
        if strategy.has_user_namespace() {
            flags |= libc::CLONE_NEWUSER;
        }
        let lowers = owner_map::open(setup, &strategy);
        let fork = strategy.own_namespace(|| {
            // SAFETY: this process has a single thread.
            unsafe { clone3::fork(flags as u64, libc::SIGCHLD, cgroup) }
        });
        let (pid, pidfd) = match fork.map_err(|error| Failure::new(Step::CloneContainer, errno(&error)))? {
            Fork::Child => {
                let placement = Placement::take(socket, gate.as_fd(), &lowers);
                setup::main(setup, placement, strategy.has_user_namespace(), cgroup.is_some())
            }
            Fork::Parent(pid, pidfd) => (pid, pidfd),
        };
        // Ahead of the programs: whoever keeps every processor busy must not keep pid 1 from killing it. Only root may.
        let _ = process::set_nice(pid, INIT_NICE);
        let ids = strategy.apply(pid, setup).and_then(|ids| {
            owner_map::apply(&lowers, strategy.program_outside(pid))?;
            open_gate(opener, &ids).map(|()| ids)
        });
        if let Err(failure) = ids {
            let _ = pidfd::send_signal(pidfd.as_fd(), libc::SIGKILL);
            let _ = pidfd::reap(pidfd.as_fd());
            return Err(failure);
        }
        Ok((pid, strategy.init_outside(pid), pidfd))
    }

    fn reap(&mut self, block: bool) {
        while let Ok(Some(child)) = process::wait_any(block) {
            self.containers.remove(&child.pid);
        }
    }

    fn end(&mut self) {
        for pidfd in self.containers.values() {
            let _ = pidfd::send_signal(pidfd.as_fd(), libc::SIGKILL);
        }
        self.reap(true);
        for guarded in &self.guarded {
            guarded.remove();
        }
    }
}

/// Tells init who it and its programs are, once that is possible to become.
fn open_gate(opener: io::PipeWriter, ids: &Ids) -> Result<(), Failure> {
    use std::io::Write;
    let mut opener = opener;
    opener.write_all(&ids.to_bytes()).map_err(|error| Failure::new(Step::WriteIdMap, errno(&error)))
}
