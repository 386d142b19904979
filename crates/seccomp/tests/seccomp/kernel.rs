//! The kernel's own interpreter, asked the same questions as ours.

use crate::conditions::condition;
use crate::support::{Ended, Filter, Shared, TOKEN, call, errno, here, nr, pass, program, under, wait_for_death};
use hotcell_seccomp::bpf::{Data, interpret};
use hotcell_seccomp::{Action, Condition, Options, Pass, Policy, Profile, Rule, Settings, compile};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// Calls that take no arguments, so that any can be given, and that do nothing.
const HARMLESS: &[&str] = &["getpid", "getppid", "getuid", "geteuid", "getgid", "getegid", "gettid", "sched_yield"];

fn word() -> impl Strategy<Value = u64> + Clone {
    let edges = vec![0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000, 1 << 63, u64::MAX - 1, u64::MAX];
    prop_oneof![4 => proptest::sample::select(edges), 1 => any::<u64>()]
}

fn rule() -> impl Strategy<Value = Rule> {
    let names = proptest::collection::vec(proptest::sample::select(HARMLESS).prop_map(str::to_owned), 1..4);
    // Under these conditions an answer is a number; deaths have a test of their own.
    let action = prop_oneof![
        1 => (1_u16..4000).prop_map(Action::Errno),
        1 => Just(Action::Trace(1)),
        1 => Just(Action::Notify),
        2 => Just(Action::Allow)
    ];
    (names, action, proptest::collection::vec(condition(word()), 1..3))
        .prop_map(|(syscalls, action, conditions)| Rule { syscalls, action, conditions })
}

