//! What the supervisor knows about system calls: what their arguments are, which of them are paths, and what is done there.
//!
//! Pure data, in one table (`table.rs`), by name: numbers differ between architectures, and a name that one does not have is never asked for.
//! Calls that the table lacks have six arguments of which nothing is known, and use no files.

pub mod flags;
mod table;

use flags::Names;
use std::str::FromStr;
use syscalls::Sysno;

/// What an argument is.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A signed number, 32 bits of it. Descriptors, too.
    Int,
    /// A signed number of 64 bits.
    Long,
    /// A size.
    Size,
    /// An address, or anything else that is best read in hexadecimal.
    Hex,
    /// A file mode.
    Mode,
    /// A directory's descriptor, or `AT_FDCWD`.
    Dir,
    /// A string: a path, or a name.
    Path,
    /// A buffer that the call reads, with the argument that says its length.
    In(u8),
    /// A buffer that the call writes; the result says how much of it.
    Out,
    /// Constants.
    Names(&'static Names),
}

/// What is done to a file. A set of [`hotcell_protocol::FileOperation`], and a little more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Operations(u8);

impl Operations {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Its content, or a directory's, is read.
    pub const READ: Self = Self(1);
    /// It is changed.
    pub const WRITE: Self = Self(2);
    /// It is looked at.
    pub const STAT: Self = Self(4);
    /// It is executed.
    pub const EXECUTE: Self = Self(8);
    /// Its *name* is made, removed or replaced: a change of the directory. Comes with [`Self::WRITE`].
    pub const NAME: Self = Self(16);

    /// Both sets.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in it.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// What a call needs from a file.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// This.
    These(Operations),
    /// What the flags of open(2), in this argument, ask for.
    OpenFlags(u8),
    /// What the `struct open_how` that this argument points to asks for.
    OpenHow(u8),
}

/// Whether a symbolic link at the end of a path is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// Yes.
    Yes,
    /// No.
    No,
    /// Unless the flags in this argument have `AT_SYMLINK_NOFOLLOW`.
    Unless(u8),
    /// If the flags in this argument have `AT_SYMLINK_FOLLOW`.
    If(u8),
    /// If the inotify mask in this argument has no `IN_DONT_FOLLOW`.
    Inotify(u8),
}

/// Where a call names a file.
#[derive(Debug, Clone, Copy)]
pub struct FileUse {
    /// The argument that holds the directory's descriptor, where there is one.
    pub dir: Option<u8>,
    /// The argument that holds the path; `None` where the descriptor is the file itself.
    pub path: Option<u8>,
    /// About a link at its end.
    pub follow: Follow,
    /// What is done.
    pub need: Need,
    /// Whether the call makes what is not there.
    pub creates: bool,
    /// The flags argument in which `AT_EMPTY_PATH` makes the descriptor the file.
    pub empty_path: Option<u8>,
}

/// What is known about a call.
#[derive(Debug)]
pub struct Signature {
    /// As unistd.h has it.
    pub name: &'static str,
    /// As many as it takes.
    pub arguments: &'static [Kind],
    /// The files that it names.
    pub files: &'static [FileUse],
    /// Whether it gives the second file's name to the first file (link and rename): what could not be done to a file under the one
    /// name must not become possible under the other.
    pub is_move: bool,
    /// Arguments of few values, which a seccomp profile can usefully be strict about.
    pub learn: &'static [u8],
}

static UNKNOWN: Signature = Signature { name: "", arguments: &[Kind::Hex; 6], files: &[], is_move: false, learn: &[] };

/// What is known about a call, by number.
pub fn signature(number: u32) -> &'static Signature {
    let Some(name) = name(number) else { return &UNKNOWN };
    let found = table::TABLE.binary_search_by(|signature| signature.name.cmp(name));
    found.ok().and_then(|index| table::TABLE.get(index)).unwrap_or(&UNKNOWN)
}

/// [`signature`], remembered: names are compared once a call, not each time.
#[derive(Debug, Default)]
pub struct Signatures(Vec<Option<&'static Signature>>);

impl Signatures {
    /// What is known about a call, by number.
    pub fn get(&mut self, number: u32) -> &'static Signature {
        if number >= MAX {
            return &UNKNOWN;
        }
        if self.0.len() <= number as usize {
            self.0.resize(number as usize + 1, None);
        }
        match self.0.get_mut(number as usize) {
            Some(known) => known.get_or_insert_with(|| signature(number)),
            None => &UNKNOWN,
        }
    }
}

/// A call's name, by number.
pub fn name(number: u32) -> Option<&'static str> {
    Sysno::new(number as usize).map(|sysno| sysno.name())
}

/// A call's number, by name; `None` also for what this architecture does not have.
pub fn number(name: &str) -> Option<u32> {
    Sysno::from_str(name).ok().map(|sysno| sysno as u32)
}

/// The numbers of every call of this architecture.
pub fn all() -> impl Iterator<Item = u32> {
    (0..MAX).filter(|number| name(*number).is_some())
}

/// Above every number that there is.
pub const MAX: u32 = 1024;

/// The calls that name files.
pub fn with_files() -> impl Iterator<Item = u32> {
    table::TABLE.iter().filter(|signature| !signature.files.is_empty()).filter_map(|signature| number(signature.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_names_real_calls_with_arguments_that_they_have() {
        assert!(table::TABLE.is_sorted_by(|a, b| a.name < b.name));
        for signature in table::TABLE {
            assert!(number(signature.name).is_some(), "{}", signature.name);
            let is_argument = |index: u8| usize::from(index) < signature.arguments.len();
            for file in signature.files {
                let path_is_path =
                    file.path.is_none_or(|path| matches!(signature.arguments[usize::from(path)], Kind::Path));
                assert!(path_is_path, "{}", signature.name);
                let dir_is_dir =
                    file.dir.is_none_or(|dir| matches!(signature.arguments[usize::from(dir)], Kind::Dir | Kind::Int));
                assert!(dir_is_dir, "{}", signature.name);
                let indices = [
                    file.empty_path,
                    match file.follow {
                        Follow::Unless(index) | Follow::If(index) | Follow::Inotify(index) => Some(index),
                        _ => None,
                    },
                    match file.need {
                        Need::OpenFlags(index) | Need::OpenHow(index) => Some(index),
                        Need::These(_) => None,
                    },
                ];
                assert!(indices.into_iter().flatten().all(is_argument), "{}", signature.name);
            }
            assert!(signature.learn.iter().all(|index| is_argument(*index)), "{}", signature.name);
            assert!(!signature.is_move || signature.files.len() == 2, "{}", signature.name);
        }
    }

    #[test]
    fn every_call_with_a_path_in_it_uses_files() {
        // Strings that are no paths of files: names in other name spaces.
        let no_files = [
            "add_key",
            "delete_module",
            "fsconfig",
            "fsopen",
            "init_module",
            "memfd_create",
            "mq_open",
            "mq_unlink",
            "request_key",
            "setdomainname",
            "sethostname",
        ];
        for signature in table::TABLE {
            let has_path = signature.arguments.iter().any(|kind| matches!(kind, Kind::Path));
            assert!(
                !has_path || !signature.files.is_empty() || no_files.contains(&signature.name),
                "{}",
                signature.name
            );
        }
    }
}
