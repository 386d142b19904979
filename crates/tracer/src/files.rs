//! The files that a call uses, and whether it may.
//!
//! Runs in the supervisor, at a tracee's seccomp stop, before the call takes place.
//!
//! **This is no boundary.** The kernel reads the path again after it was looked at here, so another thread of the program, or another process that
//! shares the memory, can change it in between; directories and links can be renamed as well. A program with one thread and no shared memory has
//! nobody to do that. What cannot be outwitted is Landlock (and which files are mounted at all); this is for telling programs what they may use, with a
//! reason, and for knowing what they did use.
//!
//! What is not there is no violation, unless the call would make it: programs look for files in many places, and the kernel's ENOENT is what they
//! expect. (So it can be found out which names exist. They are not a secret that this, or Landlock, could keep.)

use crate::calls::{FileUse, Follow, Need, Operations, Signature};
use crate::memory::{self, StringEnd};
use crate::path::{PATH_MAX, Place, Places, Request};
use crate::policy::Policy;
use hotcell_protocol::FileOperation;
use std::ops::Range;

const AT_SYMLINK_NOFOLLOW: u64 = 0x100;
const AT_SYMLINK_FOLLOW: u64 = 0x400;
const AT_EMPTY_PATH: u64 = 0x1000;
const IN_DONT_FOLLOW: u64 = 0x0200_0000;
const RENAME_EXCHANGE: u64 = 2;
/// `struct open_how` as it began; what later kernels append is for them.
const OPEN_HOW_BYTES: usize = 24;

/// A file that a call uses.
#[derive(Debug, Clone)]
pub struct Used {
    name: Range<usize>,
    /// What for.
    pub operations: Operations,
    is_directory: bool,
    /// Whether the path is resolved; else it is as the program wrote it, and nothing is known about it.
    is_resolved: bool,
}

/// What a call uses.
#[derive(Debug, Clone, Default)]
pub struct Uses {
    files: [Option<Used>; 2],
    is_exchange: bool,
}

/// Something that no rule allows.
#[derive(Debug, Clone)]
pub struct Breach {
    name: Range<usize>,
    /// What would be done.
    pub operation: FileOperation,
    /// Whether the file is known. If it is not, the call must not take place.
    pub is_resolved: bool,
}

/// Looks at calls.
#[derive(Debug)]
pub struct Files {
    places: Places,
    policy: Option<Policy>,
    /// Whether a tracee may have another root than we have.
    pub has_own_roots: bool,
    /// Strings of the program's, and names of files.
    text: Vec<u8>,
    names: Vec<u8>,
}

/// A call that must not take place as it is: the program gets this errno.
#[derive(Debug, Clone, Copy)]
pub struct Answer(pub i32);

impl Files {
    pub fn new(places: Places, policy: Option<Policy>) -> Self {
        Self { places, policy, has_own_roots: false, text: Vec::new(), names: Vec::new() }
    }

    /// Of the process that everything begins with.
    pub fn look_at_root(&mut self, tid: i32) {
        self.has_own_roots |= self.places.has_own_root(tid);
    }

    /// A name that was resolved last.
    pub fn name(&self, name: &Range<usize>) -> &[u8] {
        self.names.get(name.clone()).unwrap_or_default()
    }

    /// The files that this call would use, of those that are there or would be made.
    pub fn uses(&mut self, pid: i32, tid: i32, signature: &Signature, values: [u64; 6]) -> Result<Uses, Answer> {
        self.names.clear();
        let mut uses = Uses::default();
        for (file, used) in signature.files.iter().zip(&mut uses.files) {
            *used = self.used(pid, tid, signature, file, values)?;
        }
        uses.is_exchange = signature.name == "renameat2" && values[4] & RENAME_EXCHANGE != 0;
        Ok(uses)
    }

