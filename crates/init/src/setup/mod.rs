//! From a fork of the launcher to a container.
//!
//! Runs once, in pid 1, straight after clone3. The order is forced at four places:
//!
//! 1. Sources of bind mounts are opened *first*, while the file system identity is still the host's: a directory that only the
//!    host's user may enter can be mounted that way, and the launcher writes the id maps meanwhile.
//! 2. The identity is taken *before* any file is made: without a mapped id the kernel makes none (`EOVERFLOW`).
//! 3. Everything is mounted *before* the first program can run, by descriptors that were looked at, never again by a path that
//!    a program could have a hand in.
//! 4. Privileges go *last*, and `PR_SET_DUMPABLE` with them: until the maps are written the launcher needs /proc/PID of ours.

mod devices;
mod masks;
mod mounts;
mod overlay;
mod pristine;
mod privileges;
mod proc;
mod root;

pub use mounts::{Attached, detach, open_lower};
pub use privileges::EnterAnywhere;
pub use root::{Tree, open_in_root, split, terminated};

use crate::container::{self, Container};
use crate::identity::Ids;
use hotcell_linux::{close_range, errno, file, mount_api, net, process, seqpacket, uts};
use hotcell_protocol::{Failure, Network, Reply, ReplyBody, Setup, Step, codec};
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const SOCKET: i32 = 3;
const GATE: i32 = 4;

/// The descriptors that a new init keeps of everything it inherited: two, and the sources of overlays that the launcher has opened. (A program's own descriptors may get the same numbers: they
/// are placed in a table of their own.)
pub struct Placement {
    socket: OwnedFd,
    gate: OwnedFd,
    lowers: Vec<Option<OwnedFd>>,
}

