//! What was changed in an overlay: its upper layer, read beside the lower one.
//!
//! An upper layer holds what was made or changed, and marks: a *whiteout* for what was deleted, and *opaque* directories, which hide what the
//! lower directory with their name holds. What programs could forge in it would only misreport their own changes.

use super::call::Calls;
use super::walk::{Counter, list_all};
use super::{file_error, join};
use crate::error::Error;
use hotcell_protocol::{Base, FileKind, Listed};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};

#[derive(Clone, Copy)]
enum Change {
    Added,
    Changed,
    Deleted,
}

/// As [`crate::Master::changes`] says.
pub(super) fn changes(calls: &Calls, path: &[u8], entries: u64, output: File) -> Result<(), Error> {
    let mut counter = Counter::new(entries);
    let mut changes: BTreeMap<Vec<u8>, Change> = BTreeMap::new();
    // Directories of the upper layer, and whether the lower one has a directory there too.
    let mut pending = vec![(Vec::new(), true)];
    while let Some((directory, is_merged)) = pending.pop() {
        let upper = list_all(calls, Base::Upper(path), &directory, &mut counter)?;
        let lower =
            if is_merged { list_all(calls, Base::Lower(path), &directory, &mut counter)?.entries } else { Vec::new() };
        let mut lower: BTreeMap<Vec<u8>, Listed> = lower.into_iter().map(|entry| (entry.name.clone(), entry)).collect();
        for entry in upper.entries {
            let path = join(&directory, &entry.name)?;
            let before = lower.remove(&entry.name);
            let is_directory = entry.kind == FileKind::Directory;
            let was_directory = before.as_ref().is_some_and(|before| before.kind == FileKind::Directory);
            let change = match &before {
                None if entry.kind == FileKind::Whiteout => None,
                None => Some(Change::Added),
                Some(_) if entry.kind == FileKind::Whiteout => Some(Change::Deleted),
                Some(before) => differs(before, &entry).then_some(Change::Changed),
            };
            if is_directory {
                pending.push((path.clone(), was_directory));
            }
            if let Some(change) = change {
                changes.insert(path, change);
            }
        }
        if upper.is_opaque {
            for name in lower.into_keys() {
                changes.insert(join(&directory, &name)?, Change::Deleted);
            }
        }
    }
    write(&changes, output).map_err(file_error("write a list", "write", b""))
}

/// What was only opened for writing, or given another name and its own again, is as it was.
fn differs(before: &Listed, after: &Listed) -> bool {
    let of = |entry: &Listed| (entry.kind, entry.mode & 0o777);
    let content = |entry: &Listed| (entry.size, entry.mtime_ns, entry.target.clone());
    match after.kind {
        FileKind::Directory => of(before) != of(after),
        // The mode of a link means nothing.
        FileKind::Symlink => before.kind != after.kind || before.target != after.target,
        _ => of(before) != of(after) || content(before) != content(after),
    }
}

fn write(changes: &BTreeMap<Vec<u8>, Change>, output: File) -> std::io::Result<()> {
    let mut output = BufWriter::new(output);
    for (path, change) in changes {
        let word: &[u8] = match change {
            Change::Added => b"added",
            Change::Changed => b"changed",
            Change::Deleted => b"deleted",
        };
        for field in [word, path] {
            output.write_all(field)?;
            output.write_all(b"\0")?;
        }
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: FileKind, mode: u32, size: u64, mtime_ns: i64, target: &[u8]) -> Listed {
        Listed { name: b"x".to_vec(), kind, mode, size, mtime_ns, target: target.to_vec() }
    }

    #[test]
    fn what_was_only_touched_is_unchanged() {
        let file = entry(FileKind::File, 0o644, 5, 7, b"");
        assert!(!differs(&file, &file));
        assert!(differs(&file, &entry(FileKind::File, 0o755, 5, 7, b"")));
        assert!(differs(&file, &entry(FileKind::File, 0o644, 6, 7, b"")));
        assert!(differs(&file, &entry(FileKind::File, 0o644, 5, 8, b"")));
        assert!(differs(&file, &entry(FileKind::Directory, 0o644, 5, 7, b"")));
        let directory = entry(FileKind::Directory, 0o755, 40, 1, b"");
        assert!(!differs(&directory, &entry(FileKind::Directory, 0o755, 4096, 2, b"")));
        let link = entry(FileKind::Symlink, 0o777, 1, 1, b"a");
        assert!(!differs(&link, &entry(FileKind::Symlink, 0o755, 1, 9, b"a")));
        assert!(differs(&link, &entry(FileKind::Symlink, 0o777, 1, 1, b"b")));
    }
}
