//! Every instruction of every built-in profile is executed by some call, every comparison goes both ways, and all answers are what the policy
//! means: the rule of gVisor for its filters.

use crate::meaning::meaning;
use crate::support::pass;
use hotcell_seccomp::bpf::{Coverage, Data, interpret_covering, verify};
use hotcell_seccomp::syscalls::{self, Abi, Arch, X32_BIT};
use hotcell_seccomp::{Comparison, KillAs, Options, Policy, Profile, Settings, Sockets, Trace, Traced, compile};
use std::collections::{BTreeMap, BTreeSet};

/// Values around all that the policy compares an argument of a call with.
fn candidates(policy: &Policy, name: &str) -> BTreeMap<u8, BTreeSet<u64>> {
    let mut values: BTreeMap<u8, BTreeSet<u64>> = BTreeMap::new();
    let rules = policy.rules.iter().filter(|rule| rule.syscalls.iter().any(|own| own == name));
    for condition in rules.flat_map(|rule| &rule.conditions) {
        let around = match condition.comparison {
            Comparison::MaskedEqual { mask, value } => {
                let lowest = mask & mask.wrapping_neg();
                vec![value, value ^ mask, value ^ lowest, value | !mask]
            }
            Comparison::Equal(value)
            | Comparison::NotEqual(value)
            | Comparison::Greater(value)
            | Comparison::GreaterOrEqual(value)
            | Comparison::Less(value)
            | Comparison::LessOrEqual(value) => vec![value, value ^ (1 << 32), value ^ (1 << 63)],
        };
        let known = values.entry(condition.index).or_default();
        known.extend(around);
        known.extend([0, 999, u64::MAX]);
    }
    values
}

fn calls(policy: &Policy, arch: Arch, options: &Options) -> Vec<Data> {
    let mut calls = Vec::new();
    let native = arch.abi().audit_arch();
    let plain = |arch, nr| Data { nr, arch, ..Data::default() };
    for nr in (0..700).chain([X32_BIT - 1, X32_BIT, X32_BIT + 39, u32::MAX - 1, u32::MAX]) {
        calls.push(plain(native, nr));
    }
    for abi in [Abi::X86_64, Abi::Aarch64, Abi::X86, Abi::Arm] {
        calls.push(plain(abi.audit_arch(), 1));
    }
    for (nr, name) in syscalls::all(arch.abi()) {
        let mut all = vec![plain(native, nr)];
        for (index, values) in candidates(policy, name) {
            let with = |data: &Data, value| {
                let mut data = *data;
                data.args[usize::from(index)] = value;
                data
            };
            all = all.iter().flat_map(|data| values.iter().map(move |value| with(data, *value))).collect();
        }
        if let Some(pass) = &options.pass {
            let tokens: Vec<Data> = all.iter().map(|data| Data { args: pass.token, ..*data }).take(1).collect();
            let wrong = (0..6).map(|index| {
                let mut args = pass.token;
                args[index] ^= 1;
                Data { args, ..plain(native, nr) }
            });
            all.extend(tokens.into_iter().chain(wrong));
        }
        calls.extend(all);
    }
    calls
}

#[test]
fn every_instruction_of_every_profile_is_exercised() {
    let settings =
        [Settings::default(), Settings { sockets: Sockets::Unix, ipc: true, file_locks: false, inotify: false }];
    for arch in [Arch::X86_64, Arch::Aarch64] {
        let traced = Traced::Numbers(
            ["openat", "clone", "read"].iter().filter_map(|name| syscalls::number(arch.abi(), name)).collect(),
        );
        let variants = [
            Options::default(),
            Options { kill: KillAs::Notification, pass: Some(pass(arch)), trace: None },
            Options {
                kill: KillAs::Notification,
                pass: Some(pass(arch)),
                trace: Some(Trace { calls: Traced::All, data: 7 }),
            },
            Options { kill: KillAs::Signal, pass: None, trace: Some(Trace { calls: traced, data: 7 }) },
        ];
        for (profile, settings) in Profile::ALL.iter().flat_map(|profile| settings.map(|settings| (profile, settings)))
        {
            let Some(policy) = profile.policy(&settings) else { continue };
            for options in &variants {
                let program = compile(&policy, arch, options).expect("a profile compiles");
                let instructions = program.instructions();
                assert_eq!(verify(instructions), Ok(()));
                let mut coverage = Coverage::new(program.len());
                for data in calls(&policy, arch, options) {
                    let answer = interpret_covering(instructions, &data, &mut coverage).expect("it ends");
                    assert_eq!(answer, meaning(&policy, arch, options, &data), "{data:x?} under {}", profile.name());
                }
                let what = format!("{} on {arch} with {options:?}", profile.name());
                assert_eq!(coverage.missed(), [0; 0], "{what}");
                assert_eq!(coverage.one_way(instructions), [0; 0], "{what}");
            }
        }
    }
}
