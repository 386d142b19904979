//! Random policies, random calls at the edges: the compiled program answers what the policy means.

use crate::conditions::{compared_with, condition};
use crate::meaning::meaning;
use hotcell_seccomp::bpf::{Data, interpret, verify};
use hotcell_seccomp::syscalls::{self, Abi, Arch, X32_BIT};
use hotcell_seccomp::{Action, Error, KillAs, Options, Pass, Policy, Rule, Trace, Traced, Unknown, compile};
use proptest::prelude::*;

const NAMES: &[&str] = &[
    "read",
    "write",
    "open",
    "openat",
    "close",
    "ioctl",
    "clone",
    "clone3",
    "socket",
    "execve",
    "execveat",
    "futex",
    "prctl",
    "keyctl",
    "mseal",
    "file_setattr",
    "getpid",
    "socketcall",
    "arch_prctl",
    "s390_runtime_instr",
    "io_uring_setup",
    "personality",
    "prlimit64",
    "setns",
    "_llseek",
    "set_tls",
];

const EDGES: &[u64] = &[
    0,
    1,
    2,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0001,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_0000_0000,
    u64::MAX,
];

fn word() -> impl Strategy<Value = u64> + Clone {
    prop_oneof![4 => proptest::sample::select(EDGES), 1 => any::<u64>(), 2 => 0_u64..8]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        1 => Just(Action::KillProcess),
        1 => Just(Action::KillThread),
        1 => Just(Action::Trap),
        1 => (0_u16..3).prop_map(Action::Errno),
        1 => (0_u16..3).prop_map(Action::Trace),
        1 => Just(Action::Log),
        3 => Just(Action::Allow),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let names = proptest::collection::vec(proptest::sample::select(NAMES).prop_map(str::to_owned), 1..5);
    (
        names,
        action(),
        prop_oneof![2 => Just(0_usize), 5 => 1_usize..4],
        proptest::collection::vec(condition(word()), 4),
        any::<bool>(),
    )
        .prop_map(|(syscalls, action, count, mut conditions, same)| {
            conditions.truncate(count);
            if same {
                for condition in &mut conditions {
                    condition.index = 1;
                }
            }
            Rule { syscalls, action, conditions }
        })
}

