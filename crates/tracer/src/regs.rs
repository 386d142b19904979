//! Registers: all that differs between architectures, and no more.
//!
//! Runs in the supervisor. Reading is arch-neutral nearly everywhere ([`crate::ptrace::call_info`]); what is left is to change a call
//! at its seccomp stop, and to read the last call of a thread that a filter killed. (`PTRACE_SET_SYSCALL_INFO` does the former since Linux
//! 6.16 only.)
//!
//! A call whose number becomes -1 is skipped, and its result is what is in the result register by then (seccomp(2),
//! `SECCOMP_RET_TRACE`).

use crate::ptrace::Gone;

/// The last call of a thread.
#[derive(Debug, Clone, Copy)]
pub struct LastCall {
    /// Its number.
    pub number: u32,
    /// Its arguments.
    pub arguments: [u64; 6],
    /// Whether the kernel put the registers back to what they were before the call, as it does before the signal of a seccomp filter
    /// (`syscall_rollback`). Of several threads that end together, this is the one whose call it was.
    pub is_rolled_back: bool,
}

pub use arch::{ARCH, last_call, set_first_argument, skip_call};

#[cfg(target_arch = "x86_64")]
mod arch {
    use super::{Gone, LastCall};
    use std::mem::{MaybeUninit, offset_of};
    use std::ptr;

    /// `AUDIT_ARCH_X86_64`.
    pub const ARCH: u32 = 0xc000_003e;

    fn poke(tid: i32, offset: usize, value: u64) -> Result<(), Gone> {
        // SAFETY: changes a register of the stopped tracee; the last argument is a number.
        if unsafe { libc::ptrace(libc::PTRACE_POKEUSER, tid, offset, value) } < 0 { Err(Gone) } else { Ok(()) }
    }

    /// At a seccomp stop: the call does not take place, and gives this errno.
    pub fn skip_call(tid: i32, errno: i32) -> Result<(), Gone> {
        poke(tid, offset_of!(libc::user_regs_struct, orig_rax), u64::MAX)?;
        poke(tid, offset_of!(libc::user_regs_struct, rax), i64::from(-errno) as u64)
    }

    /// At a seccomp stop: another first argument.
    pub fn set_first_argument(tid: i32, value: u64) -> Result<(), Gone> {
        poke(tid, offset_of!(libc::user_regs_struct, rdi), value)
    }

    /// At any stop.
    pub fn last_call(tid: i32) -> Result<LastCall, Gone> {
        let mut regs = MaybeUninit::<libc::user_regs_struct>::zeroed();
        // SAFETY: the kernel writes one user_regs_struct.
        if unsafe { libc::ptrace(libc::PTRACE_GETREGS, tid, ptr::null_mut::<u8>(), regs.as_mut_ptr()) } < 0 {
            return Err(Gone);
        }
        // SAFETY: zeroed before, and written.
        let regs = unsafe { regs.assume_init() };
        Ok(LastCall {
            number: regs.orig_rax as u32,
            arguments: [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9],
            is_rolled_back: regs.rax == regs.orig_rax && regs.orig_rax as i32 >= 0,
        })
    }
}

#[cfg(target_arch = "aarch64")]
mod arch {
    use super::{Gone, LastCall};

    /// `AUDIT_ARCH_AARCH64`.
    pub const ARCH: u32 = 0xc000_00b7;

    const NT_PRSTATUS: usize = 1;
    const NT_ARM_SYSTEM_CALL: usize = 0x404;

    /// `struct user_pt_regs` (asm/ptrace.h).
    #[repr(C)]
    #[derive(Default, Clone, Copy)]
    struct Registers {
        x: [u64; 31],
        sp: u64,
        pc: u64,
        pstate: u64,
    }

    fn get<T: Default>(tid: i32, set: usize) -> Result<T, Gone> {
        let mut value = T::default();
        let mut vector = libc::iovec { iov_base: (&raw mut value).cast(), iov_len: size_of::<T>() };
        // SAFETY: the kernel writes into the value at most what the vector says, and both are plain numbers.
        if unsafe { libc::ptrace(libc::PTRACE_GETREGSET, tid, set, &raw mut vector) } < 0 {
            Err(Gone)
        } else {
            Ok(value)
        }
    }

    fn set<T>(tid: i32, set: usize, mut value: T) -> Result<(), Gone> {
        let mut vector = libc::iovec { iov_base: (&raw mut value).cast(), iov_len: size_of::<T>() };
        // SAFETY: the kernel reads from the value at most what the vector says.
        if unsafe { libc::ptrace(libc::PTRACE_SETREGSET, tid, set, &raw mut vector) } < 0 { Err(Gone) } else { Ok(()) }
    }

    /// At a seccomp stop: the call does not take place, and gives this errno.
    pub fn skip_call(tid: i32, errno: i32) -> Result<(), Gone> {
        set(tid, NT_ARM_SYSTEM_CALL, -1_i32)?;
        set_first_argument(tid, i64::from(-errno) as u64)
    }

    /// At a seccomp stop: another first argument.
    pub fn set_first_argument(tid: i32, value: u64) -> Result<(), Gone> {
        let mut registers: Registers = get(tid, NT_PRSTATUS)?;
        registers.x[0] = value;
        set(tid, NT_PRSTATUS, registers)
    }

    /// At any stop. x0 is argument and result in one, so a rolled back call cannot be told from one that did not end: every call counts.
    pub fn last_call(tid: i32) -> Result<LastCall, Gone> {
        let Registers { x, .. } = get(tid, NT_PRSTATUS)?;
        let number: i32 = get(tid, NT_ARM_SYSTEM_CALL)?;
        Ok(LastCall {
            number: number as u32,
            arguments: [x[0], x[1], x[2], x[3], x[4], x[5]],
            is_rolled_back: number >= 0,
        })
    }
}
