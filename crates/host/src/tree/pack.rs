//! A tree of a container as an archive.
//!
//! The headers are ustar's, with pax(1) records where a name is too long for them or a file has holes (the format that GNU tar calls
//! `--format=pax --sparse`, which it, libarchive and Python read). Names are bytes, as the kernel has them. Of a file as many bytes are
//! written as its header says, whatever becomes of it meanwhile; FIFOs, sockets and devices are left out, and never opened.

use super::call::Calls;
use super::glob::Selection;
use super::walk::{Counter, Part, directories, is_gone_file, walk};
use super::{Bounds, CHUNK_BYTES, file_error, join};
use crate::error::Error;
use hotcell_protocol::{Base, FileKind, Listed};
use nix::libc;
use nix::sys::stat::{FileStat, fstat};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use tar::{EntryType, Header};

const BLOCK: u64 = 512;
/// How many stretches of data a file may have between its holes. What comes after these is written as it is.
const STRETCHES_MAX: usize = 8192;

/// As [`crate::Master::copy_out_tree`] says.
pub(super) fn copy_out(
    calls: &Calls,
    path: &[u8],
    selection: &Selection,
    bounds: Bounds,
    output: File,
) -> Result<(), Error> {
    let base = Base::Path(path);
    let mut packer = Packer {
        output: BufWriter::with_capacity(CHUNK_BYTES, output),
        most: bounds.bytes,
        left: bounds.bytes,
        links: HashMap::new(),
        buffer: vec![0; CHUNK_BYTES],
    };
    walk(calls, base, &mut Counter::new(bounds.entries), |Part { directory, is_first, mode, mtime_ns, entries }| {
        // Right before what is in it, as whoever unpacks it may close it behind that.
        if is_first && !directory.is_empty() && selection.includes(directory) {
            packer.add_directory(mode, mtime_ns, directory)?;
        }
        let mut below = Vec::new();
        for name in directories(&entries) {
            if !selection.excludes_below(&join(directory, name)?) {
                below.push(name.to_vec());
            }
        }
        let mut files = Vec::new();
        for entry in &entries {
            let path = join(directory, &entry.name)?;
            if selection.includes(&path) {
                match entry.kind {
                    FileKind::File => files.push(entry.name.as_slice()),
                    FileKind::Symlink => packer.add_symlink(entry, &path)?,
                    _ => {}
                }
            }
        }
        if !files.is_empty() {
            for (name, file) in files.iter().zip(calls.read(base, directory, &files)?) {
                let path = join(directory, name)?;
                match file {
                    Ok(file) => packer.add_file(calls, &file, path)?,
                    Err(failure) if is_gone_file(&failure) => {}
                    Err(failure) => return Err(Error::Perform(failure.of(&path))),
                }
            }
        }
        Ok(below)
    })?;
    packer.end()
}

/// Data between holes: from, to.
type Stretch = (u64, u64);

struct Packer {
    output: BufWriter<File>,
    most: u64,
    left: u64,
    /// Where in the archive files with several names are: by device and inode.
    links: HashMap<(libc::dev_t, libc::ino_t), Vec<u8>>,
    buffer: Vec<u8>,
}

