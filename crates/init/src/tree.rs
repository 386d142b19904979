//! Directories on behalf of the host: listing them, reading files in them, and filling them.
//!
//! Runs in pid 1, beside programs that change what is being read. Each request is a bounded piece of work, and none leaves a state
//! behind: the host keeps track of where it is in a tree, so a walk that is given up needs no end, and a program that makes files
//! faster than they are listed keeps nobody but the host busy, which counts.
//!
//! A base is resolved as every path of the container; what is below of it is resolved without any symbolic link, so that a program that
//! swaps a directory for one leads nobody anywhere, and neither does an archive that brings a link and then something below of it.
//! Nothing but directories and regular files is ever opened: of all else only what lstat(2) and readlink(2) say is told.

use crate::files::{self, Tickets};
use crate::setup::{Attached, Tree, open_in_root, split, terminated};
use hotcell_linux::directory::{self, Entry};
use hotcell_linux::openat2::{openat2, resolve};
use hotcell_linux::{errno, file};
use hotcell_protocol::tree::{LISTING_BYTES, NAMES_MAX};
use hotcell_protocol::{Base, Failure, FileKind, Filled, Item, ItemKind, Listed, Listing, Opened, Settled, Step};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What became of a file that was to be opened.
type OpenedFile = Result<Opened, Failure>;

/// Where trees are.
pub struct Places<'a> {
    /// The container's root.
    pub tree: &'a Tree,
    /// What is mounted in it.
    pub attached: &'a Attached,
    /// Where relative paths start.
    pub work_dir: &'a [u8],
}

fn error(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

/// Opens something below a directory, through no symbolic link. Nothing at all is the directory itself.
fn open_below(base: BorrowedFd<'_>, path: &[u8], flags: i32) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { c".".to_owned() } else { terminated(path)? };
    openat2(base, &path, flags, 0, resolve::IN_ROOT | resolve::NO_SYMLINKS | resolve::NO_MAGICLINKS)
}

impl Places<'_> {
    fn base(&self, base: Base<'_>) -> Result<OwnedFd, Failure> {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let open = |path: &[u8]| {
            let path = terminated(&files::absolute(self.work_dir, path)?)?;
            open_in_root(self.tree.root(), &path, flags, 0)
        };
        match base {
            Base::Path(path) => open(path).map_err(|error| failure(Step::OpenDirectory, &error, path)),
            Base::Upper(path) | Base::Lower(path) => {
                let absolute = files::absolute(self.work_dir, path);
                let overlay = absolute.ok().and_then(|path| self.attached.overlay(&path));
                let overlay = overlay.ok_or_else(|| Failure::new(Step::FindOverlay, libc::ENOENT).of(path))?;
                let layer = if matches!(base, Base::Upper(_)) { overlay.upper() } else { overlay.lower() };
                open_below(layer, b"", flags).map_err(|error| failure(Step::OpenDirectory, &error, path))
            }
        }
    }

    /// Lists a part of a directory.
    pub fn list(&self, base: Base<'_>, directory: &[u8], offset: i64) -> Result<Listing, Failure> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NONBLOCK;
        let root = self.base(base)?;
        let opened = open_below(root.as_fd(), directory, flags)
            .map_err(|error| failure(Step::OpenDirectory, &error, directory))?;
        listing(&opened, offset, matches!(base, Base::Upper(_)))
            .map_err(|error| failure(Step::ListDirectory, &error, directory))
    }

    /// Opens files of a directory for reading.
    pub fn read(
        &self,
        base: Base<'_>,
        directory: &[u8],
        names: &[&serde_bytes::Bytes],
    ) -> Result<(Vec<OpenedFile>, Vec<OwnedFd>), Failure> {
        check_count(names.len())?;
        let root = self.base(base)?;
        let parent = open_below(root.as_fd(), directory, libc::O_PATH | libc::O_DIRECTORY)
            .map_err(|error| failure(Step::OpenDirectory, &error, directory))?;
        let mut fds = Vec::with_capacity(names.len());
        let opened = names.iter().map(|name| {
            let fd = open_file(parent.as_fd(), name)?;
            fds.push(fd);
            Ok(Opened { ticket: 0 })
        });
        Ok((opened.collect(), fds))
    }

    /// Makes things below a directory.
    pub fn fill(
        &self,
        base: &[u8],
        items: &[Item<'_>],
        tickets: &mut Tickets,
    ) -> Result<(Vec<Filled>, Vec<OwnedFd>), Failure> {
        check_count(items.len())?;
        let failed = |error: io::Error| failure(Step::MakeDirectory, &error, base);
        let absolute = files::absolute(self.work_dir, base).map_err(failed)?;
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let opened = terminated(&absolute).and_then(|path| open_in_root(self.tree.root(), &path, flags, 0));
        let (root, base_is_new) = match opened {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                (self.tree.make_directory(&absolute).map_err(failed)?, true)
            }
            other => (other.map_err(failed)?, false),
        };
        let mut place = Filling { root, parent: None, fds: Vec::new(), tickets };
        let mut filled = Vec::with_capacity(items.len());
        for item in items {
            let result = match (item.path, item.kind) {
                (b"", ItemKind::Directory) if base_is_new => Ok(Filled::Made),
                (b"", ItemKind::Directory) => Ok(Filled::Known),
                _ => place.make(item),
            };
            // The host knows by its place which it was, and the answer has to fit a packet.
            filled.push(result.unwrap_or_else(|(step, error)| Filled::Failed(Failure::new(step, errno(&error)))));
            if matches!(filled.last(), Some(Filled::Failed(_))) {
                break;
            }
        }
        Ok((filled, place.fds))
    }

    /// Gives what was made its last touch.
    pub fn settle(&self, base: &[u8], items: &[Settled<'_>], tickets: &mut Tickets) -> Result<(), Failure> {
        check_count(items.len())?;
        let mut root = None;
        for (item, index) in items.iter().zip(0..) {
            match *item {
                Settled::File { ticket, mtime_ns } => tickets.commit_one(ticket, index, mtime_ns)?,
                Settled::Directory { path, mode, mtime_ns } => {
                    let root = match &root {
                        Some(root) => root,
                        None => root.insert(self.base(Base::Path(base))?),
                    };
                    settle_directory(root.as_fd(), path, mode, mtime_ns)
                        .map_err(|error| failure(Step::SetMode, &error, path).at(index))?;
                }
            }
        }
        Ok(())
    }
}

