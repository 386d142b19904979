//! What a program used, and the smallest policies that would have let it.
//!
//! [`Learned`] is collected by the supervisor and merged over runs by whoever asks ([`Learned::merge`]); the rest of this file turns it into an OCI seccomp
//! profile (runtime-spec, `linux.seccomp`), Landlock rules, and rules for [`crate::Supervisor`] itself. Pure data but for the collecting.
//!
//! The result is as good as the runs were: what they did not do is not in it.

use crate::calls::{self, Operations};
use hotcell_protocol::FileRules;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// With more distinct values an argument is no small domain, and all are allowed.
const VALUES_MAX: usize = 64;
/// More files than this are counted as lost, which [`Learned::is_complete`] tells.
const FILES_MAX: usize = 65_536;

/// What was used, over one run or several.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// Calls by name, each with the values of the arguments that [`calls::Signature::learn`] names; `None` for any.
    calls: BTreeMap<String, Option<BTreeSet<Vec<u64>>>>,
    /// Files by path, links resolved.
    files: BTreeMap<Vec<u8>, Operations>,
    /// Files beyond [`FILES_MAX`].
    lost: u64,
}

impl Learned {
    pub(crate) fn add_call(&mut self, number: u32, arguments: [u64; 6]) {
        let signature = calls::signature(number);
        let Some(name) = calls::name(number) else { return };
        let values =
            signature.learn.iter().filter_map(|index| arguments.get(usize::from(*index)).copied()).collect::<Vec<_>>();
        if !self.calls.contains_key(name) {
            self.calls.insert(name.to_owned(), Some(BTreeSet::new()));
        }
        if let Some(known) = self.calls.get_mut(name)
            && let Some(set) = known
            && !values.is_empty()
            && set.insert(values)
            && set.len() > VALUES_MAX
        {
            *known = None;
        }
    }

    pub(crate) fn add_file(&mut self, path: &[u8], operations: Operations) {
        if let Some(known) = self.files.get_mut(path) {
            *known = known.and(operations);
        } else if self.files.len() < FILES_MAX {
            self.files.insert(path.to_vec(), operations);
        } else {
            self.lost += 1;
        }
    }

    /// Adds what another run used.
    pub fn merge(&mut self, other: Self) {
        for (name, values) in other.calls {
            let known = self.calls.entry(name).or_insert_with(|| Some(BTreeSet::new()));
            match (known.as_mut(), values) {
                (Some(known), Some(values)) => known.extend(values),
                _ => *known = None,
            }
            if known.as_ref().is_some_and(|set| set.len() > VALUES_MAX) {
                *known = None;
            }
        }
        for (path, operations) in other.files {
            self.add_file(&path, operations);
        }
        self.lost += other.lost;
    }

    /// Whether there was room for everything.
    pub const fn is_complete(&self) -> bool {
        self.lost == 0
    }

    /// The calls that were made, by name.
    pub fn calls(&self) -> impl Iterator<Item = &str> {
        self.calls.keys().map(String::as_str)
    }

    /// The files that were used, and what for.
    pub fn files(&self) -> impl Iterator<Item = (&[u8], Operations)> {
        self.files.iter().map(|(path, operations)| (path.as_slice(), *operations))
    }

    /// The smallest profile: these calls, with these values, and EPERM for all others.
    pub fn oci_seccomp(&self) -> OciSeccomp {
        let mut plain = Vec::new();
        let mut syscalls = Vec::new();
        for (name, values) in &self.calls {
            let learn = calls::number(name).map_or(&[][..], |number| calls::signature(number).learn);
            match values {
                Some(values) if !values.is_empty() => syscalls.extend(values.iter().map(|values| {
                    let equal = |(index, value): (&u8, &u64)| OciArgument {
                        index: u32::from(*index),
                        value: *value,
                        op: "SCMP_CMP_EQ".into(),
                    };
                    OciSyscall::allow(vec![name.clone()], learn.iter().zip(values).map(equal).collect())
                })),
                _ => plain.push(name.clone()),
            }
        }
        syscalls.insert(0, OciSyscall::allow(plain, Vec::new()));
        let architecture = if cfg!(target_arch = "aarch64") { "SCMP_ARCH_AARCH64" } else { "SCMP_ARCH_X86_64" };
        OciSeccomp {
            default_action: "SCMP_ACT_ERRNO".into(),
            default_errno_ret: libc::EPERM as u32,
            architectures: vec![architecture.into()],
            syscalls,
        }
    }

