//! Which files may be used for what.
//!
//! Runs in the supervisor, on paths that [`crate::path`] resolved. Rules only allow; what none allows is a violation.
//!
//! Nearly every rule is a path or a directory with all below, which is a comparison of bytes. Globs are matched by `fast-glob`: no regular
//! expressions (globset would add most of a megabyte to an image that has less than one), no allocation, and no exponential time on a path of a
//! hostile program's making.

use crate::error::Error;
use hotcell_protocol::{FileOperation, FileRules};

/// A set of rules.
#[derive(Debug, Default)]
pub struct Policy {
    read: Vec<Rule>,
    write: Vec<Rule>,
    stat: Vec<Rule>,
    execute: Vec<Rule>,
}

/// Whether every rule is one: for whoever takes them from somebody, before there is a supervisor.
pub fn check_rules(rules: &FileRules) -> Result<(), Error> {
    Policy::new(rules, |_| None).map(drop)
}

#[derive(Debug, PartialEq, Eq)]
enum Rule {
    /// This path.
    Path(Vec<u8>),
    /// This directory and everything below, without a slash at its end.
    Below(Vec<u8>),
    /// What matches, and for a glob that ended in `/**` what is below of what matches.
    Glob { pattern: Vec<u8>, directory: Option<Vec<u8>> },
}

impl Policy {
    /// From rules; `canonical` knows which path another one leads to, if that is another. Then both count: a rule about /lib is meant
    /// for what is there, although it is /usr/lib.
    pub fn new(rules: &FileRules, canonical: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Result<Self, Error> {
        let parse = |rules: &[String]| -> Result<Vec<Rule>, Error> {
            let mut parsed = Vec::with_capacity(rules.len());
            for rule in rules {
                let literal = literal_part(rule.as_bytes());
                if let Some(found) = canonical(literal).filter(|_| literal.len() > 1) {
                    let rest = rule.as_bytes().get(literal.len()..).unwrap_or_default();
                    // What the file system calls its files is never a glob.
                    let is_plain = !found.iter().any(|byte| is_special(*byte));
                    if is_plain || rest.is_empty() {
                        parsed.push(Rule::parse(&[&found, rest].concat(), rule, !is_plain)?);
                    }
                }
                parsed.push(Rule::parse(rule.as_bytes(), rule, false)?);
            }
            Ok(parsed)
        };
        Ok(Self {
            read: parse(&rules.read)?,
            write: parse(&rules.write)?,
            stat: parse(&rules.stat)?,
            execute: parse(&rules.execute)?,
        })
    }

    /// Whether this may be done to that.
    pub fn allows(&self, path: &[u8], operation: FileOperation) -> bool {
        let any = |rules: &[Rule]| rules.iter().any(|rule| rule.matches(path));
        match operation {
            FileOperation::Read => any(&self.read),
            FileOperation::Write => any(&self.write),
            FileOperation::Execute => any(&self.execute),
            FileOperation::Stat => [&self.stat, &self.read, &self.write, &self.execute]
                .into_iter()
                .any(|rules| any(rules) || rules.iter().any(|rule| rule.is_below(path))),
        }
    }
}

impl Rule {
    fn parse(rule: &[u8], given: &str, is_literal: bool) -> Result<Self, Error> {
        let refuse = |why| Error::UseRule { rule: given.to_owned(), why };
        if rule.first() != Some(&b'/') {
            return Err(refuse("it does not begin with a slash"));
        }
        if rule.split(|byte| *byte == b'/').any(|component| component == b".." || component == b".") {
            return Err(refuse("it has a component . or .."));
        }
        if rule.contains(&0) {
            return Err(refuse("it has a NUL in it"));
        }
        let directory = rule.strip_suffix(b"/**").or_else(|| rule.strip_suffix(b"/"));
        let trimmed = directory.unwrap_or(rule);
        if is_literal || !trimmed.iter().any(|byte| is_special(*byte)) {
            return Ok(match directory {
                Some(directory) => Self::Below(directory.to_vec()),
                None => Self::Path(rule.to_vec()),
            });
        }
        fast_glob::validate(trimmed).map_err(|_| refuse("it is not a well-formed glob"))?;
        let pattern = directory.map_or_else(|| rule.to_vec(), |directory| [directory, b"/**"].concat());
        Ok(Self::Glob { pattern, directory: directory.map(<[u8]>::to_vec) })
    }

    fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Path(rule) => rule == path,
            Self::Below(directory) => {
                path.strip_prefix(directory.as_slice()).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
            }
            Self::Glob { pattern, directory } => {
                fast_glob::glob_match(pattern, path)
                    || directory.as_ref().is_some_and(|directory| fast_glob::glob_match(directory, path))
            }
        }
    }

    /// Whether a path is a directory above of what the rule is about.
    fn is_below(&self, path: &[u8]) -> bool {
        let about = match self {
            Self::Path(path) | Self::Below(path) => path.as_slice(),
            Self::Glob { pattern, .. } => literal_part(pattern),
        };
        let path = if path == b"/" { b"" } else { path };
        let is_glob = matches!(self, Self::Glob { .. });
        about.strip_prefix(path).is_some_and(|rest| rest.first() == Some(&b'/') || is_glob && rest.is_empty())
    }
}

