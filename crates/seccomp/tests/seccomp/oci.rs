//! Profiles as JSON: Docker's and Podman's as they are, and whatever can be wrong with one.

use crate::meaning::meaning;
use hotcell_seccomp::bpf::{Data, interpret};
use hotcell_seccomp::oci::{Context, KernelVersion, Names, parse, to_oci_json};
use hotcell_seccomp::syscalls::{self, Abi, Arch};
use hotcell_seccomp::{Action, Condition, Options, Policy, Unknown, compile};
use proptest::prelude::*;

pub const MOBY: &str = include_str!("fixtures/moby.json");
pub const CONTAINERS: &str = include_str!("fixtures/containers-common.json");

/// A bit of everything.
const RULES: &str = r#"{"comment": "", "defaultAction": "SCMP_ACT_TRACE", "defaultErrnoRet": 7, "architectures": ["SCMP_ARCH_X86"],
    "flags": ["SECCOMP_FILTER_FLAG_LOG"], "unknownAction": "SCMP_ACT_ERRNO", "unknownErrnoRet": 38, "listenerPath": "",
    "syscalls": [{"names": ["read"], "action": "SCMP_ACT_LOG", "includes": {"minKernel": "4.8", "arches": ["amd64"]}},
        {"name": "ioctl", "action": "SCMP_ACT_KILL", "match": "all", "args": [{"index": 1, "value": "0xff", "valueTwo": 5, "op": "SCMP_CMP_MASKED_EQ"},
        {"index": 1, "value": 9, "op": "SCMP_CMP_LT"}]}]}"#;

fn context(arch: Arch) -> Context {
    Context::new(arch, KernelVersion { major: 6, minor: 18 })
}

fn read(json: &str) -> Policy {
    parse(json, Some("a.json"), &context(Arch::X86_64)).expect("a good profile")
}

fn refused(json: &str) -> String {
    parse(json, Some("a.json"), &context(Arch::X86_64)).expect_err("a bad profile").to_string()
}

/// The answer to a native call.
fn answer(policy: &Policy, arch: Arch, name: &str, args: [u64; 6]) -> Action {
    let program = compile(policy, arch, &Options::default()).expect("it compiles");
    let nr = syscalls::number(arch.abi(), name).expect("a name");
    let data = Data { nr, arch: arch.abi().audit_arch(), instruction_pointer: 0, args };
    Action::from_ret(interpret(program.instructions(), &data).expect("it ends")).expect("an answer")
}

#[test]
fn dockers_profile_works_as_it_is() {
    for arch in [Arch::X86_64, Arch::Aarch64] {
        let policy = parse(MOBY, Some("moby.json"), &context(arch)).expect("moby's profile");
        assert_eq!(policy.default_action, Action::Errno(1));
        assert_eq!(policy.foreign, arch.foreign_abis());
        let says = |name, args| answer(&policy, arch, name, args);
        assert_eq!(says("read", [0; 6]), Action::Allow);
        assert_eq!(says("clone3", [0; 6]), Action::Errno(38));
        assert_eq!(says("mount", [0; 6]), Action::Errno(1));
        assert_eq!(says("clone", [0x11, 0, 0, 0, 0, 0]), Action::Allow);
        assert_eq!(says("clone", [0x1000_0000, 0, 0, 0, 0, 0]), Action::Errno(1));
        // AF_ALG, AF_VSOCK
        assert_eq!(says("socket", [2, 0, 0, 0, 0, 0]), Action::Allow);
        assert_eq!(says("socket", [38, 0, 0, 0, 0, 0]), Action::Errno(1));
        assert_eq!(says("socket", [40, 0, 0, 0, 0, 0]), Action::Errno(1));
        // minKernel 4.8
        assert_eq!(says("ptrace", [0; 6]), Action::Allow);
        // runc: newer than all that is named
        assert_eq!(says("file_setattr", [0; 6]), Action::Errno(38));
        let count = compile(&policy, arch, &Options::default()).expect("it compiles").len();
        eprintln!("moby on {arch}: {count} instructions");
        assert!(count < 600, "{count}");
    }
    let old = Context { kernel: KernelVersion { major: 4, minor: 7 }, ..context(Arch::X86_64) };
    let policy = parse(MOBY, None, &old).expect("moby's profile");
    assert_eq!(answer(&policy, Arch::X86_64, "ptrace", [0; 6]), Action::Errno(1));
    let admin = Context { capabilities: ["CAP_SYS_ADMIN".to_owned()].into(), ..context(Arch::X86_64) };
    let policy = parse(MOBY, None, &admin).expect("moby's profile");
    assert_eq!(answer(&policy, Arch::X86_64, "mount", [0; 6]), Action::Allow);
    assert_eq!(answer(&policy, Arch::X86_64, "clone3", [0; 6]), Action::Allow);
}