    /// The rules for Landlock: files and directories, generalised. Looking at files is beyond Landlock. Rules hold files by what they are, so one that was
    /// made or removed, and need not be there the next time, asks for its directory; and a process's own part of /proc for all of /proc.
    pub fn landlock(&self, generalise: Generalise) -> PathRules {
        let path = |(path, operations): (&Vec<u8>, &Operations)| {
            if path.starts_with(b"/proc/self/") {
                b"/proc".to_vec()
            } else if operations.has(Operations::NAME) {
                parent(path).to_vec()
            } else {
                path.clone()
            }
        };
        // What has no path, a pipe or a memfd, is none of Landlock's business.
        let is_there = |path: &[u8]| path.starts_with(b"/") && !path.starts_with(b"/memfd:");
        let with = |operation: Operations| {
            let chosen = self.files.iter().filter(|(path, used)| used.has(operation) && is_there(path));
            collapse(chosen.map(path).collect(), generalise).into_iter().map(|(path, _)| text(&path)).collect()
        };
        PathRules { read: with(Operations::READ), write: with(Operations::WRITE), execute: with(Operations::EXECUTE) }
    }

    /// The rules for the supervisor.
    pub fn file_rules(&self, generalise: Generalise) -> FileRules {
        let with = |operation: Operations| {
            let chosen = self.files.iter().filter(|(_, operations)| operations.has(operation));
            let paths = collapse(chosen.map(|(path, _)| path.clone()).collect(), generalise);
            // A name with a glob's characters in it cannot be a rule of its own.
            let rule = |(path, is_below): (Vec<u8>, bool)| {
                let path = text(&path);
                let is_plain = !path.contains(['*', '?', '[', ']', '{', '}', '\\']);
                is_plain.then(|| if is_below { format!("{}/**", path.trim_end_matches('/')) } else { path })
            };
            paths.into_iter().filter_map(rule).collect()
        };
        FileRules {
            read: with(Operations::READ),
            write: with(Operations::WRITE),
            stat: with(Operations::STAT),
            execute: with(Operations::EXECUTE),
        }
    }
}

/// How far rules go beyond what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generalise {
    /// From so many files on in a directory (or directories that were taken as a whole) the directory is taken as a whole. The root never is.
    pub files_per_directory: usize,
}

impl Default for Generalise {
    fn default() -> Self {
        Self { files_per_directory: 8 }
    }
}

/// Landlock rules: each path with everything below, if it is a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathRules {
    /// What is read.
    pub read: Vec<String>,
    /// What is written, made or removed in.
    pub write: Vec<String>,
    /// What is executed.
    pub execute: Vec<String>,
}

/// `linux.seccomp` of the OCI runtime specification, as much as is needed here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OciSeccomp {
    /// `SCMP_ACT_*`.
    pub default_action: String,
    /// errno(3) of `SCMP_ACT_ERRNO`.
    pub default_errno_ret: u32,
    /// `SCMP_ARCH_*`.
    pub architectures: Vec<String>,
    /// What is decided otherwise.
    pub syscalls: Vec<OciSyscall>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OciSyscall {
    /// For these calls.
    pub names: Vec<String>,
    /// `SCMP_ACT_*`.
    pub action: String,
    /// If all of these hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<OciArgument>,
}

