//! Who init and programs are, inside and outside of the container.
//!
//! Runs in the launcher. Four strategies, from the strongest wall to the weakest:
//!
//! | strategy | who may | init, outside | program, outside |
//! |---|---|---|---|
//! | [`Strategy::Private`] | root, with ids to give away | an id of a private range | another one |
//! | [`Strategy::Ranges`] | a user with /etc/subuid and /etc/subgid lines and newuidmap | an id of that range | another one |
//! | [`Strategy::Single`] | any user, and the root of a namespace with a single id | the user | the user as well |
//! | [`Strategy::Bare`] | root, without a user namespace | as Private | as Private |
//!
//! No id of the host is ever mapped to root of the host, and with distinct ids the program can neither signal nor trace nor
//! limit init, and containers share no per-user resource (inotify instances, keys, RLIMIT_NPROC). With a single id what remains
//! is that init keeps capabilities in its namespace and is not dumpable.

use hotcell_linux::clone3::Fork;
use hotcell_linux::id_map::{self, IdRange};
use hotcell_linux::{capability, errno, prctl, process};
use hotcell_protocol::{Failure, Identity, Setup, Step, UserNamespace};
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The first id that root gives to containers: systemd documents 0x7000_0000 to 0x7FFF_FFFF as used by nobody.
const PRIVATE_FIRST: u32 = 0x7000_0000;
/// Twice the largest pid that Linux has (PID_MAX_LIMIT): two ids for each.
const PRIVATE_LENGTH: u32 = 2 * 4 * 1024 * 1024;

/// Who init becomes and who it makes programs, by the ids of the namespace that it lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// Pid 1.
    pub init: Identity,
    /// Programs.
    pub program: Identity,
}

impl Ids {
    /// The length of [`Ids::to_bytes`].
    pub const SIZE: usize = 16;

    /// For the pipe from the launcher to its fork.
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let words = [self.init.uid, self.init.gid, self.program.uid, self.program.gid];
        let mut bytes = [0; Self::SIZE];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// The other end of it.
    pub fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        let word = u32::from_ne_bytes;
        Self {
            init: Identity { uid: word([a, b, c, d]), gid: word([e, f, g, h]) },
            program: Identity { uid: word([i, j, k, l]), gid: word([m, n, o, p]) },
        }
    }
}

/// A way to give init and programs their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy {
    /// Root, with a user namespace.
    Private,
    /// A user, with newuidmap(1) and newgidmap(1) and these subordinate ranges.
    Ranges {
        /// Of /etc/subuid.
        uids: Subordinate,
        /// Of /etc/subgid.
        gids: Subordinate,
    },
    /// A user: one id for both.
    Single,
    /// Root, without a user namespace.
    Bare,
}

/// A range of /etc/subuid or /etc/subgid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subordinate {
    first: u32,
    length: u32,
}

impl Subordinate {
    /// Two ids of the range for the container whose init has this pid. Distinct for distinct pids as far as the range goes.
    fn pair(self, pid: i32) -> (u32, u32) {
        let slot = pid as u32 % (self.length / 2);
        (self.first + 2 * slot, self.first + 2 * slot + 1)
    }
}

/// What to try, best first.
pub fn strategies(setup: &Setup) -> Vec<Strategy> {
    // SAFETY: no memory involved; cannot fail.
    let (uid, gid) = (unsafe { libc::geteuid() }, unsafe { libc::getegid() });
    let is_alone = || private_uids().zip(private_gids()).is_none();
    match (uid, setup.user_namespace) {
        (0, UserNamespace::Required | UserNamespace::Preferred) if is_alone() => vec![Strategy::Single],
        (0, UserNamespace::Required) => vec![Strategy::Private],
        (0, UserNamespace::Preferred) => vec![Strategy::Private, Strategy::Bare],
        (0, UserNamespace::Off) => vec![Strategy::Bare],
        (_, UserNamespace::Off) => vec![],
        (uid, _) => {
            let ranges = subordinate("/etc/subuid", "/etc/passwd", uid)
                .zip(subordinate("/etc/subgid", "/etc/passwd", uid))
                .filter(|_| gid != 0 && helper("newuidmap").is_some() && helper("newgidmap").is_some());
            ranges.map(|(uids, gids)| Strategy::Ranges { uids, gids }).into_iter().chain([Strategy::Single]).collect()
        }
    }
}

/// Whether a failure may be the strategy's and not the container's.
pub fn next_may_work(failure: &Failure) -> bool {
    match failure.step {
        // no user namespaces in this kernel, none left, or forbidden
        Step::CloneContainer => matches!(failure.errno, libc::EPERM | libc::EINVAL | libc::ENOSPC | libc::EUSERS),
        Step::RunNewIdMap => true,
        _ => false,
    }
}

impl Strategy {
    /// Whether init gets a user namespace.
    pub fn has_user_namespace(&self) -> bool {
        *self != Self::Bare
    }

