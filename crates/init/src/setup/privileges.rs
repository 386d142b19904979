//! What init gives up, and what it keeps.
//!
//! Runs in pid 1, at the start and at the end of the set-up. Everything that a program shall have or lack and that is inherited
//! (bounding set, securebits, no_new_privs, umask, RLIMIT_CORE) is set here once, so that a run need not.

use hotcell_linux::capability::{self, Capabilities, NO_SETUID_FIXUP, SECUREBITS_LOCKED};
use hotcell_linux::{errno, keyring, prctl, process};
use hotcell_protocol::{Failure, Identity, Step};
use std::io;

/// Becomes init's identity, with all capabilities that the namespace gives.
pub fn take_identity(init: Identity, user_namespace: bool) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(Step::SetIdentity, errno(&error));
    prctl::set_securebits(NO_SETUID_FIXUP).map_err(failed)?;
    match process::drop_groups() {
        // A user's own namespace has no right to: what the host's groups may read, programs may read (setgroups(2)).
        Err(error) if user_namespace && error.raw_os_error() == Some(libc::EPERM) => {}
        other => other.map_err(failed)?,
    }
    process::set_identity(init.uid, init.gid).map_err(failed)
}

/// Keeps what reset and starting programs need, and makes sure that no program ever gets more.
pub fn drop(program: Identity, user_namespace: bool) -> Result<(), Failure> {
    lower(program, user_namespace).map_err(|error| Failure::new(Step::DropPrivileges, errno(&error)))
}

fn lower(program: Identity, user_namespace: bool) -> io::Result<()> {
    capability::drop_bounding_set()?;
    prctl::set_securebits(SECUREBITS_LOCKED)?;
    if user_namespace {
        capability::set(Capabilities::INIT)?;
    } else {
        EnterAnywhere::lowered()?;
    }
    prctl::set_no_new_privs()?;
    keyring::join_new_session()?;
    super::act_on_files_as(program);
    // After the last change of credentials, which would undo both.
    prctl::set_dumpable(false)?;
    prctl::set_parent_death_signal(libc::SIGKILL)
}

/// The right to enter a directory that a program has closed (`chmod 0`), for as long as this value lives.
///
/// In a user namespace init has it anyway, over files of the container alone. Without one it would be the right to enter every directory
/// of the host, while programs choose the middle parts of the paths that it resolves: so it is only taken up for reset, which resolves none.
pub struct EnterAnywhere {
    bare: bool,
}

impl EnterAnywhere {
    /// Takes it up.
    pub fn raised(user_namespace: bool) -> io::Result<Self> {
        if !user_namespace {
            let all = Capabilities::INIT_BARE.with(Capabilities::ENTER);
            capability::set(all)?;
        }
        Ok(Self { bare: !user_namespace })
    }

    /// What init has otherwise, without a user namespace.
    fn lowered() -> io::Result<()> {
        capability::set_effective(Capabilities::INIT_BARE, Capabilities::INIT_BARE.with(Capabilities::ENTER))
    }
}

impl Drop for EnterAnywhere {
    fn drop(&mut self) {
        if self.bare {
            // Giving up what one has does not fail.
            let _ = Self::lowered();
        }
    }
}
