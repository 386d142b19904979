//! From a policy to a program.
//!
//! # Theory of operation
//!
//! Runs in the host, once for each policy, never per run. A program looks like this:
//!
//! ```text
//! arch ─┬─ native ──▶ nr ──▶ tree over ranges of numbers ─┬─▶ answer
//!       │                                                 ├─▶ conditions on arguments ──▶ answer
//!       ├─ foreign, if the policy admits it ──▶ the same  └─▶ token? ─┬─ yes ──▶ allow
//!       └─ any other ──▶ kill                                         └─ no ──▶ tree over those ──▶ as above
//! ```
//!
//! - **A balanced tree** of `jge` over ranges, neighbours with the same answer merged: some seven comparisons a call. Single numbers that
//!   stand out of a range (`ioctl` with its conditions in the midst of what is allowed) are a `jeq` at its leaf, not two ranges more.
//! - **Arguments are loaded in the leaves that need them only.** Since Linux 5.11 the kernel emulates a new filter for each number, and calls that are
//!   allowed without a look at arguments are answered from a bitmap, without running the program. The same emulation is what makes installing slow
//!   (740 µs for a linear list of 330 names, 100 µs for a tree).
//! - x32 has no architecture of its own but a bit in the number, so it is a range of numbers.
//! - Jumps reach 255 instructions. The program is written from its end (`assemble.rs`), where all targets are known; what is out of reach
//!   gets a copy of the answer, or a long jump, right behind the comparison that wants it.
//!
//! Classic BPF has 32-bit registers, so a comparison of 64 bits is one or two of halves, the upper one first; a half that a mask leaves
//! out is not loaded (`test.rs`).

mod assemble;
mod decision;
mod pass;
mod section;
mod test;
mod tree;

use crate::bpf::{MAX_INSTRUCTIONS, Program, code, offset};
use crate::error::Error;
use crate::policy::Policy;
use crate::syscalls::{Abi, Arch};
use crate::{Action, Condition};
use assemble::Assembler;
use decision::Decisions;
use section::Section;
use std::collections::BTreeSet;
use std::fmt;
use tree::Leaves;

/// How a policy is compiled, besides what it says.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What "kill" becomes.
    pub kill: KillAs,
    /// Calls that a secret lets pass.
    pub pass: Option<Pass>,
    /// Calls that a tracer is told of.
    pub trace: Option<Trace>,
}

/// What the actions that kill become, and the refusal of foreign ABIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KillAs {
    /// What they say: the kernel ends the process or thread by SIGSYS.
    #[default]
    Signal,
    /// `SECCOMP_RET_USER_NOTIF`: the listener learns number, arguments, architecture and pid, and has to end the process. The call is
    /// not made, whatever happens to the listener.
    Notification,
}

/// A way for the process that installs a filter, and its child before execve, to make calls that the filter denies to programs.
///
/// A filter is inherited by whoever is cloned from the thread that has it, which makes it free for each run, but also binds that thread and the
/// child. For each of the calls listed here, the argument registers from `first_free_arg` on, of which the system call makes no use and
/// which the kernel ignores, are compared with the words of the token of the same index; if all are the same, the call is allowed,
/// without a stop for a tracer. All registers are looked at, whatever the first ones are: how long it takes tells nothing.
///
/// - Who wants to pass has to list *all* that it calls under the filter, also what this policy allows: another may not, or trace it. What the policy
///   allows without conditions costs nothing.
/// - One register is 64 bits to guess, at one system call a guess.
/// - Registers are seen by tracers, and in /proc/pid/syscall by who may trace. Who uses the token must not be dumpable; execve clears registers.
#[derive(Clone, PartialEq, Eq)]
pub struct Pass {
    /// A word for each argument register; of random bits, and unknown to programs.
    pub token: [u64; 6],
    /// Native number, and first argument register that the call makes no use of (1–5: the more registers are left, the better).
    pub calls: Vec<(u32, u8)>,
}

impl fmt::Debug for Pass {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").field("calls", &self.calls).finish_non_exhaustive()
    }
}

/// Calls that stop for a tracer where the policy allows them. Where it denies them they stay denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Which.
    pub calls: Traced,
    /// What PTRACE_GETEVENTMSG gets.
    pub data: u16,
}

/// A set of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Traced {
    /// All of them, also those without a name.
    All,
    /// These, by native number. By other ABIs, those of the same name.
    Numbers(BTreeSet<u32>),
}

/// Compiles a policy for an architecture.
pub fn compile(policy: &Policy, arch: Arch, options: &Options) -> Result<Program, Error> {
    policy.check()?;
    if options.kill == KillAs::Notification {
        refuse_notify(policy)?;
    }
    if let Some(pass) = &options.pass {
        for (nr, first_free_arg) in &pass.calls {
            if *first_free_arg > Condition::MAX_INDEX {
                return Err(Error::PassCall { nr: *nr, first_free_arg: *first_free_arg });
            }
        }
    }
    let mut decisions = Decisions::default();
    let mut natives = Section::native(policy, arch, options, &mut decisions);
    if arch == Arch::X86_64 {
        let foreign = policy.foreign.contains(&Abi::X32);
        let x32 = if foreign {
            Section::of(policy, arch, Abi::X32, options, &mut decisions)
        } else {
            Section::killing(&mut decisions)
        };
        natives.splice_x32(x32);
    }
    let mut foreign = Vec::new();
    for abi in arch.foreign_abis() {
        if *abi != Abi::X32 && policy.foreign.contains(abi) {
            foreign.push((*abi, Section::of(policy, arch, *abi, options, &mut decisions)));
        }
    }
    let answer = |action: Action| match options.kill {
        KillAs::Notification if action.kills() => Action::Notify.to_ret(),
        _ => action.to_ret(),
    };
    let mut assembler = Assembler::default();
    let mut leaves = Leaves::new(&decisions, &answer);

    // Backwards: what is written first stands last.
    let mut next = assembler.answer(answer(Action::KillProcess));
    for (abi, section) in foreign.iter().rev() {
        let root =
            tree::write(&mut assembler, section.segments(), &mut |assembler, leaf| leaves.plain(assembler, leaf));
        let start = assembler.load(offset::NR, root);
        next = assembler.branch(code::JUMP_EQUAL, abi.audit_arch(), start, next);
    }
    let passes = match &options.pass {
        Some(pass) => pass::write(&mut assembler, &pass.token, natives.segments(), &mut leaves),
        None => pass::Entries::default(),
    };
    let root = tree::write(&mut assembler, natives.segments(), &mut |assembler, leaf| match leaf.pass {
        Some(first) => passes.entry(first).unwrap_or_else(|| leaves.plain(assembler, leaf)),
        None => leaves.plain(assembler, leaf),
    });
    let start = assembler.load(offset::NR, root);
    let dispatch = assembler.branch(code::JUMP_EQUAL, arch.abi().audit_arch(), start, next);
    assembler.load(offset::ARCH, dispatch);

    let instructions = assembler.finish();
    if instructions.len() > MAX_INSTRUCTIONS {
        return Err(Error::FitProgram { instructions: instructions.len() });
    }
    Ok(Program::new(instructions))
}

fn refuse_notify(policy: &Policy) -> Result<(), Error> {
    if let Some(rule) = policy.rules.iter().position(|rule| rule.action == Action::Notify) {
        return Err(Error::NotifyBesideKill { rule: Some(rule) });
    }
    if policy.default_action == Action::Notify || policy.unknown == crate::Unknown::Unnamed(Action::Notify) {
        return Err(Error::NotifyBesideKill { rule: None });
    }
    Ok(())
}
