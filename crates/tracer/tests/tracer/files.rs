//! Each class of operations, and what happens to those that no rule allows.

use crate::support::{Scratch, act, policy};
use hotcell_protocol::OnViolation;
use hotcell_protocol::trace::TracedCalls;

/// What the program did, what came of it without rules for it, and what the complaint says. `%` is the scratch directory.
const OPERATIONS: &[(&[&str], &str)] = &[
    (&["open", "%/file", "r"], "read %/file"),
    (&["open", "%/file", "w"], "write %/file"),
    (&["open", "%/file", "rw"], "write %/file"),
    (&["open", "%/file", "t"], "write %/file"),
    (&["open", "%/new", "c"], "write %/new"),
    (&["open", "%/dir", "tmp"], "write %/dir"),
    (&["open", "%/dir", "dir"], "read %/dir"),
    (&["open", "%/file", "path"], "stat %/file"),
    (&["creat", "%/new2"], "write %/new2"),
    (&["stat", "%/file"], "stat %/file"),
    (&["lstat", "%/link"], "stat %/link"),
    (&["fstatat", "%/link"], "stat %/link"),
    (&["statx", "%/link"], "stat %/file"),
    (&["access", "%/file"], "stat %/file"),
    (&["faccessat2", "%/file"], "stat %/file"),
    (&["readlink", "%/link"], "stat %/link"),
    (&["statfs", "%/file"], "stat %/file"),
    (&["chdir", "%/dir"], "stat %/dir"),
    (&["getxattr", "%/file"], "stat %/file"),
    (&["setxattr", "%/file"], "write %/file"),
    (&["chmod", "%/file"], "write %/file"),
    (&["chown", "%/link"], "write %/file"),
    (&["lchown", "%/link"], "write %/link"),
    (&["truncate", "%/file"], "write %/file"),
    (&["utimensat", "%/file"], "write %/file"),
    (&["unlink", "%/link"], "write %/link"),
    (&["rmdir", "%/empty"], "write %/empty"),
    (&["mkdir", "%/made"], "write %/made"),
    (&["mknod", "%/fifo"], "write %/fifo"),
    (&["rename", "%/file", "%/other"], "write %/file"),
    (&["exchange", "%/file", "%/dir"], "write %/file"),
    (&["link", "%/file", "%/hard"], "stat %/file"),
    (&["symlink", "anything", "%/soft"], "write %/soft"),
    (&["execve", "%/program"], "execute %/program"),
];

