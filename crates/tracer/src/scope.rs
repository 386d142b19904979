//! Which calls the supervisor wants to be asked about, and what it does about those that would lead out of its sight.
//!
//! Runs in the supervisor; [`traced_calls`] also in whoever compiles the run's seccomp filter, which has to return `SECCOMP_RET_TRACE` for these calls.
//!
//! Four ways lead out of sight, all of them cut off unless violations are only logged:
//!
//! - `CLONE_UNTRACED`: the flag is taken out of clone(2)'s register. clone3(2) has it in memory, where another thread could put it back, so it is
//!   answered with ENOSYS, upon which C libraries use clone. (A child that got away nevertheless has no tracer, and then the
//!   kernel answers each call that the filter asks about with ENOSYS: it can do less, not more.)
//! - seccomp(2) with `SECCOMP_FILTER_FLAG_NEW_LISTENER`: of several filters' answers the kernel takes the strictest, and "ask that
//!   process" is stricter than "ask the tracer". The listener may say "continue", and the tracer is never asked.
//! - io_uring opens files without a system call for each.
//! - Calls of another architecture, or of x32: numbers that mean something else.

use crate::calls;
use crate::memory;
use hotcell_protocol::TraceConfig;
use hotcell_protocol::trace::TracedCalls;

const CLONE_UNTRACED: u64 = libc::CLONE_UNTRACED as u64;
const SECCOMP_SET_MODE_FILTER: u64 = 1;
const SECCOMP_FILTER_FLAG_NEW_LISTENER: u64 = 8;