    fn used(
        &mut self,
        pid: i32,
        tid: i32,
        signature: &Signature,
        file: &FileUse,
        values: [u64; 6],
    ) -> Result<Option<Used>, Answer> {
        let value = |index: u8| values.get(usize::from(index)).copied().unwrap_or(0);
        let dir = file.dir.map(|index| value(index) as i32).filter(|fd| *fd != libc::AT_FDCWD);
        let asked = Asked::new(tid, file, values)?;
        let start = self.names.len();
        let path = match file.path.map(value) {
            None | Some(0) => None,
            Some(address) => {
                self.text.clear();
                let (range, end) = memory::read_string(tid, address, PATH_MAX, &mut self.text);
                match end {
                    StringEnd::Nul => {}
                    // The kernel says so, too; unless somebody changes the string meanwhile.
                    StringEnd::Limit => return Err(Answer(libc::ENAMETOOLONG)),
                    StringEnd::Fault => return Err(Answer(libc::EFAULT)),
                }
                self.text.get(range).filter(|path| !path.is_empty())
            }
        };
        // A slash at the end makes a link be followed (path_resolution(7)), but not by calls that are about the name itself.
        let is_about_name = file.follow == Follow::No && asked.operations.has(Operations::NAME);
        let path = path.map(|path| if is_about_name { without_slashes(path) } else { path });
        let place = if let Some(path) = path {
            let (follow, resolve) = (asked.follow, asked.resolve);
            let request = Request { pid, tid, dir, path, follow, resolve, has_own_root: self.has_own_roots };
            self.places.resolve(request, &mut self.names)
        } else {
            // A descriptor by itself, NULL (utimensat), an empty path with AT_EMPTY_PATH; or a call that fails. Looking at what one has a descriptor of
            // is fstat(2).
            let is_null = file.path.is_some_and(|index| value(index) == 0) && file.dir.is_some();
            let is_asked_for = file.empty_path.is_some_and(|index| value(index) & AT_EMPTY_PATH != 0);
            let is_descriptor = file.path.is_none() || is_null || is_asked_for;
            if !is_descriptor || asked.operations == Operations::STAT && !signature.is_move {
                return Ok(None);
            }
            self.places.descriptor(tid, dir, &mut self.names)
        };
        let mut used = Used {
            name: start..self.names.len(),
            operations: asked.operations,
            is_directory: false,
            is_resolved: true,
        };
        used.name = own_is_self(&mut self.names, start, pid);
        match place {
            Place::File { is_directory } => used.is_directory = is_directory,
            Place::Absent if asked.creates => {
                used.operations = used.operations.and(Operations::WRITE).and(Operations::NAME)
            }
            Place::Absent | Place::Unnamed | Place::Fails(_) => return Ok(None),
            Place::Unknown => {
                self.names.truncate(start);
                self.names.extend_from_slice(path.unwrap_or_default());
                used.name = start..self.names.len();
                used.is_resolved = false;
            }
        }
        Ok(Some(used))
    }

    /// Each file with what is done to it.
    pub fn each<'a>(&'a self, uses: &'a Uses) -> impl Iterator<Item = (&'a [u8], Operations)> {
        let known = uses.files.iter().flatten().filter(|used| used.is_resolved);
        known.map(|used| (self.name(&used.name), used.operations))
    }

    /// What of it the policy does not allow.
    pub fn judge(&self, uses: &Uses, signature: &Signature) -> Option<Breach> {
        let policy = self.policy.as_ref()?;
        for used in uses.files.iter().flatten() {
            let path = self.name(&used.name);
            for (operations, operation) in [
                (Operations::EXECUTE, FileOperation::Execute),
                (Operations::WRITE, FileOperation::Write),
                (Operations::READ, FileOperation::Read),
                (Operations::STAT, FileOperation::Stat),
            ] {
                if used.operations.has(operations) && !(used.is_resolved && policy.allows(path, operation)) {
                    return Some(Breach { name: used.name.clone(), operation, is_resolved: used.is_resolved });
                }
            }
        }
        let [Some(from), Some(to)] = &uses.files else { return None };
        if !signature.is_move {
            return None;
        }
        self.gain(policy, from, to).or_else(|| if uses.is_exchange { self.gain(policy, to, from) } else { None })
    }

    /// What could be done to a file, or to what is in a directory, under its new name only. (Landlock asks for `LANDLOCK_ACCESS_FS_REFER` and the same.)
    fn gain(&self, policy: &Policy, from: &Used, to: &Used) -> Option<Breach> {
        let (old, new) = (self.name(&from.name), self.name(&to.name));
        let gains = |old: &[u8], new: &[u8], operation| policy.allows(new, operation) && !policy.allows(old, operation);
        let operations = [FileOperation::Execute, FileOperation::Write, FileOperation::Read];
        let operation = operations.into_iter().find(|operation| {
            let below = |path: &[u8]| [path, b"/\x01"].concat();
            gains(old, new, *operation) || from.is_directory && gains(&below(old), &below(new), *operation)
        })?;
        Some(Breach { name: from.name.clone(), operation, is_resolved: true })
    }

    /// Where a breach is.
    pub fn breach_path(&self, breach: &Breach) -> &[u8] {
        self.name(&breach.name)
    }

    /// After an execve: the program that the kernel did choose, which for a script is its interpreter. Nobody can change that any more.
    pub fn judge_executable(&mut self, pid: i32) -> Option<Breach> {
        let policy = self.policy.as_ref()?;
        self.names.clear();
        let is_resolved = self.places.executable(pid, &mut self.names);
        // A descriptor without a path (a memfd): it was judged as such.
        if is_resolved && (self.names.first() != Some(&b'/') || self.names.starts_with(b"/memfd:")) {
            return None;
        }
        let is_allowed = is_resolved && policy.allows(&self.names, FileOperation::Execute);
        let operation = FileOperation::Execute;
        (!is_allowed).then_some(Breach { name: 0..self.names.len(), operation, is_resolved })
    }

    /// What else is executed with it, for what is learned: the ELF interpreter.
    pub fn mapped(&self, pid: i32) -> Vec<Vec<u8>> {
        self.places.mapped(pid)
    }

    /// What was asked to be executed, if that is no ELF file but a script: it takes the right to execute both.
    pub fn script(&mut self, pid: i32) -> Option<&[u8]> {
        self.names.clear();
        let is_known = self.places.executable(pid, &mut self.names);
        let start = self.names.len();
        let is_file = is_known && self.places.executed(pid, &mut self.names);
        let (program, asked) = self.names.split_at(start);
        (is_file && program != asked).then_some(asked)
    }

    /// For what is learned from an execve.
    pub fn executable(&mut self, pid: i32) -> Option<&[u8]> {
        self.names.clear();
        self.places.executable(pid, &mut self.names).then_some(self.names.as_slice())
    }
}

