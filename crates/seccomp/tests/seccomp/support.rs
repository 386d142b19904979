//! Filters in real processes: children of this one, which is never filtered itself.

use hotcell_seccomp::bpf::Program;
use hotcell_seccomp::syscalls::{self, Arch};
use hotcell_seccomp::{Options, Pass, Policy, Profile, Settings, compile};
use std::ffi::CString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What these tests run on, in the kernel.
pub fn here() -> Arch {
    Arch::native().expect("hotcell is for x86_64 and aarch64")
}

/// A native number.
pub fn nr(name: &str) -> u32 {
    syscalls::number(here().abi(), name).unwrap_or_else(|| panic!("{name} is not on {}", here()))
}

pub const TOKEN: [u64; 6] = [
    0x0123_4567_89ab_cdef,
    0x1032_5476_98ba_dcfe,
    0xdead_beef_0bad_cafe,
    0x8000_0000_0000_0001,
    0x7fff_ffff_ffff_fffe,
    0x5555_aaaa_aaaa_5555,
];

/// What init and its child call under the filter, and from which argument on the kernel ignores them.
pub fn pass(arch: Arch) -> Pass {
    let calls = [
        ("capset", 2),
        ("chdir", 1),
        ("clone3", 2),
        ("close_range", 3),
        ("dup3", 3),
        ("execve", 3),
        ("execveat", 5),
        ("exit", 1),
        ("exit_group", 1),
        ("futex", 4),
        ("keyctl", 2),
        ("landlock_restrict_self", 2),
        ("prctl", 5),
        ("prlimit64", 4),
        ("rt_sigprocmask", 4),
        ("seccomp", 3),
        ("setns", 2),
        ("setpriority", 3),
        ("setresgid", 3),
        ("setresuid", 3),
        ("setsid", 0),
        ("umask", 1),
        ("unshare", 1),
        ("write", 3),
    ];
    let number = |(name, first)| Some((syscalls::number(arch.abi(), name)?, first));
    Pass { token: TOKEN, calls: calls.into_iter().filter_map(number).collect() }
}

pub fn profile(profile: Profile) -> Program {
    let policy = profile.policy(&Settings::default()).expect("a profile with a filter");
    program(&policy, &Options { pass: Some(pass(here())), ..Options::default() })
}

pub fn program(policy: &Policy, options: &Options) -> Program {
    compile(policy, here(), options).expect("it compiles")
}

/// `struct sock_fprog`, of instructions that live on.
#[derive(Clone, Copy)]
pub struct Filter {
    len: u16,
    instructions: *const hotcell_seccomp::bpf::Instruction,
}

// SAFETY: points to a `Program` that is never written.
unsafe impl Send for Filter {}
// SAFETY: as above.
unsafe impl Sync for Filter {}

impl Filter {
    /// The program is leaked: it has to be there when a child that was forked later installs it.
    pub fn new(program: Program) -> Self {
        let instructions: &'static Program = Box::leak(Box::new(program));
        Self { len: instructions.len() as u16, instructions: instructions.instructions().as_ptr() }
    }

    /// Installs it in the calling thread. Raw calls only, so that a forked child may do it.
    pub fn install(self) -> io::Result<()> {
        self.install_with(0).map(drop)
    }

    /// The same with `SECCOMP_FILTER_FLAG_*`; returns what the kernel does.
    pub fn install_with(self, flags: libc::c_ulong) -> io::Result<i32> {
        #[repr(C)]
        struct Fprog {
            len: u16,
            filter: *const hotcell_seccomp::bpf::Instruction,
        }
        let fprog = Fprog { len: self.len, filter: self.instructions };
        // SAFETY: no memory involved.
        if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `Instruction` has the layout of sock_filter, and there are `len` of them.
        let result =
            unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const fprog) };
        if result >= 0 { Ok(result as i32) } else { Err(io::Error::last_os_error()) }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The call returned this; a negative number is an error.
    Returned(i64),
    /// The process was killed by this signal.
    Killed(i32),
}

pub const PERMITTED: Ended = Ended::Returned(0);

pub const fn errno(number: i32) -> Ended {
    Ended::Returned(-(number as i64))
}

/// A call as the kernel sees it, `-errno` on failure.
pub fn call(nr: u32, args: [u64; 6]) -> i64 {
    // SAFETY: tests pass pointers that are null, bad on purpose, or good.
    let result = unsafe { libc::syscall(nr.into(), args[0], args[1], args[2], args[3], args[4], args[5]) };
    if result == -1 {
        return -i64::from(io::Error::last_os_error().raw_os_error().unwrap_or_default());
    }
    result
}

