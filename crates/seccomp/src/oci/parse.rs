//! From the document to a [`Policy`].

use super::document::{Arg, Document, Filter, Syscall};
use crate::error::{Error, Place};
use crate::policy::{Flags, Policy, Rule, Unknown};
use crate::syscalls::{self, Abi, Arch};
use crate::{Action, Comparison, Condition};
use std::collections::BTreeSet;

/// What a document is read for: decides which of its rules count.
#[derive(Debug, Clone)]
pub struct Context {
    /// The architecture.
    pub arch: Arch,
    /// The running kernel.
    pub kernel: KernelVersion,
    /// The bounding set of the programs; none in a container of hotcell's.
    pub capabilities: BTreeSet<String>,
    /// What to do about names that no architecture has.
    pub names: Names,
}

impl Context {
    /// For programs without capabilities; unknown names are errors.
    pub fn new(arch: Arch, kernel: KernelVersion) -> Self {
        Self { arch, kernel, capabilities: BTreeSet::new(), names: Names::MustExist }
    }
}

/// What to do about names of system calls that no architecture has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// They are errors.
    MustExist,
    /// They are skipped, as runc and crun do: for profiles that are newer than this crate.
    SkipUnknown,
}

/// Version of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    /// The 6 of "6.18.3".
    pub major: u32,
    /// The 18 of "6.18.3".
    pub minor: u32,
}

impl KernelVersion {
    /// Of what uname(2) calls the release, "6.18.3-arch1" for example. The rest does not count.
    pub fn from_release(release: &str) -> Option<Self> {
        let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
        Some(Self { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
    }
}

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
const ARCHITECTURES: &[&str] = &[
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

/// Reads an OCI, Docker or Podman profile, and what this crate's builders emit. What is understood: see [the module](super).
///
/// `file` is only used in messages. The policy is checked ([`Policy::check`]).
pub fn parse(json: &str, file: Option<&str>, context: &Context) -> Result<Policy, Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let document: Document = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| {
            let path = error.path().to_string();
            // serde_path_to_error's words for the document itself, and for what it lost track of
            let field = if path == "." || path == "?" { "the document".to_owned() } else { path };
            malformed(field, error.inner())
        })
        .and_then(|document| match deserializer.end() {
            Ok(()) => Ok(document),
            Err(error) => Err(malformed("the document".to_owned(), &error)),
        })
        .map_err(|error| error.in_file(file))?;
    Reader { context, origins: Vec::new(), filtered: Vec::new() }.policy(document).map_err(|error| error.in_file(file))
}

fn malformed(field: String, error: &serde_json::Error) -> Error {
    let (line, column) = (error.line(), error.column());
    // The message repeats the position, which is data of its own here.
    let mut problem = error.to_string();
    if let Some(end) = problem.rfind(" at line ") {
        problem.truncate(end);
    }
    Error::ReadJson { place: Place::field(field), line, column, problem }
}

struct Reader<'a> {
    context: &'a Context,
    /// For each rule of the policy, the entry of `syscalls` that it came from.
    origins: Vec<usize>,
    /// For each entry, whether it has `includes` or `excludes`.
    filtered: Vec<bool>,
}