/// A process's own part of /proc is /proc/self in rules, complaints and what is learned: its number is another one each time.
fn own_is_self(names: &mut Vec<u8>, start: usize, pid: i32) -> Range<usize> {
    const PROC: &[u8] = b"/proc/";
    let mut number = [0; 12];
    let number = decimal(pid, &mut number);
    let is_own = names
        .get(start..)
        .and_then(|name| name.strip_prefix(PROC))
        .is_some_and(|rest| rest.strip_prefix(number).is_some_and(|rest| matches!(rest.first(), None | Some(b'/'))));
    if is_own {
        let begin = start + PROC.len();
        names.splice(begin..begin + number.len(), *b"self");
    }
    start..names.len()
}

/// A number's digits, without an allocation.
fn decimal(number: i32, place: &mut [u8; 12]) -> &[u8] {
    use std::io::Write;
    let mut rest = place.as_mut_slice();
    let before = rest.len();
    let _ = write!(rest, "{number}");
    let length = before - rest.len();
    place.get(..length).unwrap_or_default()
}

fn without_slashes(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(1, |last| last + 1);
    path.get(..end).unwrap_or(path)
}

/// What a call asks for, by its flags.
struct Asked {
    operations: Operations,
    follow: bool,
    creates: bool,
    resolve: u64,
}

impl Asked {
    fn new(tid: i32, file: &FileUse, values: [u64; 6]) -> Result<Self, Answer> {
        let value = |index: u8| values.get(usize::from(index)).copied().unwrap_or(0);
        let follow = match file.follow {
            Follow::Yes => true,
            Follow::No => false,
            Follow::Unless(flags) => value(flags) & AT_SYMLINK_NOFOLLOW == 0,
            Follow::If(flags) => value(flags) & AT_SYMLINK_FOLLOW != 0,
            Follow::Inotify(mask) => value(mask) & IN_DONT_FOLLOW == 0,
        };
        match file.need {
            Need::These(operations) => Ok(Self { operations, follow, creates: file.creates, resolve: 0 }),
            Need::OpenFlags(flags) => Ok(Self::open(value(flags) as u32 as i32, 0)),
            Need::OpenHow(how) => {
                let mut bytes = [0; OPEN_HOW_BYTES];
                if !memory::read_exact(tid, value(how), &mut bytes) {
                    return Err(Answer(libc::EFAULT));
                }
                let word = |index: usize| {
                    let word = bytes.get(index * 8..).and_then(|rest| rest.first_chunk::<8>());
                    word.map_or(0, |word| u64::from_ne_bytes(*word))
                };
                Ok(Self::open(word(0) as i32, word(2)))
            }
        }
    }

    /// By the flags of open(2).
    fn open(flags: i32, resolve: u64) -> Self {
        let has = |flag: i32| flags & flag == flag;
        if has(libc::O_PATH) {
            let follow = !has(libc::O_NOFOLLOW);
            return Self { operations: Operations::STAT, follow, creates: false, resolve };
        }
        let mut operations = match flags & libc::O_ACCMODE {
            libc::O_RDONLY => Operations::READ,
            libc::O_WRONLY => Operations::WRITE,
            _ => Operations::READ.and(Operations::WRITE),
        };
        if has(libc::O_TRUNC) {
            operations = operations.and(Operations::WRITE);
        }
        if has(libc::O_TMPFILE) {
            operations = Operations::WRITE.and(Operations::NAME);
        }
        let creates = has(libc::O_CREAT);
        let stays_at_link = has(libc::O_NOFOLLOW) || creates && has(libc::O_EXCL);
        let follow = !stays_at_link;
        Self { operations, follow, creates, resolve }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_open_ask_for_operations() {
        let (read, write) = (Operations::READ, Operations::WRITE);
        for (flags, operations, follow, creates) in [
            (libc::O_RDONLY, read, true, false),
            (libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL, write, false, true),
            (libc::O_RDWR | libc::O_NOFOLLOW, read.and(write), false, false),
            (3, read.and(write), true, false),
            (libc::O_RDONLY | libc::O_TRUNC, read.and(write), true, false),
            (libc::O_RDONLY | libc::O_DIRECTORY, read, true, false),
            (libc::O_PATH | libc::O_RDWR | libc::O_CREAT, Operations::STAT, true, false),
            (libc::O_TMPFILE | libc::O_RDWR, write.and(Operations::NAME), true, false),
        ] {
            let asked = Asked::open(flags, 0);
            assert_eq!((asked.operations, asked.follow, asked.creates), (operations, follow, creates), "{flags:o}");
        }
    }
}
