//! What the tests share: a run group of each kind that there is, and programs in it.

use hotcell_cgroup::detect::Version;
use hotcell_cgroup::{Container, Controller, Controllers, Group, Limits, Options, Parent, Reuse, Usage};
use hotcell_linux::clone3::CloneArgs;
use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// More than anything here takes.
pub const PLENTY: Duration = Duration::from_secs(20);

/// One container with one run group, and the thread that clones programs into it.
pub struct Cell {
    // Dropped first: as long as its thread is there, so is the group on v1.
    forker: Forker,
    pub kind: &'static str,
    /// Of the last run.
    pub usage: Usage,
    pub group: Group,
    pub container: Container,
    pub parent: Parent,
}

/// A program that was started.
pub struct Child {
    pub pid: i32,
    pub pidfd: OwnedFd,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Exit(i32),
    Signal(i32),
}

/// Calls `test` with a cell of each kind that there is here and that has these controllers.
pub fn on_each(name: &str, wanted: Controllers, test: impl Fn(&mut Cell)) {
    let _alone = one_at_a_time();
    let kinds = [("v1", Some(Version::V1)), ("v2", Some(Version::V2)), ("both", None)];
    for (kind, version) in kinds {
        let options = Options { name: parent_name(&format!("{name}-{kind}")), version, ..Options::default() };
        let missing = match Parent::create(&options) {
            Ok(parent) => {
                let lacks = wanted.without(parent.controllers());
                if lacks.is_empty() {
                    let mut cell = Cell::new(kind, parent);
                    let result = catch_unwind(AssertUnwindSafe(|| test(&mut cell)));
                    // A failure leaves nothing behind either.
                    cell.end();
                    if let Err(failure) = result {
                        resume_unwind(failure);
                    }
                    assert_eq!(left_of(&options.name), Vec::<PathBuf>::new(), "{kind}");
                    continue;
                }
                format!("no {lacks}")
            }
            Err(error) => error.to_string(),
        };
        skip(name, kind, wanted, &missing);
    }
}

/// Tests count CPU time, and reap whatever they find: never two at once.
pub fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    // SAFETY: no memory involved. Orphans become ours to reap, as they are a container's pid 1's.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reaps what has ended. Until then it counts as a process of its group.
pub fn reap() {
    // SAFETY: the kernel writes nothing.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
}

fn skip(name: &str, kind: &str, wanted: Controllers, why: &str) {
    let expected = std::env::var("HOTCELL_EXPECT").unwrap_or_default();
    let expects = |feature| expected.split(',').any(|expected| expected == feature);
    let cpuset = wanted.has(Controller::CpuSet);
    let promised = match kind {
        "v1" => expects("cgroup1"),
        _ if cpuset => expects("cgroup2-cpuset"),
        "v2" if !wanted.and(Controllers::V2).is_empty() => expects("cgroup2-limits"),
        _ => expects("cgroup2"),
    };
    assert!(!promised, "{name} on {kind}: expected, but {why}");
    eprintln!("skipped {name} on {kind}: {why}");
}

/// A name that no other test, and no other run of the tests, has.
pub fn parent_name(test: &str) -> String {
    format!("hotcell-test-{test}-{}", std::process::id())
}

/// What is left of a parent, in any hierarchy.
pub fn left_of(name: &str) -> Vec<PathBuf> {
    let Ok(found) = hotcell_cgroup::detect() else { return Vec::new() };
    let places = found
        .v1
        .iter()
        .chain(&found.v2)
        .flat_map(|hierarchy| [hierarchy.own.join(name), hierarchy.mount_point.join(name)]);
    places.filter(|path| path.exists()).collect()
}

impl Cell {
    pub fn new(kind: &'static str, parent: Parent) -> Self {
        let container = parent.container().unwrap();
        let mut group = container.group().unwrap();
        let forker = Forker::new(&group);
        group.set_resident(Some(std::process::id() as i32));
        Self { kind, usage: Usage::default(), group, container, parent, forker }
    }

    /// Starts a program.
    pub fn start(&self, args: &[&str]) -> Child {
        self.forker.start(self.group.entrance().v2.map(|fd| fd.as_raw_fd()), args)
    }

    /// Starts a program outside of the group, as far as it is on v2.
    pub fn start_beside(&self, args: &[&str]) -> Child {
        self.forker.start(None, args)
    }

    /// Runs a program with limits, waits for it, and kills the rest.
    pub fn run(&mut self, limits: &Limits, args: &[&str]) -> End {
        self.group.begin(limits).unwrap();
        let end = self.start(args).wait();
        self.kill();
        end
    }

