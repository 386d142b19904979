//! What a child does until it executes the program, laid out before it is cloned.
//!
//! The child shares our memory and may not allocate, so every pointer that it hands to the kernel is made here: argument and
//! environment vectors, and the paths to try, one for each directory of the run's own PATH (as execvp(3) does it, but with the
//! environment of the run and inside of the container).

use hotcell_linux::file;
use hotcell_linux::process::raw::{self, Pass};
use hotcell_protocol::{Exec, Failure, Resource, Step, strings};
use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64};

/// Where programs are looked for in an environment without PATH.
const DEFAULT_PATH: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// What programs on a terminal take it for in an environment that does not say (term(7)).
const TERM: &[u8] = b"TERM=xterm-256color\0";

/// Limits of every program unless its run sets its own (setrlimit(2)): soft, hard. A hard limit of the host that is lower stays.
const DEFAULT_LIMITS: [(Resource, u64, u64); 7] = [
    (Resource::Nofile, 256, 1024),
    // Also bounds how many orphans pid 1 may have to reap before it can tell of an end.
    (Resource::Nproc, 1024, 1024),
    (Resource::Memlock, 64 * 1024, 64 * 1024),
    (Resource::Msgqueue, 0, 0),
    (Resource::Sigpending, 256, 256),
    (Resource::Rtprio, 0, 0),
    (Resource::Nice, 0, 0),
];

/// The limits that a verdict may rest on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// RLIMIT_CPU in seconds: soft, hard.
    pub cpu: Option<(u64, u64)>,
    /// Whether RLIMIT_FSIZE is set.
    pub file_size: bool,
}

/// One prlimit(2).
#[repr(C)]
pub struct PlannedLimit {
    pub resource: u32,
    pub limit: libc::rlimit64,
    /// The number in the request; defaults have none and may fail.
    pub index: Option<u32>,
}

/// The child's instructions and the place where it reports a failure.
pub struct Plan {
    /// The strings behind the pointers below: arguments, environment and paths, each with its NUL.
    strings: Vec<u8>,
    pub argv: Vec<*const libc::c_char>,
    pub envp: Vec<*const libc::c_char>,
    /// What to execute, in this order, until one is found. Empty with `execute`.
    pub candidates: Vec<*const libc::c_char>,
    /// The descriptor to execute, or -1.
    pub execute: RawFd,
    /// These become 0, 1, 2, …; none leaves init's three /dev/null.
    pub fds: Vec<RawFd>,
    /// Whether these are a terminal, which is to be the controlling one.
    pub has_terminal: bool,
    /// What it does not keep while it waits at its sync point.
    pub withheld: Vec<RawFd>,
    /// Our copies of what the child has been given, owned by this: closed once it has its own, see [`Plan::close_descriptors`].
    descriptors: Vec<RawFd>,
    closed: AtomicBool,
    /// For the filter that the child is born with.
    pub pass: Pass,
    /// Whether the kernel gives children of that thread a nice value of 0 where it has a lower one itself.
    pub is_born_level: bool,
    pub rlimits: Vec<PlannedLimit>,
    pub cwd: *const libc::c_char,
    /// (uid, gid) to take, if they differ from init's.
    pub identity: Option<(u32, u32)>,
    /// Whether the cgroup that it is born in shall be the root of what it sees of cgroups.
    pub hides_cgroup: bool,
    /// Whether it takes a session keyring of its own.
    pub joins_keyring: bool,
    pub has_sync_point: bool,
    /// The Landlock ruleset that binds the program, or -1.
    pub landlock: RawFd,
    /// Whether it stops behind its execve, see [`crate::trace`].
    pub is_traced: bool,
    /// Set by the thread that clones it: it is stopped there, and nobody traces it.
    pub is_handed_over: AtomicBool,
    /// Set when it was reaped.
    pub is_over: AtomicBool,
    /// Where to write a byte on arrival at the sync point, or -1.
    pub arrival: i32,
    /// Its pid, stored by the kernel before it runs; 0 until then.
    pub pid: AtomicI32,
    /// For the thread that clones it: errno if that failed.
    pub clone_errno: AtomicI32,
    /// Likewise: `CLOCK_MONOTONIC` in microseconds when the program ran, or the child had failed; 0 until then.
    pub executed_us: AtomicU64,
    /// Likewise: the signal to send once there is somebody to send it to; with SIGKILL in it nobody is cloned any more.
    pub pending_signal: AtomicI32,
    /// [`crate::exec::child::gate`]; the child waits on it.
    pub gate: AtomicU32,
    /// errno of a failure, or 0; written by the child last of the three.
    pub failed_errno: AtomicI32,
    pub failed_step: AtomicU8,
    pub failed_index: AtomicU32,
    pub limits: Limits,
}

