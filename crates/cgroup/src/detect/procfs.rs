//! The two files of procfs that say which cgroups a process is in, and where they can be reached.
//!
//! Both may hold anything that an administrator, or whoever made the container around us, put into names: lines that do not
//! parse are left out, and what is read of them is bounded.

use std::io::{self, Read};

/// What is read of /proc/self/cgroup: a line is at most some 4 KiB, and there are at most as many as hierarchies.
const MEMBERSHIP_MAX: u64 = 64 * 1024;
/// What is read of /proc/self/mountinfo: hosts with thousands of containers have files of a few megabytes.
const MOUNTINFO_MAX: u64 = 16 * 1024 * 1024;

/// A line of /proc/PID/cgroup, see cgroups(7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Of v1: its controllers, or `name=…`. Empty for v2.
    pub controllers: Vec<String>,
    /// Seen from the root of this process's cgroup namespace.
    pub path: String,
}

impl Membership {
    /// Whether it is the one line of v2.
    pub fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }
}

/// A line of /proc/PID/mountinfo, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Which directory of the file system is mounted.
    pub root: String,
    /// Where.
    pub point: String,
    /// Of the mount itself.
    pub options: Vec<String>,
    /// The type of the file system.
    pub kind: String,
    /// Of the file system as a whole.
    pub super_options: Vec<String>,
}

impl Mount {
    /// Whether it, or its whole file system, is read-only.
    pub fn is_read_only(&self) -> bool {
        self.options.iter().chain(&self.super_options).any(|option| option == "ro")
    }
}

/// Reads both files.
pub fn read_own() -> Result<(String, String), (&'static str, io::Error)> {
    let bounded = |path: &'static str, most: u64| {
        let mut bytes = Vec::new();
        match std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes)) {
            Ok(_) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => Err((path, error)),
        }
    };
    Ok((bounded("/proc/self/cgroup", MEMBERSHIP_MAX)?, bounded("/proc/self/mountinfo", MOUNTINFO_MAX)?))
}

/// The lines of /proc/PID/cgroup.
pub fn memberships(text: &str) -> Vec<Membership> {
    let line = |line: &str| {
        let (number, rest) = line.split_once(':')?;
        number.parse::<u32>().ok()?;
        let (controllers, path) = rest.split_once(':')?;
        // A cgroup that was removed while a zombie of it remained.
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        let controllers = controllers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        path.starts_with('/').then(|| Membership { controllers, path: path.to_owned() })
    };
    text.lines().filter_map(line).collect()
}

/// The mounts of cgroup file systems, in the order of their making. With `all`, the others too.
pub fn mounts(text: &str, all: bool) -> Vec<Mount> {
    let list = |options: &str| options.split(',').map(str::to_owned).collect();
    let line = |line: &str| {
        let (head, tail) = line.split_once(" - ")?;
        let mut head = head.split(' ').skip(3);
        let mut tail = tail.split(' ');
        let kind = tail.next()?;
        let wanted = all || kind == "cgroup" || kind == "cgroup2";
        let (root, point, options) = (head.next()?, head.next()?, head.next()?);
        wanted.then(|| Mount {
            root: unescape(root),
            point: unescape(point),
            options: list(options),
            kind: kind.to_owned(),
            super_options: list(tail.nth(1).unwrap_or("")),
        })
    };
    text.lines().filter_map(line).collect()
}

/// Space, tab, newline and backslash are written as three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap_or("").as_bytes().to_vec();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (code, part.get(3..)) {
            (Some(code), Some(rest)) => {
                bytes.push(code);
                bytes.extend_from_slice(rest.as_bytes());
            }
            _ => {
                bytes.push(b'\\');
                bytes.extend_from_slice(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_colons_spaces_and_deletion_are_read() {
        let found = memberships("4:cpu,cpuacct:/a:b/c (deleted)\n1:name=systemd:/x\n0::/\n");
        assert_eq!(found[0].path, "/a:b/c");
        assert_eq!(found[0].controllers, ["cpu", "cpuacct"]);
        assert_eq!(found[1].controllers, ["name=systemd"]);
        assert!(found[2].is_v2());
        let odd = mounts(
            "1 2 0:3 /a\\040b /mnt/c\\134d\\9 ro,nosuid shared:1 master:2 - cgroup2 none rw,nsdelegate\n",
            false,
        );
        assert_eq!(odd[0].root, "/a b");
        assert_eq!(odd[0].point, "/mnt/c\\d\\9");
        assert!(odd[0].is_read_only());
        assert_eq!(odd[0].super_options, ["rw", "nsdelegate"]);
    }

    #[test]
    fn nothing_makes_them_panic() {
        for text in [
            "",
            "\n\n",
            ":",
            "::",
            "0:",
            "0::",
            "x::/",
            "0::relative",
            " - ",
            " - cgroup2",
            "1 2 3 4 5 6 - cgroup2",
            "1 2 0:3 \\ \\0 \\77 - cgroup",
            "1 2 0:3 / /\\400é\\3é0 rw - cgroup\0 a b",
        ] {
            let _ = memberships(text);
            let _ = mounts(text, true);
        }
        assert_eq!(mounts("1 2 0:3 / /sys/fs/cgroup rw - cgroup2", false)[0].super_options, [""]);
    }
}