const fn is_special(byte: u8) -> bool {
    matches!(byte, b'*' | b'?' | b'[' | b']' | b'{' | b'}' | b'\\')
}

/// The directories and the name before the first component with a special character, or before a slash at the end.
fn literal_part(rule: &[u8]) -> &[u8] {
    let end = rule.iter().position(|byte| is_special(*byte));
    let literal = match end {
        None => rule.strip_suffix(b"/").unwrap_or(rule),
        Some(end) => {
            let before = rule.get(..end).unwrap_or_default();
            before.iter().rposition(|byte| *byte == b'/').and_then(|slash| rule.get(..slash)).unwrap_or_default()
        }
    };
    if literal.is_empty() && !rule.is_empty() { &rule[..1] } else { literal }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(read: &[&str]) -> Policy {
        let read = read.iter().map(|rule| (*rule).to_owned()).collect();
        Policy::new(&FileRules { read, ..FileRules::default() }, |_| None).unwrap()
    }

    #[test]
    fn rules_match_what_they_say() {
        for (rule, yes, no) in [
            ("/w/a", &["/w/a"][..], &["/w", "/w/a/b", "/w/ab", "/"][..]),
            ("/w/", &["/w", "/w/a", "/w/a/b"], &["/wa", "/"]),
            ("/w/**", &["/w", "/w/a", "/w/a/b"], &["/wa", "/"]),
            ("/", &["/", "/w", "/w/a"], &[]),
            ("/**", &["/", "/w", "/w/a"], &[]),
            ("/w/*.txt", &["/w/a.txt", "/w/.txt"], &["/w/a/b.txt", "/w/a.txt/b", "/w"]),
            ("/w/**/*.h", &["/w/a.h", "/w/a/b/c.h"], &["/w/a.c", "/a.h"]),
            ("/home/*/pub/**", &["/home/u/pub", "/home/u/pub/a/b"], &["/home/u", "/home/u/private", "/home/u/v/pub/a"]),
            ("/etc/ld.so.?ache", &["/etc/ld.so.cache"], &["/etc/ld.so./ache"]),
        ] {
            let policy = policy(&[rule]);
            for path in yes {
                assert!(policy.allows(path.as_bytes(), FileOperation::Read), "{rule} {path}");
            }
            for path in no {
                assert!(!policy.allows(path.as_bytes(), FileOperation::Read), "{rule} {path}");
            }
        }
    }

    #[test]
    fn what_may_be_used_and_what_leads_there_may_be_looked_at_and_nothing_else() {
        let policy = policy(&["/usr/lib/x/**", "/home/*/pub/f"]);
        for path in ["/", "/usr", "/usr/lib", "/usr/lib/x", "/usr/lib/x/y", "/home", "/home/u/pub/f"] {
            assert!(policy.allows(path.as_bytes(), FileOperation::Stat), "{path}");
        }
        for path in ["/usr/li", "/usr/lib64", "/etc", "/home/u"] {
            assert!(!policy.allows(path.as_bytes(), FileOperation::Stat), "{path}");
        }
        assert!(!policy.allows(b"/usr", FileOperation::Read));
        assert!(!policy.allows(b"/usr/lib/x/y", FileOperation::Write));
    }

    #[test]
    fn a_rule_counts_for_where_its_links_lead() {
        let rules = FileRules { read: vec!["/lib/**".into(), "/lib/*.so".into()], ..FileRules::default() };
        let canonical = |path: &[u8]| (path == b"/lib").then(|| b"/usr/lib".to_vec());
        let policy = Policy::new(&rules, canonical).unwrap();
        assert!(policy.allows(b"/usr/lib/a/b", FileOperation::Read));
        assert!(policy.allows(b"/lib/a", FileOperation::Read));
        assert!(!policy.allows(b"/usr/bin", FileOperation::Read));
    }

    #[test]
    fn bad_rules_are_named() {
        for rule in ["w/a", "", "/w/../etc", "/w/[a", "/a\0"] {
            let rules = FileRules { write: vec![rule.into()], ..FileRules::default() };
            let error = Policy::new(&rules, |_| None).unwrap_err();
            assert!(matches!(&error, Error::UseRule { rule: named, .. } if named == rule), "{rule}: {error}");
        }
    }

    /// fast-glob's time is bounded: a hostile path of the longest kind, many stars.
    #[test]
    fn a_hostile_path_costs_no_exponential_time() {
        let policy = policy(&["/**/a*a*a*a*a*a*a*a*b/**/*c*c*c*c*d"]);
        let path = [b"/".as_slice(), &b"a".repeat(2000), b"/", &b"c".repeat(2000)].concat();
        let start = std::time::Instant::now();
        assert!(!policy.allows(&path, FileOperation::Read));
        assert!(start.elapsed() < std::time::Duration::from_secs(1));
    }
}
