//! ptrace(2), request by request.
//!
//! Runs in the supervisor, in the one thread that seized. Every request but the seizing may find that the tracee is gone: SIGKILL ends
//! it in any stop, at any time, and the kernel says ESRCH (ptrace(2), "Death under ptrace"). That is no error but an answer,
//! [`Gone`]: wait4(2) will tell the rest. Other errors cannot happen to a stopped tracee of ours with the requests below, but for bad addresses
//! of its own making, and count as the same: no request is worth stopping the supervision of everybody else.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// The tracee was killed in its stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// What to be told of, and to let no tracee survive us.
const OPTIONS: i32 = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACEEXIT
    | libc::PTRACE_O_TRACESECCOMP
    | libc::PTRACE_O_EXITKILL;

/// `PTRACE_SEIZE`, Linux 3.4, with everything that is born of this process from now on. It is not stopped.
pub fn seize(pid: i32) -> io::Result<()> {
    // SAFETY: no memory involved; the last argument is the options.
    if unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, ptr::null_mut::<u8>(), OPTIONS as usize) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// What ptrace(2) takes first, as glibc and musl declare it.
#[cfg(not(target_env = "musl"))]
type Request = libc::c_uint;
#[cfg(target_env = "musl")]
type Request = libc::c_int;

/// linux/ptrace.h; libc has it for glibc only.
const GET_SYSCALL_INFO: Request = 0x420e;

/// How a stopped tracee goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// Until something happens (`PTRACE_CONT`).
    Run,
    /// Until the call that it is in ends (`PTRACE_SYSCALL`), or the next begins.
    ToCallEnd,
    /// It does not: it is stopped by a signal, and stays so until SIGCONT (`PTRACE_LISTEN`).
    Listen,
}

/// Lets a tracee go on, with a signal or 0.
pub fn resume(tid: i32, how: Resume, signal: i32) -> Result<(), Gone> {
    let request = match how {
        Resume::Run => libc::PTRACE_CONT,
        Resume::ToCallEnd => libc::PTRACE_SYSCALL,
        Resume::Listen => libc::PTRACE_LISTEN,
    };
    request_value(request, tid, signal as usize)
}

/// The number that comes with an event: a new tid, a former one, or an exit status (`PTRACE_GETEVENTMSG`).
pub fn event_message(tid: i32) -> Result<u64, Gone> {
    let mut message: libc::c_ulong = 0;
    // SAFETY: the kernel writes one unsigned long.
    let result = unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, tid, ptr::null_mut::<u8>(), &raw mut message) };
    if result < 0 { Err(Gone) } else { Ok(message) }
}

/// The signal that a tracee stopped for (`PTRACE_GETSIGINFO`).
pub fn signal_info(tid: i32) -> Result<libc::siginfo_t, Gone> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the kernel writes one siginfo_t.
    let result = unsafe { libc::ptrace(libc::PTRACE_GETSIGINFO, tid, ptr::null_mut::<u8>(), info.as_mut_ptr()) };
    if result < 0 {
        return Err(Gone);
    }
    // SAFETY: zeroed before, and written; any bits are a siginfo_t.
    Ok(unsafe { info.assume_init() })
}

/// `struct ptrace_syscall_info` (linux/ptrace.h), Linux 5.3. One request, and the same on every architecture.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct CallInfo {
    /// Which of the others are there.
    op: u8,
    pad: [u8; 3],
    /// `AUDIT_ARCH_*` of the call.
    pub arch: u32,
    instruction_pointer: u64,
    stack_pointer: u64,
    /// Entry and seccomp: number and six arguments. Exit: result, and in the lowest byte of the next whether it is an error.
    data: [u64; 8],
}

const OP_EXIT: u8 = 2;

impl CallInfo {
    /// The number of the call that begins. Only 32 bits of the register are looked at by the kernel, as a signed number.
    pub const fn number(&self) -> u64 {
        self.data[0]
    }

    /// The arguments of the call that begins.
    pub const fn arguments(&self) -> [u64; 6] {
        let [_, a, b, c, d, e, f, _] = self.data;
        [a, b, c, d, e, f]
    }

    /// The result of the call that ended, negative errno for a failure.
    pub const fn result(&self) -> Option<i64> {
        if self.op == OP_EXIT { Some(self.data[0] as i64) } else { None }
    }
}

/// What a tracee calls, or came to (`PTRACE_GET_SYSCALL_INFO`).
pub fn call_info(tid: i32) -> Result<CallInfo, Gone> {
    let mut info = CallInfo::default();
    let size = size_of::<CallInfo>();
    // SAFETY: the kernel writes as many bytes as the structure has at most.
    let result = unsafe { libc::ptrace(GET_SYSCALL_INFO, tid, size, &raw mut info) };
    if result < 0 { Err(Gone) } else { Ok(info) }
}

/// A request without memory.
pub(crate) fn request_value(request: Request, tid: i32, data: usize) -> Result<(), Gone> {
    // SAFETY: no memory involved; the last argument is a number for the callers' requests.
    if unsafe { libc::ptrace(request, tid, ptr::null_mut::<u8>(), data) } < 0 { Err(Gone) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_info_is_laid_out_as_the_kernel_has_it() {
        // 24 bytes of head, nr, six arguments and ret_data with its padding.
        assert_eq!(size_of::<CallInfo>(), 88);
        assert_eq!(std::mem::offset_of!(CallInfo, data), 24);
    }

    #[test]
    fn a_request_to_who_is_no_tracee_says_gone() {
        assert_eq!(resume(std::process::id() as i32, Resume::Run, 0), Err(Gone));
        assert!(call_info(1).is_err());
    }
}
