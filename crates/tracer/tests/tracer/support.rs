//! Programs under a supervisor, as init does it: the test is the parent of both the program and its supervisor, a process of its own.

use hotcell_protocol::trace::{TraceSummary, TracedCall, Violation, split_batch};
use hotcell_protocol::{FileRules, OnViolation, TraceConfig, TraceEvent};
use hotcell_tracer::learn::Learned;
use hotcell_tracer::{Sink, Supervisor, calls, traced_calls};
use std::ffi::CString;
use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a run came to.
pub struct Outcome {
    /// As its parent sees it.
    pub status: i32,
    pub output: String,
    pub summary: TraceSummary,
    pub learned: Option<Learned>,
    events: Vec<u8>,
}

/// A program that runs, and its supervisor.
pub struct Running {
    pub pid: i32,
    pub supervisor: i32,
    output: PipeReader,
    result: PipeReader,
}

impl Outcome {
    pub fn events(&self) -> Vec<TraceEvent<'_>> {
        split_batch(&self.events).map(|event| event.expect("an event of ours")).collect()
    }

    pub fn violations(&self) -> Vec<Violation<'_>> {
        let violation = |event| if let TraceEvent::Violation(violation) = event { Some(violation) } else { None };
        self.events().into_iter().filter_map(violation).collect()
    }

    pub fn calls(&self) -> Vec<TracedCall<'_>> {
        let call = |event| if let TraceEvent::Call(call) = event { Some(call) } else { None };
        self.events().into_iter().filter_map(call).collect()
    }

    /// "read /etc/passwd" and so on.
    pub fn complaints(&self) -> Vec<String> {
        let complaint = |violation: &Violation<'_>| {
            format!("{} {}", violation.operation.name(), String::from_utf8_lossy(violation.path))
        };
        self.violations().iter().map(complaint).collect()
    }

    pub fn exit_code(&self) -> Option<i32> {
        libc::WIFEXITED(self.status).then(|| libc::WEXITSTATUS(self.status))
    }

    pub fn signal(&self) -> Option<i32> {
        libc::WIFSIGNALED(self.status).then(|| libc::WTERMSIG(self.status))
    }
}

/// What else there is about a run.
#[derive(Clone, Copy, Default)]
pub struct Extra {
    /// Who the program is; as a rule the same as its supervisor.
    pub uid: Option<u32>,
    /// What the filter does beside asking, for this call.
    pub call: Option<&'static str>,
    /// A `SECCOMP_RET_*`.
    pub action: u32,
    /// Whether the receiver of events only takes them when it is waited for.
    pub is_slow: bool,
}

/// Keeps all that it gets; the slow one takes nothing from who does not wait.
struct Keep {
    events: Vec<u8>,
    is_slow: bool,
}

impl Sink for Keep {
    fn send(&mut self, batch: &[u8], may_wait: bool) -> std::io::Result<bool> {
        if self.is_slow && !may_wait {
            return Ok(false);
        }
        self.events.send(batch, may_wait)
    }
}

/// Runs a program to its end.
pub fn run(config: &TraceConfig, argv: &[&str]) -> Outcome {
    start(config, argv, Extra::default()).finish()
}

/// Runs the program of ../programs.
pub fn act(config: &TraceConfig, words: &[&str]) -> Outcome {
    let program = program().to_str().unwrap();
    run(config, &[&[program], words].concat())
}

pub fn start(config: &TraceConfig, argv: &[&str], extra: Extra) -> Running {
    let (mut released, release) = pipe().unwrap();
    let (output, writer) = pipe().unwrap();
    let (result, result_writer) = pipe().unwrap();
    let filter = filter(&traced_calls(config), extra);
    let argv: Vec<CString> = argv.iter().map(|argument| CString::new(*argument).unwrap()).collect();
    let mut pointers: Vec<_> = argv.iter().map(|argument| argument.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: the child of a thread has that thread only, and glibc's memory allocator works in it.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        drop(release);
        let _ = released.read(&mut [0]);
        become_program(&filter, &writer, &pointers, extra.uid);
    }
    // SAFETY: as above.
    let supervisor = unsafe { libc::fork() };
    if supervisor == 0 {
        drop((released, writer, output, result));
        supervise(config, pid, release, result_writer, extra.is_slow);
    }
    drop((released, release, writer, result_writer));
    Running { pid, supervisor, output, result }
}

#[expect(clippy::multiple_unsafe_ops_per_block, reason = "one argument for a dozen system calls")]
fn become_program(
    filter: &[libc::sock_filter],
    output: &PipeWriter,
    argv: &[*const libc::c_char],
    uid: Option<u32>,
) -> ! {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    let null = c"/dev/null".as_ptr();
    // None of cargo's, which would have the loader look into its directories.
    let environment = [c"PATH=/usr/local/bin:/usr/bin:/bin".as_ptr(), std::ptr::null()];
    // SAFETY: system calls in a process of its own; every pointer lives in memory copied from the parent.
    unsafe {
        libc::setsid();
        libc::dup2(libc::open(null, libc::O_RDWR), 0);
        libc::dup2(output.as_raw_fd(), 1);
        if let Some(uid) = uid {
            libc::setgroups(0, std::ptr::null());
            libc::setresgid(uid, uid, uid);
            libc::setresuid(uid, uid, uid);
        }
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program);
        libc::execvpe(argv[0], argv.as_ptr(), environment.as_ptr());
        libc::_exit(127)
    }
}