#[test]
fn the_kernel_answers_as_the_interpreter_does() {
    let arguments = proptest::collection::vec(proptest::array::uniform6(word()), 40);
    let default = prop_oneof![Just(Action::Allow), (1_u16..4000).prop_map(Action::Errno)];
    let cases = (default, proptest::collection::vec(rule(), 1..10), arguments);
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() });
    let result = runner.run(&cases, |(default, rules, arguments)| {
        let mut policy = Policy { rules, ..Policy::new(default) };
        while let Err(hotcell_seccomp::Error::CombineRules { rules, .. }) = policy.check() {
            policy.rules.remove(rules[1].index);
        }
        // sched_yield is the calls' only effect on others; the highest name keeps the rest below "newer than the rules".
        policy.rules.push(Rule {
            syscalls: vec!["gettid".into(), "mseal".into()],
            action: Action::Errno(3999),
            conditions: vec![Condition::equal(0, 77)],
        });
        prop_assume!(policy.check().is_ok());
        let program = compile(&policy, here(), &Options::default()).expect("it compiles");
        let numbers: Vec<u32> = HARMLESS.iter().map(|name| nr(name)).collect();
        let shared = Shared::new(2 + 2 * numbers.len() * arguments.len());
        let filter = Filter::new(program.clone());
        // SAFETY: raw calls only, and killed in the end.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let mut index = 2;
            for number in &numbers {
                // Real answers first, for comparison.
                shared.store(index, call(*number, [0; 6]));
                index += 1;
            }
            let installed = filter.install().is_ok();
            for number in &numbers {
                for args in &arguments {
                    shared.store(index, call(*number, *args));
                    index += 1;
                }
            }
            shared.store(1, if installed { 0 } else { i64::MIN });
            shared.store(0, 1);
            wait_for_death();
        }
        prop_assert_eq!(shared.reap(child, 0), Ended::Returned(0));
        let mut index = 2 + numbers.len();
        for (position, number) in numbers.iter().enumerate() {
            for args in &arguments {
                let data = Data { nr: *number, arch: here().abi().audit_arch(), instruction_pointer: 0, args: *args };
                let answer = interpret(program.instructions(), &data).expect("it ends");
                let expected = match Action::from_ret(answer) {
                    Some(Action::Allow) => shared.load(2 + position),
                    Some(Action::Errno(number)) => -i64::from(number),
                    // Nobody traces or listens.
                    Some(Action::Trace(_) | Action::Notify) => -i64::from(libc::ENOSYS),
                    other => panic!("{other:?}"),
                };
                prop_assert_eq!(shared.load(index), expected, "{:x?} of {:#?}", data, policy);
                index += 1;
            }
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn killing_kills() {
    for action in [Action::KillProcess, Action::KillThread, Action::Trap] {
        let policy = Policy::new(Action::Allow).with_if(action, &["getpid"], &[Condition::equal(5, 1 << 63)]);
        let filter = Filter::new(program(&policy, &Options::default()));
        assert_eq!(under(filter, || call(nr("getpid"), [0, 0, 0, 0, 0, 1 << 63])), Ended::Killed(libc::SIGSYS));
        assert!(matches!(under(filter, || call(nr("getpid"), [0; 6])), Ended::Returned(pid) if pid > 0));
    }
}

#[test]
fn a_kill_as_notification_is_not_made_even_if_nobody_listens() {
    let policy = Policy::new(Action::Allow).with(Action::KillProcess, &["getpid"]);
    let options = Options { kill: hotcell_seccomp::KillAs::Notification, ..Options::default() };
    let filter = Filter::new(program(&policy, &options));
    assert_eq!(under(filter, || call(nr("getpid"), [0; 6])), errno(libc::ENOSYS));
}

#[test]
fn the_kernel_ignores_the_registers_of_the_token() {
    let policy = Profile::Strict.policy(&Settings::default()).expect("a filter");
    let filter = Filter::new(program(&policy, &Options { pass: Some(pass(here())), ..Options::default() }));
    let with = |name: &'static str, used: &'static [u64]| {
        under(filter, move || {
            let mut args = TOKEN;
            args[..used.len()].copy_from_slice(used);
            call(nr(name), args)
        })
    };
    // What these answer is the kernel's answer: the filter would have killed.
    assert_eq!(with("clone3", &[0, 0]), errno(libc::EINVAL));
    assert_eq!(with("execve", &[0, 0, 0]), errno(libc::EFAULT));
    assert_eq!(with("execveat", &[u64::MAX, 0, 0, 0, 0]), errno(libc::EFAULT));
    assert_eq!(with("setns", &[u64::MAX, 0]), errno(libc::EBADF));
    assert_eq!(with("unshare", &[0]), Ended::Returned(0));
    assert_eq!(with("setresuid", &[0xffff_ffff; 3]), Ended::Returned(0));
    assert_eq!(with("capset", &[0, 0]), errno(libc::EFAULT));
    assert_eq!(with("seccomp", &[99, 0, 0]), errno(libc::EINVAL));
    assert_eq!(with("chdir", &[0]), errno(libc::EFAULT));
    // Not every kernel has these.
    assert!(matches!(with("keyctl", &[9999, 0]), Ended::Returned(-200..0)));
    assert!(matches!(with("landlock_restrict_self", &[u64::MAX, 0xff00]), Ended::Returned(-200..0)));
    assert!(matches!(with("setsid", &[]), Ended::Returned(session) if session > 0));
    // One bit short of it.
    let short =
        under(filter, || call(nr("unshare"), [0, TOKEN[1], TOKEN[2], TOKEN[3], TOKEN[4], TOKEN[5] ^ (1 << 63)]));
    assert_eq!(short, Ended::Killed(libc::SIGSYS));
    assert_eq!(under(filter, || call(nr("execve"), [0; 6])), Ended::Killed(libc::SIGSYS));
}

#[test]
fn a_token_with_a_single_wrong_bit_is_no_token() {
    for profile in [Profile::Default, Profile::Judge, Profile::Strict] {
        let policy = profile.policy(&Settings::default()).expect("a filter");
        for arch in [hotcell_seccomp::syscalls::Arch::X86_64, hotcell_seccomp::syscalls::Arch::Aarch64] {
            let pass = pass(arch);
            let with = compile(&policy, arch, &Options { pass: Some(pass.clone()), ..Options::default() })
                .expect("it compiles");
            let without = compile(&policy, arch, &Options::default()).expect("it compiles");
            for (number, first) in &pass.calls {
                let data = Data { nr: *number, arch: arch.abi().audit_arch(), instruction_pointer: 0, args: TOKEN };
                assert_eq!(interpret(with.instructions(), &data), Ok(Action::Allow.to_ret()), "{number}");
                for index in usize::from(*first)..6 {
                    for bit in 0..64 {
                        let mut data = data;
                        data.args[index] ^= 1 << bit;
                        assert_eq!(interpret(with.instructions(), &data), interpret(without.instructions(), &data));
                        // Two wrong bits that would cancel each other in a sum or a difference.
                        let other = if index == 5 { usize::from(*first) } else { index + 1 };
                        data.args[other] ^= 1 << bit;
                        if other != index {
                            assert_eq!(interpret(with.instructions(), &data), interpret(without.instructions(), &data));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn comparing_a_token_takes_the_same_steps_whatever_is_wrong() {
    let policy = Policy::new(Action::Errno(1));
    let calls = vec![(nr("clone3"), 2)];
    let options = Options { pass: Some(Pass { token: TOKEN, calls }), ..Options::default() };
    let program = program(&policy, &options);
    let steps = |args| {
        let mut coverage = hotcell_seccomp::bpf::Coverage::new(program.len());
        let data = Data { nr: nr("clone3"), arch: here().abi().audit_arch(), instruction_pointer: 0, args };
        hotcell_seccomp::bpf::interpret_covering(program.instructions(), &data, &mut coverage).expect("it ends");
        coverage
    };
    let wrong = steps([0; 6]);
    for index in 2..6 {
        for bit in [0, 31, 32, 63] {
            let mut args = TOKEN;
            args[index] ^= 1 << bit;
            assert_eq!(steps(args), wrong);
        }
    }
}
