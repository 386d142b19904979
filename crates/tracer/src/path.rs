//! Paths as a tracee means them.
//!
//! Runs in the supervisor, which looks at the same files as the tracee does, with a root of its own (the same one, as a rule), its own rights, and its
//! own /proc/self. So a path is resolved in two ways:
//!
//! 1. **By the kernel**: openat2(2) from the tracee's working directory or descriptor (/proc/PID/cwd, /proc/PID/fd/N), `O_PATH`, no magic links;
//!    what came of it is read from /proc/self/fd. Three or four calls, right unless the path leads through what looks different to the tracee.
//! 2. **Step by step**, as path_resolution(7) has it, where the first way ended in the supervisor's own /proc/PID (it went through /proc/self), at a
//!    magic link, at something that is not there, or where the tracee has another root.
//!
//! The answer is the path of what the kernel would use, links resolved, seen from the supervisor's root. What the supervisor may not look at is
//! [`Place::Unknown`]; give it the rights (or the file system identity) that the program has.

use crate::error::Error;
use crate::look::{c_string, duplicate, is_in_proc, is_read_only, is_same, open, open_how, read_link, status};
use crate::memory;
use std::ffi::{CStr, CString};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The longest path, its NUL included.
pub const PATH_MAX: usize = 4096;
/// As many links as the kernel follows (path_resolution(7)).
const LINKS_MAX: u32 = 40;
const NO_MAGICLINKS: u64 = 0x02;
const NO_SYMLINKS: u64 = 0x04;
const IN_ROOT: u64 = 0x10;
/// What `struct open_how` may restrict, as far as it changes what a path leads to.
const RESOLVE_KNOWN: u64 = 0x1f;
const DELETED: &[u8] = b" (deleted)";

/// Where paths start, and how names are found.
#[derive(Debug)]
pub struct Places {
    proc: OwnedFd,
    /// /proc/self/fd of the supervisor.
    own_fds: OwnedFd,
    /// Its pid as this /proc has it.
    own_pid: Vec<u8>,
    root: OwnedFd,
}

/// What is to be resolved.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The process and the thread.
    pub pid: i32,
    /// See above.
    pub tid: i32,
    /// The descriptor that a relative path starts at; `None` for the working directory.
    pub dir: Option<i32>,
    /// Without its NUL.
    pub path: &'a [u8],
    /// Whether a link at the end is followed.
    pub follow: bool,
    /// `RESOLVE_*` of openat2(2).
    pub resolve: u64,
    /// Whether the tracee may have another root than the supervisor.
    pub has_own_root: bool,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A file; its path was appended.
    File {
        /// Whether it is a directory.
        is_directory: bool,
    },
    /// Nothing, in a directory that is there; the path that it would have was appended.
    Absent,
    /// Something without a path: a pipe, a socket, anonymous memory.
    Unnamed,
    /// Nowhere: the call will fail with this errno.
    Fails(i32),
    /// The supervisor may not look.
    Unknown,
}

impl Places {
    /// With a directory of /proc that shows the supervisor itself and its tracees.
    pub fn new(proc: OwnedFd) -> Result<Self, Error> {
        let own_fds = open(proc.as_raw_fd(), c"self/fd", libc::O_DIRECTORY).map_err(|_| Error::FindProc)?;
        let mut own_pid = Vec::new();
        read_link(proc.as_raw_fd(), c"self", &mut own_pid).map_err(|_| Error::FindProc)?;
        let root = open(libc::AT_FDCWD, c"/", libc::O_DIRECTORY).map_err(|errno| Error::OpenRoot { errno })?;
        Ok(Self { proc, own_fds, own_pid, root })
    }

    /// Whether a thread has another root than the supervisor.
    pub fn has_own_root(&self, tid: i32) -> bool {
        match self.open_of(tid, format_args!("root")) {
            Ok(root) => !is_same(root.as_raw_fd(), self.root.as_raw_fd()),
            Err(_) => true,
        }
    }