impl Drop for Plan {
    fn drop(&mut self) {
        self.close_descriptors();
    }
}

// SAFETY: the pointers lead into `strings`, which is never changed and lives as long; all else that changes is atomic.
unsafe impl Send for Plan {}
// SAFETY: as above.
unsafe impl Sync for Plan {}

impl Plan {
    /// Lays out a request. Its descriptors come in the order of the packet; for a terminal, its slave.
    pub fn new(
        exec: &Exec<'_>,
        environment: &[u8],
        fds: Vec<OwnedFd>,
        identity: Option<(u32, u32)>,
    ) -> Result<Self, Failure> {
        let invalid = |errno| Failure::new(Step::CheckArguments, errno);
        let with_term: Vec<u8>;
        let environment: &[u8] = match (exec.env, exec.terminal) {
            (Some(env), _) => env,
            (None, Some(_)) if !strings(environment).ok_or_else(|| invalid(libc::EINVAL))?.any(is_term) => {
                with_term = [environment, TERM].concat();
                &with_term
            }
            (None, _) => environment,
        };
        let arguments = strings(exec.args).ok_or_else(|| invalid(libc::EINVAL))?;
        let variables = strings(environment).ok_or_else(|| invalid(libc::EINVAL))?;
        let name = arguments.clone().next().ok_or_else(|| invalid(libc::EINVAL))?;

        let mut numbers = fds.iter().map(AsRawFd::as_raw_fd);
        let execute =
            if exec.flags.execute_fd { Some(numbers.next().ok_or_else(|| invalid(libc::EBADF))?) } else { None };
        let numbers: Vec<_> = numbers.collect();
        let placed = match (exec.terminal, numbers.as_slice()) {
            (Some(_), [slave]) => vec![*slave; 3],
            (None, _) if numbers.len() == exec.fds as usize => numbers,
            _ => return Err(invalid(libc::EBADF)),
        };

        let mut text = Text::default();
        let argv: Vec<_> = arguments.map(|string| text.push(&[string])).collect();
        let envp: Vec<_> = variables.clone().map(|string| text.push(&[string])).collect();
        let candidates = if execute.is_some() {
            Vec::new()
        } else if name.contains(&b'/') || name.is_empty() {
            vec![text.push(&[name])]
        } else {
            let path =
                variables.into_iter().find_map(|variable| variable.strip_prefix(b"PATH=")).unwrap_or(DEFAULT_PATH);
            path.split(|byte| *byte == b':')
                // an empty directory is the current one (execvp(3))
                .map(|directory| if directory.is_empty() { b"." } else { directory })
                .map(|directory| text.push(&[directory, b"/", name]))
                .collect()
        };
        let cwd = exec.cwd.map(|cwd| text.push(&[cwd]));

        let strings = text.0;
        let pointer = |offset: usize| strings.as_ptr().wrapping_add(offset).cast::<libc::c_char>();
        let vector = |offsets: Vec<usize>| offsets.into_iter().map(pointer).chain([ptr::null()]).collect();
        let mut limits = Limits::default();
        for limit in &exec.rlimits {
            match limit.resource {
                Resource::Cpu => limits.cpu = Some((limit.soft, limit.hard)),
                Resource::Fsize => limits.file_size = limit.soft != hotcell_protocol::RLimit::UNLIMITED,
                _ => {}
            }
        }
        Ok(Self {
            argv: vector(argv),
            envp: vector(envp),
            candidates: candidates.into_iter().map(pointer).collect(),
            cwd: cwd.map_or(ptr::null(), pointer),
            rlimits: plan_limits(exec),
            hides_cgroup: false,
            joins_keyring: true,
            has_sync_point: exec.flags.sync,
            landlock: -1,
            is_traced: exec.trace.is_some(),
            is_handed_over: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            arrival: -1,
            strings,
            execute: execute.unwrap_or(-1),
            fds: placed,
            has_terminal: exec.terminal.is_some(),
            withheld: Vec::new(),
            descriptors: fds.into_iter().map(IntoRawFd::into_raw_fd).collect(),
            closed: AtomicBool::new(false),
            pass: Pass::NONE,
            is_born_level: false,
            pid: AtomicI32::new(0),
            clone_errno: AtomicI32::new(0),
            executed_us: AtomicU64::new(0),
            pending_signal: AtomicI32::new(0),
            identity,
            gate: AtomicU32::new(0),
            failed_errno: AtomicI32::new(0),
            failed_step: AtomicU8::new(0),
            failed_index: AtomicU32::new(0),
            limits,
        })
    }

