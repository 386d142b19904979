//! Paths mean to the supervisor what they mean to the program: each of these leads to the one file that no rule allows, or to one that is allowed.

use crate::support::{Scratch, act, policy};
use hotcell_protocol::OnViolation;
use std::os::unix::fs::symlink;

/// `hidden/secret` is what nobody may read, `open/` what everybody may.
fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.file("hidden/secret", "secret");
    scratch.file("open/file", "open");
    scratch.file("open/sub/file", "open");
    for (target, link) in [
        ("../hidden/secret", "open/relative"),
        ("../hidden", "open/directory"),
        ("relative", "open/twice"),
        ("loop", "open/loop"),
        ("../hidden/absent", "open/dangling"),
        ("../open/file", "hidden/back"),
        ("/proc/self/cwd", "open/magic"),
    ] {
        symlink(target, scratch.path(link)).unwrap();
    }
    symlink(scratch.path("hidden/secret"), scratch.path("open/absolute")).unwrap();
    scratch
}

fn check(words: &[&str], output: &str, complaints: &[String]) {
    let scratch = scratch();
    let root = scratch.path("");
    let root = root.trim_end_matches('/');
    let below = scratch.path("open/**");
    let rules = [("read", below.as_str()), ("write", &below), ("stat", "/**"), ("read", "/proc/**")];
    let words: Vec<String> = words.iter().map(|word| word.replace('%', root)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = act(&policy(OnViolation::Deny, &rules), &words);
    assert_eq!(outcome.output, output, "{words:?}: {:?}", outcome.complaints());
    let complaints: Vec<String> = complaints.iter().map(|complaint| complaint.replace('%', root)).collect();
    assert_eq!(outcome.complaints(), complaints, "{words:?}");
}

fn denied(words: &[&str]) {
    let open = words.iter().rfind(|word| word.starts_with("open")).unwrap();
    let before = words.iter().filter(|word| **word == "chdir").map(|_| "chdir 0\n").collect::<String>();
    check(words, &format!("{before}{open} EACCES\n"), &["read %/hidden/secret".into()]);
}

#[test]
fn links_are_followed() {
    for name in ["relative", "directory/secret", "twice", "absolute", "sub/../relative", "./relative", "sub/..//twice"]
    {
        denied(&["open", &format!("%/open/{name}"), "r"]);
    }
}

#[test]
fn relative_paths_start_where_the_program_is() {
    denied(&["chdir", "%/open", "open", "relative", "r"]);
    denied(&["chdir", "%/open/sub", "open", "../../hidden/secret", "r"]);
    denied(&["chdir", "%/hidden", "open", "secret", "r"]);
    denied(&["chdir", "%/hidden", "open", "./secret", "r"]);
    denied(&["chdir", "%/hidden", "open", "../hidden/../hidden/secret", "r"]);
    denied(&["openat", "%/hidden", "secret", "r"]);
    denied(&["openat", "%/open/sub", "../relative", "r"]);
    denied(&["openat", "/", "%/hidden/secret", "r"]);
    check(&["chdir", "%/hidden", "open", "back", "r"], "chdir 0\nopen 0\n", &[]);
}

#[test]
fn dots_do_not_lead_out_of_the_root() {
    let up = "/..".repeat(30);
    denied(&["open", &format!("{up}%/hidden/secret"), "r"]);
    check(&["open", &format!("{up}%/open/file"), "r"], "open 0\n", &[]);
}

#[test]
fn proc_self_is_the_program_and_not_the_supervisor() {
    denied(&["chdir", "%/hidden", "open", "/proc/self/cwd/secret", "r"]);
    denied(&["chdir", "%/hidden", "open", "/proc/thread-self/cwd/secret", "r"]);
    denied(&["chdir", "%/hidden", "open", "%/open/magic/secret", "r"]);
    denied(&["open", "/proc/self/root%/hidden/secret", "r"]);
    denied(&["open", "/proc/self/root/proc/self/root%/open/relative", "r"]);
    check(&["chdir", "%/open", "open", "/proc/self/cwd/file", "r"], "chdir 0\nopen 0\n", &[]);
    check(
        &["open", "/proc/self/status", "r", "open", "/proc/self/exe", "r"],
        "open 0\nopen EACCES\n",
        &[format!("read {}", crate::support::program().canonicalize().unwrap().display())],
    );
    let outcome = act(
        &policy(OnViolation::Deny, &[("read", "/proc/self/status")]),
        &["open", "/proc/self/status", "r", "open", "/proc/self/maps", "r", "open", "/proc/1/status", "r"],
    );
    assert_eq!(outcome.output, "open 0\nopen EACCES\nopen EACCES\n");
    assert_eq!(outcome.complaints(), ["read /proc/self/maps", "read /proc/1/status"]);
    // a pipe is no file of any rule's
    check(&["openpipe"], "openpipe 0\n", &[]);
}

#[test]
fn links_at_the_end_are_followed_only_by_calls_that_do() {
    check(&["lstat", "%/open/relative", "readlink", "%/open/relative"], "lstat 0\nreadlink 0\n", &[]);
    check(&["open", "%/open/relative", "rn"], "open ELOOP\n", &[]);
    check(&["unlink", "%/open/relative"], "unlink 0\n", &[]);
    // A slash behind makes it followed, except by calls that are about the name.
    check(&["open", "%/open/directory/", "rn"], "open EACCES\n", &["read %/hidden".into()]);
    check(&["rmdir", "%/open/directory/"], "rmdir ENOTDIR\n", &[]);
    check(&["open", "%/open/loop", "r"], "open ELOOP\n", &[]);
    check(&["open", "%/open/dangling", "c"], "open EACCES\n", &["write %/hidden/absent".into()]);
    check(&["open", "%/open/file/x", "r"], "open ENOTDIR\n", &[]);
    check(&["open", "%/open/sub/", "r", "mkdir", "%/open/made/"], "open 0\nmkdir 0\n", &[]);
}

#[test]
fn openat2_restricts_what_the_path_leads_to() {
    // RESOLVE_IN_ROOT, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS
    let (in_root, beneath, no_symlinks) = ("10", "8", "4");
    denied(&["openat2", "%/open", "relative", "0"]);
    denied(&["openat2", "%/hidden", "/secret", in_root]);
    denied(&["openat2", "%/hidden", "/../secret", in_root]);
    check(&["openat2", "%/open", "/sub/../file", in_root], "openat2 0\n", &[]);
    check(&["openat2", "%/open", "/absent", in_root], "openat2 ENOENT\n", &[]);
    check(&["openat2", "%/open", "relative", beneath], "openat2 EXDEV\n", &[]);
    check(&["openat2", "%/open", "relative", no_symlinks], "openat2 ELOOP\n", &[]);
    check(&["openat2", "%/open", "file", no_symlinks], "openat2 0\n", &[]);
}

#[test]
fn another_root_is_the_programs_own() {
    if !crate::support::is_root("another_root_is_the_programs_own") {
        return;
    }
    let words = ["chroot", "%/open", "chdir", "/", "open", "/../../file", "r", "open", "/sub/file", "r"];
    check(&words, "chroot 0\nchdir 0\nopen 0\nopen 0\n", &[]);
    let words = ["chroot", "%/hidden", "chdir", "/", "open", "/secret", "r"];
    check(&words, "chroot 0\nchdir 0\nopen EACCES\n", &["read %/hidden/secret".into()]);
}

#[test]
fn a_rule_counts_for_where_its_links_lead_unless_the_program_may_have_made_them() {
    if !crate::support::is_root("a_rule_counts_for_where_its_links_lead_unless_the_program_may_have_made_them") {
        return;
    }
    let scratch = scratch();
    let (through, secret) = (scratch.path("open/directory/**"), scratch.path("hidden/secret"));
    let config = policy(OnViolation::Deny, &[("read", &through)]);
    assert_eq!(act(&config, &["open", &secret, "r"]).output, "open 0\n");
    // The same link, of the user that the programs run as.
    std::os::unix::fs::lchown(scratch.path("open/directory"), Some(12345), None).unwrap();
    let config = hotcell_protocol::TraceConfig { program_uid: 12345, ..config };
    assert_eq!(act(&config, &["open", &secret, "r"]).output, "open EACCES\n");
}
