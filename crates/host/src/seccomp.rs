//! Policies for system calls, compiled for programs to be born with.
//!
//! A policy is compiled once, by whoever asks for it (some hundred microseconds), and told to each container that uses it once; there a thread
//! installs it, and what that thread clones has it from birth. So a run pays nothing for its filter, and a run with another one than the
//! container's pays once.
//!
//! Two things are added to what a policy says. Actions that kill become notifications, so that init learns which call it was. And what
//! init's own threads call passes by a token: random words, of which programs know nothing, in argument registers that these calls make no use of.

use crate::error::Error;
use hotcell_protocol::{PASSING_CALLS, Reach};
use hotcell_seccomp::syscalls::{self, Arch};
use hotcell_seccomp::{KillAs, Options, Pass, Policy, Profile, Settings, Trace, compile, oci};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// All that lead to keyrings (keyrings(7)).
const KEYRING_CALLS: [&str; 3] = ["add_key", "keyctl", "request_key"];
/// All that make something in an IPC namespace; `ipc` is the one way of 32-bit programs.
const IPC_CALLS: [&str; 5] = ["shmget", "semget", "msgget", "mq_open", "ipc"];

/// A compiled policy. Copies are cheap.
#[derive(Debug, Clone)]
pub struct Seccomp(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    /// Unique in this process.
    id: u64,
    /// `None`: everything is allowed, and no filter needed.
    policy: Option<Policy>,
    program: Vec<u8>,
    reach: Reach,
}

impl Seccomp {
    /// One of the built-in profiles.
    pub fn profile(profile: Profile) -> Result<Self, Error> {
        static COMPILED: [OnceLock<Seccomp>; Profile::ALL.len()] = [const { OnceLock::new() }; Profile::ALL.len()];
        let index = Profile::ALL.iter().position(|known| *known == profile);
        let Some(place) = index.and_then(|index| COMPILED.get(index)) else { return Self::of(None) };
        if let Some(compiled) = place.get() {
            return Ok(compiled.clone());
        }
        let compiled = Self::of(profile.policy(&Settings::default()))?;
        Ok(place.get_or_init(|| compiled).clone())
    }

    /// A policy in the OCI runtime-spec's format, with Docker's and Podman's additions. `file` is for messages.
    pub fn from_json(json: &str, file: Option<&str>) -> Result<Self, Error> {
        Self::of(Some(oci::parse(json, file, &context()?).map_err(Error::ReadPolicy)?))
    }

    /// The same, with these calls stopping for a tracer where they are allowed.
    pub fn traced(&self, trace: Trace) -> Result<Self, Error> {
        let policy = self.0.policy.clone().unwrap_or_else(|| Policy::new(hotcell_seccomp::Action::Allow));
        Self::compiled(Some(policy), Some(trace))
    }

    /// What it says, in the OCI runtime-spec's format; `None` if everything is allowed.
    pub fn to_json(&self) -> Option<String> {
        let arch = Arch::native()?;
        self.0.policy.as_ref().map(|policy| oci::to_oci_json(policy, arch))
    }

    fn of(policy: Option<Policy>) -> Result<Self, Error> {
        Self::compiled(policy, None)
    }

    fn compiled(policy: Option<Policy>, trace: Option<Trace>) -> Result<Self, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let program = match &policy {
            None => Vec::new(),
            Some(policy) => {
                let arch = Arch::native().ok_or(Error::UseArchitecture)?;
                let calls = PASSING_CALLS
                    .iter()
                    .filter_map(|(name, first_free_arg)| Some((syscalls::number(arch.abi(), name)?, *first_free_arg)));
                let pass = Pass { token: token()?, calls: calls.collect() };
                let options = Options { kill: KillAs::Notification, pass: Some(pass), trace };
                compile(policy, arch, &options).map_err(Error::ReadPolicy)?.to_bytes()
            }
        };
        let may_allow = |call: &&str| policy.as_ref().is_none_or(|policy| policy.may_allow(call));
        let reach = Reach { keyrings: KEYRING_CALLS.iter().any(may_allow), ipc: IPC_CALLS.iter().any(may_allow) };
        Ok(Self(Arc::new(Compiled { id: NEXT.fetch_add(1, Ordering::Relaxed), policy, program, reach })))
    }

    /// Whether there is nothing to install.
    pub(crate) fn is_off(&self) -> bool {
        self.0.policy.is_none()
    }

    /// What a program can get at, under some circumstances.
    pub(crate) fn reach(&self) -> Reach {
        self.0.reach
    }

    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    pub(crate) fn program(&self) -> &[u8] {
        &self.0.program
    }
}

/// What init's threads pass by, in every container of this process.
pub(crate) fn token() -> Result<[u64; 6], Error> {
    static TOKEN: OnceLock<[u64; 6]> = OnceLock::new();
    if let Some(token) = TOKEN.get() {
        return Ok(*token);
    }
    let mut bytes = [0; 48];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::MakeToken { errno: error.raw_os_error().unwrap_or(nix::libc::EIO) })?;
    let mut token = [0; 6];
    for (word, bytes) in token.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_ne_bytes(*bytes);
    }
    Ok(*TOKEN.get_or_init(|| token))
}

/// Of the kernel and the machine that we are on.
fn context() -> Result<oci::Context, Error> {
    let arch = Arch::native().ok_or(Error::UseArchitecture)?;
    let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    let kernel = release.ok().and_then(|release| oci::KernelVersion::from_release(&release));
    Ok(oci::Context::new(
        arch,
        kernel.unwrap_or(oci::KernelVersion::from_release("5.12").ok_or(Error::UseArchitecture)?),
    ))
}

/// The name of a call that a run was ended for: `ptrace`, `i386:socketcall`, `syscall_999`.
pub fn call_name(call: &hotcell_protocol::Disallowed) -> String {
    Arch::native()
        .map_or_else(|| format!("syscall_{}", call.nr), |arch| syscalls::describe(arch, call.arch, call.nr as u32))
}
