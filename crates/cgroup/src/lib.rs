//! Cgroups: limits that hold and figures that are true, behind one interface over v1, v2 and both at once.
//!
//! # Theory of operation
//!
//! All of this runs in the host process, with its rights; init only clones, and never opens a file of a cgroup file system. Nothing here
//! starts a thread, and only [`Group::kill`], [`Container::kill`], [`Container::destroy`] and the sweep in [`Parent::create`] wait, each
//! with a deadline.
//!
//! - [`detect()`] looks which hierarchies are mounted, where this process is in them, and what it may write; it changes nothing.
//! - [`Parent`] is a directory of a name of your choice (`hotcell`) below the own cgroup, and in it one for this process, named by pid and
//!   start time and locked with flock(2) as long as it lives. What a dead one left is killed and removed when the next one starts.
//! - [`Container`] is a directory for one container, [`Group`] one in it where programs run, one run at a time; `name.rs` draws the tree.
//! - `v1.rs` and `v2.rs` mirror each other: both do what `backend.rs` says, on a set of directories or on one. A controller is taken
//!   from v2 if it is there, else from v1. Where v2 has no controllers (hybrid) it still counts CPU time and kills.
//!
//! ```no_run
//! use hotcell_cgroup::{CpuQuota, Limits, Options, Parent};
//! use std::time::Duration;
//!
//! let parent = Parent::create(&Options::default())?;            // once a process
//! let container = parent.container()?;                          // with each container
//! let mut group = container.group()?;                           // as many as runs at once
//! let limits = Limits { memory_bytes: Some(64 << 20), processes: Some(16), cpu: CpuQuota::from_rate(0.5), ..Limits::default() };
//! group.begin(&limits)?;
//! // a program is cloned into group.entrance(), and group.cpu_usage_us() is asked for now and then
//! group.kill(Duration::from_secs(5))?;                          // nothing is done if its last process is gone
//! println!("{:?}, good for another run: {:?}", group.usage()?, group.reuse()?);
//! # Ok::<(), hotcell_cgroup::Error>(())
//! ```
//!
//! # How host and init use it
//!
//! **Host**, at the start: [`Parent::create`], before the launcher is started, so that it follows if this process has to move. With
//! each container: [`Parent::container`], [`Container::group`] as often as there may be runs at once, and
//! [`Container::grant`] with the uid that init clones with. The launcher clones init with `CLONE_INTO_CGROUP` and
//! [`Container::init_entrance`]: on v2 init is in a leaf beside the run groups, so that it is charged for itself (and for what `copyIn`
//! writes), and no limit of a run ever meets it. On v1 it stays where the launcher is. Before each run [`Group::begin`], after it
//! [`Group::usage`]; with the answer under way, [`Group::reuse`]: if that is not [`Reuse::Yes`], the group is dropped and another takes its
//! place, off the hot path. (So it makes sense to keep one more than there are runs.)
//!
//! **Init**, on v2: the descriptor of [`Entrance::v2`] goes into `clone_args.cgroup`. Nothing else, no write: the cost is lost in the noise.
//! The kernel checks what it would check for a write to cgroup.procs: write access to that file of the group *and* of the closest
//! cgroup above both the group and the cloning process, by the **file system uid** of who clones (cgroups(7), "Delegation containment";
//! clone(2), EACCES). That closest cgroup is the container's. In init the file system uid is the program's: either that one is granted, or,
//! better, init's own is granted and set around the clone (two calls, below a microsecond): then no program could move itself, even
//! if somebody mounted a cgroup file system in the container. With `nsdelegate` (systemd's default) both cgroups have to be
//! below the root of the cloner's cgroup namespace, else it is ENOENT. So init must *not* be cloned with `CLONE_NEWCGROUP`: the root would
//! be the launcher's cgroup, which is not above the container's. Have the child call unshare(CLONE_NEWCGROUP) before it loses its
//! capabilities (6 µs): its root is the run group then, and /proc/self/cgroup says `/`.
//!
//! **Init**, on v1: a child is born in the cgroups of the *thread* that clones it, and v1 moves threads one by one. So init has one thread
//! for each run group that does nothing but clone: at its start it writes `0` to each of [`Entrance::v1`], and from then on a run costs no
//! write. [`Group::set_resident`] gets init's pid: the thread counts as one process (`pids.max` is one higher for it), and init is not
//! killed with the group. Memory is charged to the cgroup of the main thread (the owner of the memory), and the OOM killer looks at main
//! threads only (since Linux 5.3), so init is never its victim. The kernel's own time for cloning is counted with the run,
//! unless CPU time comes from v2.
//!
//! **Always `CLONE_VFORK`** with `CLONE_VM`, also for a run with a sync point (from a thread of its own then). The OOM killer kills whoever
//! shares memory with its victim. It spares children between vfork and execve, and only those: a child of a plain `CLONE_VM` in a group at its
//! limit takes init with it. Both were tried.
//!
//! Who reaps matters: zombies count as processes until they are reaped. On v1 an OOM kill takes one process; the others go on until
//! somebody looks ([`Group::oom`]) and kills. On v2 it takes all.
//!
//! # The own cgroup on v2, and when this process moves
//!
//! A cgroup that gives controllers to those in it may hold no process itself, the root of the system excepted (cgroups(7), "no internal
//! processes"). So if the own cgroup is where the parent goes, its controllers are not enabled yet, and this process is alone in it,
//! **this process is moved into the leaf `host` of its directory**, with all its threads; what it starts from then on is there too. It is
//! moved back, and the controllers are disabled again, when the last [`Parent`] and [`Container`] are dropped. Other processes in
//! the own cgroup are none of ours and stay: then a cgroup further up is taken that may be written and has controllers enabled, or
//! it is an error that says so; `place.rs` has the order.
//!
//! Controllers are enabled in the own cgroup (or the base that was named), and in what is made below. Nothing else of others is ever
//! written, and only directories whose names and marks are ours are removed. A parent that existed before, without the sticky bit that
//! we make ours with, stays.
//!
//! # What is exact, and what is not
//!
//! - CPU time is that of all processes, ended ones included, to the microsecond; user and system time are the kernel's estimate.
//! - Memory is charged in batches of 64 pages a CPU, and caches of the kernel stay for a while: what is in a group before a run is added to
//!   its limit (rounded up to half a MiB, so that it need not be written anew each time) and taken from its peak. Beyond 1 MiB [`Reuse::Residue`] asks for a fresh group, because file pages in it could be freed
//!   for the run, or files on a tmpfs deleted by it, and the limit would not be what it says.
//! - The peak of memory can be reset since Linux 6.12 (v1: always). Before, it is told if the run exceeded all earlier ones in the group,
//!   and [`Reuse::Peak`] asks for a fresh one. That of processes can never be reset.
//! - Pages that others had in memory already (libc, the program's file) are charged to nobody new: a first run may be charged with what
//!   it was the first to read.
//!
//! | needs | for | before |
//! |---|---|---|
//! | Linux 5.7 | `CLONE_INTO_CGROUP` | no v2 |
//! | 5.14 | `cgroup.kill` | stopped, killed one by one, continued |
//! | 5.19 | `memory.peak` | no peak on v2 |
//! | 6.1 | `pids.peak` | no peak of processes |
//! | 6.12 | resetting `memory.peak` | fresh groups |
//!
//! # What it costs
//!
//! Medians on two cores at 2 GHz, Linux 6.18, in µs; `tests/cgroup/cost.rs` measures them.
//!
//! | | v1, 5 hierarchies | v2 without controllers | hybrid |
//! |---|---|---|---|
//! | make a container's cgroups | 230 | 83 | 290 |
//! | make a run group | 280 | 33 | 280 |
//! | both, and a thread that enters | 730 | 160 | 740 |
//! | remove both | 290 | 83 | 340 |
//! | `begin`, four limits set | 26 | 7 | 26 |
//! | `usage` | 14 | 3 | 14 |
//! | `cpu_usage_us` | 7 | 7 | 7 |
//! | `reuse` | 20 | 15 | 16 |
//! | being born there (fork, execve and wait are 760 ± 15) | 0 | 5 | 15 |
//! | `kill` of one sleeping process, until it is dead | 200 | 190 | 190 |
//! | `kill` of a fork bomb of 64 | 6000 | – | 6000 |
//!
//! Entering by a write to cgroup.procs or tasks is 40 at the median too, but 8,000 and more every now and then: it waits for an RCU grace period.
//! `cgroup.events` is no way to wait for the end of a kill either: the kernel raises at most one event in 10 ms.

#![forbid(unsafe_code)]

mod backend;
mod container;
mod controller;
pub mod detect;
mod directory;
mod error;
mod group;
mod kill;
mod limits;
mod name;
mod parent;
mod place;
mod stale;
mod tree;
mod usage;
mod v1;
mod v2;

pub use container::Container;
pub use controller::{Controller, Controllers};
pub use detect::{Detection, detect};
pub use error::Error;
pub use group::{CpuCounter, Entrance, Group, Instruments, Reuse};
pub use limits::{CpuQuota, CpuSet, Limits};
pub use parent::{Options, Parent};
pub use stale::Swept;
pub use tree::Legacy;
pub use usage::{CpuTime, Oom, Usage};
