//! A tracee's memory, by process_vm_readv(2).
//!
//! Runs in the supervisor. The tracee may have any address in any register, so every read is bounded, and ends early rather than failing
//! where memory does. Other threads, and whoever shares the memory, may change it between this look and the kernel's.

use std::ops::Range;

/// Pages are at least this large everywhere.
const PAGE: u64 = 4096;

/// Appends up to `length` bytes from `address`; fewer if its memory ends before. Says what was appended.
pub fn read(tid: i32, address: u64, length: usize, into: &mut Vec<u8>) -> Range<usize> {
    let start = into.len();
    into.resize(start + length, 0);
    let read = into.get_mut(start..).map_or(0, |place| read_some(tid, address, place));
    into.truncate(start + read);
    start..start + read
}

/// Fills a fixed place completely, or not at all.
pub fn read_exact(tid: i32, address: u64, place: &mut [u8]) -> bool {
    read_some(tid, address, place) == place.len()
}

/// What a string was read to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StringEnd {
    /// Its NUL.
    Nul,
    /// As much as was asked for.
    Limit,
    /// The end of readable memory.
    Fault,
}

/// Appends a NUL-terminated string of at most `limit` bytes, without its NUL, and says where it lies and why it ends there.
pub fn read_string(tid: i32, address: u64, limit: usize, into: &mut Vec<u8>) -> (Range<usize>, StringEnd) {
    // Nearly every path is shorter; a longer one costs a second call, not a page's copy each time.
    const FIRST: usize = 128;
    let start = into.len();
    let mut wanted = FIRST.min(limit);
    loop {
        let have = into.len() - start;
        let Some(from) = address.checked_add(have as u64) else { return (start..into.len(), StringEnd::Fault) };
        let piece = read(tid, from, wanted - have, into);
        let is_short = piece.len() < wanted - have;
        if let Some(length) = into.get(piece.clone()).and_then(|bytes| bytes.iter().position(|byte| *byte == 0)) {
            into.truncate(piece.start + length);
            return (start..into.len(), StringEnd::Nul);
        }
        if is_short {
            return (start..into.len(), StringEnd::Fault);
        }
        if wanted == limit {
            return (start..into.len(), StringEnd::Limit);
        }
        wanted = limit;
    }
}

/// Reads page by page: where a page is missing the kernel gives what lies before only if that is a piece of its own.
fn read_some(tid: i32, address: u64, place: &mut [u8]) -> usize {
    let mut done = 0;
    while done < place.len() {
        let local = libc::iovec { iov_base: place[done..].as_mut_ptr().cast(), iov_len: place.len() - done };
        let empty = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        let mut remote = [empty; 8];
        let mut count = 0;
        let mut next = done;
        for piece in &mut remote {
            let Some(from) = address.checked_add(next as u64).filter(|_| next < place.len()) else { break };
            let until_page_end = (PAGE - from % PAGE) as usize;
            *piece = libc::iovec { iov_base: from as *mut _, iov_len: until_page_end.min(place.len() - next) };
            next += piece.iov_len;
            count += 1;
        }
        // SAFETY: the kernel writes into `place` at most, which is borrowed mutably; the remote addresses are the tracee's and checked by it.
        let result = unsafe { libc::process_vm_readv(tid, &raw const local, 1, remote.as_ptr(), count, 0) };
        if result <= 0 {
            break;
        }
        done += result as usize;
        if done < next {
            break;
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr;

    fn two_pages_of_which_one_is_there() -> *mut u8 {
        // SAFETY: a new mapping.
        let mapping = unsafe {
            libc::mmap(
                ptr::null_mut(),
                8192,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(mapping, libc::MAP_FAILED);
        let second = mapping.cast::<u8>().wrapping_add(4096);
        // SAFETY: the second of the two pages, which nobody uses.
        unsafe { libc::munmap(second.cast(), 4096) };
        mapping.cast()
    }

    #[test]
    fn a_string_ends_at_its_nul_its_limit_or_its_memory() {
        let page = two_pages_of_which_one_is_there();
        let me = std::process::id() as i32;
        // SAFETY: the first page is ours.
        unsafe { page.write_bytes(b'x', 4096) };
        let at = |offset: u64| page as u64 + offset;
        let mut bytes = Vec::new();
        assert_eq!(read_string(me, at(4000), 4096, &mut bytes), (0..96, StringEnd::Fault));
        assert_eq!(read_string(me, at(0), 300, &mut bytes), (96..396, StringEnd::Limit));
        let last = page.wrapping_add(4095);
        // SAFETY: as above.
        unsafe { last.write(0) };
        assert_eq!(read_string(me, at(3000), 4096, &mut bytes), (396..396 + 1095, StringEnd::Nul));
        assert_eq!(read_string(me, at(4095), 4096, &mut bytes), (1491..1491, StringEnd::Nul));
        assert_eq!(read_string(me, at(4096), 4096, &mut bytes), (1491..1491, StringEnd::Fault));
        assert_eq!(read_string(me, u64::MAX - 3, 4096, &mut bytes).1, StringEnd::Fault);
        assert!(!read_exact(me, at(4090), &mut [0; 8]));
        assert!(read_exact(me, at(4088), &mut [0; 8]));
    }
}
