//! From the document to a [`Policy`].

use super::context::{Context, KernelVersion, Names};
use super::document::{Document, Filter, Syscall};
use super::words::{ARCHITECTURES, Numbers, action, conditions, flags, has_twice, word};
use crate::Action;
use crate::error::{Error, Place};
use crate::policy::{Policy, Rule, Unknown};
use crate::syscalls::{self, Abi};

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
            self.filtered.push([&entry.includes, &entry.excludes].into_iter().flatten().any(Filter::asks));
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
