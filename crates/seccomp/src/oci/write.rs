//! A policy as OCI JSON.

use super::document::{Arg, Document, Syscall, Word};
use crate::policy::{Policy, Rule, Unknown};
use crate::syscalls::{Abi, Arch};
use crate::{Action, Comparison, Condition};

/// A policy as an OCI `linux.seccomp` object, indented. Reading it again for the same architecture gives the same policy.
///
/// The extensions `match` and `unknownAction` are written only where they make a difference, so that what has no need for them can be given to Docker or
/// Podman. The native architecture is written first, if there are foreign ones; of those the ones that go with `arch` are kept.
pub fn to_oci_json(policy: &Policy, arch: Arch) -> String {
    let architectures = (!policy.foreign.is_empty()).then(|| {
        let foreign = policy.foreign.iter().copied().filter(|abi| *abi != arch.abi());
        std::iter::once(arch.abi()).chain(foreign).map(Abi::oci_name).map(str::to_owned).collect()
    });
    let (unknown_action, unknown_errno_ret) = match policy.unknown {
        Unknown::NewerThanRules => (None, None),
        Unknown::Unnamed(action) => (Some(action.oci_name().to_owned()), number(action)),
    };
    let flags = flag_names(policy);
    let document = Document {
        default_action: policy.default_action.oci_name().to_owned(),
        default_errno_ret: number(policy.default_action),
        unknown_action,
        unknown_errno_ret,
        architectures,
        flags: (!flags.is_empty()).then_some(flags),
        syscalls: Some(policy.rules.iter().map(syscall).collect()),
        ..Document::default()
    };
    // Strings and numbers only: there is nothing that could not be written.
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

fn number(action: Action) -> Option<u64> {
    match action {
        Action::Errno(data) | Action::Trace(data) => Some(data.into()),
        _ => None,
    }
}

fn flag_names(policy: &Policy) -> Vec<String> {
    let flags = policy.flags;
    let all = [
        (flags.tsync, "SECCOMP_FILTER_FLAG_TSYNC"),
        (flags.log, "SECCOMP_FILTER_FLAG_LOG"),
        (flags.spec_allow, "SECCOMP_FILTER_FLAG_SPEC_ALLOW"),
        (flags.wait_killable_recv, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"),
    ];
    all.into_iter().filter(|(set, _)| *set).map(|(_, name)| name.to_owned()).collect()
}

fn syscall(rule: &Rule) -> Syscall {
    let mut indices: Vec<u8> = rule.conditions.iter().map(|condition| condition.index).collect();
    indices.sort_unstable();
    let twice = indices.windows(2).any(|pair| pair.first() == pair.last());
    Syscall {
        name: None,
        names: Some(rule.syscalls.clone()),
        action: rule.action.oci_name().to_owned(),
        errno_ret: number(rule.action),
        errno: None,
        r#match: twice.then(|| "all".to_owned()),
        args: (!rule.conditions.is_empty()).then(|| rule.conditions.iter().map(arg).collect()),
        comment: None,
        includes: None,
        excludes: None,
    }
}

fn arg(condition: &Condition) -> Arg {
    let (op, value, value_two) = match condition.comparison {
        Comparison::Equal(value) => ("SCMP_CMP_EQ", value, 0),
        Comparison::NotEqual(value) => ("SCMP_CMP_NE", value, 0),
        Comparison::Greater(value) => ("SCMP_CMP_GT", value, 0),
        Comparison::GreaterOrEqual(value) => ("SCMP_CMP_GE", value, 0),
        Comparison::Less(value) => ("SCMP_CMP_LT", value, 0),
        Comparison::LessOrEqual(value) => ("SCMP_CMP_LE", value, 0),
        Comparison::MaskedEqual { mask, value } => ("SCMP_CMP_MASKED_EQ", mask, value),
    };
    Arg { index: condition.index.into(), value: Word(value), value_two: Word(value_two), op: op.to_owned() }
}
