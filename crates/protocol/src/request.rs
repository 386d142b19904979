//! From the host to init.

use crate::exec::Exec;
use crate::filter::Filter;
use crate::terminal::WindowSize;
use crate::tree::{Base, Item, Settled};
use serde::{Deserialize, Serialize};

/// A request. Its id comes back in every reply to it; ids in flight are distinct, and 0 is never used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request<'a> {
    /// Chosen by the host.
    pub id: u32,
    /// What is asked.
    #[serde(borrow)]
    pub body: RequestBody<'a>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RequestBody<'a> {
    /// Answer `Done`.
    Ping,
    /// Open files; answered by one `Opened` for all, in order, with a descriptor for each that succeeded.
    #[serde(borrow)]
    Open(Vec<OpenFile<'a>>),
    /// Give files opened with [`OpenHow::Replace`] their names, atomically. `Done`, or `Failed` at the first that could not be.
    Commit(Vec<u32>),
    /// Forget files opened with [`OpenHow::Replace`]. Unknown tickets are ignored. `Done`.
    Discard(Vec<u32>),
    /// Remove a file, an empty directory, or with `recursive` a tree; nothing is not an error with `recursive`. `Done`.
    Delete {
        /// Where; relative paths start at the container's `workDir`.
        #[serde(borrow, with = "serde_bytes")]
        path: &'a [u8],
        /// Also remove what is below.
        recursive: bool,
    },
    /// Make a symbolic link; missing parents are made. `Done`.
    Symlink {
        /// What it says; not checked, not resolved.
        #[serde(borrow, with = "serde_bytes")]
        target: &'a [u8],
        /// Where it stands.
        #[serde(borrow, with = "serde_bytes")]
        path: &'a [u8],
    },
    /// List a part of a directory: `Listed`.
    List {
        /// How many resets were asked for before this began; another one ends it with `ESTALE`, so that nothing of it reaches whoever comes after.
        resets: u32,
        /// Where the tree is.
        #[serde(borrow)]
        base: Base<'a>,
        /// Relative to it; empty for the base itself.
        #[serde(borrow, with = "serde_bytes")]
        directory: &'a [u8],
        /// 0 at the beginning, then `next` of the last listing.
        offset: i64,
    },
    /// Open files of a directory for reading: `Opened`, in order. What is no regular file is refused.
    Read {
        /// How many resets were asked for before this began; another one ends it with `ESTALE`, so that nothing of it reaches whoever comes after.
        resets: u32,
        /// Where the tree is.
        #[serde(borrow)]
        base: Base<'a>,
        /// Relative to it; empty for the base itself.
        #[serde(borrow, with = "serde_bytes")]
        directory: &'a [u8],
        /// In it; at most [`crate::tree::NAMES_MAX`].
        names: Vec<&'a serde_bytes::Bytes>,
    },
    /// Make things below a directory, which is made with its parents where it is missing: `Filled`, one for each, in order; after the
    /// first failure nothing more is made.
    Fill {
        /// As in [`RequestBody::List`].
        resets: u32,
        /// The directory.
        #[serde(borrow, with = "serde_bytes")]
        base: &'a [u8],
        /// At most [`crate::tree::NAMES_MAX`].
        items: Vec<Item<'a>>,
    },
    /// Finish what was made: `Done`, or `Failed` at the first that could not be.
    Settle {
        /// As in [`RequestBody::List`].
        resets: u32,
        /// The directory.
        #[serde(borrow, with = "serde_bytes")]
        base: &'a [u8],
        /// At most [`crate::tree::NAMES_MAX`].
        items: Vec<Settled<'a>>,
    },
    /// Delete what was filled, with all below: `Done`.
    Unmake {
        /// As in [`RequestBody::List`].
        resets: u32,
        /// The directory.
        #[serde(borrow, with = "serde_bytes")]
        base: &'a [u8],
    },
    /// Kill every run, then put fresh file systems and namespaces in the place of what runs can leave behind. `Done`.
    Reset,
    /// Execute a program. `Failed`, or after optional `SyncPoint` and `Started` one `Ended`.
    #[serde(borrow)]
    Execve(Exec<'a>),
    /// Let the run with this request id pass its sync point. No reply of its own.
    Resume(u32),
    /// End the run with this request id at its sync point, never executed. No reply of its own: the run's is `Ended`.
    Abort(u32),
    /// Make a run group known under a number that is not in use. Descriptors beside the packet, in this order: one `tasks` file of
    /// each v1 hierarchy, the v2 directory, its `cgroup.kill`, the counters of CPU time, OOM kills, memory and processes. `Done` once programs
    /// can be born there; a run that names the group may be asked for before that, and waits.
    AddGroup {
        /// Chosen by the host.
        group: u32,
        /// What comes beside the packet.
        files: GroupFiles,
        /// The filter that its first programs are expected to have; 0 for none.
        filter: u32,
    },
    /// Make a filter known under a number that is not in use. With `warm` a thread is made that has it, for runs without a group.
    /// `Done` once it is installed there, or at once.
    AddFilter {
        /// Which.
        #[serde(borrow)]
        filter: Filter<'a>,
        /// Whether runs will ask for it soon.
        warm: bool,
    },
    /// Forget a filter, once nothing has it any more. No reply. One that is not known is none.
    RemoveFilter(u32),
    /// Forget a run group; nothing of it may be in flight. `Done` when nothing of init is in it any more. One that is not known is none.
    RemoveGroup(u32),
    /// Send a signal to the main process of a run. No reply; a run that is over is ignored.
    Kill {
        /// The id of its `Execve` request.
        run: u32,
        /// 1 to 64.
        signal: u8,
    },
    /// Give the terminal of a run another size. No reply; a run that is over, or has no terminal, is ignored.
    Resize {
        /// The id of its `Execve` request.
        run: u32,
        /// How large it is from now on.
        size: WindowSize,
    },
}

/// One file to open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFile<'a> {
    /// Where; relative paths start at the container's `workDir`. Symbolic links resolve inside of the container.
    #[serde(borrow, with = "serde_bytes")]
    pub path: &'a [u8],
    /// In which way.
    pub how: OpenHow,
    /// Mode bits of a file that is made (0o7777), set exactly: no umask applies.
    pub mode: u32,
}

/// In which way to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenHow {
    /// open(2) with these flags. Whatever is not a regular file is refused.
    Flags(i32),
    /// Make missing parents and a new file for writing under a temporary name; `Commit` renames it over whatever stands at
    /// `path` then, `Discard` removes it.
    Replace,
}

/// Which descriptors of a run group come beside the packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupFiles {
    /// How many `tasks` files of cgroup v1, open for writing.
    pub v1_tasks: u8,
    /// Whether the directory on cgroup v2 (`CLONE_INTO_CGROUP`).
    pub v2_directory: bool,
    /// Whether `cgroup.kill`, open for writing.
    pub v2_kill: bool,
    /// The counter of CPU time, open for reading.
    pub cpu: Option<CpuCounter>,
    /// Whether a file with a line `oom_kill N` (`memory.oom_control` of v1), open for reading: where the kernel's OOM killer ends one
    /// process of a group only, init ends the run.
    pub oom_kills: bool,
    /// Whether the number of bytes in use (`memory.usage_in_bytes`, `memory.current`), open for reading.
    pub memory: bool,
    /// The number of processes and threads (`pids.current`), open for reading; and whether init's threads that live in the group are among
    /// them (v1).
    pub processes: Option<bool>,
}

/// How a counter of CPU time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CpuCounter {
    /// `cpuacct.usage`: nanoseconds, one number.
    Nanoseconds,
    /// `cpu.stat` of v2: a line `usage_usec N`.
    Stat,
}