#[test]
fn podmans_profile_works_as_it_is() {
    for arch in [Arch::X86_64, Arch::Aarch64] {
        let policy = parse(CONTAINERS, Some("seccomp.json"), &context(arch)).expect("Podman's profile");
        let says = |name, args| answer(&policy, arch, name, args);
        assert_eq!(policy.default_action, Action::Errno(38));
        assert_eq!(says("read", [0; 6]), Action::Allow);
        // by name: "errno": "EPERM"
        assert_eq!(says("bpf", [0; 6]), Action::Errno(1));
        // AF_NETLINK with NETLINK_AUDIT
        assert_eq!(says("socket", [16, 3, 9, 0, 0, 0]), Action::Errno(22));
        assert_eq!(says("socket", [16, 3, 0, 0, 0, 0]), Action::Allow);
        assert_eq!(says("file_setattr", [0; 6]), Action::Errno(38));
    }
}

#[test]
fn foreign_abis_are_admitted_if_a_profile_lists_them_and_killed_otherwise() {
    let policy = read(MOBY);
    let program = compile(&policy, Arch::X86_64, &Options::default()).expect("it compiles");
    let alone = Policy { foreign: Vec::new(), ..policy.clone() };
    let strict = compile(&alone, Arch::X86_64, &Options::default()).expect("it compiles");
    for abi in [Abi::X86, Abi::X32] {
        let nr = syscalls::number(abi, "getpid").expect("a name");
        let data = Data { nr, arch: abi.audit_arch(), ..Data::default() };
        assert_eq!(interpret(program.instructions(), &data), Ok(Action::Allow.to_ret()));
        assert_eq!(interpret(strict.instructions(), &data), Ok(Action::KillProcess.to_ret()));
        assert_eq!(meaning(&alone, Arch::X86_64, &Options::default(), &data), Action::KillProcess.to_ret());
    }
}

#[test]
fn what_is_written_is_read_again() {
    let docker = read(MOBY);
    let podman = read(CONTAINERS);
    let mut own = Policy::new(Action::Trace(5))
        .with(Action::Allow, &["read", "write"])
        .with_if(Action::Errno(13), &["ioctl"], &[Condition::low_word(1, 0x5412)])
        .with_if(Action::KillThread, &["socket"], &[Condition::not_equal(0, 1), Condition::not_equal(0, u64::MAX)]);
    own.unknown = Unknown::Unnamed(Action::Errno(38));
    own.foreign = vec![Abi::X86];
    own.flags.log = true;
    for policy in [docker, podman, own] {
        let json = to_oci_json(&policy, Arch::X86_64);
        assert_eq!(read(&json), policy, "{json}");
    }
}