fn supervise(config: &TraceConfig, pid: i32, mut release: PipeWriter, mut result: PipeWriter, is_slow: bool) -> ! {
    // What other tests have open at this moment is not to be kept open by us.
    let mut keep = [release.as_raw_fd(), result.as_raw_fd()];
    keep.sort_unstable();
    let ranges = [(3, keep[0] - 1), (keep[0] + 1, keep[1] - 1), (keep[1] + 1, i32::MAX)];
    for (first, last) in ranges.into_iter().filter(|(first, last)| first <= last) {
        // SAFETY: descriptors of this copy of the process, which nobody uses here.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
    let supervised = || -> Result<_, hotcell_tracer::Error> {
        let proc = File::open("/proc").ok().map(OwnedFd::from);
        let mut supervisor = Supervisor::new(config, proc, Keep { events: Vec::new(), is_slow })?;
        supervisor.seize(pid)?;
        release.write_all(b"x").unwrap();
        drop(release);
        supervisor.run()
    };
    let code = match supervised() {
        Ok(report) => {
            let bytes = postcard::to_allocvec(&(report.sink.events, report.summary, report.learned)).unwrap();
            i32::from(result.write_all(&bytes).is_err())
        }
        Err(error) => {
            eprintln!("supervisor: {error}");
            1
        }
    };
    // SAFETY: ends this process.
    unsafe { libc::_exit(code) }
}

impl Running {
    pub fn finish(mut self) -> Outcome {
        let mut output = Vec::new();
        self.output.read_to_end(&mut output).unwrap();
        let status = wait(self.pid);
        let mut result = Vec::new();
        self.result.read_to_end(&mut result).unwrap();
        assert_eq!(wait(self.supervisor), 0, "the supervisor of {output:?}");
        let (events, summary, learned) = postcard::from_bytes(&result).unwrap();
        Outcome { status, output: String::from_utf8_lossy(&output).into_owned(), summary, learned, events }
    }

    /// Reads the program's output up to and including a line break.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.output.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    /// Waits until every holder of the program's output is gone, and says how it ended.
    pub fn gone(mut self) -> i32 {
        let _ = self.output.read_to_end(&mut Vec::new());
        wait(self.supervisor);
        wait(self.pid)
    }
}

pub fn wait(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the kernel writes one int.
    while unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) } != pid {
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EINTR));
    }
    status
}

/// `SECCOMP_RET_TRACE` for these, for other architectures and for x32; everything else is allowed. As short as a compiler of filters would have it for all.
pub fn filter(traced: &[u32], extra: Extra) -> Vec<libc::sock_filter> {
    const LOAD: u16 = 0x20;
    const JUMP_EQUAL: u16 = 0x15;
    const JUMP_GREATER_EQUAL: u16 = 0x35;
    const RETURN: u16 = 0x06;
    let arch = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };
    let instruction = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = vec![
        instruction(LOAD, 0, 0, 4),
        instruction(JUMP_EQUAL, 1, 0, arch),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_TRACE),
        instruction(LOAD, 0, 0, 0),
        instruction(JUMP_GREATER_EQUAL, 0, 1, 0x4000_0000),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_TRACE),
    ];
    let mut answer = |number, action| {
        filter.push(instruction(JUMP_EQUAL, 0, 1, number));
        filter.push(instruction(RETURN, 0, 0, action));
    };
    if let Some(call) = extra.call {
        answer(calls::number(call).unwrap(), extra.action);
    }
    // A list of all is no list.
    let is_all = traced.len() == calls::all().count();
    for number in traced.iter().filter(|_| !is_all) {
        answer(*number, libc::SECCOMP_RET_TRACE);
    }
    let rest = if is_all { libc::SECCOMP_RET_TRACE } else { libc::SECCOMP_RET_ALLOW };
    filter.push(instruction(RETURN, 0, 0, rest));
    filter
}

/// A directory of a test's own, removed with it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("hotcell-tracer-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path.canonicalize().unwrap())
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// A file in it.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What every program needs to start, and nothing else.
pub fn rules() -> FileRules {
    let list = |rules: &[&str]| rules.iter().map(|rule| (*rule).to_owned()).collect();
    FileRules {
        read: list(&["/lib/**", "/lib64/**", "/usr/lib/**", "/etc/ld.so.cache", "/etc/ld.so.preload"]),
        ..FileRules::default()
    }
}

/// A policy with these rules in addition: (operation, rule).
pub fn policy(on_violation: OnViolation, more: &[(&str, &str)]) -> TraceConfig {
    let mut files = rules();
    for (operation, rule) in more {
        let list = match *operation {
            "read" => &mut files.read,
            "write" => &mut files.write,
            "stat" => &mut files.stat,
            "execute" => &mut files.execute,
            other => panic!("{other}"),
        };
        list.push((*rule).to_owned());
    }
    TraceConfig { files: Some(files), on_violation, ..TraceConfig::default() }
}

/// The program of ../programs, compiled if it is newer than what was compiled before.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/act.c");
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hotcell-act");
        let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
        if changed(&program).is_none_or(|compiled| changed(&source).is_some_and(|edited| edited > compiled)) {
            let fresh = program.with_extension(std::process::id().to_string());
            let status = Command::new("cc").args(["-O1", "-pthread", "-o"]).arg(&fresh).arg(source).status();
            assert!(status.unwrap().success());
            // Another run may do the same at this moment.
            std::fs::rename(fresh, &program).unwrap();
        }
        program
    })
}

/// Whether this is root, which some tests need; said by name where it is not.
pub fn is_root(test: &str) -> bool {
    // SAFETY: no memory involved.
    let is_root = unsafe { libc::geteuid() } == 0;
    let promised =
        std::env::var("HOTCELL_EXPECT").is_ok_and(|features| features.split(',').any(|feature| feature == "root"));
    assert!(is_root || !promised, "{test}: expected root");
    if !is_root {
        eprintln!("skipped {test}: not root");
    }
    is_root
}
