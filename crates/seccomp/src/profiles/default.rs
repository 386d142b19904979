//! What compilers, interpreters, runtimes and build tools need.
//!
//! Docker's default (moby/profiles, May 2026) without its branches for capabilities, minus what the kernel's last years have
//! shown to be trouble, minus what reaches beyond the container. Where it is tighter than Docker's:
//!
//! | | Docker | here |
//! |---|---|---|
//! | other processes' memory: `ptrace`, `process_vm_*`, `process_mrelease` | allowed | EPERM |
//! | System V IPC, POSIX message queues | allowed | ENOSYS, or a setting |
//! | `socket` | all families but three | [`super::Sockets`] with TCP and UDP only |
//! | AIO, `openat2`, `statmount`, `listmount`, `memfd_secret`, `sync_file_range` | allowed | ENOSYS |
//! | set-user-ID and set-group-ID bits, device nodes | allowed | EPERM |
//! | `ioctl` TIOCSTI, TIOCLINUX, TIOCSETD; `fcntl` F_SETLEASE, F_NOTIFY; `prctl` PR_SET_MM, PR_SET_PTRACER | allowed | EPERM |
//! | `prlimit64` on others; RLIMIT_CORE | allowed | EPERM |
//! | `personality` | five values | 0, and asking |
//! | a listener by `seccomp` | allowed | EPERM |
//! | `sync`, `syncfs` (they stall the host), `fanotify_mark`, `name_to_handle_at`, `modify_ldt`, `remap_file_pages`, `mlockall`, `vmsplice`, `ioprio_set`, real-time scheduling, `adjtimex` | allowed | EPERM |
//!
//! What is lost by it: debuggers, and LeakSanitizer, which stops its own threads by ptrace(2) and wants `ASAN_OPTIONS=detect_leaks=0`.

use super::kernel::*;
use super::names::*;
use super::rules::Locks;
use super::{Settings, rules};
use crate::{Action, Condition, Policy, Unknown};

pub(super) fn policy(settings: &Settings) -> Policy {
    let absent = Action::Errno(ENOSYS);
    let mut policy = Policy { unknown: Unknown::Unnamed(absent), ..Policy::new(Action::Errno(EPERM)) };
    let allowed = [
        INPUT_OUTPUT,
        PIPES_AND_EVENTS,
        FILES_TO_READ,
        FILES_TO_WRITE,
        FILES_MORE,
        MEMORY,
        MEMORY_MORE,
        THREADS,
        TIME,
        TIMERS,
        SIGNALS,
        IDENTITY,
        SCHEDULING,
        PROCESSES,
        RIGHTS,
        SOCKETS,
    ];
    for names in allowed {
        policy = policy.with(Action::Allow, names);
    }
    policy = policy
        .with(absent, ABSENT)
        .with(if settings.ipc { Action::Allow } else { absent }, IPC)
        .with(if settings.inotify { Action::Allow } else { absent }, INOTIFY)
        .with_if(Action::Allow, &["clone"], &[Condition::masked(0, CLONE_NAMESPACES | CLONE_UNTRACED, 0)])
        .with(Action::Allow, &["seccomp"])
        .with_if(Action::Errno(EPERM), &["seccomp"], &[Condition::masked(1, NEW_LISTENER, NEW_LISTENER)]);
    policy = rules::sockets(policy, settings.sockets);
    policy = rules::modes(policy);
    policy = rules::nodes(policy);
    policy = rules::terminals(policy);
    policy = rules::descriptors(policy, if settings.file_locks { Locks::Real } else { Locks::None });
    policy = rules::limits(policy);
    policy = rules::process_options(policy, &[PR_SET_MM, PR_SET_PTRACER]);
    rules::personality(policy)
}