/// Runs `body` in a child under a filter, and tells what it returned or what it died of.
pub fn under(filter: Filter, body: impl FnOnce() -> i64) -> Ended {
    let shared = Shared::new(2);
    // SAFETY: the child makes raw calls only, and is killed in the end: nothing of this process' state is used or dropped.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let installed = filter.install();
        shared.store(1, if installed.is_ok() { body() } else { i64::MIN });
        shared.store(0, 1);
        wait_for_death();
    }
    assert!(child > 0, "{}", io::Error::last_os_error());
    shared.reap(child, 0)
}

/// Exiting may be forbidden, so a child waits to be killed, without calling anything.
pub fn wait_for_death() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

/// Words shared with a child.
pub struct Shared {
    words: *mut AtomicUsize,
    count: usize,
}

impl Shared {
    pub fn new(count: usize) -> Self {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: fresh memory.
        let words = unsafe { libc::mmap(std::ptr::null_mut(), count * 8, protection, flags, -1, 0) };
        assert_ne!(words, libc::MAP_FAILED);
        Self { words: words.cast(), count }
    }

    fn at(&self, index: usize) -> &AtomicUsize {
        assert!(index < self.count);
        let word = self.words.wrapping_add(index);
        // SAFETY: within the mapping, which lives as long as `self`.
        unsafe { &*word }
    }

    pub fn store(&self, index: usize, value: i64) {
        self.at(index).store(value as usize, Ordering::Release);
    }

    pub fn load(&self, index: usize) -> i64 {
        self.at(index).load(Ordering::Acquire) as i64
    }

    /// Waits until the child has set the word `done` or has died, and ends it.
    pub fn reap(&self, child: libc::pid_t, done: usize) -> Ended {
        let mut status = 0;
        loop {
            // SAFETY: writes the status.
            let ended = unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) };
            if ended == child {
                assert!(libc::WIFSIGNALED(status), "the child exited with {status:#x}");
                return Ended::Killed(libc::WTERMSIG(status));
            }
            if self.load(done) != 0 {
                // SAFETY: our own child.
                unsafe { libc::kill(child, libc::SIGKILL) };
                // SAFETY: writes the status.
                unsafe { libc::waitpid(child, &raw mut status, 0) };
                let result = self.load(done + 1);
                assert_ne!(result, i64::MIN, "the filter could not be installed");
                return Ended::Returned(result);
            }
            std::thread::yield_now();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made.
        unsafe { libc::munmap(self.words.cast(), self.count * 8) };
    }
}

/// Runs a program under a filter. It is executed with the token, as init does it.
pub fn run(filter: Filter, program: &Path, args: &[&str], directory: &Path, stdin: Stdio) -> Output {
    let text = |text: &str| CString::new(text).expect("no NUL");
    let path = text(program.to_str().expect("UTF-8"));
    let strings: Vec<CString> = std::iter::once(path.clone()).chain(args.iter().map(|arg| text(arg))).collect();
    let home = format!("HOME={}", directory.display());
    let search = format!("PATH={}", std::env::var("PATH").unwrap_or_default());
    let environment =
        [home.as_str(), search.as_str(), "LANG=C.UTF-8", "GOTOOLCHAIN=local", "GOFLAGS=-mod=mod"].map(text);
    let pointers = |strings: &[CString]| -> Vec<usize> {
        strings.iter().map(|string| string.as_ptr() as usize).chain([0]).collect()
    };
    let (argv, envp) = (pointers(&strings), pointers(&environment));
    let mut command = Command::new(program);
    command.current_dir(directory).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let execute = move || {
        // They have to outlive the call; the pointers point into them.
        let _alive = (&strings, &environment);
        filter.install()?;
        // SAFETY: NULL-terminated vectors of NUL-terminated strings.
        unsafe {
            libc::syscall(libc::SYS_execve, path.as_ptr(), argv.as_ptr(), envp.as_ptr(), TOKEN[3], TOKEN[4], TOKEN[5])
        };
        Err(io::Error::last_os_error())
    };
    // SAFETY: raw calls only.
    unsafe { command.pre_exec(execute) };
    command.spawn().and_then(std::process::Child::wait_with_output).expect("it starts")
}

/// The first of these programs that this machine has, else the test is skipped by name.
pub fn find(names: &[&str]) -> Option<PathBuf> {
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let found = names.iter().flat_map(|name| std::env::split_paths(&directories).map(move |path| path.join(name)));
    let found = found.filter(|path| path.is_file()).find(|path| {
        // A shim is a script that looks for the real one; scripts are for the tests that want them.
        std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"))
    });
    if found.is_none() {
        let expected = std::env::var("HOTCELL_EXPECT").unwrap_or_default();
        assert!(!expected.split(',').any(|word| names.contains(&word)), "{names:?} should be here");
        eprintln!("skipped: no {} here", names.join(", "));
    }
    found
}

/// A directory of this test's own, gone with it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("hotcell-seccomp-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a scratch directory");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a scratch file");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