impl Placement {
    /// Moves them, and closes all others but 0 to 2.
    pub fn take(socket: &OwnedFd, gate: BorrowedFd<'_>, lowers: &[Option<OwnedFd>]) -> io::Result<Self> {
        let last = GATE + lowers.iter().flatten().count() as i32;
        // out of each other's way first
        let socket = file::duplicate_above(socket.as_fd(), last + 1)?;
        let gate = file::duplicate_above(gate, last + 1)?;
        let above: Vec<OwnedFd> = lowers
            .iter()
            .flatten()
            .map(|lower| file::duplicate_above(lower.as_fd(), last + 1))
            .collect::<io::Result<_>>()?;
        let all = [(socket.as_raw_fd(), SOCKET), (gate.as_raw_fd(), GATE)];
        for (from, to) in all.into_iter().chain(above.iter().map(AsRawFd::as_raw_fd).zip(GATE + 1..)) {
            // SAFETY: no memory involved. Whoever owned the target is the launcher's code, to which this process never returns.
            if unsafe { libc::dup3(from, to, libc::O_CLOEXEC) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        std::mem::forget((socket, gate, above));
        // SAFETY: as above: nothing that owns one of these is ever dropped in this process.
        unsafe { close_range::close_from(last as u32 + 1) }?;
        // SAFETY: placed above, for this process alone.
        let socket = unsafe { OwnedFd::from_raw_fd(SOCKET) };
        // SAFETY: as above.
        let gate = unsafe { OwnedFd::from_raw_fd(GATE) };
        let mut next = GATE;
        let lowers = lowers.iter().map(|lower| {
            lower.as_ref().map(|_| {
                next += 1;
                // SAFETY: as above.
                unsafe { OwnedFd::from_raw_fd(next) }
            })
        });
        Ok(Self { socket, gate, lowers: lowers.collect() })
    }
}

/// Makes the container and serves it. Never returns: it ends with its socket.
///
/// `in_cgroup`: it was born in a cgroup of its own, and has no cgroup namespace.
pub fn main(setup: &Setup, placement: io::Result<Placement>, user_namespace: bool, in_cgroup: bool) -> ! {
    // Without its socket it cannot even say so; the host sees the other end close.
    let Ok(Placement { socket, gate, lowers }) = placement else { std::process::exit(1) };
    let code = match build(setup, gate, lowers, user_namespace) {
        Ok(built) => container::serve(Container::new(setup, in_cgroup, socket, built)),
        Err(failure) => {
            let mut packet = Vec::new();
            codec::encode(&Reply { id: 0, body: ReplyBody::Failed(failure) }, &mut packet);
            let _ = seqpacket::send(socket.as_fd(), &packet, &[], None, seqpacket::Wait::Block);
            1
        }
    };
    std::process::exit(code)
}

/// What the command loop needs of the set-up.
pub struct Built {
    /// Who is who.
    pub ids: Ids,
    /// The root directory and what is mounted in it.
    pub tree: Tree,
    /// The mounts that reset replaces.
    pub attached: Attached,
    /// A procfs of our pid namespace, where it could be had.
    pub proc: Option<OwnedFd>,
    /// Whether we are in a user namespace of our own.
    pub user_namespace: bool,
}

fn build(setup: &Setup, gate: OwnedFd, lowers: Vec<Option<OwnedFd>>, user_namespace: bool) -> Result<Built, Failure> {
    mount_api::make_private(c"/").map_err(|error| Failure::new(Step::MakePrivate, errno(&error)))?;
    let sources = mounts::open_sources(&setup.mounts, lowers)?;
    let devices = devices::open_sources()?;
    let ids = await_ids(gate)?;
    privileges::take_identity(ids.init, user_namespace)?;
    if user_namespace {
        forbid_nested_user_namespaces();
    }
    let tree = root::make(setup.root.as_deref().map(Vec::as_slice))?;
    let proc = proc::mount(&tree, setup.proc)?;
    let shm = mounts::TmpfsOptions { limits: setup.tmpfs, owner: ids.init, is_shared: true, no_exec: false };
    let dev = devices::mount(&tree, devices, setup.proc, shm)?;
    let mut attached = mounts::attach(&tree, &setup.mounts, sources, setup.tmpfs, ids, user_namespace)?;
    attached.add_shared_memory(dev.shared_memory);
    attached.make_symlinks(&tree, &setup.symlinks)?;
    tree.make_work_directory(&setup.work_dir, ids.program)
        .map_err(|error| Failure::new(Step::MakeDirectory, errno(&error)).of(&setup.work_dir))?;
    masks::hide(&tree, &setup.masked_paths)?;
    attached.leave_alone(&setup.masked_paths);
    devices::seal(&dev.mount)?;
    tree.enter()?;
    if setup.network == Network::None {
        net::loopback_up().map_err(|error| Failure::new(Step::LoopbackUp, errno(&error)))?;
    }
    uts::set_hostname(&setup.hostname)
        .map_err(|error| Failure::new(Step::SetHostname, errno(&error)).of(&setup.hostname))?;
    uts::set_domainname(&setup.domainname)
        .map_err(|error| Failure::new(Step::SetDomainname, errno(&error)).of(&setup.domainname))?;
    devices::take_standard_streams()?;
    privileges::drop(ids.program, user_namespace)?;
    Ok(Built { ids, tree, attached, proc, user_namespace })
}

/// Waits until the launcher has written the id maps, and reads who we are by them.
fn await_ids(gate: OwnedFd) -> Result<Ids, Failure> {
    let mut bytes = [0; Ids::SIZE];
    let mut gate = fs::File::from(gate);
    match gate.read_exact(&mut bytes) {
        // The launcher gave up on us, and says why itself; or it is dead, and the host knows.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => std::process::exit(1),
        other => other.map_err(|error| Failure::new(Step::AwaitIdMap, errno(&error)))?,
    }
    Ok(Ids::from_bytes(bytes))
}

/// No program of this container shall make a user namespace: with one it would have capabilities, and with them the kernel's
/// least tested code. The limit belongs to *our* user namespace (namespaces(7), /proc/sys/user), so this must only run in one.
/// Best effort: a host whose /proc is hidden has it done by the seccomp filter alone.
fn forbid_nested_user_namespaces() {
    let _ = fs::write("/proc/sys/user/max_user_namespaces", "0");
}

/// Takes credentials' file system half for everything that init makes or opens from here on.
pub fn act_on_files_as(program: hotcell_protocol::Identity) {
    process::set_fs_identity(program.uid, program.gid);
}
