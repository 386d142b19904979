//! Going through a tree of a container, which may have any shape, and another one at every look.
//!
//! One directory after the other, and nothing on the stack but those that are still to be looked at: neither descriptors nor
//! memory depend on how deep it goes. Every name that is listed counts, so whoever makes files faster than they are listed is
//! noticed; a name that turns up twice in a directory, because that changed meanwhile, is passed over. What is gone when its turn comes
//! might as well have been gone before.

use super::call::Calls;
use super::join;
use crate::error::Error;
use hotcell_protocol::{Base, FileKind, Listed, Step};
use nix::libc;
use std::collections::HashSet;
use std::rc::Rc;

/// Counts what was looked at.
pub(super) struct Counter {
    most: u64,
    left: u64,
}

impl Counter {
    pub(super) fn new(most: u64) -> Self {
        Self { most, left: most }
    }

    /// So many more.
    pub(super) fn count(&mut self, entries: usize) -> Result<(), Error> {
        match self.left.checked_sub(entries as u64) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Error::Exceed { limit: "maxEntries", most: self.most }),
        }
    }
}

/// A part of a directory.
pub(super) struct Part<'a> {
    /// Its path; empty for the base.
    pub(super) directory: &'a [u8],
    /// Whether nothing of it came before.
    pub(super) is_first: bool,
    /// Mode bits of the directory.
    pub(super) mode: u32,
    /// When it was changed last.
    pub(super) mtime_ns: i64,
    /// What is in it.
    pub(super) entries: Vec<Listed>,
}

/// Calls `visit` with each directory, a part after the other, and all that is below before what stands beside it. It says which directories of a
/// part are to be gone into.
pub(super) fn walk(
    calls: &Calls,
    base: Base<'_>,
    counter: &mut Counter,
    mut visit: impl FnMut(Part<'_>) -> Result<Vec<Vec<u8>>, Error>,
) -> Result<(), Error> {
    // The name, and the path of the directory that it is in: paths of a thousand siblings would be as many copies of that.
    let mut pending: Vec<(Rc<Vec<u8>>, Vec<u8>)> = vec![(Rc::default(), Vec::new())];
    while let Some((parent, name)) = pending.pop() {
        let is_base = parent.is_empty() && name.is_empty();
        let directory = Rc::new(if is_base { Vec::new() } else { join(&parent, &name)? });
        let mut listing = Names::new(calls, base, &directory);
        let mut is_first = true;
        while let Some(entries) = listing.part(counter)? {
            let Names { mode, mtime_ns, .. } = listing;
            let below = visit(Part { directory: &directory, is_first, mode, mtime_ns, entries })?;
            is_first = false;
            pending.extend(below.into_iter().map(|name| (Rc::clone(&directory), name)));
        }
    }
    Ok(())
}

/// The entries of one directory, a part at a time.
struct Names<'a> {
    calls: &'a Calls,
    base: Base<'a>,
    directory: &'a [u8],
    /// Where to go on.
    next: Option<i64>,
    /// Of a directory that takes several parts.
    seen: HashSet<Vec<u8>>,
    is_opaque: bool,
    /// Of the directory, as of the last part.
    mode: u32,
    mtime_ns: i64,
}

impl<'a> Names<'a> {
    fn new(calls: &'a Calls, base: Base<'a>, directory: &'a [u8]) -> Self {
        Self { calls, base, directory, next: Some(0), seen: HashSet::new(), is_opaque: false, mode: 0, mtime_ns: 0 }
    }

    /// The next part; `None` at the end, and if the directory is gone.
    fn part(&mut self, counter: &mut Counter) -> Result<Option<Vec<Listed>>, Error> {
        let Some(offset) = self.next else { return Ok(None) };
        let listing = match self.calls.list(self.base, self.directory, offset) {
            Err(error) if is_gone(&error) && !self.directory.is_empty() => return Ok(None),
            other => other?,
        };
        // At least one where more is to come, so that parts without an end come to one.
        counter.count(listing.entries.len().max(usize::from(listing.next.is_some())))?;
        self.is_opaque |= listing.is_opaque;
        (self.mode, self.mtime_ns) = (listing.mode, listing.mtime_ns);
        self.next = listing.next;
        let mut entries = listing.entries;
        if self.next.is_some() || !self.seen.is_empty() {
            let listed = entries.len();
            entries.retain(|entry| self.seen.insert(entry.name.clone()));
            // What is made anew gets a place at the end of a tmpfs, so somebody who makes the same names again and again would keep us there.
            if entries.is_empty() && listed > 0 {
                self.next = None;
            }
        }
        Ok(Some(entries))
    }
}

/// A directory as a whole, with what [`hotcell_protocol::Listing`] says of it.
pub(super) struct Directory {
    pub(super) entries: Vec<Listed>,
    pub(super) is_opaque: bool,
}

/// Lists all of a directory; nothing, if there is none (any more).
pub(super) fn list_all(calls: &Calls, base: Base<'_>, path: &[u8], counter: &mut Counter) -> Result<Directory, Error> {
    let (mut names, mut entries) = (Names::new(calls, base, path), Vec::new());
    while let Some(part) = names.part(counter)? {
        entries.extend(part);
    }
    Ok(Directory { entries, is_opaque: names.is_opaque })
}

/// Whether a directory is no longer there, or something else is in its place.
fn is_gone(error: &Error) -> bool {
    let Error::Perform(failure) = error else { return false };
    matches!(failure.step, Step::OpenDirectory) && matches!(failure.errno, libc::ENOENT | libc::ENOTDIR | libc::ELOOP)
}

/// Whether a file is no longer there, or something else is in its place.
pub(super) fn is_gone_file(failure: &hotcell_protocol::Failure) -> bool {
    failure.step == Step::CheckFileType && matches!(failure.errno, libc::EINVAL | libc::EISDIR)
        || matches!(failure.errno, libc::ENOENT | libc::ELOOP | libc::ENXIO)
}

/// The names of those that are directories.
pub(super) fn directories(entries: &[Listed]) -> impl Iterator<Item = &[u8]> {
    entries.iter().filter(|entry| entry.kind == FileKind::Directory).map(|entry| entry.name.as_slice())
}
