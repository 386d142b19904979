//! A tree as a list.

use super::call::Calls;
use super::glob::Selection;
use super::walk::{Counter, Part, directories, walk};
use super::{file_error, join};
use crate::error::Error;
use hotcell_protocol::{Base, Listed};
use std::fs::File;
use std::io::{BufWriter, Write};

/// As [`crate::Master::list_tree`] says.
pub(super) fn list(
    calls: &Calls,
    base: Base<'_>,
    selection: &Selection,
    entries: u64,
    output: File,
) -> Result<(), Error> {
    let mut output = BufWriter::new(output);
    walk(calls, base, &mut Counter::new(entries), |Part { directory, entries, .. }| {
        let mut below = Vec::new();
        for name in directories(&entries) {
            if !selection.excludes_below(&join(directory, name)?) {
                below.push(name.to_vec());
            }
        }
        for entry in &entries {
            let path = join(directory, &entry.name)?;
            if selection.includes(&path) {
                write_entry(&mut output, entry, &path).map_err(|_| Error::Stop)?;
            }
        }
        Ok(below)
    })?;
    output.flush().map_err(file_error("write a list", "write", b""))
}

fn write_entry(output: &mut impl Write, entry: &Listed, path: &[u8]) -> std::io::Result<()> {
    let Listed { kind, size, mode, mtime_ns, target, .. } = entry;
    write!(output, "{}\0{size}\0{mode}\0{mtime_ns}\0", kind.name())?;
    for field in [path, target] {
        output.write_all(field)?;
        output.write_all(b"\0")?;
    }
    Ok(())
}