    /// The program that a process executes.
    pub fn executable(&self, pid: i32, into: &mut Vec<u8>) -> bool {
        let mut link = [0; 32];
        let link = c_string(&mut link, format_args!("{pid}/exe"));
        let start = into.len();
        let is_read = read_link(self.proc.as_raw_fd(), link, into).is_ok();
        if into.get(start..).is_some_and(|name| name.ends_with(DELETED)) {
            into.truncate(into.len() - DELETED.len());
        }
        is_read
    }

    /// The path that a process which has just executed a program gave for it: of a script that is not the interpreter's (getauxval(3), `AT_EXECFN`).
    /// Appended to `into` as what it leads to; `false` if that is no file.
    pub fn executed(&self, pid: i32, into: &mut Vec<u8>) -> bool {
        const AT_EXECFN: u64 = 31;
        let mut vector = Vec::new();
        if self.open_to_read(pid, "auxv").is_none_or(|mut auxv| auxv.read_to_end(&mut vector).is_err()) {
            return false;
        }
        let (words, _) = vector.as_chunks::<8>();
        let (pairs, _) = words.as_chunks::<2>();
        let address = pairs
            .iter()
            .find_map(|[kind, value]| (u64::from_ne_bytes(*kind) == AT_EXECFN).then(|| u64::from_ne_bytes(*value)));
        let Some(address) = address else { return false };
        let mut given = Vec::new();
        let (range, _) = memory::read_string(pid, address, PATH_MAX, &mut given);
        let Some(path) = given.get(range) else { return false };
        let has_own_root = self.has_own_root(pid);
        let request = Request { pid, tid: pid, dir: None, path, follow: true, resolve: 0, has_own_root };
        matches!(self.resolve(request, into), Place::File { is_directory: false })
    }

    /// The files that a process which has just executed a program maps to execute: the program, and its ELF interpreter, which nobody asks for by a call.
    pub fn mapped(&self, pid: i32) -> Vec<Vec<u8>> {
        let mut text = Vec::new();
        let is_read = self.open_to_read(pid, "maps").is_some_and(|mut maps| maps.read_to_end(&mut text).is_ok());
        let lines = text.split(|byte| *byte == b'\n').filter(|_| is_read);
        // address, rights, offset, device, inode, and after blanks the path (proc_pid_maps(5))
        let path = |line: &[u8]| {
            let rights = line.split(|byte| *byte == b' ').nth(1)?;
            let start = line.iter().position(|byte| *byte == b'/').filter(|_| rights.get(2) == Some(&b'x'))?;
            line.get(start..).map(<[u8]>::to_vec)
        };
        lines.filter_map(path).collect()
    }