impl Reader<'_> {
    fn policy(mut self, document: Document) -> Result<Policy, Error> {
        const NO_AGENT: &str = "hotcell hands notifications to no agent; leave it out";
        for (field, value) in
            [("listenerPath", &document.listener_path), ("listenerMetadata", &document.listener_metadata)]
        {
            if value.as_ref().is_some_and(|value| !value.is_empty()) {
                return Err(Error::UseField { place: Place::field(field), reason: NO_AGENT });
            }
        }
        let numbers = Numbers { number: document.default_errno_ret, name: document.default_errno.as_deref() };
        let default_action =
            action(&document.default_action, &numbers, "defaultAction", "defaultErrnoRet", "defaultErrno")?;
        if default_action == Action::Notify {
            const REASON: &str =
                "SCMP_ACT_NOTIFY cannot be the default: not even the listener could be reached; use another action";
            return Err(Error::UseField { place: Place::field("defaultAction"), reason: REASON });
        }
        let unknown = match &document.unknown_action {
            Some(word) => {
                let numbers = Numbers { number: document.unknown_errno_ret, name: None };
                Unknown::Unnamed(action(word, &numbers, "unknownAction", "unknownErrnoRet", "")?)
            }
            None if document.unknown_errno_ret.is_some() => {
                const REASON: &str = "has no meaning without unknownAction";
                return Err(Error::UseField { place: Place::field("unknownErrnoRet"), reason: REASON });
            }
            None => Unknown::NewerThanRules,
        };
        let foreign = self.foreign(&document)?;
        let flags = flags(document.flags.unwrap_or_default())?;
        let mut rules = Vec::new();
        for (index, entry) in document.syscalls.unwrap_or_default().into_iter().enumerate() {
            self.filtered.push(entry.includes.is_some() || entry.excludes.is_some());
            for rule in self.entry(index, entry)? {
                rules.push(rule);
                self.origins.push(index);
            }
        }
        let mut policy = Policy { default_action, unknown, foreign, flags, rules };
        loop {
            match policy.check() {
                Ok(()) => break,
                Err(error) => self.settle(&mut policy, error)?,
            }
        }
        policy.rules.retain(|rule| !rule.syscalls.is_empty());
        Ok(policy)
    }

    /// Entries that count under circumstances only are made to overlap others: Podman's profile allows `setns`, and denies it to who has not
    /// CAP_SYS_ADMIN. There the rule that can never take effect is left out, instead of being an error.
    fn settle(&self, policy: &mut Policy, error: Error) -> Result<(), Error> {
        let Error::CombineRules { syscall, rules, .. } = &error else { return Err(error) };
        let [first, second] = rules.as_ref();
        let filtered = |index: &usize| {
            self.origins.get(*index).and_then(|entry| self.filtered.get(*entry)).copied().unwrap_or_default()
        };
        if !filtered(&first.index) && !filtered(&second.index) {
            return Err(self.at_origin(error));
        }
        // Of equals the first one counts.
        let weaker = if first.action.precedence() > second.action.precedence() { first } else { second };
        match policy.rules.get_mut(weaker.index) {
            Some(rule) => rule.syscalls.retain(|name| name != syscall),
            None => return Err(error),
        }
        Ok(())
    }

    fn foreign(&self, document: &Document) -> Result<Vec<Abi>, Error> {
        let mut names: Vec<(String, &String)> = Vec::new();
        let listed = document.architectures.as_deref().unwrap_or_default();
        let mapped = document.arch_map.as_deref().unwrap_or_default();
        if !listed.is_empty() && !mapped.is_empty() {
            let place = Place::field("the document");
            return Err(Error::CombineFields { place, first: "architectures", second: "archMap" });
        }
        let native = self.context.arch.abi();
        for (index, name) in listed.iter().enumerate() {
            names.push((format!("architectures[{index}]"), name));
        }
        let mut ours = Vec::new();
        for (index, entry) in mapped.iter().enumerate() {
            let here = entry.architecture == native.oci_name();
            names.push((format!("archMap[{index}].architecture"), &entry.architecture));
            for (sub, name) in entry.sub_architectures.iter().flatten().enumerate() {
                names.push((format!("archMap[{index}].subArchitectures[{sub}]"), name));
                ours.extend(here.then_some(name));
            }
        }
        for (field, name) in names {
            if !ARCHITECTURES.contains(&name.as_str()) {
                return Err(word(field, "an architecture", name, ARCHITECTURES));
            }
        }
        let possible = self.context.arch.foreign_abis();
        let mut foreign: Vec<Abi> = listed.iter().chain(ours).filter_map(|name| Abi::from_oci_name(name)).collect();
        foreign.retain(|abi| possible.contains(abi));
        foreign.sort_unstable();
        foreign.dedup();
        Ok(foreign)
    }

    /// An entry's rules: more than one if its conditions are alternatives, none if it does not count here.
    fn entry(&self, index: usize, entry: Syscall) -> Result<Vec<Rule>, Error> {
        let at = format!("syscalls[{index}]");
        let names = match (entry.names.unwrap_or_default(), entry.name.filter(|name| !name.is_empty())) {
            (names, None) if names.is_empty() => {
                const REASON: &str = "names no system call; add some";
                return Err(Error::UseField { place: Place::field(format!("{at}.names")), reason: REASON });
            }
            (names, None) => names,
            (names, Some(name)) if names.is_empty() => vec![name],
            _ => return Err(Error::CombineFields { place: Place::field(at), first: "name", second: "names" }),
        };
        let numbers = Numbers { number: entry.errno_ret, name: entry.errno.as_deref() };
        let fields = (format!("{at}.action"), format!("{at}.errnoRet"), format!("{at}.errno"));
        let action = action(&entry.action, &numbers, &fields.0, &fields.1, &fields.2)?;
        let conditions = conditions(&at, entry.args.as_deref().unwrap_or_default())?;
        let any = match entry.r#match.as_deref() {
            Some("any") => true,
            Some("all") => false,
            Some(other) => return Err(word(format!("{at}.match"), "a way to match", other, &["all", "any"])),
            None => has_twice(&conditions),
        };
        let mut syscalls = Vec::with_capacity(names.len());
        for (position, name) in names.into_iter().enumerate() {
            if syscalls::exists(&name) {
                syscalls.push(name);
            } else if self.context.names == Names::MustExist {
                let place = Place::field(format!("{at}.names[{position}]"));
                let closest = syscalls::closest(&name);
                return Err(Error::FindSyscall { place, name, closest });
            }
        }
        let included = self.holds(entry.includes.as_ref(), &format!("{at}.includes"), true)?;
        let excluded = self.holds(entry.excludes.as_ref(), &format!("{at}.excludes"), false)?;
        if !included || excluded || syscalls.is_empty() {
            return Ok(Vec::new());
        }
        if any && !conditions.is_empty() {
            let alternative = |condition| Rule { syscalls: syscalls.clone(), action, conditions: vec![condition] };
            return Ok(conditions.into_iter().map(alternative).collect());
        }
        Ok(vec![Rule { syscalls, action, conditions }])
    }

    /// Docker's filters: `includes` holds if each of its parts does (and all capabilities are there), `excludes` if any does.
    fn holds(&self, filter: Option<&Filter>, at: &str, all: bool) -> Result<bool, Error> {
        let mut parts = Vec::new();
        if let Some(Filter { caps, arches, min_kernel }) = filter {
            let caps = caps.as_deref().unwrap_or_default();
            let has = |cap: &String| self.context.capabilities.contains(cap);
            if !caps.is_empty() {
                parts.push(if all { caps.iter().all(has) } else { caps.iter().any(has) });
            }
            let arches = arches.as_deref().unwrap_or_default();
            if !arches.is_empty() {
                parts.push(arches.iter().any(|arch| arch == self.context.arch.go_name()));
            }
            if let Some(version) = min_kernel.as_deref().filter(|version| !version.is_empty()) {
                parts.push(self.context.kernel >= min_version(version, at)?);
            }
        }
        Ok(if all { parts.into_iter().all(|part| part) } else { parts.into_iter().any(|part| part) })
    }

    fn at_origin(&self, mut error: Error) -> Error {
        if let Error::CombineRules { rules, .. } = &mut error {
            for rule in rules.iter_mut() {
                if let Some(origin) = self.origins.get(rule.index) {
                    rule.index = *origin;
                    rule.field = format!("syscalls[{origin}]");
                }
            }
        }
        error
    }
}

