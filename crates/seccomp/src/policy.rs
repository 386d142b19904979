//! The typed model that profiles, OCI's JSON and builders all end in.
//!
//! # What a policy means
//!
//! A call *matches* a rule if the rule names it and all of the rule's conditions hold; a rule without conditions always matches. **Of all rules
//! that match, the most restrictive one counts**, in the kernel's own order of actions ([`Action`]); between rules of the same
//! kind of action (two error numbers, for instance) one with conditions goes before one without, then the earlier one. If none
//! matches, it is [`Policy::default_action`], or [`Policy::unknown`] for numbers that are nobody's.
//!
//! So the order of rules hardly matters, "allow, except if …" is an allowing rule and a denying one with conditions, and an addition can
//! only tighten what another rule allows. libseccomp (and with it runc and crun) agrees but in one case: there a rule without
//! conditions swallows those with, so that a denial with conditions beside a plain permission is silently lost. Here it holds.
//!
//! Rules of which one can never take effect are refused, naming both: the same conditions with different actions, or a condition that
//! relaxes what another rule denies in any case.

use crate::error::{Error, Place, RulePlace};
use crate::syscalls::{self, Abi};
use crate::{Action, Comparison, Condition};

/// What to answer to which system call. How it is understood: see [the module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The answer to calls that no rule matches.
    pub default_action: Action,
    /// The answer to numbers without a name.
    pub unknown: Unknown,
    /// ABIs to admit besides the native one; calls by any other way end the process.
    pub foreign: Vec<Abi>,
    /// How the filter wants to be installed.
    pub flags: Flags,
    /// In order of precedence among equals.
    pub rules: Vec<Rule>,
}

/// An answer for some system calls, perhaps only with some arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Names. What the ABI at hand has not is skipped; what no ABI has is an error.
    pub syscalls: Vec<String>,
    /// The answer.
    pub action: Action,
    /// All of them have to hold.
    pub conditions: Vec<Condition>,
}

/// What happens to numbers that no name is known for.
///
/// C libraries try a new call first and go on with an older one if it fails with ENOSYS, and with ENOSYS only: a filter that
/// answers anything else to calls which are newer than itself breaks programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// As runc does it: numbers above the highest one that a rule names fail with ENOSYS, unless the default action lets calls through
    /// (allow, log, trace). Numbers below it get the default action.
    NewerThanRules,
    /// All numbers that the tables of this crate have no name for get this, whatever the default action is.
    Unnamed(Action),
}

/// `SECCOMP_FILTER_FLAG_*` that a policy asks for; it is up to who installs the filter to heed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// `_TSYNC`: on all threads. Of no meaning for a process with one thread.
    pub tsync: bool,
    /// `_LOG`: log all answers but "allow" (since Linux 4.14).
    pub log: bool,
    /// `_SPEC_ALLOW`: leave speculative store bypass alone (since Linux 4.17; the default since 5.16).
    pub spec_allow: bool,
    /// `_WAIT_KILLABLE_RECV`: only fatal signals interrupt a call that a listener has received (since Linux 5.19).
    pub wait_killable_recv: bool,
}

impl Policy {
    /// Without any rule.
    pub fn new(default_action: Action) -> Self {
        Self {
            default_action,
            unknown: Unknown::NewerThanRules,
            foreign: Vec::new(),
            flags: Flags::default(),
            rules: Vec::new(),
        }
    }

    /// With one more rule, that has no conditions.
    pub fn with(self, action: Action, syscalls: &[&str]) -> Self {
        self.with_if(action, syscalls, &[])
    }

    /// With one more rule, that holds if all conditions do.
    pub fn with_if(mut self, action: Action, syscalls: &[&str], conditions: &[Condition]) -> Self {
        let syscalls = syscalls.iter().map(|name| (*name).to_owned()).collect();
        self.rules.push(Rule { syscalls, action, conditions: conditions.to_vec() });
        self
    }

    /// Refuses what cannot be meant: names that exist nowhere, arguments that calls have not, numbers out of range, rules that contradict
    /// each other. [`crate::compile()`] does this first.
    pub fn check(&self) -> Result<(), Error> {
        check_action(self.default_action, || Place::field("default_action"))?;
        if let Unknown::Unnamed(action) = self.unknown {
            check_action(action, || Place::field("unknown"))?;
        }
        for (index, rule) in self.rules.iter().enumerate() {
            check_action(rule.action, || Place::field(format!("rules[{index}].action")))?;
            for (at, name) in rule.syscalls.iter().enumerate() {
                if !syscalls::exists(name) {
                    let place = Place::field(format!("rules[{index}].syscalls[{at}]"));
                    return Err(Error::FindSyscall { place, name: name.clone(), closest: syscalls::closest(name) });
                }
            }
            for (at, condition) in rule.conditions.iter().enumerate() {
                check_condition(condition, || Place::field(format!("rules[{index}].conditions[{at}]")))?;
            }
        }
        self.check_contradictions()
    }

    /// Whether there are arguments with which a call takes place, at once or by leave of whoever traces or listens.
    pub fn may_allow(&self, syscall: &str) -> bool {
        let lets_pass =
            |action: Action| matches!(action, Action::Allow | Action::Log | Action::Trace(_) | Action::Notify);
        let rules = || self.rules.iter().filter(|rule| rule.syscalls.iter().any(|name| name == syscall));
        // The most restrictive of the rules that match counts.
        let is_denied = rules().any(|rule| rule.conditions.is_empty() && !lets_pass(rule.action));
        !is_denied && (lets_pass(self.default_action) || rules().any(|rule| lets_pass(rule.action)))
    }