impl Packer {
    /// Everything that is written comes through here.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let exceeded = Error::Exceed { limit: "maxBytes", most: self.most };
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(exceeded)?;
        self.output.write_all(bytes).map_err(|error| not_written(&error))
    }

    fn pad(&mut self, written: u64) -> Result<(), Error> {
        let padding = (BLOCK - written % BLOCK) % BLOCK;
        self.write([0; BLOCK as usize].get(..padding as usize).unwrap_or_default())
    }

    /// Two empty blocks.
    fn end(mut self) -> Result<(), Error> {
        self.write(&[0; 2 * BLOCK as usize])?;
        self.output.flush().map_err(|error| not_written(&error))
    }

    fn add_directory(&mut self, mode: u32, mtime_ns: i64, path: &[u8]) -> Result<(), Error> {
        let mut header = new_header(EntryType::Directory, mode, mtime_ns / 1_000_000_000);
        self.header(&mut header, &[path, b"/"].concat(), b"", 0, Vec::new())
    }

    fn add_symlink(&mut self, entry: &Listed, path: &[u8]) -> Result<(), Error> {
        let mut header = new_header(EntryType::Symlink, entry.mode, entry.mtime_ns / 1_000_000_000);
        self.header(&mut header, path, &entry.target, 0, Vec::new())
    }

    /// A regular file, or another name for one that was there.
    fn add_file(&mut self, calls: &Calls, file: &File, path: Vec<u8>) -> Result<(), Error> {
        let failed = |syscall| file_error("read the file of the container", syscall, &path);
        let stat = fstat(file.as_fd()).map_err(|errno| failed("fstat")(errno.into()))?;
        let mut header = new_header(EntryType::Regular, stat.st_mode & 0o7777, stat.st_mtime);
        if stat.st_nlink > 1 {
            let id = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.links.get(&id).cloned() {
                header.set_entry_type(EntryType::Link);
                return self.header(&mut header, &path, &first, 0, Vec::new());
            }
            self.links.insert(id, path.clone());
        }
        let size = size_of_file(&stat);
        let stretches = stretches(file, size).map_err(|error| failed("lseek")(error))?;
        let stored: u64 = stretches.iter().map(|(from, to)| to - from).sum();
        if stored == size {
            self.header(&mut header, &path, b"", size, Vec::new())?;
        } else {
            let map = sparse_map(&stretches, size);
            let total = map.len() as u64 + stored;
            let records = vec![
                (&b"GNU.sparse.major"[..], b"1".to_vec()),
                (b"GNU.sparse.minor", b"0".to_vec()),
                (b"GNU.sparse.name", path.clone()),
                (b"GNU.sparse.realsize", size.to_string().into_bytes()),
            ];
            // Who does not know these records gets a file by another name, and not one with other content.
            let hidden = [b"GNUSparseFile.0/", path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()].concat();
            self.header(&mut header, &hidden, b"", total, records)?;
            self.write(&map)?;
        }
        for (from, to) in stretches {
            self.content(calls, file, from, to, &path)?;
        }
        self.pad(stored)
    }

    fn content(&mut self, calls: &Calls, file: &File, from: u64, to: u64, path: &[u8]) -> Result<(), Error> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut at = from;
        while at < to {
            calls.check()?;
            let wanted = (to - at).min(buffer.len() as u64) as usize;
            let part = buffer.get_mut(..wanted).unwrap_or_default();
            let read = file.read_at(part, at).map_err(file_error("read the file of the container", "pread", path))?;
            if read == 0 {
                // It became shorter: the rest is nothing, as the header counts on it.
                part.fill(0);
            }
            let length = if read == 0 { wanted } else { read };
            self.write(buffer.get(..length).unwrap_or_default())?;
            at += length as u64;
        }
        self.buffer = buffer;
        Ok(())
    }

    /// A header, and before it the records for what does not fit.
    fn header(
        &mut self,
        header: &mut Header,
        name: &[u8],
        target: &[u8],
        size: u64,
        records: Vec<(&[u8], Vec<u8>)>,
    ) -> Result<(), Error> {
        let mut more = records;
        // A sparse file has its name among the records.
        if !fits(name) && more.is_empty() {
            more.push((b"path", name.to_vec()));
        }
        if !fits(target) {
            more.push((b"linkpath", target.to_vec()));
        }
        if !more.is_empty() {
            let mut text = Vec::new();
            // pax(1): values are UTF-8 unless this stands before them.
            if more.iter().any(|(_, value)| std::str::from_utf8(value).is_err()) {
                append_record(&mut text, b"hdrcharset", b"BINARY");
            }
            for (key, value) in &more {
                append_record(&mut text, key, value);
            }
            let mut extension = new_header(EntryType::XHeader, 0o644, 0);
            self.block(&mut extension, b"PaxHeaders/0", b"", text.len() as u64)?;
            self.write(&text)?;
            self.pad(text.len() as u64)?;
        }
        self.block(header, name, target, size)
    }

    fn block(&mut self, header: &mut Header, name: &[u8], target: &[u8], size: u64) -> Result<(), Error> {
        let old = header.as_old_mut();
        for (place, bytes) in [(&mut old.name, name), (&mut old.linkname, target)] {
            for (place, byte) in place.iter_mut().zip(bytes) {
                *place = *byte;
            }
        }
        header.set_size(size);
        header.set_cksum();
        let bytes = *header.as_bytes();
        self.write(&bytes)
    }
}

