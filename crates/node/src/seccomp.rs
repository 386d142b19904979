//! Policies for system calls, as JavaScript holds them.

use hotcell_host::Seccomp as Policy;
use hotcell_host::policy::Profile;
use napi::{Error, Result, Status};
use napi_derive::napi;

/// A compiled policy, shared by whatever uses it.
#[napi]
pub struct Seccomp {
    policy: Policy,
}

#[napi]
impl Seccomp {
    /// Of a built-in profile, or of JSON, which `file` names in messages. Throws what is wrong with it, and where.
    #[napi(constructor, catch_unwind)]
    pub fn new(profile: Option<String>, json: Option<String>, file: Option<String>) -> Result<Self> {
        let invalid = |reason: String| Error::new(Status::InvalidArg, reason);
        let policy = match (profile, json) {
            (Some(name), _) => {
                let profile =
                    Profile::from_name(&name).ok_or_else(|| invalid(format!("there is no profile {name}")))?;
                Policy::profile(profile)
            }
            (None, Some(json)) => Policy::from_json(&json, file.as_deref()),
            (None, None) => return Err(invalid("neither a profile nor JSON".to_owned())),
        };
        policy.map(|policy| Self { policy }).map_err(|error| invalid(error.to_string()))
    }

    /// What it says, in the OCI runtime-spec's format; null if everything is allowed.
    #[napi(catch_unwind)]
    pub fn to_json(&self) -> Option<String> {
        self.policy.to_json()
    }
}

impl Seccomp {
    pub(crate) fn policy(&self) -> Policy {
        self.policy.clone()
    }
}