fn failure(step: Step, error: &io::Error, path: &[u8]) -> Failure {
    Failure::new(step, errno(error)).of(path)
}

fn check_count(count: usize) -> Result<(), Failure> {
    if count <= NAMES_MAX { Ok(()) } else { Err(Failure::new(Step::Request, libc::E2BIG)) }
}

fn open_file(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Failure> {
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let open = || component(name).and_then(|name| file::openat(parent, &name, flags, 0));
    let fd = open().map_err(|error| Failure::new(Step::OpenFile, errno(&error)))?;
    files::check_type(&fd, 0).map_err(|error| Failure::new(Step::CheckFileType, errno(&error)))?;
    Ok(fd)
}

/// A name that stays in its directory.
fn component(name: &[u8]) -> io::Result<CString> {
    if matches!(name, b"." | b"..") || name.contains(&b'/') {
        return Err(error(libc::EINVAL));
    }
    terminated(name)
}

fn settle_directory(root: BorrowedFd<'_>, path: &[u8], mode: u32, mtime_ns: Option<i64>) -> io::Result<()> {
    let directory = open_below(root, path, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NONBLOCK)?;
    file::chmod(directory.as_fd(), mode & 0o7777)?;
    mtime_ns.map_or(Ok(()), |mtime_ns| file::set_mtime(directory.as_fd(), mtime_ns))
}

fn listing(directory: &OwnedFd, offset: i64, is_upper: bool) -> io::Result<Listing> {
    let fd = directory.as_fd();
    let stat = file::stat(fd)?;
    let is_opaque = is_upper
        && [c"user.overlay.opaque", c"trusted.overlay.opaque"].iter().any(|name| file::has_attribute(fd, name, b"y"));
    let mut listing = Listing {
        entries: Vec::new(),
        next: None,
        is_opaque,
        mode: stat.st_mode & 0o7777,
        mtime_ns: file::mtime_ns(&stat),
    };
    // What is there is not files but the kernel's word about processes, pid 1 among them.
    if file::magic(&file::file_system(fd)?) == libc::PROC_SUPER_MAGIC {
        return Ok(listing);
    }
    directory::seek(fd, offset)?;
    let mut bytes = 0;
    loop {
        let entries = directory::read(fd)?;
        if entries.is_empty() {
            listing.next = None;
            return Ok(listing);
        }
        for Entry { name, next } in entries {
            listing.next = Some(next);
            // Gone again: it might as well have been gone before.
            let Some(listed) = listed(fd, &name, is_upper)? else { continue };
            bytes += listed.name.len() + listed.target.len() + 40;
            listing.entries.push(listed);
            if bytes >= LISTING_BYTES || listing.entries.len() >= NAMES_MAX {
                return Ok(listing);
            }
        }
    }
}

fn listed(directory: BorrowedFd<'_>, name: &CStr, is_upper: bool) -> io::Result<Option<Listed>> {
    let stat = match file::stat_at(directory, name) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
        other => other?,
    };
    let kind = match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG => FileKind::File,
        libc::S_IFDIR => FileKind::Directory,
        libc::S_IFLNK => FileKind::Symlink,
        libc::S_IFIFO => FileKind::Fifo,
        libc::S_IFSOCK => FileKind::Socket,
        libc::S_IFBLK => FileKind::BlockDevice,
        _ if is_upper && stat.st_rdev == 0 => FileKind::Whiteout,
        _ => FileKind::CharacterDevice,
    };
    let target = match kind {
        FileKind::Symlink => match file::readlinkat(directory, name) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL)) => return Ok(None),
            other => other?,
        },
        _ => Vec::new(),
    };
    Ok(Some(Listed {
        name: name.to_bytes().to_vec(),
        kind,
        mode: stat.st_mode & 0o7777,
        size: u64::try_from(stat.st_size).unwrap_or_default(),
        mtime_ns: file::mtime_ns(&stat),
        target,
    }))
}

