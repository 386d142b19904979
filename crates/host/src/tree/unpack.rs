//! Reading an archive, which may say anything.
//!
//! tar's headers are decoded by the crate `tar`. What it has no bounds for is read here, block by block: pax(1) records and GNU's long names (a
//! record may claim any length, and hold line breaks, which the crate's own parser takes for its end), and the three ways of writing maps of
//! holes. Every name is checked: relative, without `..`, and no longer than any path. An entry that is neither file, directory nor link is an
//! error, as is what follows a checksum that does not fit.

use super::PATH_MAX;
use crate::error::Error;
use std::io::{self, Read};
use tar::{GnuExtSparseHeader, Header};

const BLOCK: usize = 512;
/// The longest records of one entry.
const RECORDS_MAX: u64 = 1024 * 1024;
/// The most stretches of data in one file.
const STRETCHES_MAX: usize = 64 * 1024;
/// How much is read behind the end of an archive, so that who writes it can finish: tar(1) fills up to 10 KiB.
const BEHIND_MAX: u64 = 1024 * 1024;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Relative, without `.` and `..`; empty for the base itself.
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    /// Mode bits (0o7777).
    pub(super) mode: u32,
    /// In nanoseconds since 1970.
    pub(super) mtime_ns: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    /// Its content comes from the reader.
    File {
        size: u64,
        holes: Option<Stretches>,
    },
    Symlink(Vec<u8>),
    /// To a path like [`Entry::path`].
    HardLink(Vec<u8>),
}

/// Where in a file its data belongs: offset and length, in order; all else are holes.
pub(super) type Stretches = Vec<(u64, u64)>;

/// An archive that is being read.
pub(super) struct Reader<R> {
    source: R,
    /// How many headers may come, those of records included.
    headers: u64,
    most: u64,
    /// Of the content of the current entry.
    left: u64,
    /// Behind it.
    padding: u64,
    /// Leading components to drop.
    strip: u32,
}

/// What stands before an entry.
#[derive(Default)]
struct Records {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    mtime_ns: Option<i64>,
    sparse: Sparse,
}

/// What GNU's records say of holes, in whichever version.
#[derive(Default)]
struct Sparse {
    major: Option<u64>,
    name: Option<Vec<u8>>,
    real_size: Option<u64>,
    map: Stretches,
    offset: Option<u64>,
}

fn malformed(why: &'static str) -> Error {
    Error::ReadArchive { why, entry: Vec::new() }
}

fn refused(why: &'static str, name: &[u8]) -> Error {
    Error::ReadArchive { why, entry: name.get(..PATH_MAX.min(name.len())).unwrap_or_default().to_vec() }
}

const CUT: &str = "it ends in the middle of an entry";

impl<R: Read> Reader<R> {
    pub(super) fn new(source: R, entries: u64, strip: u32) -> Self {
        // Each entry may have four headers: pax, a long name, a long link, and its own.
        Self { source, headers: entries.saturating_mul(4), most: entries, left: 0, padding: 0, strip }
    }

