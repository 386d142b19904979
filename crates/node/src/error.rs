//! Errors cross as data; `src/errors.ts` makes `Error`s of them.

use crate::value::Object;
use hotcell_host::Error;
use hotcell_host::protocol::Failure;
use napi::{Result, bindgen_prelude::Buffer, sys};
use napi_derive::napi;

/// Why something could not be done.
#[napi(object, object_from_js = false)]
pub struct ErrorData {
    /// Which kind of thing went wrong; of a 'failure', `syscall` and `errno` say more, of the others `detail`.
    #[napi(
        ts_type = "'failure' | 'archive' | 'cgroup' | 'closed' | 'lost' | 'launcher' | 'protocol' | 'stopped' | 'too-large' | 'unsupported' | 'timeout'"
    )]
    pub kind: String,
    /// What was being done inside of the container, by its name in the protocol: 'OpenTree', 'Execve'.
    pub step: Option<String>,
    /// The system call, as its man page spells it.
    pub syscall: Option<String>,
    /// What it was called for, to be read after 'cannot'.
    pub doing: Option<String>,
    /// errno(3), positive.
    pub errno: Option<i32>,
    /// The path or name concerned. May not be UTF-8.
    pub path: Option<Buffer>,
    /// Which of several (descriptor, resource limit, mount).
    pub index: Option<u32>,
    /// A sentence, for kinds other than 'failure'.
    pub detail: Option<String>,
}

fn kind(error: &Error) -> &'static str {
    match error {
        Error::Perform(_)
        | Error::StartReactor { .. }
        | Error::WatchDescriptor { .. }
        | Error::TakePidfd { .. }
        | Error::MakeSocket { .. }
        | Error::MakePipe { .. }
        | Error::MakeMemfd { .. }
        | Error::SealMemfd { .. }
        | Error::OpenNull { .. }
        | Error::MakeToken { .. }
        | Error::UseFile { .. }
        | Error::StartThread { .. }
        | Error::SendRequest { .. } => "failure",
        Error::ReadArchive { .. } => "archive",
        Error::Exceed { .. } => "too-large",
        Error::Stop => "stopped",
        Error::SealImage { errno } | Error::StartLauncher { errno }
            if matches!(*errno, libc::EACCES | libc::EPERM | libc::ENOSYS | libc::EINVAL) =>
        {
            "unsupported"
        }
        Error::SealImage { .. }
        | Error::OpenImage { .. }
        | Error::RefuseImage { .. }
        | Error::StartLauncher { .. }
        | Error::KeepLauncher => "launcher",
        Error::MakeCgroup(_) => "cgroup",
        Error::HoldLimit { .. }
        | Error::UseCpus { .. }
        | Error::UseEarly
        | Error::ReadPolicy(_)
        | Error::ReadRules(_)
        | Error::UseArchitecture => "unsupported",
        Error::UseDestroyed => "closed",
        Error::KeepContainer => "lost",
        Error::TrustReply(_) => "protocol",
        Error::AwaitReply { .. } => "timeout",
    }
}

/// The [`ErrorData`] of an error.
///
/// # Safety
/// `env` is valid, and this is its thread.
pub(crate) unsafe fn to_js(env: sys::napi_env, error: Error) -> Result<sys::napi_value> {
    // SAFETY: the caller's.
    let object = unsafe { Object::new(env) }?;
    let kind = kind(&error);
    object.set_text(c"kind", kind)?;
    if let Some(syscall) = error.syscall() {
        object.set_text(c"syscall", syscall)?;
        object.set_text(c"doing", error.doing())?;
    }
    if let Some(errno) = error.errno() {
        object.set_number(c"errno", errno.into())?;
    }
    if kind != "failure" {
        object.set_text(c"detail", &error.to_string())?;
    }
    if let Error::MakeCgroup(error) = &error
        && let Some(path) = error.path()
    {
        object.set_buffer(c"path", path.as_os_str().as_encoded_bytes().to_vec())?;
    }
    match &error {
        Error::UseFile { path, .. } | Error::ReadArchive { entry: path, .. } if !path.is_empty() => {
            object.set_buffer(c"path", path.clone())?;
        }
        _ => {}
    }
    if let Error::Perform(Failure { step, index, subject, .. }) = error {
        object.set_text(c"step", &format!("{step:?}"))?;
        object.set_number(c"index", index.into())?;
        if !subject.is_empty() {
            object.set_buffer(c"path", subject)?;
        }
    }
    Ok(object.raw())
}
