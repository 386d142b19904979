//! The built-in profiles, call by call, as they are checked in: a change of a profile is a change of these files, to be looked at.
//!
//! `HOTCELL_UPDATE_GOLDEN=1 cargo test -p hotcell-seccomp golden` writes them anew.

use hotcell_seccomp::syscalls::{self, Abi};
use hotcell_seccomp::{Policy, Profile, Settings};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

/// What the rules for a name say, most restrictive first.
fn says(policy: &Policy, name: &str) -> String {
    let mut rules: Vec<_> = policy.rules.iter().filter(|rule| rule.syscalls.iter().any(|own| own == name)).collect();
    rules.sort_by_key(|rule| (rule.action.precedence(), rule.conditions.is_empty()));
    let always = rules.iter().any(|rule| rule.conditions.is_empty());
    let mut text = Vec::new();
    for rule in rules {
        let conditions: Vec<String> = rule.conditions.iter().map(ToString::to_string).collect();
        let condition = if conditions.is_empty() { String::new() } else { format!(" if {}", conditions.join(" and ")) };
        text.push(format!("{}{condition}", rule.action));
    }
    if !always {
        text.push(policy.default_action.to_string());
    }
    text.join(", else ")
}

fn describe(policy: &Policy) -> String {
    let names: BTreeSet<&str> =
        [Abi::X86_64, Abi::Aarch64].into_iter().flat_map(syscalls::all).map(|(_, name)| name).collect();
    let mut by_answer: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in names {
        by_answer.entry(says(policy, name)).or_default().push(name);
    }
    let mut text = format!("without a name: {:?}\n", policy.unknown);
    for (answer, names) in by_answer {
        write!(text, "\n{answer}\n").expect("a string");
        let mut line = String::new();
        for name in names {
            if line.len() + name.len() > 118 {
                writeln!(text, "   {line}").expect("a string");
                line.clear();
            }
            line.push(' ');
            line.push_str(name);
        }
        writeln!(text, "   {line}").expect("a string");
    }
    text
}

#[test]
fn golden_profiles_are_what_is_checked_in() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seccomp/golden");
    for profile in Profile::ALL {
        let Some(policy) = profile.policy(&Settings::default()) else { continue };
        let path = directory.join(format!("{}.txt", profile.name()));
        let now = describe(&policy);
        if std::env::var_os("HOTCELL_UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(&directory).expect("the source tree");
            std::fs::write(&path, &now).expect("the source tree");
        }
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(now, before, "{} differs; see how to write it anew on top of golden.rs", path.display());
    }
}