    /// Runs a clone into a user namespace as the one whom the namespace shall belong to.
    ///
    /// What the users of a namespace take of per-user limits (inotify, pending signals, namespaces: namespaces(7)) is charged to its
    /// owner as well. Were that root, one container could use up what all others and the host's root have.
    pub fn own_namespace(&self, clone: impl FnOnce() -> io::Result<Fork>) -> io::Result<Fork> {
        // Only whom it belongs to, or who may administrate all of them, can write its maps; root without that right keeps it.
        let administrates = || capability::effective().is_ok_and(|has| has.0 & capability::Capabilities::ADMIN.0 != 0);
        if *self != Self::Private || !administrates() {
            return clone();
        }
        prctl::set_securebits(capability::NO_SETUID_FIXUP)?;
        // Files are opened as root all the same, by the new init too.
        process::set_effective_uid(owner(), 0)?;
        let result = clone();
        // Not the child: it goes on opening files as the host's root, until it takes its own identity. By now 0 may be another user
        // there.
        if !matches!(result, Ok(Fork::Child)) {
            let _ = process::set_effective_uid(0, 0);
        }
        result
    }

    /// Who the init with this pid is, by the ids of the launcher and the host.
    pub fn init_outside(&self, pid: i32) -> Identity {
        match self {
            Self::Private | Self::Bare => {
                Identity { uid: given(private_uids()).pair(pid).0, gid: given(private_gids()).pair(pid).0 }
            }
            Self::Ranges { uids, gids } => Identity { uid: uids.pair(pid).0, gid: gids.pair(pid).0 },
            // SAFETY: no memory involved; cannot fail.
            Self::Single => Identity { uid: unsafe { libc::geteuid() }, gid: unsafe { libc::getegid() } },
        }
    }

    /// Who programs are, by the ids of the host, in the container whose init has this pid; `None` where that is the user.
    pub fn program_outside(&self, pid: i32) -> Option<Identity> {
        match self {
            Self::Private | Self::Bare => {
                Some(Identity { uid: given(private_uids()).pair(pid).1, gid: given(private_gids()).pair(pid).1 })
            }
            Self::Ranges { .. } | Self::Single => None,
        }
    }

    /// Makes it so for the container whose init has this pid, and says who it now is.
    pub fn apply(&self, pid: i32, setup: &Setup) -> Result<Ids, Failure> {
        let program = setup.program;
        // Root inside is nothing but a number, but it is the one that people expect on files of the container itself.
        let init = Identity { uid: u32::from(program.uid == 0), gid: u32::from(program.gid == 0) };
        let range = |inside, outside| IdRange { inside, outside, length: 1 };
        match self {
            Self::Private => {
                let (init_uid, program_uid) = given(private_uids()).pair(pid);
                let (init_gid, program_gid) = given(private_gids()).pair(pid);
                let uids = [range(init.uid, init_uid), range(program.uid, program_uid)];
                let gids = [range(init.gid, init_gid), range(program.gid, program_gid)];
                write_maps(pid, &uids, &gids)?;
                Ok(Ids { init, program })
            }
            Self::Ranges { uids, gids } => {
                run_helper("newuidmap", pid, [init.uid, program.uid], uids.pair(pid))?;
                run_helper("newgidmap", pid, [init.gid, program.gid], gids.pair(pid))?;
                Ok(Ids { init, program })
            }
            Self::Single => {
                // SAFETY: no memory involved; cannot fail.
                let (uid, gid) = (unsafe { libc::geteuid() }, unsafe { libc::getegid() });
                id_map::deny_setgroups(pid).map_err(|error| Failure::new(Step::DenySetgroups, errno(&error)))?;
                write_maps(pid, &[range(program.uid, uid)], &[range(program.gid, gid)])?;
                Ok(Ids { init: program, program })
            }
            Self::Bare => {
                let (init_uid, program_uid) = given(private_uids()).pair(pid);
                let (init_gid, program_gid) = given(private_gids()).pair(pid);
                Ok(Ids {
                    init: Identity { uid: init_uid, gid: init_gid },
                    program: Identity { uid: program_uid, gid: program_gid },
                })
            }
        }
    }
}

fn write_maps(pid: i32, uids: &[IdRange], gids: &[IdRange]) -> Result<(), Failure> {
    let failed = |name: &'static [u8]| move |error| Failure::new(Step::WriteIdMap, errno(&error)).of(name);
    id_map::write_gid_map(pid, gids).map_err(failed(b"gid_map"))?;
    id_map::write_uid_map(pid, uids).map_err(failed(b"uid_map"))
}

/// Whom the next user namespace shall belong to: one of a few of this launcher's own.
fn owner() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const EACH: u32 = 32;
    let Subordinate { first, length } = given(private_uids());
    let number = std::process::id().wrapping_mul(EACH) + NEXT.fetch_add(1, Ordering::Relaxed) % EACH;
    if first == PRIVATE_FIRST { PRIVATE_FIRST + PRIVATE_LENGTH + number } else { first + number % length }
}

/// The user ids that root may give away: the private range, or in a container whose map lacks it the upper half of the longest
/// range that the map has. `None` if there are none.
fn private_uids() -> Option<Subordinate> {
    static RANGE: OnceLock<Option<Subordinate>> = OnceLock::new();
    *RANGE.get_or_init(|| private("/proc/self/uid_map"))
}

