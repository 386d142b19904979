//! Seccomp policies: read in the ecosystem's format, compiled to classic BPF, with profiles to start from.
//!
//! # Theory of operation
//!
//! Runs in the host process, makes no system call, keeps no state: text and values in, a `Vec` of instructions out. Who installs the program,
//! and where, is up to others: in hotcell a thread of each container's init does, once for each policy, and every program that is cloned from that
//! thread has it from birth.
//!
//! ```text
//! OCI, Docker, Podman JSON ──▶ oci::parse ──┐
//! Profile::{Default, Judge, Strict} ────────┼──▶ Policy ──▶ compile ──▶ bpf::Program
//! with(…), with_if(…) ──────────────────────┘       └─────▶ oci::to_oci_json
//! ```
//!
//! - [`Policy`] is the one model; [what it means](policy) is a sentence: of all rules that match, the most restrictive counts.
//! - [`oci`] says which fields are understood, and what else is refused.
//! - [`compile()`] makes a tree over ranges of numbers, and lets arguments be loaded only where they matter.
//! - [`Profile`] has three built-in policies; their lists are meant to be read.
//! - [`bpf`] has the kernel's checks and an interpreter of our own, against which, as against the kernel, the compiler is tested.
//! - [`syscalls`] has names and numbers, also for verdicts: [`syscalls::describe`] says what a listener or a SIGSYS was about.
//!
//! ```
//! use hotcell_seccomp::syscalls::{Abi, Arch};
//! use hotcell_seccomp::{Action, Condition, Options, Policy, Profile, Settings, bpf, compile};
//!
//! // A profile, and one thing more that it denies: the upper half of an `int` does not count.
//! let policy = Profile::Default.policy(&Settings::default()).expect("only \"off\" has none");
//! let policy = policy.with_if(Action::KillProcess, &["socket"], &[Condition::low_word(0, 16)]);
//! let program = compile(&policy, Arch::X86_64, &Options::default())?;
//!
//! let nr = hotcell_seccomp::syscalls::number(Abi::X86_64, "socket").expect("it is as old as x86-64");
//! let call = bpf::Data { nr, arch: Abi::X86_64.audit_arch(), args: [16, 3, 0, 0, 0, 0], ..Default::default() };
//! assert_eq!(bpf::interpret(program.instructions(), &call), Ok(Action::KillProcess.to_ret()));
//! # Ok::<(), hotcell_seccomp::Error>(())
//! ```
//!
//! A Docker profile, as it is:
//!
//! ```
//! use hotcell_seccomp::oci::{Context, KernelVersion, parse};
//! use hotcell_seccomp::syscalls::Arch;
//!
//! let json = r#"{
//!     "defaultAction": "SCMP_ACT_ERRNO",
//!     "syscalls": [
//!         { "names": ["read", "write", "exit_group"], "action": "SCMP_ACT_ALLOW" },
//!         { "names": ["kexec_laod"], "action": "SCMP_ACT_KILL_PROCESS" }
//!     ]
//! }"#;
//! let context = Context::new(Arch::X86_64, KernelVersion::from_release("6.18.0-1-amd64").expect("a release"));
//! assert_eq!(
//!     parse(json, Some("profile.json"), &context).unwrap_err().to_string(),
//!     "profile.json: syscalls[1].names[0]: there is no system call \"kexec_laod\" on any architecture; did you mean \"kexec_load\"?"
//! );
//! ```
//!
//! # What it costs
//!
//! Instructions on x86-64 / aarch64, and medians on two cores at 2 GHz, Linux 6.18 (`tests/seccomp/cost.rs` measures them):
//!
//! | | alone | with a pass | traced as well | compile | install | an allowed call more | one with a look at arguments more |
//! |---|---|---|---|---|---|---|---|
//! | `default` | 168 / 157 | 217 / 206 | 250 / 237 | 0.7 ms | 82 µs | 0.09 µs | 0.15 µs |
//! | `judge` | 189 / 166 | 258 / 232 | 275 / 244 | 0.3 ms | 110 µs | 0.09 µs | 0.15 µs |
//! | `strict` | 132 / 123 | 201 / 191 | 212 / 204 | | | | |
//! | Docker's, three ABIs | 258 / 201 | | | 1.2 ms, read in 0.4 ms | 147 µs | | |
//!
//! Docker's profile for x86-64 alone takes 101 instructions; libseccomp's own program for it has 363.
//!
//! # What is ours, and why
//!
//! The names and numbers are those of the crate `syscalls`, JSON is serde's. What else exists was looked at:
//!
//! | crate | why not |
//! |---|---|
//! | `seccompiler` 0.5 | one linear chain over all calls (740 µs to install 330 names, a tree 100 µs); two actions a filter, so no profile with EPERM, ENOSYS and KILL; a JSON of its own, no OCI; no x32 check; no place for a token or for tracing |
//! | `libseccomp` 0.4 | links a C library, which an npm package would have to bring along, for each libc; what its optimiser makes cannot carry a token; rules without conditions swallow those with |
//! | `oci-spec` 0.10 | the runtime-spec's types alone, without Docker's `archMap`, `includes`, `minKernel` and Podman's `errno`; unknown fields and values are told without the place; brings five derive crates along |
//!
//! So the model, the reader of profiles and the compiler are ours. The compiler is tested against the kernel and, where it is installed, libseccomp.

#![forbid(unsafe_code)]

mod action;
pub mod bpf;
mod compile;
mod condition;
mod error;
pub mod oci;
pub mod policy;
mod profiles;
pub mod syscalls;

pub use action::Action;
pub use compile::{KillAs, Options, Pass, Trace, Traced, compile};
pub use condition::{Comparison, Condition};
pub use error::{Error, Place, RulePlace};
pub use policy::{Flags, Policy, Rule, Unknown};
pub use profiles::{Profile, Settings, Sockets};
