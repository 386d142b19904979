//! Limits: those of setrlimit(2), and those that init enforces.

use serde::{Deserialize, Serialize};

/// What init enforces for a run, with a clock and by counting: what has no resource limit of the kernel's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLimits {
    /// Microseconds from the clone to the end of the main process (`CLOCK_MONOTONIC`); [`crate::Verdict::WallTimeLimit`] beyond.
    pub wall_us: Option<u64>,
    /// Microseconds of CPU time of all its processes; [`crate::Verdict::CpuTimeLimit`] beyond. Read from the group's counter, else
    /// summed up over the processes.
    pub cpu_us: Option<u64>,
    /// Bytes of memory of all its processes; [`crate::Verdict::MemoryLimit`] beyond. Only for runs without a group that limits
    /// memory: summed up now and then over the processes (their anonymous memory).
    pub memory_bytes: Option<u64>,
    /// Processes and threads at once. Only for runs without a group that limits them: `RLIMIT_NPROC`, to which init adds its own
    /// where it shares the program's identity.
    pub processes: Option<u64>,
}

/// The cgroups that a run is born in: a group that [`crate::RequestBody::AddGroup`] made known, with no other run in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunGroup {
    /// Its number.
    pub group: u32,
    /// What its counter of CPU time says before the run, in microseconds.
    pub cpu_base_us: u64,
    /// How many processes of it the OOM killer has ended before the run.
    pub oom_base: u64,
    /// How many bytes of memory were charged to it before the run.
    pub memory_base_bytes: u32,
}

/// One limit. [`RLimit::UNLIMITED`] stands for `RLIM_INFINITY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RLimit {
    /// Which resource.
    pub resource: Resource,
    /// The limit in force, in the unit of the resource (bytes, seconds, microseconds, a count).
    pub soft: u64,
    /// The ceiling that the program may raise `soft` to.
    pub hard: u64,
}

impl RLimit {
    /// `RLIM_INFINITY` as the kernel's 64-bit interface has it.
    pub const UNLIMITED: u64 = u64::MAX;
}

macro_rules! resources {
    ($($variant:ident = $name:literal, $number:literal, $doc:literal;)*) => {
        /// The sixteen resources of Linux, by the lower-case tail of their `RLIMIT_` names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Resource { $(#[doc = $doc] $variant,)* }

        impl Resource {
            /// Every resource, in the order of its kernel number (asm-generic/resource.h; the same on x86-64 and arm64).
            pub const ALL: [Resource; 16] = [$(Resource::$variant,)*];
            /// The name without `RLIMIT_`, in lower case.
            pub const fn name(self) -> &'static str { match self { $(Resource::$variant => $name,)* } }
            /// The kernel's number.
            pub const fn number(self) -> u32 { match self { $(Resource::$variant => $number,)* } }
            /// The resource with this name.
            pub fn from_name(name: &str) -> Option<Self> { match name { $($name => Some(Resource::$variant),)* _ => None } }
        }
    };
}

resources! {
    Cpu = "cpu", 0, "Seconds of CPU time; SIGXCPU at the soft limit, SIGKILL at the hard one.";
    Fsize = "fsize", 1, "Bytes that a file may grow to; SIGXFSZ beyond.";
    Data = "data", 2, "Bytes of initialised and uninitialised data, heap and private writable mappings.";
    Stack = "stack", 3, "Bytes of the main thread's stack.";
    Core = "core", 4, "Bytes of a core dump.";
    Rss = "rss", 5, "Ignored by the kernel since 2.4.30.";
    Nproc = "nproc", 6, "Processes and threads of the real user id, in its user namespace.";
    Nofile = "nofile", 7, "One more than the highest descriptor.";
    Memlock = "memlock", 8, "Bytes of locked memory.";
    As = "as", 9, "Bytes of address space.";
    Locks = "locks", 10, "Ignored by the kernel since 2.4.25.";
    Sigpending = "sigpending", 11, "Signals queued for the real user id.";
    Msgqueue = "msgqueue", 12, "Bytes in POSIX message queues of the real user id.";
    Nice = "nice", 13, "20 minus the lowest nice value.";
    Rtprio = "rtprio", 14, "The highest real-time priority.";
    Rttime = "rttime", 15, "Microseconds of real-time scheduling without a blocking call.";
}