/// The same of group ids.
fn private_gids() -> Option<Subordinate> {
    static RANGE: OnceLock<Option<Subordinate>> = OnceLock::new();
    *RANGE.get_or_init(|| private("/proc/self/gid_map"))
}

/// What to use where nothing else is left: without a user namespace ids need no map of ours.
fn given(range: Option<Subordinate>) -> Subordinate {
    range.unwrap_or(WHOLE)
}

const WHOLE: Subordinate = Subordinate { first: PRIVATE_FIRST, length: PRIVATE_LENGTH };

fn private(map: &str) -> Option<Subordinate> {
    fs::read_to_string(map).map_or(Some(WHOLE), |text| private_of(&text))
}

fn private_of(map: &str) -> Option<Subordinate> {
    let ranges = map.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace().map_while(|word| word.parse::<u64>().ok());
        Some((words.next()?, words.nth(1)?))
    });
    let end = u64::from(PRIVATE_FIRST + PRIVATE_LENGTH);
    if ranges.clone().any(|(inside, length)| inside <= u64::from(PRIVATE_FIRST) && inside + length >= end) {
        return Some(WHOLE);
    }
    let (inside, length) = ranges.max_by_key(|(_, length)| *length)?;
    let half = length / 2;
    (half >= 2).then_some(Subordinate {
        first: u32::try_from(inside + length - half).ok()?,
        length: u32::try_from(half).ok()?,
    })
}

/// The longest range that a file like /etc/subuid gives to a user, by name or by number, of at least two ids.
fn subordinate(file: &str, passwd: &str, uid: u32) -> Option<Subordinate> {
    let names = fs::read_to_string(passwd).unwrap_or_default();
    let ranges = fs::read_to_string(file).ok()?;
    subordinate_of(&ranges, &names, uid)
}

fn subordinate_of(ranges: &str, passwd: &str, uid: u32) -> Option<Subordinate> {
    let number = uid.to_string();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then_some(name)
    });
    ranges
        .lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            if owner != number && Some(owner) != name {
                return None;
            }
            let first = fields.next()?.parse().ok()?;
            let length: u32 = fields.next()?.parse().ok()?;
            (length >= 2).then_some(Subordinate { first, length })
        })
        .max_by_key(|range| range.length)
}

fn helper(name: &str) -> Option<String> {
    ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin"]
        .iter()
        .map(|directory| format!("{directory}/{name}"))
        .find(|path| Path::new(path).exists())
}

fn run_helper(name: &str, pid: i32, inside: [u32; 2], outside: (u32, u32)) -> Result<(), Failure> {
    let failed = |errno, subject: &[u8]| Failure::new(Step::RunNewIdMap, errno).of(subject);
    let path = helper(name).ok_or_else(|| failed(libc::ENOENT, name.as_bytes()))?;
    let [init, program] = inside;
    let arguments = [pid as u32, init, outside.0, 1, program, outside.1, 1].map(|number| number.to_string());
    let output = Command::new(path)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(errno(&error), name.as_bytes()))?;
    if output.status.success() { Ok(()) } else { Err(failed(libc::EPERM, output.stderr.trim_ascii())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_cross_the_pipe() {
        let ids = Ids { init: Identity { uid: 0, gid: 1 }, program: Identity { uid: 1000, gid: u32::MAX } };
        assert_eq!(Ids::from_bytes(ids.to_bytes()), ids);
    }

    #[test]
    fn two_containers_share_no_id() {
        let range = private_of("         0          0 4294967295\n").unwrap();
        assert_eq!(range, Subordinate { first: PRIVATE_FIRST, length: PRIVATE_LENGTH });
        let (a, b) = range.pair(4_194_303);
        assert_eq!((a, b), (PRIVATE_FIRST + PRIVATE_LENGTH - 2, PRIVATE_FIRST + PRIVATE_LENGTH - 1));
        assert_ne!(range.pair(2).0, range.pair(1).1);
    }

    #[test]
    fn a_narrow_map_gives_its_upper_half() {
        let range = private_of("0 100000 65536\n").unwrap();
        assert_eq!(range, Subordinate { first: 32768, length: 32768 });
        assert_eq!(private_of("0 1000 1\n"), None);
    }

    #[test]
    fn subordinate_ranges_are_found_by_name_and_by_number() {
        let passwd = "root:x:0:0::/root:/bin/sh\njudge:x:1001:1001::/home/judge:/bin/sh\n";
        let ranges = "other:100000:65536\njudge:165536:1\njudge:200000:65536\n1001:300000:10\n";
        assert_eq!(subordinate_of(ranges, passwd, 1001), Some(Subordinate { first: 200_000, length: 65536 }));
        assert_eq!(subordinate_of(ranges, passwd, 1002), None);
        assert_eq!(subordinate_of("1002:5:9\nbroken\n", passwd, 1002), Some(Subordinate { first: 5, length: 9 }));
    }
}