    fn check_contradictions(&self) -> Result<(), Error> {
        let mut seen: Vec<(&str, usize, Vec<Condition>)> = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let mut conditions = rule.conditions.clone();
            conditions.sort_unstable();
            conditions.dedup();
            seen.extend(rule.syscalls.iter().map(|name| (name.as_str(), index, conditions.clone())));
        }
        seen.sort_by(|left, right| left.0.cmp(right.0));
        for group in seen.chunk_by(|left, right| left.0 == right.0) {
            for (position, (name, first, conditions)) in group.iter().enumerate() {
                for (_, second, others) in group.iter().skip(position + 1) {
                    let (Some(one), Some(two)) = (self.rules.get(*first), self.rules.get(*second)) else { continue };
                    let relaxes = |weak: &Rule, strong: &Rule| {
                        strong.conditions.is_empty() && weak.action.precedence() > strong.action.precedence()
                    };
                    let differ = conditions == others && one.action != two.action;
                    if differ || relaxes(one, two) || relaxes(two, one) {
                        return Err(Error::CombineRules {
                            syscall: (*name).to_owned(),
                            file: None,
                            rules: Box::new([RulePlace::new(*first, one), RulePlace::new(*second, two)]),
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

fn check_action(action: Action, place: impl FnOnce() -> Place) -> Result<(), Error> {
    match action {
        Action::Errno(errno) if errno > Action::MAX_ERRNO => {
            Err(Error::LimitErrno { place: place(), errno: errno.into(), limit: Action::MAX_ERRNO })
        }
        _ => Ok(()),
    }
}

fn check_condition(condition: &Condition, place: impl FnOnce() -> Place) -> Result<(), Error> {
    if condition.index > Condition::MAX_INDEX {
        return Err(Error::IndexArgument { place: place(), index: condition.index.into() });
    }
    match condition.comparison {
        Comparison::MaskedEqual { mask, value } if value & !mask != 0 => {
            Err(Error::MatchMask { place: place(), mask, value })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let deny = Policy::new(Action::Errno(1));
        let error = deny.clone().with(Action::Allow, &["read", "opeat"]).check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "rules[0].syscalls[1]: there is no system call \"opeat\" on any architecture; did you mean \"openat\"?"
        );
        let error = deny.clone().with_if(Action::Allow, &["read"], &[Condition::equal(6, 0)]).check().unwrap_err();
        assert!(matches!(error, Error::IndexArgument { index: 6, .. }), "{error}");
        let error = deny.clone().with_if(Action::Allow, &["read"], &[Condition::masked(0, 1, 2)]).check().unwrap_err();
        assert!(matches!(error, Error::MatchMask { mask: 1, value: 2, .. }), "{error}");
        let error = deny.with(Action::Errno(5000), &["read"]).check().unwrap_err();
        assert!(matches!(error, Error::LimitErrno { errno: 5000, .. }), "{error}");
    }

    #[test]
    fn a_call_that_some_arguments_lead_through_may_be_allowed() {
        let deny = Policy::new(Action::Errno(1));
        assert!(!deny.may_allow("keyctl"));
        assert!(deny.clone().with(Action::Log, &["keyctl"]).may_allow("keyctl"));
        assert!(deny.clone().with_if(Action::Allow, &["keyctl"], &[Condition::equal(0, 1)]).may_allow("keyctl"));
        let allow = Policy::new(Action::Allow);
        assert!(allow.may_allow("keyctl"));
        assert!(!allow.clone().with(Action::KillProcess, &["add_key", "keyctl"]).may_allow("keyctl"));
        assert!(allow.with_if(Action::Errno(1), &["keyctl"], &[Condition::equal(0, 1)]).may_allow("keyctl"));
    }

    #[test]
    fn contradictions_name_both_rules() {
        let one = [Condition::equal(0, 1), Condition::equal(1, 2)];
        let other = [Condition::equal(1, 2), Condition::equal(0, 1)];
        let base = Policy::new(Action::Errno(1));
        let error =
            base.clone().with_if(Action::Allow, &["read", "ioctl"], &one).with_if(Action::Log, &["ioctl"], &other);
        assert_eq!(
            error.check().unwrap_err().to_string(),
            "rules[0] and rules[1] contradict each other on ioctl: SCMP_ACT_ALLOW if args[0] == 0x1 and args[1] == 0x2, \
             SCMP_ACT_LOG if args[1] == 0x2 and args[0] == 0x1; leave one of them out"
        );
        let hidden = base.clone().with_if(Action::Allow, &["ioctl"], &one).with(Action::KillProcess, &["ioctl"]);
        assert!(matches!(hidden.check(), Err(Error::CombineRules { .. })));
        let exception = base.clone().with(Action::Allow, &["ioctl"]).with_if(Action::Errno(1), &["ioctl"], &one);
        assert_eq!(exception.check(), Ok(()));
        let twice = base.with(Action::Allow, &["ioctl"]).with(Action::Allow, &["ioctl"]);
        assert_eq!(twice.check(), Ok(()));
    }
}