/// Docker wants exactly `<kernel>.<major>`.
fn min_version(version: &str, at: &str) -> Result<KernelVersion, Error> {
    let parsed = version.split_once('.').and_then(|(major, minor)| {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let valid = digits(major) && digits(minor);
        valid.then(|| Some(KernelVersion { major: major.parse().ok()?, minor: minor.parse().ok()? })).flatten()
    });
    parsed.ok_or_else(|| word(format!("{at}.minKernel"), "a kernel version", version, &["<major>.<minor>"]))
}

fn word(field: String, kind: &'static str, word: &str, expected: &'static [&'static str]) -> Error {
    Error::ReadWord { place: Place::field(field), kind, word: word.to_owned(), expected }
}

/// `errnoRet`, and Podman's `errno`.
struct Numbers<'a> {
    number: Option<u64>,
    name: Option<&'a str>,
}

fn action(name: &str, numbers: &Numbers<'_>, at: &str, at_number: &str, at_name: &str) -> Result<Action, Error> {
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

fn conditions(at: &str, args: &[Arg]) -> Result<Vec<Condition>, Error> {
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

fn has_twice(conditions: &[Condition]) -> bool {
    let mut seen = [false; Condition::MAX_INDEX as usize + 1];
    conditions
        .iter()
        .any(|condition| seen.get_mut(usize::from(condition.index)).is_some_and(|seen| std::mem::replace(seen, true)))
}

fn flags(names: Vec<String>) -> Result<Flags, Error> {
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
