//! Copies one regular file into another one, inside of the kernel and a part at a time, so that it can be given up in between.
//!
//! Run by whatever thread may wait for disks; neither the reactor nor the JavaScript thread. The source may be a file that a
//! program of a container has open as well, and changes at will: nothing here trusts what it said a moment ago. The copy takes the
//! bytes that were there when it began, at most, so a program that appends as fast as this reads is no endless one; it ends early
//! where the file became shorter.
//!
//! Holes stay holes. Bytes go by copy_file_range(2), which shares blocks where the file system can; between two file systems, and two
//! tmpfs are two, by sendfile(2), which copies once, from page cache to page cache; and what can neither, by read and write.

use hotcell_linux::{errno, file, transfer};
use nix::libc;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// What a jump over a hole counts as, so that a file of nothing but tiny pieces does not keep a part from ending.
const PIECE_COST: i64 = 64 * 1024;
/// The most at once for read(2).
const BUFFER_BYTES: usize = 256 * 1024;

/// A copy that goes on.
#[derive(Debug)]
pub struct FileCopy {
    source: File,
    target: File,
    /// Of the source: where the copy begins, is, and ends.
    start: i64,
    at: i64,
    end: i64,
    /// Its position is nobody's business: at the end it is 0.
    whole: bool,
    /// Where the piece of data that `at` is in ends.
    data_end: i64,
    /// How much of the target was written, its last holes excepted.
    written: i64,
    method: Method,
}

/// How bytes are moved; in the order in which it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    CopyFileRange,
    Sendfile,
    ReadAndWrite,
}

/// Why a copy failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyError {
    /// What failed, as its man page spells it.
    pub syscall: &'static str,
    /// errno(3).
    pub errno: i32,
}

impl CopyError {
    fn of(syscall: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self { syscall, errno: errno(&error) }
    }
}

impl FileCopy {
    /// A copy of what stands in `source` from its current position on, to the beginning of `target`, which is empty. At the end
    /// the source's position is behind what was copied.
    ///
    /// Both must be regular files: `EINVAL`.
    pub fn start(source: OwnedFd, target: OwnedFd) -> Result<Self, CopyError> {
        let start = transfer::position(source.as_fd()).map_err(CopyError::of("lseek"))?;
        Self::new(source, target, start, false)
    }

    /// The same of all of `source`, whatever its position is, so that any number of these may go on at once. Leaves that at 0.
    pub fn whole(source: OwnedFd, target: OwnedFd) -> Result<Self, CopyError> {
        Self::new(source, target, 0, true)
    }

    fn new(source: OwnedFd, target: OwnedFd, start: i64, whole: bool) -> Result<Self, CopyError> {
        for fd in [&source, &target] {
            let stat = file::stat(fd.as_fd()).map_err(CopyError::of("fstat"))?;
            if !file::is_type(&stat, libc::S_IFREG) {
                return Err(CopyError { syscall: "fstat", errno: libc::EINVAL });
            }
        }
        let (source, target) = (File::from(source), File::from(target));
        let (at, data_end, method) = (start, start, Method::CopyFileRange);
        let mut copy = Self { source, target, start, at, end: start, whole, data_end, written: 0, method };
        copy.end = start.max(copy.size()?);
        Ok(copy)
    }

    /// How many bytes it is about, holes included.
    pub fn length(&self) -> u64 {
        (self.end - self.start).unsigned_abs()
    }

    /// Copies about `budget` bytes more; whether that was the last of it. After an error there is nothing left to be done.
    pub fn advance(&mut self, budget: usize) -> Result<bool, CopyError> {
        let mut left = i64::try_from(budget).unwrap_or(i64::MAX);
        while left > 0 && self.at < self.end {
            if self.at == self.data_end {
                self.find_data()?;
                left = left.saturating_sub(PIECE_COST);
                continue;
            }
            let most = usize::try_from(left.min(self.data_end - self.at)).unwrap_or(budget);
            let count = self.transfer(most)?;
            if count == 0 && !self.use_next_method() {
                // It became shorter.
                self.end = self.at;
            }
            self.at += count;
            self.written = self.written.max(self.at - self.start);
            left = left.saturating_sub(count);
        }
        if self.at < self.end {
            return Ok(false);
        }
        if self.written < self.end - self.start {
            self.target.set_len(self.length()).map_err(CopyError::of("ftruncate"))?;
        }
        let position = if self.whole { 0 } else { self.end };
        transfer::seek_to(self.source.as_fd(), position).map_err(CopyError::of("lseek"))?;
        Ok(true)
    }

