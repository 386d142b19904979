//! User and group id maps (user_namespaces(7)).

use std::fs;
use std::io;

/// `length` ids from `inside` on in the user namespace are those from `outside` on in its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many.
    pub length: u32,
}

fn lines(ranges: &[IdRange]) -> String {
    use std::fmt::Write;
    // Room for all at once: what grows at the end of the heap is not where the next one begins.
    let text = String::with_capacity(ranges.len() * 33);
    ranges.iter().fold(text, |mut text, range| {
        let _ = writeln!(text, "{} {} {}", range.inside, range.outside, range.length);
        text
    })
}

/// Writes /proc/PID/uid_map. Allowed once.
pub fn write_uid_map(pid: i32, ranges: &[IdRange]) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/uid_map"), lines(ranges))
}

/// Writes /proc/PID/gid_map. Allowed once.
pub fn write_gid_map(pid: i32, ranges: &[IdRange]) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/gid_map"), lines(ranges))
}

/// Writes `deny` to /proc/PID/setgroups: what a process without CAP_SETGID has to do before it may write the gid map.
pub fn deny_setgroups(pid: i32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/setgroups"), "deny")
}
