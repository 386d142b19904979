//! Filters that are inherited; `crates/seccomp` tests what they say.

use crate::support::{container, exit_code, sh};
use hotcell_host::policy::Profile;
use hotcell_host::protocol::Verdict;
use hotcell_host::{Limits, Program, Seccomp, call_name};

fn with<'a>(args: &'a [u8], seccomp: &Seccomp) -> Program<'a> {
    Program { seccomp: Some(seccomp.clone()), ..Program::new(args) }
}

#[test]
fn programs_are_filtered_from_birth_unless_they_ask_for_something_else() {
    let Some(container) = container() else { return };
    let seccomp = |seccomp: Option<Profile>| {
        let seccomp = seccomp.map(|profile| Seccomp::profile(profile).unwrap());
        let program = Program { seccomp, ..Program::new(b"grep\0-h\0^Seccomp:\0/proc/self/status\0") };
        let output = container.run(program, &[], 1000).unwrap();
        String::from_utf8(output.stdout).unwrap().trim().replace(char::is_whitespace, "")
    };
    for _ in 0..3 {
        assert_eq!(seccomp(None), "Seccomp:2");
        assert_eq!(seccomp(Some(Profile::Off)), "Seccomp:0");
    }
    // Also in a group.
    let limits = Limits { processes: Some(8), ..Limits::default() };
    let program = Program { limits, ..Program::new(b"grep\0-q\0^Seccomp:.2\0/proc/self/status\0") };
    assert_eq!(exit_code(&container.execve(program, &[]).unwrap()), 0);
}

#[test]
fn a_call_that_kills_is_named() {
    let Some(container) = container() else { return };
    let json =
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["uname"], "action": "SCMP_ACT_KILL_PROCESS"}]}"#;
    let policy = Seccomp::from_json(json, None).unwrap();
    for _ in 0..3 {
        let outcome = container.execve(with(b"uname\0", &policy), &[]).unwrap();
        assert_eq!(outcome.verdict, Verdict::DisallowedSyscall);
        assert_eq!(call_name(&outcome.disallowed.unwrap()), "uname");
        // By a child, whose end the main process would not care for.
        let outcome = container.execve(with(b"sh\0-c\0uname & sleep 100\0", &policy), &[]).unwrap();
        assert_eq!(call_name(&outcome.disallowed.unwrap()), "uname");
    }
    assert_eq!(exit_code(&sh(&container, "uname >/dev/null")), 0);
}

#[test]
fn a_policy_that_denies_everything_lets_the_program_be_executed() {
    let Some(container) = container() else { return };
    let json = r#"{"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": []}"#;
    let policy = Seccomp::from_json(json, None).unwrap();
    for _ in 0..3 {
        let outcome = container.execve(with(b"true\0", &policy), &[]).unwrap();
        assert_eq!((outcome.verdict, outcome.disallowed.is_some()), (Verdict::DisallowedSyscall, true));
        let limits = Limits { memory_bytes: Some(64 << 20), ..Limits::default() };
        let outcome = container.execve(Program { limits, ..with(b"true\0", &policy) }, &[]).unwrap();
        assert_eq!(outcome.verdict, Verdict::DisallowedSyscall);
    }
    let denied = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}"#;
    let outcome = container.execve(with(b"true\0", &Seccomp::from_json(denied, None).unwrap()), &[]).unwrap();
    assert!(matches!(outcome.verdict, Verdict::Exited(127) | Verdict::Signaled(_)), "{outcome:?}");
    container.reset().unwrap();
    assert_eq!(exit_code(&sh(&container, "exit 3")), 3);
}

#[test]
fn overlapping_runs_are_judged_apart() {
    let Some(container) = container() else { return };
    let strict = Seccomp::profile(Profile::Judge).unwrap();
    let (master, sink) = (container.master(), container.sink());
    let fine: Vec<_> = (0..8).map(|_| master.execve(Program::new(b"sleep\x000.2\0"), &[], sink)).collect();
    let forks: Vec<_> = (0..8).map(|_| master.execve(with(b"sh\0-c\0sleep 9; true\0", &strict), &[], sink)).collect();
    for id in forks {
        let outcome = container.ended(id).unwrap();
        assert_eq!(outcome.verdict, Verdict::DisallowedSyscall, "{outcome:?}");
    }
    for id in fine {
        assert_eq!(container.ended(id).unwrap().verdict, Verdict::Exited(0));
    }
}

#[test]
fn more_policies_than_are_kept() {
    let Some(container) = container() else { return };
    for errno in 1..=40 {
        let json = format!(
            r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{{"names": ["uname"], "action": "SCMP_ACT_ERRNO", "errnoRet": {errno}}}]}}"#
        );
        let policy = Seccomp::from_json(&json, None).unwrap();
        let outcome = container.execve(with(b"uname\0", &policy), &[]).unwrap();
        assert_eq!(outcome.verdict, Verdict::Exited(1));
    }
    assert_eq!(exit_code(&sh(&container, "uname >/dev/null")), 0);
}