    /// Puts `at` to the next data, and `data_end` behind it.
    fn find_data(&mut self) -> Result<(), CopyError> {
        let source = self.source.as_fd();
        match transfer::seek_data(source, self.at) {
            Ok(data) => {
                self.at = data.clamp(self.at, self.end);
                // At least a byte, should it be gone again: then there is nothing to be read, which ends the copy.
                let hole = transfer::seek_hole(source, self.at).unwrap_or(self.end);
                self.data_end = hole.clamp((self.at + 1).min(self.end), self.end);
            }
            // Nothing but a hole from here on; or not even that any more.
            Err(error) if errno(&error) == libc::ENXIO => {
                self.end = self.size()?.clamp(self.at, self.end);
                (self.at, self.data_end) = (self.end, self.end);
            }
            // The file system does not know holes.
            Err(_) => self.data_end = self.end,
        }
        Ok(())
    }

    fn size(&self) -> Result<i64, CopyError> {
        Ok(file::stat(self.source.as_fd()).map_err(CopyError::of("fstat"))?.st_size)
    }

    /// Moves at most so many bytes, and says how many it were: 0 at the end of the file, or if this method is none for it.
    fn transfer(&mut self, most: usize) -> Result<i64, CopyError> {
        let (mut from, mut to) = (self.at, self.at - self.start);
        let (source, target) = (self.source.as_fd(), self.target.as_fd());
        loop {
            let (syscall, moved) = match self.method {
                Method::CopyFileRange => {
                    ("copy_file_range", transfer::copy_file_range(source, &mut from, target, &mut to, most))
                }
                Method::Sendfile => ("sendfile", send(source, &mut from, target, to, most)),
                Method::ReadAndWrite => return self.read_and_write(most),
            };
            match moved {
                Ok(count) => return Ok(count as i64),
                Err(error) => match errno(&error) {
                    libc::EINTR => {}
                    libc::EXDEV | libc::EINVAL | libc::EOPNOTSUPP | libc::ENOSYS | libc::EPERM => return Ok(0),
                    errno => return Err(CopyError { syscall, errno }),
                },
            }
        }
    }

    fn read_and_write(&self, most: usize) -> Result<i64, CopyError> {
        let mut buffer = vec![0; most.min(BUFFER_BYTES)];
        let count = loop {
            match self.source.read_at(&mut buffer, self.at.unsigned_abs()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(CopyError::of("read"))?,
            }
        };
        let read = buffer.get(..count).unwrap_or_default();
        let to = (self.at - self.start).unsigned_abs();
        self.target.write_all_at(read, to).map_err(CopyError::of("write"))?;
        Ok(count as i64)
    }

    /// Whether there is one.
    fn use_next_method(&mut self) -> bool {
        self.method = match self.method {
            Method::CopyFileRange => Method::Sendfile,
            Method::Sendfile => Method::ReadAndWrite,
            Method::ReadAndWrite => return false,
        };
        true
    }
}

