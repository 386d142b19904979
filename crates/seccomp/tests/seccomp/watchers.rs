//! What a listener and a tracer are told: that a kill became a notification, and an allowed call a stop.

use crate::support::{Filter, Shared, call, here, nr, program, wait_for_death};
use hotcell_seccomp::syscalls::{self, Abi};
use hotcell_seccomp::{Action, Condition, KillAs, Options, Policy, Profile, Settings, Trace, Traced};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `struct seccomp_notif`
#[repr(C)]
#[derive(Default, Debug)]
struct Notification {
    id: u64,
    pid: u32,
    flags: u32,
    nr: u32,
    arch: u32,
    instruction_pointer: u64,
    args: [u64; 6],
}

/// `struct seccomp_notif_resp`
#[repr(C)]
struct Answer {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

const RECEIVE: u64 = 0xc050_2100;
const SEND: u64 = 0xc018_2101;

/// Runs `body` in a thread under a filter with a listener, and answers its first notification with `EXDEV`.
fn first_notification(filter: Filter, body: impl FnOnce() -> i64 + Send + 'static) -> (Notification, i64) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        sender.send(filter.listen().expect("a listener")).expect("the test waits");
        body()
    });
    let listener: OwnedFd = receiver.recv().expect("a listener");
    let mut told = Notification::default();
    // SAFETY: the kernel writes one notification.
    assert_eq!(unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE, &raw mut told) }, 0);
    let answer = Answer { id: told.id, value: 0, error: -libc::EXDEV, flags: 0 };
    // SAFETY: the kernel reads one answer.
    assert_eq!(unsafe { libc::ioctl(listener.as_raw_fd(), SEND, &raw const answer) }, 0);
    (told, thread.join().expect("the thread ends"))
}

impl Filter {
    /// Installs it in the calling thread, and returns the listener.
    fn listen(self) -> std::io::Result<OwnedFd> {
        let fd = self.install_with(libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
        // SAFETY: a fresh descriptor of the kernel's.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

#[test]
fn a_listener_learns_what_would_have_killed() {
    let policy = Policy::new(Action::Allow).with_if(Action::KillProcess, &["getpid"], &[Condition::equal(2, 1 << 40)]);
    let options = Options { kill: KillAs::Notification, ..Options::default() };
    let filter = Filter::new(program(&policy, &options));
    let (told, returned) = first_notification(filter, || call(nr("getpid"), [1, 2, 1 << 40, 4, 5, 6]));
    assert_eq!(returned, -i64::from(libc::EXDEV));
    assert_eq!((told.nr, told.args), (nr("getpid"), [1, 2, 1 << 40, 4, 5, 6]));
    let abi = Abi::of(told.arch, told.nr).expect("a known architecture");
    assert_eq!(syscalls::name(abi, told.nr), Some("getpid"));
    assert_ne!(told.instruction_pointer, 0);
    assert_eq!(told.flags, 0);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_listener_learns_of_other_ways_into_the_kernel() {
    let options = Options { kill: KillAs::Notification, ..Options::default() };
    let policy = Policy::new(Action::Allow);
    let filter = Filter::new(program(&policy, &options));
    let (told, _) = first_notification(filter, || call(syscalls::X32_BIT + 39, [0; 6]));
    assert_eq!(Abi::of(told.arch, told.nr), Some(Abi::X32));
    assert_eq!(syscalls::name(Abi::X32, told.nr), Some("getpid"));
    // Whether `int 0x80` exists is up to the kernel: in a child first, where its absence kills nothing but that.
    let by_interrupt = || {
        let result: i64;
        // SAFETY: i386's getpid, which touches nothing.
        unsafe { std::arch::asm!("int 0x80", inlateout("rax") 20_i64 => result) };
        result
    };
    let open =
        Filter::new(program(&Policy { foreign: vec![Abi::X86], ..Policy::new(Action::Allow) }, &Options::default()));
    if matches!(crate::support::under(open, by_interrupt), crate::support::Ended::Killed(_)) {
        return eprintln!("skipped: no IA32 emulation here");
    }
    let (told, _) = first_notification(filter, by_interrupt);
    assert_eq!(Abi::of(told.arch, told.nr), Some(Abi::X86));
    assert_eq!(syscalls::name(Abi::X86, told.nr), Some("getpid"));
}

#[test]
fn a_tracer_is_told_of_what_is_allowed_and_not_of_what_is_denied() {
    let traced = ["getppid", "ptrace"].map(nr).into();
    let options = Options { trace: Some(Trace { calls: Traced::Numbers(traced), data: 4711 }), ..Options::default() };
    let policy = Profile::Default.policy(&Settings::default()).expect("a filter");
    let filter = Filter::new(program(&policy, &options));
    let shared = Shared::new(3);
    // SAFETY: raw calls only, and killed in the end.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: no memory involved.
        unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
        // SAFETY: stops until the tracer continues.
        unsafe { libc::raise(libc::SIGSTOP) };
        let installed = filter.install().is_ok();
        // Denied: EPERM, without a stop.
        shared.store(2, call(nr("ptrace"), [0; 6]));
        shared.store(1, if installed { 0 } else { i64::MIN });
        call(nr("getppid"), [0; 6]);
        shared.store(0, 1);
        wait_for_death();
    }
    let wait = || {
        let mut status = 0;
        // SAFETY: writes the status.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert!(libc::WIFSTOPPED(status), "{status:#x}");
        status >> 8
    };
    assert_eq!(wait(), libc::SIGSTOP);
    let wanted = libc::PTRACE_O_TRACESECCOMP | libc::PTRACE_O_EXITKILL;
    // SAFETY: a stopped tracee of ours.
    assert_eq!(unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, child, 0, wanted) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::ptrace(libc::PTRACE_CONT, child, 0, 0) }, 0);
    assert_eq!(wait(), libc::SIGTRAP | libc::PTRACE_EVENT_SECCOMP << 8);
    let mut message: libc::c_ulong = 0;
    // SAFETY: as above, and one word is written.
    assert_eq!(unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, child, 0, &raw mut message) }, 0);
    assert_eq!(message, 4711);
    assert_eq!((shared.load(1), shared.load(2)), (0, -i64::from(libc::EPERM)), "on {}", here());
    // SAFETY: our own child.
    unsafe { libc::kill(child, libc::SIGKILL) };
    let mut status = 0;
    // SAFETY: writes the status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFSIGNALED(status));
}