/// Contradictions are taken out, not avoided: that they are found is tested elsewhere.
fn consistent(mut policy: Policy) -> Policy {
    loop {
        match policy.check() {
            Ok(()) => return policy,
            Err(Error::CombineRules { rules, .. }) => {
                policy.rules.remove(rules[1].index);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn policy() -> impl Strategy<Value = Policy> {
    let unknown = prop_oneof![Just(Unknown::NewerThanRules), action().prop_map(Unknown::Unnamed)];
    let foreign = proptest::sample::subsequence(vec![Abi::X86, Abi::X32, Abi::Arm], 0..=3);
    (action(), unknown, foreign, proptest::collection::vec(rule(), 0..12)).prop_map(
        |(default_action, unknown, foreign, rules)| {
            consistent(Policy { unknown, foreign, rules, ..Policy::new(default_action) })
        },
    )
}

const TOKEN: [u64; 6] = [11, 0x2222_0000_0000_0002, u64::MAX, 0, 0x8000_0000_0000_0001, 0x1234_5678_9abc_def0];

fn options(arch: Arch) -> impl Strategy<Value = Options> {
    let numbers: Vec<u32> =
        NAMES.iter().filter_map(|name| syscalls::number(arch.abi(), name)).chain([400, 999]).collect();
    let kill = prop_oneof![Just(KillAs::Signal), Just(KillAs::Notification)];
    let calls =
        proptest::collection::vec((proptest::sample::select(numbers.clone()), 0_u8..6), 1..6).prop_map(|mut calls| {
            calls.sort_unstable();
            calls.dedup_by_key(|(nr, _)| *nr);
            calls
        });
    let pass = proptest::option::of(calls.prop_map(|calls| Pass { token: TOKEN, calls }));
    let traced = prop_oneof![
        Just(Traced::All),
        proptest::collection::btree_set(proptest::sample::select(numbers), 1..6).prop_map(Traced::Numbers)
    ];
    let trace = proptest::option::of((traced, 0_u16..9).prop_map(|(calls, data)| Trace { calls, data }));
    (kill, pass, trace).prop_map(|(kill, pass, trace)| Options { kill, pass, trace })
}

fn calls(arch: Arch) -> impl Strategy<Value = Data> {
    let abis = [Abi::X86_64, Abi::Aarch64, Abi::X86, Abi::Arm, Abi::X32];
    let native = move |name: &&str| syscalls::number(arch.abi(), name);
    let numbers: Vec<u32> = NAMES.iter().filter_map(native).flat_map(|nr| [nr.saturating_sub(1), nr, nr + 1]).collect();
    let foreign: Vec<u32> = abis
        .into_iter()
        .flat_map(|abi| NAMES.iter().filter_map(move |name| syscalls::number(abi, name)))
        .chain([
            0,
            400,
            470,
            512,
            547,
            1000,
            X32_BIT - 1,
            X32_BIT,
            X32_BIT + 400,
            0x7fff_ffff,
            0x8000_0000,
            u32::MAX - 1,
            u32::MAX,
        ])
        .collect();
    let nr =
        prop_oneof![4 => proptest::sample::select(numbers), 2 => proptest::sample::select(foreign), 1 => any::<u32>()];
    let other: Vec<u32> = abis.into_iter().map(Abi::audit_arch).chain([0, 0xdead_beef]).collect();
    let audit = prop_oneof![4 => Just(arch.abi().audit_arch()), 1 => proptest::sample::select(other)];
    let argument = |index: usize| prop_oneof![3 => word(), 1 => Just(TOKEN[index]), 1 => word().prop_map(move |bit| TOKEN[index] ^ (1 << (bit % 64)))];
    let args = [0, 1, 2, 3, 4, 5].map(argument);
    let token_from = 0_usize..9;
    (nr, audit, args, token_from).prop_map(|(nr, arch, mut args, token_from)| {
        let token_from = token_from.min(6);
        args[token_from..].copy_from_slice(&TOKEN[token_from..]);
        Data { nr, arch, instruction_pointer: 0, args }
    })
}

fn compare(arch: Arch, policy: &Policy, options: &Options, data: &[Data]) {
    let program = compile(policy, arch, options).expect("a consistent policy compiles");
    assert_eq!(verify(program.instructions()), Ok(()));
    for data in data {
        // Values that conditions mention, and their neighbours.
        let mut all = vec![*data];
        for condition in policy.rules.iter().flat_map(|rule| &rule.conditions) {
            let value = compared_with(condition.comparison);
            for near in [
                value,
                value.wrapping_add(1),
                value.wrapping_sub(1),
                value ^ (1 << 31),
                value ^ (1 << 32),
                value ^ (1 << 63),
            ] {
                let mut data = *data;
                data.args[usize::from(condition.index)] = near;
                all.push(data);
            }
        }
        for data in all {
            let returned = interpret(program.instructions(), &data).expect("a verified program ends");
            let expected = meaning(policy, arch, options, &data);
            assert_eq!(returned, expected, "{data:x?} of {policy:#?} with {options:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn programs_answer_what_x86_64_policies_mean(
        policy in policy(),
        options in options(Arch::X86_64),
        data in proptest::collection::vec(calls(Arch::X86_64), 24),
    ) {
        compare(Arch::X86_64, &policy, &options, &data);
    }

    #[test]
    fn programs_answer_what_aarch64_policies_mean(
        policy in policy(),
        options in options(Arch::Aarch64),
        data in proptest::collection::vec(calls(Arch::Aarch64), 24),
    ) {
        compare(Arch::Aarch64, &policy, &options, &data);
    }
}