/// sendfile(2), with an offset for the target as well.
fn send(source: BorrowedFd<'_>, from: &mut i64, target: BorrowedFd<'_>, to: i64, most: usize) -> io::Result<usize> {
    transfer::seek_to(target, to)?;
    transfer::sendfile(target, source, from, most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotcell_linux::memfd;
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::os::unix::fs::MetadataExt;

    const ALL: usize = 1 << 40;

    fn memfd() -> File {
        memfd::executable_memfd(c"test").unwrap().into()
    }

    fn content(mut file: &File) -> Vec<u8> {
        let mut content = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut content).unwrap();
        content
    }

    fn start(source: &File, target: &File) -> FileCopy {
        FileCopy::start(source.try_clone().unwrap().into(), target.try_clone().unwrap().into()).unwrap()
    }

    #[test]
    fn bytes_are_copied_from_the_position_on_by_every_method_and_in_parts() {
        let bytes: Vec<u8> = (0..3_000_017_u32).map(|i| (i % 251) as u8).collect();
        for method in [Method::CopyFileRange, Method::Sendfile, Method::ReadAndWrite] {
            let (mut source, target) = (memfd(), memfd());
            source.write_all(&bytes).unwrap();
            source.seek(SeekFrom::Start(17)).unwrap();
            let mut copy = start(&source, &target);
            copy.method = method;
            assert_eq!(copy.length(), 3_000_000);
            let mut parts = 1;
            while !copy.advance(1_000_000).unwrap() {
                parts += 1;
            }
            assert!((3..=5).contains(&parts), "{method:?}: {parts}");
            assert_eq!(source.stream_position().unwrap(), 3_000_017);
            assert!(content(&target) == bytes[17..], "{method:?}");
        }
    }

    #[test]
    fn the_whole_of_a_file_is_copied_by_several_at_once() {
        let mut source = memfd();
        source.write_all(&[7; 1_000_000]).unwrap();
        let targets = [memfd(), memfd()];
        let fd = |file: &File| OwnedFd::from(file.try_clone().unwrap());
        let mut copies = targets.each_ref().map(|target| FileCopy::whole(fd(&source), fd(target)).unwrap());
        while copies.iter_mut().map(|copy| copy.advance(100_000).unwrap()).filter(|done| *done).count() < 2 {}
        for target in &targets {
            assert!(content(target) == [7; 1_000_000]);
        }
        assert_eq!(source.stream_position().unwrap(), 0);
    }

    #[test]
    fn holes_stay_holes_wherever_they_are() {
        const MIB: u64 = 1 << 20;
        let (mut source, target) = (memfd(), memfd());
        source.write_all_at(b"middle", 8 * MIB).unwrap();
        source.write_all_at(b"more", 24 * MIB).unwrap();
        source.set_len(64 * MIB).unwrap();
        source.rewind().unwrap();
        assert!(start(&source, &target).advance(ALL).unwrap());
        assert!(content(&source) == content(&target));
        let blocks = |file: &File| file.metadata().unwrap().blocks() * 512;
        assert!(blocks(&target) <= 4 * MIB, "{}", blocks(&target));
        assert_eq!(target.metadata().unwrap().len(), 64 * MIB);
    }

    #[test]
    fn nothing_but_a_hole_and_nothing_at_all() {
        for length in [0, 1 << 40] {
            let (source, target) = (memfd(), memfd());
            source.set_len(length).unwrap();
            assert!(start(&source, &target).advance(ALL).unwrap());
            assert_eq!(target.metadata().unwrap().len(), length);
        }
    }

    #[test]
    fn what_is_appended_meanwhile_is_not_copied_and_what_is_cut_off_is_no_error() {
        let (mut source, target) = (memfd(), memfd());
        source.write_all(&[7; 300_000]).unwrap();
        source.rewind().unwrap();
        let mut copy = start(&source, &target);
        assert!(!copy.advance(100_000).unwrap());
        source.write_all_at(&[8; 400_000], 300_000).unwrap();
        assert!(copy.advance(ALL).unwrap());
        assert!(content(&target) == [7; 300_000]);

        let target = memfd();
        source.rewind().unwrap();
        let mut copy = start(&source, &target);
        assert!(!copy.advance(100_000).unwrap());
        source.set_len(150_000).unwrap();
        assert!(copy.advance(ALL).unwrap());
        let copied = content(&target);
        assert!(copied == [7; 150_000], "{}", copied.len());
    }

    #[test]
    fn a_file_of_the_kernels_ends_where_it_ends() {
        // Its size is a page, whatever it has to say.
        let Ok(source) = File::open("/sys/kernel/mm/transparent_hugepage/enabled") else { return };
        let target = memfd();
        assert!(start(&source, &target).advance(ALL).unwrap());
        assert_eq!(content(&target), content(&source));
    }

    #[test]
    fn only_regular_files_are_copied() {
        let (null, directory) = (File::open("/dev/null").unwrap(), File::open("/").unwrap());
        for odd in [null, directory] {
            let copy = FileCopy::start(odd.into(), memfd().into());
            assert_eq!(copy.unwrap_err(), CopyError { syscall: "fstat", errno: libc::EINVAL });
        }
    }

    #[test]
    fn what_fails_says_which_call() {
        let (mut source, path) = (memfd(), std::env::temp_dir().join(format!("hotcell-copy-{}", std::process::id())));
        source.write_all(b"x").unwrap();
        source.rewind().unwrap();
        std::fs::write(&path, b"").unwrap();
        let target = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(start(&source, &target).advance(ALL).unwrap_err().errno, libc::EBADF);
    }
}
