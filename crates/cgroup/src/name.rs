//! The names of what we make, which is also how it is recognised: nothing else is ever swept or removed.
//!
//! ```text
//! hotcell/                      the parent, marked by its sticky bit if it is we who made it
//!   4711-183920/                a host process: pid and start time; "-1" and so on for its second parent of this name
//!     host/                     v2: the host process itself, if it had to move
//!     c0/                       a container
//!       init/                   v2: its pid 1
//!       run0/  run1/  …         where its programs run
//! ```

use std::io::Read;

/// The leaf of the embedding process.
pub const HOST: &str = "host";
/// The leaf of a container's pid 1.
pub const INIT: &str = "init";

/// Whether it can name the parent: nothing that may be, or become, a control file (those have a dot, or are of v1).
pub fn is_valid(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let reserved = ["tasks", "notify_on_release", "release_agent"].contains(&name);
    (1..=64).contains(&name.len()) && name.bytes().all(plain) && !reserved
}

/// The name of a container.
pub fn container(number: u64) -> String {
    format!("c{number}")
}

/// Whether it is one.
pub fn is_container(name: &str) -> bool {
    is_numbered(name, "c")
}

/// The name of a run group.
pub fn run(number: u64) -> String {
    format!("run{number}")
}

/// Whether it is one.
pub fn is_run(name: &str) -> bool {
    is_numbered(name, "run")
}

fn is_numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|number| number.len() <= 20 && number.parse::<u64>().is_ok())
}

/// A process, told from any other that has its pid later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// In our pid namespace.
    pub pid: i32,
    /// Clock ticks since boot.
    pub start: u64,
}

impl Owner {
    /// This process.
    pub fn own() -> Self {
        let pid = std::process::id() as i32;
        Self { pid, start: start_of(pid).unwrap_or(0) }
    }

    /// The name of its directory; a further one if it has several.
    pub fn name(self, further: u32) -> String {
        let Self { pid, start } = self;
        if further == 0 { format!("{pid}-{start}") } else { format!("{pid}-{start}-{further}") }
    }

    /// Of a name.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('-');
        let owner =
            Self { pid: parts.next()?.parse().ok().filter(|pid| *pid > 0)?, start: parts.next()?.parse().ok()? };
        let further = parts.next().map_or(Some(0), |further| further.parse().ok())?;
        (owner.name(further) == name).then_some(owner)
    }

    /// Whether it lives, as far as our pid namespace knows.
    pub fn is_alive(self) -> bool {
        start_of(self.pid) == Some(self.start)
    }
}

/// When a process started; `None` if it is no more, or a zombie.
fn start_of(pid: i32) -> Option<u64> {
    let mut text = String::new();
    std::fs::File::open(format!("/proc/{pid}/stat")).ok()?.take(4096).read_to_string(&mut text).ok()?;
    parse_start(&text)
}

/// Fields 3 (state) and 22 (starttime) of proc_pid_stat(5). The second, the name, may hold anything but a `)` at its end.
fn parse_start(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X" | "x")).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_valid() {
        for name in ["hotcell", "judge-2", "a_b", "X"] {
            assert!(is_valid(name), "{name}");
        }
        let long = "x".repeat(65);
        for name in ["", ".", "..", "a/b", "a b", "cgroup.procs", "memory.max", "tasks", "é", "a\0", long.as_str()] {
            assert!(!is_valid(name), "{name:?}");
        }
    }

    #[test]
    fn only_what_we_would_name_so_is_ours() {
        assert!(is_container("c0") && is_container(&container(u64::MAX)) && is_run(&run(12)));
        for name in ["c", "c-1", "cx", "run", "cpu.stat", "c+1x", "containers", "c99999999999999999999999"] {
            assert!(!is_container(name) && !is_run(name), "{name}");
        }
        let owner = Owner { pid: 4711, start: 183_920 };
        assert_eq!((owner.name(0).as_str(), owner.name(2).as_str()), ("4711-183920", "4711-183920-2"));
        assert_eq!(Owner::parse("4711-183920"), Some(owner));
        assert_eq!(Owner::parse("4711-183920-2"), Some(owner));
        for name in ["", "4711", "-4711-1", "0-1", "04711-1", "4711-1-0", "4711-1-2-3", "a-b", "4711-1-x", "+1-2"] {
            assert_eq!(Owner::parse(name), None, "{name}");
        }
    }

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let fields = |state: &str| {
            format!("7 (a) b) ( {state}) {state} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 183920 20 21\n")
        };
        assert_eq!(parse_start(&fields("S")), Some(183_920));
        assert_eq!(parse_start(&fields("Z")), None);
        for odd in ["", "7", "7 (x", "7 (x) ", "7 (x) S 1 2"] {
            assert_eq!(parse_start(odd), None);
        }
        assert!(Owner::own().is_alive());
        assert!(!Owner { pid: 1, start: u64::MAX }.is_alive());
    }
}