    /// The next entry that is not stripped altogether; what is left of the content of the one before is passed over.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            let Some(entry) = self.next_whole()? else { return Ok(None) };
            if let Some(entry) = self.stripped(entry) {
                return Ok(Some(entry));
            }
        }
    }

    fn next_whole(&mut self) -> Result<Option<Entry>, Error> {
        let mut records = Records::default();
        let (mut long_name, mut long_link) = (None, None);
        loop {
            self.skip(self.left + self.padding)?;
            (self.left, self.padding) = (0, 0);
            let Some(header) = self.header()? else { return Ok(None) };
            self.headers = self.headers.checked_sub(1).ok_or(Error::Exceed { limit: "maxEntries", most: self.most })?;
            // Not `size()`, which of a file with holes is that of the file.
            let size = header.entry_size().map_err(|_| malformed("the size of an entry is no number"))?;
            match header.entry_type().as_byte() {
                b'g' => self.begin(size),
                b'x' => {
                    let text = self.extension(size, RECORDS_MAX)?;
                    records.read(&text)?;
                }
                kind @ (b'L' | b'K') => {
                    let mut name = self.extension(size, PATH_MAX as u64 + 1)?;
                    name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
                    *(if kind == b'L' { &mut long_name } else { &mut long_link }) = Some(name);
                }
                _ => {
                    records.path = records.path.take().or(long_name);
                    records.link = records.link.take().or(long_link);
                    return self.entry(&header, size, records).map(Some);
                }
            }
        }
    }

    fn entry(&mut self, header: &Header, size: u64, records: Records) -> Result<Entry, Error> {
        let raw = records.sparse.name.clone().or(records.path);
        let raw = raw.unwrap_or_else(|| header.path_bytes().into_owned());
        let path = checked(&raw)?;
        let link = records.link.or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
        let link = link.unwrap_or_default();
        if link.contains(&0) || link.len() > PATH_MAX {
            return Err(refused("a link leads to what can be no path", &raw));
        }
        let stored = records.size.unwrap_or(size);
        let type_byte = header.entry_type().as_byte();
        let kind = match type_byte {
            // Before POSIX, a directory was a file whose name ends so.
            0 | b'0' | b'7' if raw.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => {
                self.begin(stored);
                let (size, holes) = self.content(header, records.sparse, stored, &raw)?;
                Kind::File { size, holes }
            }
            b'1' => Kind::HardLink(checked(&link)?),
            b'2' if link.is_empty() => return Err(refused("a symbolic link says nothing", &raw)),
            b'2' => Kind::Symlink(link),
            b'5' => Kind::Directory,
            b'3' | b'4' | b'6' => return Err(refused("it holds a device or a FIFO", &raw)),
            _ => return Err(refused("it holds something of an unknown type", &raw)),
        };
        // Links and directories have no content, though pax allows a hard link to bring that of its file along.
        if !matches!(kind, Kind::File { .. }) {
            self.begin(stored);
        }
        if path.is_empty() && kind != Kind::Directory {
            return Err(refused("a file has no name", &raw));
        }
        let mtime = header.mtime().ok().and_then(|seconds| i64::try_from(seconds).ok());
        let mtime_ns = records.mtime_ns.or_else(|| mtime.and_then(|seconds| seconds.checked_mul(1_000_000_000)));
        let mode = header.mode().map_err(|_| refused("the mode of an entry is no number", &raw))? & 0o7777;
        Ok(Entry { path, kind, mode, mtime_ns })
    }

    /// The size of a file, and where its data belongs.
    fn content(
        &mut self,
        header: &Header,
        sparse: Sparse,
        stored: u64,
        name: &[u8],
    ) -> Result<(u64, Option<Stretches>), Error> {
        let bad = || refused("the map of holes of a file is malformed", name);
        let (map, size) = if header.entry_type().as_byte() == b'S' {
            let gnu = header.as_gnu().ok_or_else(bad)?;
            (self.old_map(gnu, name)?, gnu.real_size().map_err(|_| bad())?)
        } else {
            match (sparse.major, sparse.real_size) {
                (_, None) => return Ok((stored, None)),
                (Some(1), Some(size)) => (self.map_in_front(name)?, size),
                (None | Some(0), Some(size)) => (sparse.map, size),
                _ => return Err(refused("a file has holes by an unknown version of the format", name)),
            }
        };
        let (mut at, mut sum) = (0_u64, 0_u64);
        for (offset, length) in &map {
            let end = offset.checked_add(*length).ok_or_else(bad)?;
            if *offset < at || end > size {
                return Err(bad());
            }
            at = end;
            sum += length;
        }
        if sum != self.left || i64::try_from(size).is_err() {
            return Err(bad());
        }
        Ok((size, Some(map)))
    }

    /// The map of GNU tar's old format: four in the header, and as many more blocks as say that there is another one.
    fn old_map(&mut self, header: &tar::GnuHeader, name: &[u8]) -> Result<Stretches, Error> {
        let bad = || refused("the map of holes of a file is malformed", name);
        let mut map = Stretches::new();
        let mut add = |list: &[tar::GnuSparseHeader]| {
            for part in list.iter().filter(|part| !part.is_empty()) {
                if map.len() >= STRETCHES_MAX {
                    return Err(refused("a file has too many holes", name));
                }
                map.push((part.offset().map_err(|_| bad())?, part.length().map_err(|_| bad())?));
            }
            Ok(())
        };
        add(&header.sparse)?;
        let mut more = header.is_extended();
        while more {
            let mut block = GnuExtSparseHeader::new();
            self.source.read_exact(block.as_mut_bytes()).map_err(|error| not_read(&error))?;
            add(block.sparse())?;
            more = block.is_extended();
        }
        Ok(map)
    }

    /// The map of version 1.0: numbers in front of the data, a line each, up to a whole block.
    fn map_in_front(&mut self, name: &[u8]) -> Result<Stretches, Error> {
        let bad = || refused("the map of holes of a file is malformed", name);
        let mut numbers = Vec::new();
        let (mut wanted, mut digits) = (1, Vec::new());
        while numbers.len() < wanted {
            let mut block = [0; BLOCK];
            if self.left < BLOCK as u64 {
                return Err(bad());
            }
            self.read_exact(&mut block).map_err(|error| not_read(&error))?;
            for byte in block {
                match byte {
                    _ if numbers.len() == wanted => break,
                    b'0'..=b'9' if digits.len() < 20 => digits.push(byte),
                    b'\n' => {
                        let number = decimal(&digits).ok_or_else(bad)?;
                        if numbers.is_empty() {
                            let count = usize::try_from(number).unwrap_or(usize::MAX);
                            if count > STRETCHES_MAX {
                                return Err(refused("a file has too many holes", name));
                            }
                            wanted += 2 * count;
                        }
                        numbers.push(number);
                        digits.clear();
                    }
                    _ => return Err(bad()),
                }
            }
        }
        let pairs = numbers.get(1..).unwrap_or_default().chunks_exact(2);
        Ok(pairs.filter_map(|pair| Some((*pair.first()?, *pair.get(1)?))).collect())
    }

    /// Drops leading components; `None` for what has no more than these.
    fn stripped(&self, mut entry: Entry) -> Option<Entry> {
        entry.path = strip(entry.path, self.strip)?;
        if let Kind::HardLink(target) = entry.kind {
            entry.kind = Kind::HardLink(strip(target, self.strip)?);
        }
        Some(entry)
    }

    fn begin(&mut self, size: u64) {
        self.left = size;
        self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    fn extension(&mut self, size: u64, most: u64) -> Result<Vec<u8>, Error> {
        if size > most {
            return Err(malformed("the records of an entry are longer than any need to be"));
        }
        self.begin(size);
        let mut text = Vec::new();
        self.take(size).read_to_end(&mut text).map_err(|error| not_read(&error))?;
        if text.len() as u64 != size {
            return Err(malformed(CUT));
        }
        Ok(text)
    }

    /// The next header; `None` at the end.
    fn header(&mut self) -> Result<Option<Header>, Error> {
        let mut empty = 0;
        loop {
            let mut header = Header::new_old();
            if !self.block(header.as_mut_bytes())? {
                return Ok(None);
            }
            if header.as_bytes().iter().all(|byte| *byte == 0) {
                empty += 1;
                if empty == 2 {
                    self.finish();
                    return Ok(None);
                }
                continue;
            }
            let claimed = header.cksum().map_err(|_| malformed("it is no tar archive"))?;
            let mut summed = header.clone();
            summed.set_cksum();
            if summed.cksum().ok() != Some(claimed) {
                return Err(malformed("it is no tar archive, or damaged: a checksum does not fit"));
            }
            return Ok(Some(header));
        }
    }

    /// Fills a block; false if there is nothing at all.
    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, Error> {
        let mut at = 0;
        while at < BLOCK {
            match self.source.read(block.get_mut(at..).unwrap_or_default()) {
                Ok(0) if at == 0 => return Ok(false),
                Ok(0) => return Err(malformed(CUT)),
                Ok(length) => at += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(not_read(&error)),
            }
        }
        Ok(true)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Error> {
        let skipped = io::copy(&mut (&mut self.source).take(bytes), &mut io::sink());
        match skipped.map_err(|error| not_read(&error))? {
            length if length == bytes => Ok(()),
            _ => Err(malformed(CUT)),
        }
    }

    fn finish(&mut self) {
        let _ = io::copy(&mut (&mut self.source).take(BEHIND_MAX), &mut io::sink());
    }
}

/// The content of the current entry.
impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        match self.source.read(buffer.get_mut(..most).unwrap_or_default())? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => {
                self.left -= length as u64;
                Ok(length)
            }
        }
    }
}