#[test]
fn conditions_on_one_argument_are_alternatives_unless_it_is_said_that_all_have_to_hold() {
    let profile = |extra: &str| {
        format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{"names": ["ioctl"], "action": "SCMP_ACT_ALLOW", {extra}
            "args": [{{"index": 1, "value": 5, "op": "SCMP_CMP_GE"}}, {{"index": 1, "value": "0x8", "op": "SCMP_CMP_LE"}}]}}]}}"#
        )
    };
    let says = |policy: &Policy, value| answer(policy, Arch::X86_64, "ioctl", [0, value, 0, 0, 0, 0]);
    let runcs = read(&profile(""));
    assert_eq!(runcs.rules.len(), 2);
    assert_eq!(says(&runcs, 9), Action::Allow);
    let all = read(&profile(r#""match": "all","#));
    assert_eq!(
        [4, 5, 8, 9].map(|value| says(&all, value)),
        [Action::Errno(1), Action::Allow, Action::Allow, Action::Errno(1)]
    );
}

#[test]
fn mistakes_are_told_with_file_rule_and_field() {
    let rule = |rule: &str| {
        format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{"names": ["read"], "action": "SCMP_ACT_ALLOW"}}, {rule}]}}"#
        )
    };
    let cases = [
        ("{", "a.json: the document: EOF while parsing an object (line 1, column 1)"),
        ("{}", "a.json: the document: missing field `defaultAction` (line 1, column 2)"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW"} x"#, "a.json: the document: trailing characters (line 1, column 37)"),
        (
            r#"{"defaultAction": 3}"#,
            "a.json: defaultAction: invalid type: integer `3`, expected a string (line 1, column 19)",
        ),
        (
            r#"{"defaultAction": "ALLOW"}"#,
            "a.json: defaultAction: \"ALLOW\" is not an action; expected one of SCMP_ACT_KILL, ",
        ),
        (r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#, "a.json: defaultAction: SCMP_ACT_NOTIFY cannot be the default"),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "sycalls": []}"#,
            "a.json: sycalls: unknown field `sycalls`, expected one of",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x"}"#,
            "a.json: listenerPath: hotcell hands notifications to no agent",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["X"]}"#,
            "a.json: flags[0]: \"X\" is not a flag; expected one of SECCOMP_FILTER_FLAG_TSYNC",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["X86"]}"#,
            "a.json: architectures[0]: \"X86\" is not an architecture",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 3}"#,
            "a.json: defaultErrnoRet: SCMP_ACT_ALLOW takes no number",
        ),
        (
            &rule(r#"{"names": ["opeat"], "action": "SCMP_ACT_ALLOW"}"#),
            "a.json: syscalls[1].names[0]: there is no system call \"opeat\" on any architecture; did you mean \"openat\"?",
        ),
        (&rule(r#"{"names": ["write"], "action": "ALLOW"}"#), "a.json: syscalls[1].action: \"ALLOW\" is not an action"),
        (
            &rule(
                r#"{"names": ["write"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}"#,
            ),
            "a.json: syscalls[1].args[0].index: there is no argument 6; system calls have six, 0 to 5",
        ),
        (
            &rule(
                r#"{"names": ["write"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]}"#,
            ),
            "a.json: syscalls[1].args[0].value: invalid type: integer `-1`, expected an integer from 0 to 18446744073709551615",
        ),
        (
            &rule(
                r#"{"names": ["write"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "EQ"}]}"#,
            ),
            "a.json: syscalls[1].args[0].op: \"EQ\" is not an operator; expected one of SCMP_CMP_NE",
        ),
        (
            &rule(
                r#"{"names": ["write"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}]}"#,
            ),
            "a.json: syscalls[1].args[0].valueTwo: 0x2 has bits outside of the mask 0x1, so nothing could ever match",
        ),
        (
            &rule(r#"{"names": ["write"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096}"#),
            "a.json: syscalls[1].errnoRet: 4096 is not a number that can be returned; expected 0 to 4095",
        ),
        (
            &rule(r#"{"names": ["write"], "action": "SCMP_ACT_ERRNO", "errno": "EWHAT"}"#),
            "a.json: syscalls[1].errno: \"EWHAT\" is not an error number",
        ),
        (&rule(r#"{"names": [], "action": "SCMP_ACT_ALLOW"}"#), "a.json: syscalls[1].names: names no system call"),
        (
            &rule(r#"{"names": ["write"], "name": "read", "action": "SCMP_ACT_ALLOW"}"#),
            "a.json: syscalls[1]: name and names exclude each other",
        ),
        (
            &rule(r#"{"names": ["write"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6"}}"#),
            "a.json: syscalls[1].includes.minKernel: \"6\" is not a kernel version; expected one of <major>.<minor>",
        ),
        (
            &rule(r#"{"names": ["read"], "action": "SCMP_ACT_KILL", "includes": {}, "excludes": {"caps": []}}"#),
            "a.json: syscalls[0] and syscalls[1] contradict each other on read",
        ),
        (
            &rule(r#"{"names": ["write", "read"], "action": "SCMP_ACT_KILL"}"#),
            "a.json: syscalls[0] and syscalls[1] contradict each other on read: SCMP_ACT_ALLOW, SCMP_ACT_KILL_THREAD",
        ),
    ];
    for (json, message) in cases {
        let told = refused(json);
        assert!(told.starts_with(message), "{told}\nshould start with\n{message}");
    }
}

#[test]
fn names_that_exist_nowhere_can_be_skipped_as_runc_does() {
    let json = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["from_the_future", "read"], "action": "SCMP_ACT_ALLOW"}]}"#;
    let context = Context { names: Names::SkipUnknown, ..context(Arch::X86_64) };
    let policy = parse(json, None, &context).expect("a profile of the future");
    assert_eq!(policy.rules[0].syscalls, ["read"]);
}

#[test]
fn a_policy_over_the_kernels_limit_is_refused() {
    let mut policy = Policy::new(Action::Errno(1));
    for value in 0..1400 {
        policy = policy.with_if(Action::Allow, &["ioctl"], &[Condition::masked(1, 0xff00 | value, value)]);
    }
    let error = compile(&policy, Arch::X86_64, &Options::default()).expect_err("too long");
    assert!(error.to_string().contains("more than the 4096 that the kernel allows"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A profile with something cut out, doubled or overwritten is read or refused, and never a panic; what is read can be compiled and written.
    #[test]
    fn broken_profiles_are_refused_in_good_order(
        whole in proptest::sample::select(vec![MOBY, CONTAINERS, RULES]),
        at in any::<prop::sample::Index>(),
        length in 0_usize..40,
        with in prop_oneof![Just(""), Just("\""), Just("{"), Just("]"), Just("null"), Just("-1"), Just("18446744073709551616"), Just("\"\""), Just("\u{0}")],
    ) {
        let start = at.index(whole.len());
        let end = (start + length).min(whole.len());
        let json = format!("{}{with}{}", &whole[..start], &whole[end..]);
        for arch in [Arch::X86_64, Arch::Aarch64] {
            match parse(&json, Some("a.json"), &context(arch)) {
                Ok(policy) => {
                    prop_assert!(compile(&policy, arch, &Options::default()).is_ok());
                    prop_assert_eq!(parse(&to_oci_json(&policy, arch), None, &context(arch)).map_err(|error| error.to_string()), Ok(policy));
                }
                Err(error) => prop_assert!(error.to_string().starts_with("a.json: "), "{}", error),
            }
        }
    }
}