fn scratch() -> Scratch {
    let scratch = Scratch::new();
    scratch.file("file", "content");
    scratch.file("dir/inside", "content");
    std::fs::create_dir(scratch.path("empty")).unwrap();
    std::os::unix::fs::symlink("file", scratch.path("link")).unwrap();
    let program = scratch.file("program", "#!/bin/sh\necho ran\n");
    std::fs::set_permissions(program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    scratch
}

fn words(words: &[&str], scratch: &Scratch) -> Vec<String> {
    let root = scratch.path("");
    words.iter().map(|word| word.replace('%', root.trim_end_matches('/'))).collect()
}

fn refs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn what_no_rule_allows_is_denied_and_reported() {
    let scratch = scratch();
    let all: Vec<String> = OPERATIONS.iter().flat_map(|(operation, _)| words(operation, &scratch)).collect();
    let outcome = act(&policy(OnViolation::Deny, &[]), &refs(&all));
    assert_eq!(outcome.exit_code(), Some(0));
    let complaints = outcome.complaints();
    for (((operation, expected), complaint), line) in OPERATIONS.iter().zip(&complaints).zip(outcome.output.lines()) {
        assert_eq!(*complaint, words(&[expected], &scratch)[0], "{operation:?}");
        assert_eq!(line, format!("{} EACCES", operation[0]));
    }
    assert_eq!(complaints.len(), OPERATIONS.len());
    assert_eq!(outcome.summary.violations, OPERATIONS.len() as u64);
    assert!(outcome.violations().iter().all(|violation| violation.response == OnViolation::Deny));
    // and none of it took place
    assert_eq!(std::fs::read(scratch.path("file")).unwrap(), b"content");
    let mut names: Vec<_> = std::fs::read_dir(scratch.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["dir", "empty", "file", "link", "program"]);
}

#[test]
fn what_is_only_logged_takes_place() {
    for (operation, expected) in OPERATIONS {
        let scratch = scratch();
        let outcome = act(&policy(OnViolation::Log, &[]), &refs(&words(operation, &scratch)));
        assert_eq!(outcome.complaints().first(), words(&[expected], &scratch).first(), "{operation:?}");
        let line = if operation[0] == "execve" { "ran" } else { &format!("{} 0", operation[0]) };
        // A file system without extended attributes has its own answer.
        let is_unsupported = operation[0].ends_with("xattr") && !outcome.output.contains("EACCES");
        assert!(outcome.output.trim() == line || is_unsupported, "{operation:?}: {}", outcome.output);
    }
}

#[test]
fn a_violation_can_end_the_run_before_anything_took_place() {
    for (operation, expected) in OPERATIONS {
        let scratch = scratch();
        let words_ = [words(operation, &scratch), vec!["open".into(), scratch.path("after"), "c".into()]].concat();
        let outcome = act(&policy(OnViolation::Kill, &[]), &refs(&words_));
        assert_eq!(outcome.signal(), Some(libc::SIGKILL), "{operation:?}");
        assert_eq!(outcome.complaints(), words(&[expected], &scratch), "{operation:?}");
        let fatal = outcome.summary.fatal.expect("what ended it");
        let complaint = format!("{} {}", fatal.operation.name(), String::from_utf8(fatal.path).unwrap());
        assert_eq!(complaint, words(&[expected], &scratch)[0]);
        assert_eq!(outcome.output, "");
    }
}

#[test]
fn what_rules_allow_takes_place_silently() {
    let scratch = scratch();
    let below = scratch.path("**");
    let rules = ["read", "write", "execute"].map(|operation| (operation, below.as_str()));
    let interpreter = [("execute", "/bin/sh"), ("read", "/dev/tty"), ("stat", "/**")];
    let all: Vec<String> = OPERATIONS.iter().flat_map(|(operation, _)| words(operation, &scratch)).collect();
    let outcome = act(&policy(OnViolation::Kill, &[&rules[..], &interpreter].concat()), &refs(&all));
    assert_eq!(outcome.complaints(), Vec::<String>::new());
    assert_eq!(outcome.exit_code(), Some(0));
    assert!(outcome.output.contains("ran\n"));
    assert!(!outcome.output.contains("EACCES"), "{}", outcome.output);
}

#[test]
fn what_is_not_there_is_no_violation_unless_it_would_be_made() {
    let scratch = scratch();
    let outcome = act(
        &policy(OnViolation::Kill, &[]),
        &["open", "/no/such/file", "r", "stat", &scratch.path("nothing"), "access", "/nothing", "fault", "long"],
    );
    assert_eq!(outcome.output, "open ENOENT\nstat ENOENT\naccess ENOENT\nfault EFAULT\nlong ENAMETOOLONG\n");
    assert_eq!(outcome.summary.violations, 0);
}

#[test]
fn a_file_gains_nothing_by_another_name() {
    let scratch = scratch();
    std::fs::create_dir(scratch.path("public")).unwrap();
    let (file, public) = (scratch.path("file"), scratch.path("public/**"));
    let rules = [("write", scratch.path("**")), ("read", public), ("stat", scratch.path("**"))];
    let rules: Vec<_> = rules.iter().map(|(operation, rule)| (*operation, rule.as_str())).collect();
    let (to, dir, dir_to) = (scratch.path("public/x"), scratch.path("dir"), scratch.path("public/dir"));
    let words =
        ["link", &file, &to, "rename", &file, &to, "rename", &dir, &dir_to, "rename", &file, &scratch.path("y")];
    let outcome = act(&policy(OnViolation::Deny, &rules), &words);
    assert_eq!(outcome.output, "link EACCES\nrename EACCES\nrename EACCES\nrename 0\n");
    assert_eq!(outcome.complaints(), [format!("read {file}"), format!("read {file}"), format!("read {dir}")]);
}

#[test]
fn a_descriptor_for_reading_is_no_way_to_change_a_file() {
    let scratch = scratch();
    let file = scratch.path("file");
    let rules = [("read", file.as_str())];
    let words =
        ["fchmod", &file, "futimens", &file, "openfd", &file, "w", "openfd", &file, "r", "opentask", &file, "w"];
    let outcome = act(&policy(OnViolation::Deny, &rules), &words);
    assert_eq!(outcome.output, "fchmod EACCES\nfutimens EACCES\nopenfd EACCES\nopenfd 0\nopentask EACCES\n");
    assert!(outcome.complaints().iter().all(|complaint| *complaint == format!("write {file}")));
}

#[test]
fn the_interpreter_of_a_script_needs_a_rule_as_the_script_does() {
    let scratch = scratch();
    let program = scratch.path("program");
    let rules = [("execute", program.as_str()), ("stat", "/**"), ("read", &program)];
    let outcome = act(&policy(OnViolation::Deny, &rules), &["execve", &program, "stat", "/"]);
    let shell = std::fs::canonicalize("/bin/sh").unwrap();
    assert_eq!(outcome.complaints(), [format!("execute {}", shell.display())]);
    assert_eq!(outcome.output, "stat 0\n");
    // by a descriptor, too
    let binary = std::fs::canonicalize("/bin/true").unwrap();
    let binary = binary.to_str().unwrap();
    let outcome = act(&policy(OnViolation::Deny, &[("read", binary)]), &["fexecve", binary]);
    assert_eq!(outcome.complaints(), [format!("execute {binary}")]);
    assert_eq!(outcome.output, "fexecve EACCES\n");
}

#[test]
fn denied_calls_are_traced_with_the_errno_that_the_program_got() {
    let scratch = scratch();
    let config = hotcell_protocol::TraceConfig { calls: TracedCalls::All, ..policy(OnViolation::Deny, &[]) };
    let outcome = act(&config, &["open", &scratch.path("file"), "r"]);
    let calls = outcome.calls();
    let denied: Vec<_> = calls
        .iter()
        .filter(|call| call.result == hotcell_protocol::trace::CallResult::Error(libc::EACCES as u16))
        .collect();
    assert_eq!(denied.len(), 1);
    assert_eq!(hotcell_tracer::calls::name(denied[0].call), Some("openat"));
}
