//! What a policy means, said as plainly as possible and without any of the compiler: the other side of every comparison.

use hotcell_seccomp::bpf::Data;
use hotcell_seccomp::syscalls::{self, Abi, Arch};
use hotcell_seccomp::{Action, Comparison, Condition, KillAs, Options, Policy, Rule, Trace, Traced, Unknown};

pub fn holds(condition: &Condition, args: &[u64; 6]) -> bool {
    let argument = args[usize::from(condition.index)];
    match condition.comparison {
        Comparison::Equal(value) => argument == value,
        Comparison::NotEqual(value) => argument != value,
        Comparison::Greater(value) => argument > value,
        Comparison::GreaterOrEqual(value) => argument >= value,
        Comparison::Less(value) => argument < value,
        Comparison::LessOrEqual(value) => argument <= value,
        Comparison::MaskedEqual { mask, value } => argument & mask == value,
    }
}

fn abi_of(arch: Arch, data: &Data) -> Option<Abi> {
    let abi = Abi::of(data.arch, data.nr)?;
    (abi == arch.abi() || arch.foreign_abis().contains(&abi)).then_some(abi)
}

fn by_rules(policy: &Policy, abi: Abi, data: &Data) -> Action {
    let highest =
        policy.rules.iter().flat_map(|rule| &rule.syscalls).filter_map(|name| syscalls::number(abi, name)).max();
    let name = syscalls::name(abi, data.nr);
    if policy.unknown == Unknown::NewerThanRules
        && highest.is_some_and(|highest| data.nr > highest)
        && !matches!(policy.default_action, Action::Allow | Action::Log | Action::Trace(_))
    {
        return Action::Errno(38);
    }
    let Some(name) = name else {
        return match policy.unknown {
            Unknown::Unnamed(action) => action,
            Unknown::NewerThanRules => policy.default_action,
        };
    };
    let matching = |rule: &&Rule| {
        rule.syscalls.iter().any(|own| own == name)
            && rule.conditions.iter().all(|condition| holds(condition, &data.args))
    };
    policy
        .rules
        .iter()
        .filter(matching)
        // min_by_key takes the first of equals
        .min_by_key(|rule| (rule.action.precedence(), rule.conditions.is_empty()))
        .map_or(policy.default_action, |rule| rule.action)
}

fn traced(trace: Option<&Trace>, arch: Arch, abi: Abi, nr: u32) -> Option<Action> {
    let trace = trace?;
    let native = if abi == arch.abi() {
        Some(nr)
    } else {
        syscalls::name(abi, nr).and_then(|name| syscalls::number(arch.abi(), name))
    };
    let covered = match &trace.calls {
        Traced::All => true,
        Traced::Numbers(numbers) => native.is_some_and(|native| numbers.contains(&native)),
    };
    covered.then_some(Action::Trace(trace.data))
}

/// What a compiled policy has to return.
pub fn meaning(policy: &Policy, arch: Arch, options: &Options, data: &Data) -> u32 {
    let answer = match abi_of(arch, data) {
        Some(abi) if abi == arch.abi() || policy.foreign.contains(&abi) => {
            let action = by_rules(policy, abi, data);
            let stops = traced(options.trace.as_ref(), arch, abi, data.nr);
            let action = match stops {
                Some(trace) if matches!(action, Action::Allow | Action::Log) => trace,
                _ => action,
            };
            let passes = options.pass.as_ref().is_some_and(|pass| {
                abi == arch.abi()
                    && pass.calls.iter().any(|(nr, first)| {
                        *nr == data.nr && (usize::from(*first)..6).all(|index| data.args[index] == pass.token[index])
                    })
            });
            if passes { Action::Allow } else { action }
        }
        _ => Action::KillProcess,
    };
    match (options.kill, answer) {
        (KillAs::Notification, Action::KillProcess | Action::KillThread) => Action::Notify.to_ret(),
        _ => answer.to_ret(),
    }
}