/// Who has the other end has closed it.
fn not_written(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Error::Stop,
        _ => Error::UseFile {
            doing: "write the archive",
            syscall: "write",
            errno: error.raw_os_error().unwrap_or(libc::EIO),
            path: Vec::new(),
        },
    }
}

fn new_header(kind: EntryType, mode: u32, mtime: i64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(u64::try_from(mtime).unwrap_or_default());
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Whether a name of this length has its place in the header, as whoever reads it will have it.
fn fits(name: &[u8]) -> bool {
    name.len() <= 100
}

/// `length key=value\n`, where the length counts itself.
fn append_record(text: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length.to_string().len() + rest != length {
        length = length.to_string().len() + rest;
    }
    text.extend_from_slice(format!("{length} ").as_bytes());
    text.extend_from_slice(key);
    text.push(b'=');
    text.extend_from_slice(value);
    text.push(b'\n');
}

fn size_of_file(stat: &FileStat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}

/// Where the data of a file is.
fn stretches(file: &File, size: u64) -> io::Result<Vec<Stretch>> {
    let mut stretches = Vec::new();
    let mut at = 0;
    while at < size {
        if stretches.len() == STRETCHES_MAX {
            stretches.push((at, size));
            break;
        }
        let Some((from, to)) = hotcell_linux::file::data(file.as_fd(), at)? else { break };
        // Who writes to it meanwhile may have moved both.
        let (from, to) = (from.clamp(at, size), to.min(size));
        if from < to {
            stretches.push((from, to));
        }
        at = to.max(at + 1);
    }
    Ok(stretches)
}

/// The map of version 1.0 of GNU's sparse format: how many, and then offset and length of each, a number a line, up to a whole block.
/// The last is empty, and at the end of the file: GNU tar takes it for that, whatever the records say.
fn sparse_map(stretches: &[Stretch], size: u64) -> Vec<u8> {
    let mut map = format!("{}\n", stretches.len() + 1).into_bytes();
    for (from, to) in stretches.iter().chain([&(size, size)]) {
        map.extend_from_slice(format!("{from}\n{}\n", to - from).as_bytes());
    }
    map.resize(map.len().next_multiple_of(BLOCK as usize), 0);
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        for length in [1, 80, 89, 90, 91, 92, 988, 990, 991, 992, 4000] {
            let mut text = Vec::new();
            append_record(&mut text, b"path", &vec![b'x'; length]);
            let digits: Vec<u8> = text.iter().copied().take_while(u8::is_ascii_digit).collect();
            assert_eq!(String::from_utf8(digits).unwrap().parse::<usize>().unwrap(), text.len());
        }
    }

    #[test]
    fn holes_are_found() {
        let path = std::env::temp_dir().join(format!("hotcell-holes-{}", std::process::id()));
        let file = File::options().create(true).truncate(true).read(true).write(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.set_len(1 << 30).unwrap();
        assert_eq!(stretches(&file, 1 << 30).unwrap(), []);
        file.write_at(b"data", 1 << 20).unwrap();
        let found = stretches(&file, 1 << 30).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].0 <= 1 << 20 && found[0].1 > 1 << 20 && found[0].1 < 1 << 29);
        // cut off meanwhile
        assert_eq!(stretches(&file, 4096).unwrap(), []);
        let map = sparse_map(&[(4096, 8192)], 10_000);
        assert_eq!(map.len(), 512);
        assert!(map.starts_with(b"2\n4096\n4096\n10000\n0\n\0"));
    }
}
