//! Policies as JSON: the OCI runtime-spec's `linux.seccomp`, and what Docker and Podman add to it.
//!
//! # What is understood
//!
//! | field | |
//! |---|---|
//! | `defaultAction` | required; one of `SCMP_ACT_*` |
//! | `defaultErrnoRet` | for `SCMP_ACT_ERRNO` and `SCMP_ACT_TRACE`; EPERM if it is absent, as in runc |
//! | `defaultErrno` | Podman: the same as a name (`"ENOSYS"`); the number wins if both are there |
//! | `architectures` | `SCMP_ARCH_*`; the native one is always among them |
//! | `archMap` | Docker: picks the entry of the native architecture; excludes `architectures` |
//! | `flags` | `SECCOMP_FILTER_FLAG_*`, kept in [`crate::Flags`] |
//! | `listenerPath`, `listenerMetadata` | refused unless empty: nothing here talks to an agent |
//! | `syscalls[].names`, `.name` | one of them; `name` is Docker's old form |
//! | `syscalls[].action`, `.errnoRet`, `.errno` | as above |
//! | `syscalls[].args[]` | `index`, `value`, `valueTwo`, `op`; for `SCMP_CMP_MASKED_EQ` `value` is the mask, `valueTwo` what has to be left |
//! | `syscalls[].includes`, `.excludes` | Docker: `caps`, `arches`, `minKernel`, looked up in [`Context`] |
//! | `comment`, `syscalls[].comment` | ignored |
//!
//! Three extensions, all optional, for builders:
//!
//! - `syscalls[].match`: `"all"` or `"any"` of `args` have to hold. Without it all have to, *except* if two conditions are about the same
//!   argument: then any is enough, because that is what runc makes of it.
//! - `unknownAction` and `unknownErrnoRet`: the answer to numbers that have no name ([`crate::Unknown::Unnamed`]). Without it runc's rule holds.
//! - `value` and `valueTwo` may be strings, `"0x8000000000000000"` or decimal: JavaScript's numbers end at 2⁵³.
//!
//! Rules that contradict each other are errors, except where `includes` or `excludes` make them meet: then the most restrictive one holds. (runc
//! takes the first: it lets `setns` of Podman's profile through to the kernel, which wants a capability for it; here it is EPERM at once.)
//!
//! Any other field is an error: a misspelt one would silently be a hole.

mod context;
mod document;
mod parse;
mod words;
mod write;

pub use context::{Context, KernelVersion, Names};
pub use parse::parse;
pub use write::to_oci_json;