/// A directory that is being filled.
struct Filling<'a> {
    root: OwnedFd,
    /// The directory of the item before: the next one is often in the same.
    parent: Option<(Vec<u8>, OwnedFd)>,
    fds: Vec<OwnedFd>,
    tickets: &'a mut Tickets,
}

impl Filling<'_> {
    fn make(&mut self, item: &Item<'_>) -> Result<Filled, (Step, io::Error)> {
        let (step, made) = match item.kind {
            ItemKind::Directory => (Step::MakeDirectory, self.directory(item.path)),
            ItemKind::File { mode } => (Step::OpenFile, self.file(item.path, mode)),
            ItemKind::Symlink { target } => (Step::Symlink, self.symlink(item.path, target)),
            ItemKind::HardLink { target } => (Step::LinkFile, self.hard_link(item.path, target)),
        };
        made.map_err(|error| (step, error))
    }

    /// The directory that something is to stand in, made with its parents where it is missing, and the name there.
    fn parent(&mut self, path: &[u8]) -> io::Result<(BorrowedFd<'_>, CString)> {
        let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (path.get(..slash).unwrap_or_default(), path.get(slash + 1..).unwrap_or_default()),
            None => (&[][..], path),
        };
        let name = component(name)?;
        if self.parent.as_ref().is_none_or(|(known, _)| known != parent) {
            self.parent = Some((parent.to_vec(), make_below(self.root.as_fd(), parent)?));
        }
        let (_, parent) = self.parent.as_ref().ok_or_else(|| error(libc::ENOENT))?;
        Ok((parent.as_fd(), name))
    }

    fn directory(&mut self, path: &[u8]) -> io::Result<Filled> {
        let (parent, name) = self.parent(path)?;
        match file::mkdirat(parent, &name, 0o755) {
            Ok(()) => Ok(Filled::Made),
            Err(made) if made.raw_os_error() == Some(libc::EEXIST) => {
                file::openat(parent, &name, libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW, 0)?;
                Ok(Filled::Known)
            }
            Err(made) => Err(made),
        }
    }

    fn file(&mut self, path: &[u8], mode: u32) -> io::Result<Filled> {
        let (parent, name) = self.parent(path)?;
        let parent = parent.try_clone_to_owned()?;
        let (Opened { ticket }, fd) = self.tickets.open_in(parent, name, path.to_vec(), mode)?;
        self.fds.push(fd);
        Ok(Filled::Open(ticket))
    }

    fn symlink(&mut self, path: &[u8], target: &[u8]) -> io::Result<Filled> {
        let target = terminated(target)?;
        let (parent, name) = self.parent(path)?;
        replace(parent, &name, |name| file::symlinkat(&target, parent, name))
    }

    fn hard_link(&mut self, path: &[u8], target: &[u8]) -> io::Result<Filled> {
        let (target_parent, target_name) = split(target);
        let target_parent = if target_parent == b"/" { &[][..] } else { target_parent };
        let from = open_below(self.root.as_fd(), target_parent, libc::O_PATH | libc::O_DIRECTORY)?;
        let target_name = component(target_name)?;
        // Should a program swap it now, it gets another name for what is its own.
        if !file::is_type(&file::stat_at(from.as_fd(), &target_name)?, libc::S_IFREG) {
            return Err(error(libc::EPERM));
        }
        let (parent, name) = self.parent(path)?;
        replace(parent, &name, |name| file::linkat(from.as_fd(), &target_name, parent, name))
    }
}