/// Why there is no more of it.
pub(super) fn not_read(error: &io::Error) -> Error {
    match error.raw_os_error() {
        Some(errno) => Error::UseFile { doing: "read the archive", syscall: "read", errno, path: Vec::new() },
        None => malformed(CUT),
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Seconds since 1970 with a fraction, in nanoseconds.
fn seconds(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let (sign, digits) = whole.strip_prefix('-').map_or((1, whole), |digits| (-1, digits));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || !is_number(digits) || !is_number(fraction) {
        return None;
    }
    let nanoseconds: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let whole = digits.parse::<i64>().ok()?.checked_mul(1_000_000_000)?;
    Some(sign * whole.checked_add(nanoseconds.parse().ok()?)?)
}

/// A path that stays below its base: relative, without `.` and `..`.
fn checked(raw: &[u8]) -> Result<Vec<u8>, Error> {
    if raw.len() > PATH_MAX {
        return Err(refused("a name is longer than any path", raw));
    }
    if raw.contains(&0) {
        return Err(refused("a name holds a null byte", raw));
    }
    if raw.starts_with(b"/") {
        return Err(refused("a name is absolute", raw));
    }
    let mut path = Vec::with_capacity(raw.len());
    for component in raw.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err(refused("a name leads out by '..'", raw)),
            component => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(component);
            }
        }
    }
    Ok(path)
}