    /// Kills and reaps what is left of all children, and has a group that is good for another run.
    pub fn kill(&mut self) {
        self.group.kill(PLENTY).unwrap();
        // Dead, they leave the list of members; only then they become zombies.
        // SAFETY: the kernel writes nothing.
        while unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } > 0 {}
        self.usage = self.group.usage().unwrap();
        if self.group.reuse().unwrap() == Reuse::Killed {
            self.renew();
        }
    }

    /// Like a container's end: everything is killed and removed.
    pub fn end(mut self) {
        self.group.kill(PLENTY).unwrap();
        drop(self.forker);
        drop(self.group);
        self.container.destroy(PLENTY).unwrap();
    }

    /// Another group in place of this one, with a thread of its own.
    pub fn renew(&mut self) {
        let mut group = self.container.group().unwrap();
        self.forker = Forker::new(&group);
        group.set_resident(Some(std::process::id() as i32));
        self.group = group;
    }
}

impl Child {
    pub fn wait(&self) -> End {
        let mut status = 0;
        // SAFETY: the kernel writes one int.
        let pid = unsafe { libc::waitpid(self.pid, &raw mut status, 0) };
        assert_eq!(pid, self.pid);
        if libc::WIFEXITED(status) { End::Exit(libc::WEXITSTATUS(status)) } else { End::Signal(libc::WTERMSIG(status)) }
    }
}

/// A thread that lives in a group on v1, as one of a container's pid 1 would.
struct Forker {
    requests: Option<Sender<(Option<RawFd>, Vec<CString>)>>,
    started: Receiver<Child>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Forker {
    fn new(group: &Group) -> Self {
        let tasks: Vec<OwnedFd> = group.entrance().v1.iter().map(|fd| fd.try_clone_to_owned().unwrap()).collect();
        let (requests, inbox) = channel::<(Option<RawFd>, Vec<CString>)>();
        let (outbox, started) = channel();
        let (ready, entered) = channel();
        let thread = std::thread::spawn(move || {
            for file in tasks {
                use std::io::Write;
                std::fs::File::from(file).write_all(b"0").unwrap();
            }
            ready.send(()).unwrap();
            for (cgroup, args) in inbox {
                outbox.send(clone_into(cgroup, &args)).unwrap();
            }
        });
        entered.recv().unwrap();
        Self { requests: Some(requests), started, thread: Some(thread) }
    }

    fn start(&self, cgroup: Option<RawFd>, args: &[&str]) -> Child {
        let program = program().to_str().unwrap();
        let args = std::iter::once(program).chain(args.iter().copied()).map(|arg| CString::new(arg).unwrap()).collect();
        self.requests.as_ref().unwrap().send((cgroup, args)).unwrap();
        self.started.recv().unwrap()
    }
}

impl Drop for Forker {
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.thread.take().unwrap().join();
    }
}

/// `CLONE_INTO_CGROUP`, Linux 5.7, is above the 32 bits of the libc constant's type.
pub const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// clone3 as a fork, into a cgroup of v2 if there is one, and execve.
pub fn clone_into(cgroup: Option<RawFd>, args: &[CString]) -> Child {
    let mut argv: Vec<_> = args.iter().map(|arg| arg.as_ptr()).collect();
    argv.push(std::ptr::null());
    let mut pidfd = -1;
    let flags =
        libc::CLONE_PIDFD as u64 | libc::CLONE_VFORK as u64 | if cgroup.is_some() { CLONE_INTO_CGROUP } else { 0 };
    let clone_args = CloneArgs {
        flags,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: cgroup.unwrap_or(0) as u64,
        ..CloneArgs::default()
    };
    // SAFETY: without CLONE_VM the child has a copy of everything; it makes two system calls.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const clone_args, size_of::<CloneArgs>()) };
    if pid == 0 {
        // SAFETY: NULL-terminated strings in a NULL-terminated vector, copied with the rest.
        unsafe { libc::execv(argv[0], argv.as_ptr()) };
        // SAFETY: ends this process.
        unsafe { libc::_exit(127) };
    }
    assert!(pid > 0, "clone3: {}", std::io::Error::last_os_error());
    // SAFETY: made by the kernel for us.
    Child { pid: pid as i32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } }
}

/// The program of ../programs, compiled if it is newer than what was compiled before. (In an emulated machine compiling takes long,
/// and the build's directory is read-only.)
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/behave.c");
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hotcell-behave");
        let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
        if changed(&program).is_none_or(|compiled| changed(&source).is_some_and(|edited| edited > compiled)) {
            let fresh = program.with_extension(std::process::id().to_string());
            let status = Command::new("cc").args(["-O1", "-static", "-o"]).arg(&fresh).arg(source).status();
            assert!(status.unwrap().success());
            // Another run may do the same at this moment.
            std::fs::rename(fresh, &program).unwrap();
        }
        program
    })
}

/// Whether CPU time is counted exactly, and programs stop soon after they have used what they should: user-mode-linux counts by timer
/// ticks, and what qemu emulates takes milliseconds for what others do in microseconds.
pub fn counts_exactly() -> bool {
    let machines = ["User Mode Linux", "QEMU TCG"];
    !std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| machines.iter().any(|machine| text.contains(machine)))
}

/// Whether a process of this pid is there, zombies aside.
pub fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Waits until a condition holds, for long at most.
pub fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PLENTY;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}