    /// Takes a descriptor that the child is to have a copy of.
    pub fn keep(&mut self, descriptor: OwnedFd) {
        self.descriptors.push(descriptor.into_raw_fd());
    }

    /// Has the child close its copies of these before it waits at its sync point, which it may do for long: who is at the other ends
    /// waits for the last copy to be closed.
    pub fn withhold(&mut self, descriptors: impl Iterator<Item = RawFd>) {
        // By then there are the program's own in the lowest places.
        let lowest = self.fds.len().max(3) as i32;
        self.withheld.extend(descriptors.filter(|descriptor| *descriptor >= lowest));
    }

    /// Binds the program by a Landlock ruleset.
    pub fn restrict(&mut self, ruleset: OwnedFd) -> io::Result<()> {
        // Where it is not overwritten when the run's descriptors are placed.
        let lowest = self.fds.len().max(3) as i32;
        let ruleset = file::duplicate_above(ruleset.as_fd(), lowest)?;
        self.landlock = ruleset.as_raw_fd();
        self.keep(ruleset);
        Ok(())
    }

    /// Closes our copies, so that who holds the other ends sees what the program does with its own. The child must have been cloned.
    /// Frees nothing, and does not need libc: threads under a filter call it.
    pub fn close_descriptors(&self) {
        if self.closed.swap(true, SeqCst) {
            return;
        }
        for descriptor in &self.descriptors {
            // SAFETY: the descriptors belong to this plan, and whoever sets the flag closes them.
            unsafe { raw::close(&self.pass, *descriptor) };
        }
    }

    /// Processes and threads at once: `RLIMIT_NPROC`, unless a lower one is planned.
    pub fn limit_processes(&mut self, most: u64) {
        match self.rlimits.iter_mut().find(|planned| planned.resource == Resource::Nproc.number()) {
            Some(planned) if planned.index.is_some() => {
                planned.limit.rlim_cur = planned.limit.rlim_cur.min(most);
                planned.limit.rlim_max = planned.limit.rlim_max.min(most);
            }
            Some(planned) => planned.limit = libc::rlimit64 { rlim_cur: most, rlim_max: most },
            None => self.rlimits.push(PlannedLimit {
                resource: Resource::Nproc.number(),
                limit: libc::rlimit64 { rlim_cur: most, rlim_max: most },
                index: None,
            }),
        }
    }

    /// What the child reported, if it failed.
    pub fn failure(&self) -> Option<Failure> {
        use std::sync::atomic::Ordering::Acquire;
        let errno = self.failed_errno.load(Acquire);
        if errno == 0 {
            return None;
        }
        let step = Step::from_u8(self.failed_step.load(Acquire)).unwrap_or(Step::Execve);
        let index = self.failed_index.load(Acquire);
        let failure = Failure::new(step, errno).at(index);
        Some(match step {
            Step::Execve => failure.of(self.string(self.argv.first())),
            Step::Chdir => failure.of(self.string(Some(&self.cwd))),
            Step::SetRlimit => {
                let resource = self.rlimits.iter().find(|limit| limit.index == Some(index)).map(|limit| limit.resource);
                let name = Resource::ALL
                    .iter()
                    .find(|known| Some(known.number()) == resource)
                    .map_or("", |known| known.name());
                failure.of(name.as_bytes())
            }
            _ => failure,
        })
    }

