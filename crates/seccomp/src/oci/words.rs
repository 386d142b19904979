//! The format's words, and what they mean.

use super::document::Arg;
use crate::error::{Error, Place};
use crate::policy::Flags;
use crate::{Action, Comparison, Condition};

const ACTIONS: &[&str] = &[
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
];

const OPERATORS: &[&str] =
    &["SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"];

const FLAGS: &[&str] = &[
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// All of the runtime-spec's (config-linux.md); those of other machines are of no effect here.
pub(super) const ARCHITECTURES: &[&str] = &[
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
];

/// Error names that profiles use. Both architectures have the same numbers (asm-generic/errno.h).
const ERRNOS: &[(&str, u16)] = &[
    ("EPERM", 1),
    ("ENOENT", 2),
    ("EINTR", 4),
    ("EIO", 5),
    ("EBADF", 9),
    ("EAGAIN", 11),
    ("ENOMEM", 12),
    ("EACCES", 13),
    ("EFAULT", 14),
    ("EBUSY", 16),
    ("EEXIST", 17),
    ("ENODEV", 19),
    ("EINVAL", 22),
    ("ENFILE", 23),
    ("EMFILE", 24),
    ("ENOTTY", 25),
    ("ENOSPC", 28),
    ("EROFS", 30),
    ("ENOSYS", 38),
    ("EPROTO", 71),
    ("ENOTSOCK", 88),
    ("EPROTONOSUPPORT", 93),
    ("EOPNOTSUPP", 95),
    ("ENOTSUP", 95),
    ("EAFNOSUPPORT", 97),
    ("ECONNREFUSED", 111),
];

const ERRNO_NAMES: &[&str] = &{
    let mut names = [""; ERRNOS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = ERRNOS[index].0;
        index += 1;
    }
    names
};

pub(super) fn word(field: String, kind: &'static str, word: &str, expected: &'static [&'static str]) -> Error {
    Error::ReadWord { place: Place::field(field), kind, word: word.to_owned(), expected }
}

/// `errnoRet`, and Podman's `errno`.
pub(super) struct Numbers<'a> {
    pub number: Option<u64>,
    pub name: Option<&'a str>,
}

pub(super) fn action(
    name: &str,
    numbers: &Numbers<'_>,
    at: &str,
    at_number: &str,
    at_name: &str,
) -> Result<Action, Error> {
    let plain = match name {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Action::KillProcess,
        "SCMP_ACT_TRAP" => Action::Trap,
        "SCMP_ACT_LOG" => Action::Log,
        "SCMP_ACT_NOTIFY" => Action::Notify,
        "SCMP_ACT_ALLOW" => Action::Allow,
        // EPERM is what runc takes.
        "SCMP_ACT_ERRNO" => Action::Errno(1),
        "SCMP_ACT_TRACE" => Action::Trace(1),
        _ => return Err(word(at.to_owned(), "an action", name, ACTIONS)),
    };
    let named = numbers.name.filter(|name| !name.is_empty());
    let named = named
        .map(|name| {
            let found = ERRNOS.iter().find(|(known, _)| *known == name).map(|(_, errno)| *errno);
            found.ok_or_else(|| word(at_name.to_owned(), "an error number of a name known here", name, ERRNO_NAMES))
        })
        .transpose()?;
    let (field, number) = match (numbers.number, named) {
        (Some(number), _) => (at_number, number),
        (None, Some(named)) => (at_name, u64::from(named)),
        (None, None) => return Ok(plain),
    };
    let place = || Place::field(field);
    match plain {
        Action::Errno(_) if number <= u64::from(Action::MAX_ERRNO) => Ok(Action::Errno(number as u16)),
        Action::Errno(_) => Err(Error::LimitErrno { place: place(), errno: number, limit: Action::MAX_ERRNO }),
        Action::Trace(_) if number <= u64::from(u16::MAX) => Ok(Action::Trace(number as u16)),
        Action::Trace(_) => Err(Error::LimitErrno { place: place(), errno: number, limit: u16::MAX }),
        _ => Err(Error::GiveErrno { place: place(), action: plain }),
    }
}

pub(super) fn conditions(at: &str, args: &[Arg]) -> Result<Vec<Condition>, Error> {
    let mut conditions = Vec::with_capacity(args.len());
    for (position, arg) in args.iter().enumerate() {
        let place = |field: &str| Place::field(format!("{at}.args[{position}].{field}"));
        let index = u8::try_from(arg.index).ok().filter(|index| *index <= Condition::MAX_INDEX);
        let index = index.ok_or_else(|| Error::IndexArgument { place: place("index"), index: arg.index })?;
        let (value, second) = (arg.value.0, arg.value_two.0);
        let comparison = match arg.op.as_str() {
            "SCMP_CMP_EQ" => Comparison::Equal(value),
            "SCMP_CMP_NE" => Comparison::NotEqual(value),
            "SCMP_CMP_GT" => Comparison::Greater(value),
            "SCMP_CMP_GE" => Comparison::GreaterOrEqual(value),
            "SCMP_CMP_LT" => Comparison::Less(value),
            "SCMP_CMP_LE" => Comparison::LessOrEqual(value),
            "SCMP_CMP_MASKED_EQ" if second & !value != 0 => {
                return Err(Error::MatchMask { place: place("valueTwo"), mask: value, value: second });
            }
            "SCMP_CMP_MASKED_EQ" => Comparison::MaskedEqual { mask: value, value: second },
            other => return Err(word(format!("{at}.args[{position}].op"), "an operator", other, OPERATORS)),
        };
        conditions.push(Condition { index, comparison });
    }
    Ok(conditions)
}

pub(super) fn has_twice(conditions: &[Condition]) -> bool {
    let mut seen = [false; Condition::MAX_INDEX as usize + 1];
    conditions
        .iter()
        .any(|condition| seen.get_mut(usize::from(condition.index)).is_some_and(|seen| std::mem::replace(seen, true)))
}

pub(super) fn flags(names: Vec<String>) -> Result<Flags, Error> {
    let mut flags = Flags::default();
    for (index, name) in names.iter().enumerate() {
        match name.as_str() {
            "SECCOMP_FILTER_FLAG_TSYNC" => flags.tsync = true,
            "SECCOMP_FILTER_FLAG_LOG" => flags.log = true,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => flags.spec_allow = true,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => flags.wait_killable_recv = true,
            _ => return Err(word(format!("flags[{index}]"), "a flag", name, FLAGS)),
        }
    }
    Ok(flags)
}