/// Makes something in the place of what is there, in one step for whoever looks.
fn replace(parent: BorrowedFd<'_>, name: &CStr, make: impl Fn(&CStr) -> io::Result<()>) -> io::Result<Filled> {
    match make(name) {
        Err(made) if made.raw_os_error() == Some(libc::EEXIST) => {}
        other => return other.map(|()| Filled::Made),
    }
    let mut number = 0_u32;
    loop {
        let temporary = CString::new(format!(".hotcell-link-{number:x}")).map_err(io::Error::from)?;
        match make(&temporary) {
            // by a program that guesses our names
            Err(made) if made.raw_os_error() == Some(libc::EEXIST) && number < 64 => number += 1,
            Err(made) => return Err(made),
            Ok(()) => {
                let renamed = file::renameat2(parent, &temporary, parent, name, 0);
                // Left where it failed; and where both were names of one file, of which rename(2) leaves both.
                let _ = file::unlinkat(parent, &temporary, false);
                return renamed.map(|()| Filled::Made);
            }
        }
    }
}

/// A directory below another one, made with its parents where it is missing, through no symbolic link.
fn make_below(root: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    match open_below(root, path, flags) {
        Err(opened) if opened.raw_os_error() == Some(libc::ENOENT) => {}
        other => return other,
    }
    let mut directory = open_below(root, b"", flags)?;
    for name in path.split(|byte| *byte == b'/') {
        let name = component(name)?;
        match file::mkdirat(directory.as_fd(), &name, 0o755) {
            Err(made) if made.raw_os_error() == Some(libc::EEXIST) => {}
            other => other?,
        }
        directory = file::openat(directory.as_fd(), &name, flags | libc::O_NOFOLLOW, 0)?;
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn folder(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("hotcell-tree-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn nothing_below_is_reached_through_a_link() {
        let base = folder("links");
        std::fs::create_dir(base.join("real")).unwrap();
        symlink("real", base.join("link")).unwrap();
        symlink("/etc", base.join("out")).unwrap();
        let root = OwnedFd::from(std::fs::File::open(&base).unwrap());
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        assert!(open_below(root.as_fd(), b"real", flags).is_ok());
        for path in [&b"link"[..], b"out", b"link/x", b"out/x"] {
            let error = open_below(root.as_fd(), path, flags).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
            assert!(make_below(root.as_fd(), path).is_err());
        }
        make_below(root.as_fd(), b"real/a/b").unwrap();
        assert!(base.join("real/a/b").is_dir());
        for path in [&b"real/../x"[..], b"real//x", b"./x"] {
            assert!(make_below(root.as_fd(), path).is_err());
            assert!(!base.join("x").exists());
        }
        std::fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_listing_goes_on_where_it_ended_and_opens_nothing() {
        let base = folder("listing");
        for number in 0..500 {
            std::fs::write(base.join(format!("file-{number}")), "12345").unwrap();
        }
        symlink("/etc/shadow", base.join("link")).unwrap();
        let directory = OwnedFd::from(std::fs::File::open(&base).unwrap());
        let (mut names, mut offset, mut parts) = (std::collections::BTreeMap::new(), 0, 0);
        loop {
            let listing = listing(&directory, offset, false).unwrap();
            assert!(listing.entries.len() <= NAMES_MAX);
            for entry in listing.entries {
                assert!(names.insert(entry.name.clone(), entry).is_none());
            }
            parts += 1;
            match listing.next {
                None => break,
                Some(next) => offset = next,
            }
        }
        assert_eq!(names.len(), 501);
        assert!(parts >= 4);
        let link = names.get(&b"link"[..]).unwrap();
        assert_eq!((link.kind, link.target.as_slice()), (FileKind::Symlink, &b"/etc/shadow"[..]));
        let file = names.get(&b"file-7"[..]).unwrap();
        assert_eq!((file.kind, file.size), (FileKind::File, 5));
        std::fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn what_is_there_is_replaced_in_one_step() {
        let base = folder("replace");
        std::fs::write(base.join("x"), "old").unwrap();
        std::fs::create_dir(base.join("d")).unwrap();
        let root = OwnedFd::from(std::fs::File::open(&base).unwrap());
        let make = |name: &CStr| file::symlinkat(c"target", root.as_fd(), name);
        assert_eq!(replace(root.as_fd(), c"x", make).unwrap(), Filled::Made);
        assert_eq!(std::fs::read_link(base.join("x")).unwrap(), std::path::Path::new("target"));
        assert_eq!(replace(root.as_fd(), c"d", make).unwrap_err().raw_os_error(), Some(libc::EISDIR));
        assert_eq!(std::fs::read_dir(&base).unwrap().count(), 2);
        std::fs::remove_dir_all(base).unwrap();
    }
}