fn strip(path: Vec<u8>, components: u32) -> Option<Vec<u8>> {
    if components == 0 {
        return Some(path);
    }
    let mut slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(index, _)| index);
    let slash = slashes.nth(components as usize - 1)?;
    path.get(slash + 1..).map(<[u8]>::to_vec)
}

impl Records {
    /// `length key=value\n`, one after the other; the length counts all of it, so a value may hold anything.
    fn read(&mut self, mut text: &[u8]) -> Result<(), Error> {
        let bad = || malformed("the records of an entry are malformed");
        while !text.is_empty() {
            let space = text.iter().take(20).position(|byte| *byte == b' ').ok_or_else(bad)?;
            let length = text.get(..space).and_then(decimal).and_then(|length| usize::try_from(length).ok());
            let length = length.filter(|length| *length > space + 1).ok_or_else(bad)?;
            let record = text.get(space + 1..length).and_then(|record| record.strip_suffix(b"\n")).ok_or_else(bad)?;
            text = text.get(length..).ok_or_else(bad)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(bad)?;
            let (key, value) = (record.get(..equals).ok_or_else(bad)?, record.get(equals + 1..).ok_or_else(bad)?);
            self.set(key, value)?;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let number = || decimal(value).ok_or_else(|| malformed("a record of an entry is no number"));
        let sparse = &mut self.sparse;
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number()?),
            b"mtime" => self.mtime_ns = seconds(value),
            b"GNU.sparse.major" => sparse.major = Some(number()?),
            b"GNU.sparse.name" => sparse.name = Some(value.to_vec()),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => sparse.real_size = Some(number()?),
            b"GNU.sparse.offset" => sparse.offset = Some(number()?),
            b"GNU.sparse.numbytes" => {
                let offset =
                    sparse.offset.take().ok_or_else(|| malformed("the map of holes of a file is malformed"))?;
                let length = number()?;
                sparse.add(offset, length)?;
            }
            b"GNU.sparse.map" => {
                let numbers: Option<Vec<u64>> = value.split(|byte| *byte == b',').map(decimal).collect();
                let numbers = numbers.ok_or_else(|| malformed("the map of holes of a file is malformed"))?;
                for pair in numbers.chunks(2) {
                    let [offset, length] = pair else {
                        return Err(malformed("the map of holes of a file is malformed"));
                    };
                    sparse.add(*offset, *length)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Sparse {
    fn add(&mut self, offset: u64, length: u64) -> Result<(), Error> {
        if self.map.len() >= STRETCHES_MAX {
            return Err(malformed("a file has too many holes"));
        }
        self.map.push((offset, length));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(u8, &str, &str, &[u8])]) -> Vec<u8> {
        let mut archive = Vec::new();
        for (kind, name, link, content) in entries {
            let mut header = Header::new_ustar();
            let old = header.as_old_mut();
            old.name[..name.len()].copy_from_slice(name.as_bytes());
            old.linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_entry_type(tar::EntryType::new(*kind));
            header.set_mode(0o644);
            header.set_mtime(7);
            header.set_size(content.len() as u64);
            header.set_cksum();
            archive.extend_from_slice(header.as_bytes());
            archive.extend_from_slice(content);
            archive.resize(archive.len().next_multiple_of(BLOCK), 0);
        }
        archive.extend_from_slice(&[0; 2 * BLOCK]);
        archive
    }

    fn read(archive: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, Error> {
        let mut reader = Reader::new(archive, 1000, 0);
        let mut entries = Vec::new();
        while let Some(entry) = reader.next()? {
            let mut content = Vec::new();
            reader.read_to_end(&mut content).map_err(|error| not_read(&error))?;
            entries.push((entry, content));
        }
        Ok(entries)
    }

    fn why(result: Result<Vec<(Entry, Vec<u8>)>, Error>) -> &'static str {
        match result {
            Err(Error::ReadArchive { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_directories_and_links() {
        let entries = read(&archive(&[
            (b'5', "./", "", b""),
            (b'5', "a/", "", b""),
            (b'0', "./a//b", "", b"content"),
            (b'2', "a/link", "../../etc/passwd", b""),
            (b'1', "a/hard", "./a/b", b""),
        ]))
        .unwrap();
        let paths: Vec<_> = entries.iter().map(|(entry, _)| entry.path.as_slice()).collect();
        assert_eq!(paths, [&b""[..], b"a", b"a/b", b"a/link", b"a/hard"]);
        assert_eq!(entries[2].1, b"content");
        assert_eq!(entries[3].0.kind, Kind::Symlink(b"../../etc/passwd".to_vec()));
        assert_eq!(entries[4].0.kind, Kind::HardLink(b"a/b".to_vec()));
        assert_eq!((entries[2].0.mode, entries[2].0.mtime_ns), (0o644, Some(7_000_000_000)));
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for name in ["..", "a/../b", "../x", "a/.."] {
            assert!(why(read(&archive(&[(b'0', name, "", b"")]))).contains("'..'"), "{name}");
        }
        assert!(why(read(&archive(&[(b'0', "/etc/x", "", b"")]))).contains("absolute"));
        assert!(why(read(&archive(&[(b'1', "x", "/etc/shadow", b"")]))).contains("absolute"));
        assert!(why(read(&archive(&[(b'1', "x", "../../shadow", b"")]))).contains("'..'"));
        for kind in [b'3', b'4', b'6'] {
            assert!(why(read(&archive(&[(kind, "x", "", b"")]))).contains("device"));
        }
        assert!(why(read(&archive(&[(b'Z', "x", "", b"")]))).contains("unknown"));
    }

    #[test]
    fn records_may_hold_line_breaks_and_bytes() {
        let mut records = b"29 path=a\nb/\xff\n12 path=x=y\n29 path=a\n".to_vec();
        records[0..2].copy_from_slice(b"14");
        let records = b"14 path=a\nb/\xff\n";
        assert_eq!(records.len(), 14);
        let entries = read(&archive(&[(b'x', "p", "", records), (b'0', "short", "", b"c")])).unwrap();
        assert_eq!(entries[0].0.path, b"a\nb/\xff");
        for bad in
            [&b"99 path=x\n"[..], b"path=x\n", b"9 path=xy", b"3 \n", b"18446744073709551615 a=b\n", b"9 pathxxx\n"]
        {
            assert!(read(&archive(&[(b'x', "p", "", bad), (b'0', "x", "", b"")])).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nothing_grows_with_what_an_archive_claims() {
        let mut bomb = archive(&[(b'x', "p", "", b"")]);
        let mut header = Header::from_byte_slice(&bomb[..BLOCK]).clone();
        header.set_size(1 << 40);
        header.set_cksum();
        bomb[..BLOCK].copy_from_slice(header.as_bytes());
        assert!(why(read(&bomb)).contains("longer"));
        header.set_entry_type(tar::EntryType::new(b'L'));
        header.set_cksum();
        bomb[..BLOCK].copy_from_slice(header.as_bytes());
        assert!(why(read(&bomb)).contains("longer"));
        // records without an end
        let many: Vec<_> = (0..5000).map(|_| (b'x', "p", "", &b"9 a=bcde\n"[..])).collect();
        assert_eq!(read(&archive(&many)).unwrap_err(), Error::Exceed { limit: "maxEntries", most: 1000 });
    }

    #[test]
    fn a_cut_archive_is_an_error_and_garbage_too() {
        let whole = archive(&[(b'5', "a", "", b""), (b'0', "a/b", "", &[7; 1000])]);
        for length in (1..whole.len() - 2 * BLOCK).filter(|length| length % BLOCK != 0) {
            assert_eq!(why(read(&whole[..length])), CUT, "{length}");
        }
        assert!(why(read(&[b'x'; 2048])).contains("no tar archive"));
        assert!(read(b"").unwrap().is_empty());
        for index in 0..BLOCK {
            let mut damaged = whole.clone();
            damaged[index] ^= 0x41;
            assert!(read(&damaged).is_err(), "{index}");
        }
    }

    #[test]
    fn holes_by_every_version_of_the_format() {
        let expected = Kind::File { size: 10_000, holes: Some(vec![(512, 3), (9_000, 2)]) };
        let record = |text: &str| {
            let mut length = text.len() + 3;
            while length.to_string().len() + text.len() + 2 != length {
                length = length.to_string().len() + text.len() + 2;
            }
            format!("{length} {text}\n")
        };
        let one: String =
            ["GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=n", "GNU.sparse.realsize=10000"]
                .map(record)
                .concat();
        let mut content = b"2\n512\n3\n9000\n2\n".to_vec();
        content.resize(BLOCK, 0);
        content.extend_from_slice(b"abcde");
        let entries = read(&archive(&[(b'x', "p", "", one.as_bytes()), (b'0', "x", "", &content)])).unwrap();
        assert_eq!(
            (&entries[0].0.kind, &entries[0].1[..], &entries[0].0.path[..]),
            (&expected, &b"abcde"[..], &b"n"[..])
        );
        let older = ["GNU.sparse.size=10000", "GNU.sparse.map=512,3,9000,2"].map(record).concat();
        let entries = read(&archive(&[(b'x', "p", "", older.as_bytes()), (b'0', "x", "", b"abcde")])).unwrap();
        assert_eq!((&entries[0].0.kind, &entries[0].1[..]), (&expected, &b"abcde"[..]));
        for map in ["512,3,9000", "512,3,513,2", "512,3,9999,2", "512,3,9000,3", "512,3,18446744073709551615,2", "x"] {
            let records =
                ["GNU.sparse.size=10000".to_owned(), format!("GNU.sparse.map={map}")].map(|text| record(&text));
            let bad = archive(&[(b'x', "p", "", records.concat().as_bytes()), (b'0', "x", "", b"abcde")]);
            assert!(read(&bad).is_err(), "{map}");
        }
    }

    #[test]
    fn leading_components_are_dropped() {
        let archive = archive(&[(b'5', "top", "", b""), (b'0', "top/a", "", b""), (b'1', "top/b/c", "top/a", b"")]);
        let mut reader = Reader::new(&archive[..], 100, 1);
        let first = reader.next().unwrap().unwrap();
        assert_eq!(first.path, b"a");
        let second = reader.next().unwrap().unwrap();
        assert_eq!((second.path.as_slice(), second.kind), (&b"b/c"[..], Kind::HardLink(b"a".to_vec())));
        assert!(reader.next().unwrap().is_none());
    }

    #[test]
    fn times_have_fractions() {
        assert_eq!(seconds(b"1.5"), Some(1_500_000_000));
        assert_eq!(seconds(b"-1.25"), Some(-1_250_000_000));
        assert_eq!(seconds(b"0.0000000019"), Some(1));
        assert_eq!(seconds(b"99999999999999999999"), None);
        assert_eq!(seconds(b"1e9"), None);
    }
}