    fn open_to_read(&self, pid: i32, name: &str) -> Option<std::fs::File> {
        let mut path = [0; 64];
        let path = c_string(&mut path, format_args!("{pid}/{name}"));
        // SAFETY: an open directory and a NUL-terminated path.
        let fd = unsafe { libc::openat(self.proc.as_raw_fd(), path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
        // SAFETY: a new descriptor that nothing else knows.
        (fd >= 0).then(|| unsafe { std::fs::File::from_raw_fd(fd) })
    }

    /// What a descriptor of a tracee is; `None` for its working directory.
    pub fn descriptor(&self, tid: i32, fd: Option<i32>, into: &mut Vec<u8>) -> Place {
        match self.start(tid, fd) {
            Ok(fd) => self.name(&fd, into),
            Err(place) => place,
        }
    }

    /// What a path leads to; its path is appended to `into`.
    pub fn resolve(&self, request: Request<'_>, into: &mut Vec<u8>) -> Place {
        if request.path.is_empty() {
            return Place::Fails(libc::ENOENT);
        }
        let is_in_root = request.resolve & IN_ROOT != 0;
        let is_absolute = request.path.first() == Some(&b'/') && !is_in_root;
        let own_root = request.has_own_root.then(|| self.open_of(request.tid, format_args!("root")));
        let own_root = match own_root.transpose() {
            Ok(root) => root,
            Err(_) => return Place::Unknown,
        };
        let start = match (is_absolute, &own_root) {
            (false, _) => self.start(request.tid, request.dir),
            (true, Some(root)) => duplicate(root.as_raw_fd()),
            (true, None) => duplicate(self.root.as_raw_fd()),
        };
        let start = match start {
            Ok(start) => start,
            Err(place) => return place,
        };
        if own_root.is_none()
            && let Some(place) = self.by_kernel(&request, &start, into)
        {
            return place;
        }
        let root = match (is_in_root, own_root) {
            (true, _) => duplicate(start.as_raw_fd()),
            (false, Some(root)) => Ok(root),
            (false, None) => duplicate(self.root.as_raw_fd()),
        };
        match root {
            Ok(root) => self.step_by_step(&request, start, &root, into),
            Err(place) => place,
        }
    }

    /// The first way; `None` if the second is needed.
    fn by_kernel(&self, request: &Request<'_>, start: &OwnedFd, into: &mut Vec<u8>) -> Option<Place> {
        let mut path = [0; PATH_MAX];
        let Some(place) = path.get_mut(..request.path.len()).filter(|place| place.len() < PATH_MAX) else {
            return Some(Place::Fails(libc::ENAMETOOLONG));
        };
        place.copy_from_slice(request.path);
        let path = CStr::from_bytes_until_nul(&path).ok()?;
        let nofollow = if request.follow { 0 } else { libc::O_NOFOLLOW };
        let resolve = NO_MAGICLINKS | request.resolve & RESOLVE_KNOWN;
        match open_how(start.as_raw_fd(), path, nofollow, resolve) {
            Ok(fd) => {
                let before = into.len();
                let place = self.name(&fd, into);
                let name = into.get(before..).unwrap_or_default();
                if name.split(|byte| *byte == b'/').any(|component| component == self.own_pid) {
                    into.truncate(before);
                    return None;
                }
                Some(place)
            }
            // The program asked for these itself.
            Err(libc::ELOOP) if request.resolve & (NO_MAGICLINKS | NO_SYMLINKS) != 0 => Some(Place::Fails(libc::ELOOP)),
            Err(libc::ENOENT | libc::ELOOP | libc::EAGAIN | libc::ENOSYS | libc::EPERM) => None,
            Err(libc::EACCES) => Some(Place::Unknown),
            Err(errno) => Some(Place::Fails(errno)),
        }
    }

    /// The second way.
    fn step_by_step(&self, request: &Request<'_>, start: OwnedFd, root: &OwnedFd, into: &mut Vec<u8>) -> Place {
        let mut here = start;
        let mut rest = request.path.to_vec();
        let mut links = 0;
        loop {
            let Some(begin) = rest.iter().position(|byte| *byte != b'/') else { return self.name(&here, into) };
            let end =
                rest.iter().skip(begin).position(|byte| *byte == b'/').map_or(rest.len(), |length| begin + length);
            let component = rest.get(begin..end).unwrap_or_default().to_vec();
            let behind = rest.split_off(end);
            let is_last = behind.iter().all(|byte| *byte == b'/');
            match component.as_slice() {
                b"." => {
                    rest = behind;
                    continue;
                }
                b".." if is_same(here.as_raw_fd(), root.as_raw_fd()) => {
                    rest = behind;
                    continue;
                }
                _ => {}
            }
            let Ok(name) = CString::new(component) else { return Place::Fails(libc::ENOENT) };
            let next = match open(here.as_raw_fd(), &name, libc::O_NOFOLLOW) {
                Ok(next) => next,
                Err(libc::ENOENT) if is_last => {
                    let place = self.name(&here, into);
                    if !matches!(place, Place::File { .. }) {
                        return place;
                    }
                    if into.last() != Some(&b'/') {
                        into.push(b'/');
                    }
                    into.extend_from_slice(name.as_bytes());
                    return Place::Absent;
                }
                Err(libc::EACCES) => return Place::Unknown,
                Err(errno) => return Place::Fails(errno),
            };
            let is_a = |kind| status(next.as_raw_fd()).is_some_and(|status| status.st_mode & libc::S_IFMT == kind);
            // A slash behind it makes even a call that does not follow links follow (path_resolution(7)).
            if !is_a(libc::S_IFLNK) || is_last && !request.follow && behind.is_empty() {
                if !behind.is_empty() && !is_a(libc::S_IFDIR) {
                    return Place::Fails(libc::ENOTDIR);
                }
                here = next;
                rest = behind;
                continue;
            }
            links += 1;
            if links > LINKS_MAX {
                return Place::Fails(libc::ELOOP);
            }
            let mut target = Vec::new();
            match self.follow(request, &here, &name, &next, &mut target) {
                Ok(Some(there)) => {
                    here = there;
                    rest = behind;
                    continue;
                }
                Ok(None) => {}
                Err(place) => return place,
            }
            if target.first() == Some(&b'/') {
                here = match duplicate(root.as_raw_fd()) {
                    Ok(root) => root,
                    Err(place) => return place,
                };
            }
            target.extend_from_slice(&behind);
            if target.len() > 4 * PATH_MAX {
                return Place::Fails(libc::ENAMETOOLONG);
            }
            rest = target;
        }
    }

    /// Where a link leads: to a place at once (magic links), or to what was appended to `target`.
    fn follow(
        &self,
        request: &Request<'_>,
        here: &OwnedFd,
        name: &CStr,
        link: &OwnedFd,
        target: &mut Vec<u8>,
    ) -> Result<Option<OwnedFd>, Place> {
        read_link(link.as_raw_fd(), c"", target).map_err(Place::Fails)?;
        if !is_in_proc(link.as_raw_fd()) {
            return if target.is_empty() { Err(Place::Fails(libc::ENOENT)) } else { Ok(None) };
        }
        // Those two tell everybody about himself. (Other links by these names there would have to say the supervisor's pid as well.)
        if name == c"self" && *target == self.own_pid {
            target.clear();
            let _ = write!(target, "{}", request.pid);
            return Ok(None);
        }
        if name == c"thread-self" && target.starts_with(&self.own_pid) {
            target.clear();
            let _ = write!(target, "{}/task/{}", request.pid, request.tid);
            return Ok(None);
        }
        match open_how(here.as_raw_fd(), name, 0, NO_MAGICLINKS) {
            Err(libc::ELOOP) if request.resolve & (NO_MAGICLINKS | NO_SYMLINKS) != 0 => Err(Place::Fails(libc::ELOOP)),
            Err(libc::ELOOP) => match open(here.as_raw_fd(), name, 0) {
                Ok(there) => Ok(Some(there)),
                Err(libc::EACCES) => Err(Place::Unknown),
                Err(errno) => Err(Place::Fails(errno)),
            },
            _ => Ok(None),
        }
    }

    /// A tracee's working directory or descriptor.
    fn start(&self, tid: i32, fd: Option<i32>) -> Result<OwnedFd, Place> {
        let opened = match fd {
            None => self.open_of(tid, format_args!("cwd")),
            Some(fd) if fd < 0 => return Err(Place::Fails(libc::EBADF)),
            Some(fd) => self.open_of(tid, format_args!("fd/{fd}")),
        };
        opened.map_err(|errno| match errno {
            libc::ENOENT => Place::Fails(libc::EBADF),
            _ => Place::Unknown,
        })
    }

    fn open_of(&self, tid: i32, what: std::fmt::Arguments<'_>) -> Result<OwnedFd, i32> {
        let mut path = [0; 64];
        open(self.proc.as_raw_fd(), c_string(&mut path, format_args!("{tid}/{what}")), 0)
    }

    /// Appends the path of what a descriptor of ours is.
    fn name(&self, fd: &OwnedFd, into: &mut Vec<u8>) -> Place {
        let start = into.len();
        let mut number = [0; 16];
        let number = c_string(&mut number, format_args!("{}", fd.as_raw_fd()));
        if read_link(self.own_fds.as_raw_fd(), number, into).is_err() {
            return Place::Unknown;
        }
        let Some(status) = status(fd.as_raw_fd()) else { return Place::Unknown };
        let name = into.get(start..).unwrap_or_default();
        let is_deleted = status.st_nlink == 0 && name.ends_with(DELETED);
        if name.first() != Some(&b'/') || is_deleted && name.starts_with(b"/memfd:") {
            into.truncate(start);
            return Place::Unnamed;
        }
        if is_deleted {
            into.truncate(into.len() - DELETED.len());
        }
        Place::File { is_directory: status.st_mode & libc::S_IFMT == libc::S_IFDIR }
    }

    /// The path that the literal part of a rule leads to, if that is another one and no link on the way was made by `untrusted` (0:
    /// nobody) on a file system that can be written to.
    ///
    /// What /proc/self, or a magic link, is to the supervisor says nothing about a program.
    pub fn canonical(&self, path: &[u8], untrusted: u32) -> Option<Vec<u8>> {
        let pid = std::process::id() as i32;
        let mut parts: Vec<&[u8]> = Vec::new();
        let mut rest = path;
        loop {
            let request = Request {
                pid,
                tid: pid,
                dir: None,
                path: rest,
                follow: true,
                resolve: NO_MAGICLINKS,
                has_own_root: false,
            };
            let mut found = Vec::new();
            if matches!(self.resolve(request, &mut found), Place::File { .. } | Place::Absent) {
                let is_ours = found.split(|byte| *byte == b'/').any(|component| component == self.own_pid);
                if is_ours || !trusts_links(rest, untrusted) {
                    return None;
                }
                for part in parts.iter().rev() {
                    if found.last() != Some(&b'/') {
                        found.push(b'/');
                    }
                    found.extend_from_slice(part);
                }
                return (found != path).then_some(found);
            }
            let slash = rest.iter().rposition(|byte| *byte == b'/')?;
            parts.push(rest.get(slash + 1..)?);
            rest = rest.get(..slash).filter(|rest| !rest.is_empty())?;
        }
    }
}

/// Looks at every link on the way, those inside of links included.
fn trusts_links(path: &[u8], untrusted: u32) -> bool {
    if untrusted == 0 {
        return true;
    }
    let mut here = Vec::from(*b"/");
    let mut rest = path.to_vec();
    for _ in 0..LINKS_MAX * 8 {
        let Some(begin) = rest.iter().position(|byte| *byte != b'/') else { return true };
        let end = rest.iter().skip(begin).position(|byte| *byte == b'/').map_or(rest.len(), |length| begin + length);
        let behind = rest.split_off(end);
        let before = here.len();
        if here.last() != Some(&b'/') {
            here.push(b'/');
        }
        here.extend_from_slice(rest.get(begin..).unwrap_or_default());
        let Ok(name) = CString::new(here.clone()) else { return false };
        let Ok(fd) = open(libc::AT_FDCWD, &name, libc::O_NOFOLLOW) else { return true };
        let Some(status) = status(fd.as_raw_fd()) else { return false };
        rest = behind;
        if status.st_mode & libc::S_IFMT == libc::S_IFLNK {
            if status.st_uid == untrusted && !is_read_only(fd.as_raw_fd()) {
                return false;
            }
            let mut target = Vec::new();
            if read_link(fd.as_raw_fd(), c"", &mut target).is_err() {
                return false;
            }
            here.truncate(if target.first() == Some(&b'/') { 1 } else { before });
            target.extend_from_slice(&rest);
            rest = target;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 as usize % limit
        }

        fn path(&mut self, root: &str) -> String {
            const NAMES: [&str; 14] = ["a", "b", "c", "f", "k", "l", "m", "n", "..", "..", ".", "", "absent", "a"];
            let start = ["", "", root, "/"][self.below(4)];
            let mut path = start.trim_end_matches('/').to_owned();
            for index in 0..=self.below(6) {
                if index > 0 || !start.is_empty() {
                    path.push('/');
                }
                path.push_str(NAMES[self.below(NAMES.len())]);
            }
            path + ["", "", "/"][self.below(3)]
        }
    }

    /// What the kernel makes of a path: the name of what it opens, or its errno.
    fn by_opening(places: &Places, dir: &OwnedFd, path: &CStr, follow: bool) -> (Place, Vec<u8>) {
        let mut name = Vec::new();
        match open(dir.as_raw_fd(), path, if follow { 0 } else { libc::O_NOFOLLOW }) {
            Ok(fd) => (places.name(&fd, &mut name), name),
            Err(errno) => (Place::Fails(errno), name),
        }
    }

    /// Paths of all sorts in trees of directories and links of all sorts: each leads where the kernel says.
    #[test]
    fn step_by_step_leads_where_the_kernel_does() {
        let places = Places::new(fs::File::open("/proc").unwrap().into()).unwrap();
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let (mut reached, mut failed, mut absent) = (0, 0, 0);
        for round in 0..40 {
            let root = std::env::temp_dir().join(format!("hotcell-path-{}-{round}", std::process::id()));
            fs::create_dir(&root).unwrap();
            let root = root.canonicalize().unwrap();
            let text = root.to_str().unwrap();
            for directory in ["a", "b", "a/b", "a/b/c", "b/c"] {
                let _ = fs::create_dir_all(root.join(directory));
            }
            for directory in ["", "a", "a/b", "a/b/c", "b", "b/c"] {
                let _ = fs::write(root.join(directory).join("f"), "");
                for link in ["k", "l", "m", "n"] {
                    let target = random.path(text);
                    if !target.is_empty() {
                        symlink(target, root.join(directory).join(link)).unwrap();
                    }
                }
            }
            let start = root.join(["a", "a/b", "b", ""][random.below(4)]);
            let dir: OwnedFd = fs::File::open(start).unwrap().into();
            for _ in 0..500 {
                let path = random.path(text);
                if path.is_empty() {
                    continue;
                }
                let follow = random.below(2) == 0;
                let c_path = CString::new(path.clone()).unwrap();
                let expected = by_opening(&places, &dir, &c_path, follow);
                let pid = std::process::id() as i32;
                let request = Request {
                    pid,
                    tid: pid,
                    dir: Some(dir.as_raw_fd()),
                    path: path.as_bytes(),
                    follow,
                    resolve: 0,
                    has_own_root: false,
                };
                let from = if path.starts_with('/') { &places.root } else { &dir };
                let start = duplicate(from.as_raw_fd()).unwrap();
                let mut name = Vec::new();
                let found = places.step_by_step(&request, start, &places.root, &mut name);
                match found {
                    Place::Absent => {
                        absent += 1;
                        assert_eq!(expected.0, Place::Fails(libc::ENOENT), "{path}");
                        // where it would be made, its name is its own
                        assert!(fs::symlink_metadata(std::str::from_utf8(&name).unwrap()).is_err(), "{path}");
                    }
                    // Both cannot go on; where there are several reasons, either may come first.
                    Place::Fails(_) => {
                        failed += 1;
                        assert!(matches!(expected.0, Place::Fails(_)), "{path}: {found:?} {expected:?}");
                    }
                    _ => {
                        reached += 1;
                        assert_eq!((found, &name), (expected.0, &expected.1), "{path} in {text}");
                    }
                }
                // and so does the whole, whichever way it goes
                let mut whole = Vec::new();
                let found = places.resolve(request, &mut whole);
                if matches!(expected.0, Place::File { .. }) {
                    assert_eq!((found, whole), expected, "{path} in {text}");
                }
            }
            fs::remove_dir_all(&root).unwrap();
        }
        assert!(reached > 1000 && failed > 1000 && absent > 500, "{reached} {failed} {absent}");
    }
}