/// The calls that a run's filter must return `SECCOMP_RET_TRACE` for, in ascending order.
///
/// Everything else that the filter decides may be stricter: kill and errno come before trace (seccomp(2)).
pub fn traced_calls(config: &TraceConfig) -> Vec<u32> {
    let mut numbers: Vec<u32> = Vec::new();
    if config.learn || config.calls == TracedCalls::All {
        numbers.extend(calls::all());
    }
    if let TracedCalls::These(these) = &config.calls {
        numbers.extend(these.iter().filter(|number| **number < calls::MAX));
    }
    if config.files.is_some() {
        numbers.extend(calls::with_files());
        numbers.extend(ROOTS.iter().chain(&["io_uring_setup"]).filter_map(|name| calls::number(name)));
    }
    if !numbers.is_empty() {
        numbers.extend(PLACEMENT.iter().chain(&["seccomp"]).filter_map(|name| calls::number(name)));
    }
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// After these a process may have another root.
const ROOTS: [&str; 4] = ["chroot", "pivot_root", "setns", "unshare"];
/// What makes threads and processes, which inherit an affinity, and what looks at it (see [`crate::affinity`]); `CLONE_UNTRACED` is among them.
const PLACEMENT: [&str; 6] = ["clone", "clone3", "fork", "vfork", "sched_getaffinity", "sched_setaffinity"];

/// A set of call numbers.
#[derive(Debug, Clone, Default)]
struct Set([u64; 16]);

impl Set {
    fn of(numbers: impl IntoIterator<Item = u32>) -> Self {
        let mut set = Self::default();
        for number in numbers {
            if let Some(word) = set.0.get_mut(number as usize / 64) {
                *word |= 1 << (number % 64);
            }
        }
        set
    }

    fn has(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }
}

/// What a supervisor looks at.
#[derive(Debug)]
pub struct Scope {
    reported: Set,
    is_reporting: bool,
    watches_files: bool,
    placement: Set,
    roots: Set,
    sched_setaffinity: Option<u32>,
    clone: Option<u32>,
    clone3: Option<u32>,
    seccomp: Option<u32>,
    io_uring_setup: Option<u32>,
}

/// What is to be done about a call before anything else.
#[derive(Debug, PartialEq, Eq)]
pub enum Guard {
    /// Nothing.
    None,
    /// Another first argument.
    ClearUntraced(u64),
    /// This errno.
    Refuse(i32),
    /// It may change the root of a process.
    Roots,
}

impl Scope {
    /// Of a configuration.
    pub fn new(config: &TraceConfig) -> Self {
        let reported = match &config.calls {
            TracedCalls::None => Set::default(),
            TracedCalls::All => Set([u64::MAX; 16]),
            TracedCalls::These(these) => Set::of(these.iter().copied()),
        };
        let set = |names: &[&str]| Set::of(names.iter().filter_map(|name| calls::number(name)));
        Self {
            reported,
            is_reporting: config.calls != TracedCalls::None,
            watches_files: config.files.is_some() || config.learn,
            placement: set(&PLACEMENT),
            roots: set(&ROOTS),
            sched_setaffinity: calls::number("sched_setaffinity"),
            clone: calls::number("clone"),
            clone3: calls::number("clone3"),
            seccomp: calls::number("seccomp"),
            io_uring_setup: calls::number("io_uring_setup"),
        }
    }

    /// Whether the call becomes an event.
    pub fn reports(&self, call: u32) -> bool {
        self.is_reporting && (self.reported.has(call) || call >= calls::MAX)
    }

    /// Whether beginnings and ends of threads become events.
    pub const fn reports_life(&self) -> bool {
        self.is_reporting
    }

    /// Whether a new thread or process could inherit, or anybody see, where a thread was bound to.
    pub fn is_about_placement(&self, call: u32) -> bool {
        self.placement.has(call)
    }

    /// Whether the program places itself.
    pub fn sets_affinity(&self, call: u32) -> bool {
        self.sched_setaffinity == Some(call)
    }

    /// What is to be done about a call before anything else.
    pub fn guard(&self, tid: i32, call: u32, values: [u64; 6]) -> Guard {
        let [first, second, ..] = values;
        let is = |number: Option<u32>| number == Some(call);
        if is(self.clone) && first & CLONE_UNTRACED != 0 {
            return Guard::ClearUntraced(first & !CLONE_UNTRACED);
        }
        if is(self.clone3) {
            let mut flags = [0; 8];
            let is_read = memory::read_exact(tid, first, &mut flags);
            if is_read && u64::from_ne_bytes(flags) & CLONE_UNTRACED != 0 {
                return Guard::Refuse(libc::ENOSYS);
            }
        }
        let is_listener = first == SECCOMP_SET_MODE_FILTER && second & SECCOMP_FILTER_FLAG_NEW_LISTENER != 0;
        if is(self.seccomp) && is_listener {
            return Guard::Refuse(libc::EINVAL);
        }
        if is(self.io_uring_setup) && self.watches_files {
            return Guard::Refuse(libc::ENOSYS);
        }
        if self.roots.has(call) { Guard::Roots } else { Guard::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotcell_protocol::FileRules;

    #[test]
    fn a_filter_asks_about_files_and_ways_out_only_where_that_is_watched() {
        assert!(traced_calls(&TraceConfig::default()).is_empty());
        let has = |numbers: &[u32], name: &str| numbers.binary_search(&calls::number(name).unwrap()).is_ok();
        let files = traced_calls(&TraceConfig { files: Some(FileRules::default()), ..TraceConfig::default() });
        for name in ["openat", "execve", "rename", "clone", "clone3", "seccomp", "io_uring_setup", "chroot"] {
            assert!(has(&files, name), "{name}");
        }
        for name in ["read", "fstat", "getppid", "mmap"] {
            assert!(!has(&files, name), "{name}");
        }
        let these = TracedCalls::These(vec![calls::number("read").unwrap(), u32::MAX]);
        let some = traced_calls(&TraceConfig { calls: these, ..TraceConfig::default() });
        assert!(has(&some, "read") && has(&some, "clone") && !has(&some, "openat"));
        let all = traced_calls(&TraceConfig { calls: TracedCalls::All, ..TraceConfig::default() });
        assert!(has(&all, "getppid") && all.len() > 300);
    }
}