impl OciSyscall {
    fn allow(names: Vec<String>, args: Vec<OciArgument>) -> Self {
        Self { names, action: "SCMP_ACT_ALLOW".into(), args }
    }
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OciArgument {
    /// Of the argument.
    pub index: u32,
    /// To compare with.
    pub value: u64,
    /// `SCMP_CMP_*`.
    pub op: String,
}

fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        None | Some(0) => b"/",
        Some(slash) => path.get(..slash).unwrap_or_default(),
    }
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// Takes directories as a whole, from the deepest up; the flag says which.
fn collapse(paths: BTreeSet<Vec<u8>>, generalise: Generalise) -> Vec<(Vec<u8>, bool)> {
    let mut kept: BTreeMap<Vec<u8>, bool> = paths.into_iter().map(|path| (path, false)).collect();
    let depth = |path: &[u8]| path.iter().filter(|byte| **byte == b'/').count();
    let deepest = kept.keys().map(|path| depth(path)).max().unwrap_or(0);
    for level in (2..=deepest).rev() {
        let mut children = BTreeMap::<Vec<u8>, usize>::new();
        for path in kept.keys().filter(|path| depth(path) == level) {
            *children.entry(parent(path).to_vec()).or_default() += 1;
        }
        for (directory, _) in children.into_iter().filter(|(_, count)| *count >= generalise.files_per_directory) {
            let below = [directory.as_slice(), b"/"].concat();
            kept.retain(|path, _| !path.starts_with(&below));
            kept.insert(directory, true);
        }
    }
    kept.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(name: &str) -> u32 {
        calls::number(name).unwrap()
    }

    #[test]
    fn a_profile_names_calls_and_the_values_that_were_used() {
        let mut learned = Learned::default();
        learned.add_call(number("read"), [1, 2, 3, 0, 0, 0]);
        learned.add_call(number("socket"), [1, 1, 0, 9, 9, 9]);
        let mut other = Learned::default();
        other.add_call(number("socket"), [1, 1, 0, 0, 0, 0]);
        other.add_call(number("socket"), [2, 1, 0, 0, 0, 0]);
        for command in 0..100 {
            other.add_call(number("ioctl"), [0, command, 0, 0, 0, 0]);
        }
        learned.merge(other);
        let json = serde_json::to_value(learned.oci_seccomp()).unwrap();
        assert_eq!(json["defaultAction"], "SCMP_ACT_ERRNO");
        assert_eq!(json["syscalls"][0]["names"], serde_json::json!(["ioctl", "read"]));
        assert_eq!(json["syscalls"][0].get("args"), None);
        let argument = |index, value| serde_json::json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"});
        assert_eq!(json["syscalls"][1]["args"], serde_json::json!([argument(0, 1), argument(1, 1), argument(2, 0)]));
        assert_eq!(json["syscalls"][2]["args"][0], argument(0, 2));
        assert_eq!(json["syscalls"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn many_files_of_a_directory_become_the_directory() {
        let mut learned = Learned::default();
        for index in 0..4 {
            learned.add_file(format!("/usr/lib/x/{index}.so").as_bytes(), Operations::READ);
        }
        learned.add_file(b"/usr/lib/y", Operations::READ.and(Operations::STAT));
        learned.add_file(b"/w/out", Operations::WRITE.and(Operations::NAME));
        learned.add_file(b"/bin/sh", Operations::EXECUTE);
        let rules = learned.landlock(Generalise { files_per_directory: 4 });
        assert_eq!(rules.read, ["/usr/lib/x", "/usr/lib/y"]);
        assert_eq!(rules.write, ["/w"]);
        learned.add_file(b"/tmp/cc1.o", Operations::WRITE.and(Operations::NAME).and(Operations::READ));
        learned.add_file(b"/proc/self/maps", Operations::READ);
        learned.add_file(b"pipe:[1]", Operations::READ);
        let rules = learned.landlock(Generalise { files_per_directory: 4 });
        assert_eq!(rules.read, ["/proc", "/tmp", "/usr/lib/x", "/usr/lib/y"]);
        assert_eq!(rules.execute, ["/bin/sh"]);
        let rules = learned.file_rules(Generalise { files_per_directory: 4 });
        assert_eq!(rules.read, ["/proc/self/maps", "/tmp/cc1.o", "/usr/lib/x/**", "/usr/lib/y"]);
        assert_eq!(rules.write, ["/tmp/cc1.o", "/w/out"]);
        assert_eq!(rules.stat, ["/usr/lib/y"]);
        let rules = learned.landlock(Generalise { files_per_directory: 5 });
        assert_eq!(rules.read.len(), 7);
    }
}