    /// The string that one of our own pointers points to.
    fn string(&self, pointer: Option<&*const libc::c_char>) -> &[u8] {
        let offset = pointer.map_or(0, |pointer| (*pointer as usize).wrapping_sub(self.strings.as_ptr() as usize));
        let rest = self.strings.get(offset..).unwrap_or_default();
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

/// Strings laid end to end, each with a NUL; known by their offsets, because the memory moves while it grows.
#[derive(Default)]
struct Text(Vec<u8>);

impl Text {
    fn push(&mut self, parts: &[&[u8]]) -> usize {
        let offset = self.0.len();
        for part in parts {
            self.0.extend_from_slice(part);
        }
        self.0.push(0);
        offset
    }
}

fn plan_limits(exec: &Exec<'_>) -> Vec<PlannedLimit> {
    let given = exec.rlimits.iter().zip(0..).map(|(limit, index)| {
        // "No core dumps" is 1: with a piped core_pattern, 0 starts the host's handler all the same, as root (core(5)).
        let is_none = limit.resource == Resource::Core && limit.soft == 0;
        let least = u64::from(is_none);
        PlannedLimit {
            resource: limit.resource.number(),
            limit: libc::rlimit64 { rlim_cur: limit.soft.max(least), rlim_max: limit.hard.max(least) },
            // where the host's own hard limit is 0 there is no more to be had
            index: (!is_none).then_some(index),
        }
    });
    let defaults =
        DEFAULT_LIMITS.iter().filter(|(resource, ..)| !exec.rlimits.iter().any(|limit| limit.resource == *resource));
    let defaults = defaults.map(|&(resource, soft, hard)| PlannedLimit {
        resource: resource.number(),
        limit: libc::rlimit64 { rlim_cur: soft, rlim_max: hard },
        index: None,
    });
    given.chain(defaults).collect()
}

fn is_term(variable: &[u8]) -> bool {
    variable.starts_with(b"TERM=")
}

/// Moves received descriptors above those that they are to become, where necessary.
///
/// A descriptor can arrive at a number below the count of all, where placing another would overwrite it.
pub fn clear_targets(fds: Vec<OwnedFd>) -> io::Result<Vec<OwnedFd>> {
    let count = fds.len() as i32;
    fds.into_iter()
        .map(|fd| if fd.as_raw_fd() < count.max(3) { file::duplicate_above(fd.as_fd(), count.max(3)) } else { Ok(fd) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotcell_protocol::{ExecFlags, RLimit};

    fn paths(plan: &Plan) -> Vec<String> {
        plan.candidates.iter().map(|path| String::from_utf8(plan.string(Some(path)).to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_bare_name_is_looked_up_in_the_path_of_the_run() {
        let exec = Exec { args: b"ls\0-l\0", ..Exec::default() };
        let plan = Plan::new(&exec, b"A=1\0PATH=/a::/b\0", vec![], None).unwrap();
        assert_eq!(paths(&plan), ["/a/ls", "./ls", "/b/ls"]);
        let own = Exec { env: Some(serde_bytes_of(b"PATH=/own\0")), ..exec };
        assert_eq!(paths(&Plan::new(&own, b"PATH=/a\0", vec![], None).unwrap()), ["/own/ls"]);
        let none = Exec { env: Some(serde_bytes_of(b"")), ..own };
        assert_eq!(
            paths(&Plan::new(&none, b"", vec![], None).unwrap()),
            ["/usr/local/bin/ls", "/usr/bin/ls", "/bin/ls"]
        );
    }

    #[test]
    fn a_name_with_a_slash_is_not_looked_up() {
        let exec = Exec { args: b"./ls\0", ..Exec::default() };
        assert_eq!(paths(&Plan::new(&exec, b"PATH=/a\0", vec![], None).unwrap()), ["./ls"]);
    }

    #[test]
    fn malformed_requests_are_refused() {
        for args in [b"".as_slice(), b"ls"] {
            let exec = Exec { args, ..Exec::default() };
            assert_eq!(Plan::new(&exec, b"", vec![], None).err().unwrap().errno, libc::EINVAL);
        }
        let exec = Exec { args: b"ls\0", fds: 1, ..Exec::default() };
        assert_eq!(Plan::new(&exec, b"", vec![], None).err().unwrap().errno, libc::EBADF);
        let flags = ExecFlags { execute_fd: true, ..ExecFlags::default() };
        let exec = Exec { args: b"ls\0", flags, ..Exec::default() };
        assert_eq!(Plan::new(&exec, b"", vec![], None).err().unwrap().errno, libc::EBADF);
    }

    #[test]
    fn own_limits_replace_defaults() {
        let limit = RLimit { resource: Resource::Nofile, soft: 5, hard: 6 };
        let exec = Exec { args: b"ls\0", rlimits: vec![limit], ..Exec::default() };
        let plan = Plan::new(&exec, b"", vec![], None).unwrap();
        let nofile: Vec<_> = plan.rlimits.iter().filter(|limit| limit.resource == 7).collect();
        assert_eq!(nofile.len(), 1);
        assert_eq!((nofile[0].limit.rlim_cur, nofile[0].index), (5, Some(0)));
        assert_eq!(plan.rlimits.len(), DEFAULT_LIMITS.len());
    }

    fn serde_bytes_of(bytes: &[u8]) -> &serde_bytes::Bytes {
        serde_bytes::Bytes::new(bytes)
    }
}
