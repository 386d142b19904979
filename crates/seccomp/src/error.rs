//! Why a policy could not be used, as data: where, what was expected, what was found, and last what to do about it.

use crate::bpf::MAX_INSTRUCTIONS;
use crate::policy::Rule;
use crate::{Action, Condition};
use std::fmt;

/// Where something is: a file, if the policy came from one, and a field in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// As it was named to the parser.
    pub file: Option<String>,
    /// A path in the document, as `syscalls[3].args[0].op`.
    pub field: String,
}

impl Place {
    pub(crate) fn field(field: impl Into<String>) -> Self {
        Self { file: None, field: field.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{file}: {}", self.field),
            None => f.write_str(&self.field),
        }
    }
}

/// One of two rules that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulePlace {
    /// Its place in the list.
    pub index: usize,
    /// A path in the document, as `syscalls[3]`.
    pub field: String,
    /// Its answer.
    pub action: Action,
    /// Its conditions.
    pub conditions: Vec<Condition>,
}

impl RulePlace {
    pub(crate) fn new(index: usize, rule: &Rule) -> Self {
        Self { index, field: format!("rules[{index}]"), action: rule.action, conditions: rule.conditions.clone() }
    }
}

impl fmt::Display for RulePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.action)?;
        for (index, condition) in self.conditions.iter().enumerate() {
            write!(f, " {} {condition}", if index == 0 { "if" } else { "and" })?;
        }
        Ok(())
    }
}

/// Why a policy could not be used. Variants say what was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Read a document as JSON of the right shape.
    ReadJson {
        /// The innermost field that was reached.
        place: Place,
        /// Line in the text, from 1.
        line: usize,
        /// Column in the line, from 1.
        column: usize,
        /// What the parser says.
        problem: String,
    },
    /// Make use of a field that has no meaning here.
    UseField {
        /// Where.
        place: Place,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// Understand one of a closed set of words.
    ReadWord {
        /// Where.
        place: Place,
        /// What it should name, as "an action".
        kind: &'static str,
        /// What is there.
        word: String,
        /// All that could be.
        expected: &'static [&'static str],
    },
    /// Find a system call.
    FindSyscall {
        /// Where.
        place: Place,
        /// What is there.
        name: String,
        /// A name that is nearly the same.
        closest: Option<&'static str>,
    },
    /// Compare an argument; calls have six, 0–5.
    IndexArgument {
        /// Where.
        place: Place,
        /// What is there.
        index: u64,
    },
    /// Match a value with a mask that leaves out some of its bits: it never could.
    MatchMask {
        /// Where.
        place: Place,
        /// The bits that are compared.
        mask: u64,
        /// What they should be.
        value: u64,
    },
    /// Return a number as an error.
    LimitErrno {
        /// Where.
        place: Place,
        /// What is there.
        errno: u64,
        /// The largest that there is.
        limit: u16,
    },
    /// Give a number to an action that takes none.
    GiveErrno {
        /// Where.
        place: Place,
        /// The action.
        action: Action,
    },
    /// Apply two fields that exclude each other.
    CombineFields {
        /// Where.
        place: Place,
        /// One of them.
        first: &'static str,
        /// The other one.
        second: &'static str,
    },
    /// Apply two rules of which one can never take effect.
    CombineRules {
        /// The system call that both name.
        syscall: String,
        /// As it was named to the parser.
        file: Option<String>,
        /// Both, in the order of the list.
        rules: Box<[RulePlace; 2]>,
    },
    /// Tell a kill from a question, where both are to be notifications.
    NotifyBesideKill {
        /// The rule with `SCMP_ACT_NOTIFY`, or nothing if it is the default action.
        rule: Option<usize>,
    },
    /// Let a call pass by its token.
    PassCall {
        /// The number.
        nr: u32,
        /// The first argument that the call makes no use of: it has to be 0–5.
        first_free_arg: u8,
    },
    /// Fit a policy into a program.
    FitProgram {
        /// How many instructions it takes.
        instructions: usize,
    },
}

impl Error {
    /// The same about a file.
    pub(crate) fn in_file(mut self, name: Option<&str>) -> Self {
        let name = name.map(str::to_owned);
        match &mut self {
            Self::ReadJson { place, .. }
            | Self::UseField { place, .. }
            | Self::ReadWord { place, .. }
            | Self::FindSyscall { place, .. }
            | Self::IndexArgument { place, .. }
            | Self::MatchMask { place, .. }
            | Self::LimitErrno { place, .. }
            | Self::GiveErrno { place, .. }
            | Self::CombineFields { place, .. } => place.file = name,
            Self::CombineRules { file, .. } => *file = name,
            Self::NotifyBesideKill { .. } | Self::PassCall { .. } | Self::FitProgram { .. } => {}
        }
        self
    }

    /// Where it is, for all errors that are about one place.
    pub const fn place(&self) -> Option<&Place> {
        match self {
            Self::ReadJson { place, .. }
            | Self::UseField { place, .. }
            | Self::ReadWord { place, .. }
            | Self::FindSyscall { place, .. }
            | Self::IndexArgument { place, .. }
            | Self::MatchMask { place, .. }
            | Self::LimitErrno { place, .. }
            | Self::GiveErrno { place, .. }
            | Self::CombineFields { place, .. } => Some(place),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadJson { place, line, column, problem } => {
                write!(f, "{place}: {problem} (line {line}, column {column})")
            }
            Self::UseField { place, reason } => write!(f, "{place}: {reason}"),
            Self::ReadWord { place, kind, word, expected } => {
                write!(f, "{place}: {word:?} is not {kind}; expected one of {}", expected.join(", "))
            }
            Self::FindSyscall { place, name, closest } => {
                write!(f, "{place}: there is no system call {name:?} on any architecture")?;
                match closest {
                    Some(closest) => write!(f, "; did you mean {closest:?}?"),
                    None => Ok(()),
                }
            }
            Self::IndexArgument { place, index } => {
                write!(f, "{place}: there is no argument {index}; system calls have six, 0 to {}", Condition::MAX_INDEX)
            }
            Self::MatchMask { place, mask, value } => {
                write!(f, "{place}: {value:#x} has bits outside of the mask {mask:#x}, so nothing could ever match")
            }
            Self::LimitErrno { place, errno, limit } => {
                write!(f, "{place}: {errno} is not a number that can be returned; expected 0 to {limit}")
            }
            Self::GiveErrno { place, action } => {
                write!(f, "{place}: {action} takes no number; only SCMP_ACT_ERRNO and SCMP_ACT_TRACE do")
            }
            Self::CombineFields { place, first, second } => {
                write!(f, "{place}: {first} and {second} exclude each other; leave one of them out")
            }
            Self::CombineRules { syscall, file, rules } => {
                let [first, second] = rules.as_ref();
                if let Some(file) = file {
                    write!(f, "{file}: ")?;
                }
                let (one, two) = (&first.field, &second.field);
                write!(
                    f,
                    "{one} and {two} contradict each other on {syscall}: {first}, {second}; leave one of them out"
                )
            }
            Self::NotifyBesideKill { rule } => {
                match rule {
                    Some(rule) => write!(f, "rules[{rule}]")?,
                    None => f.write_str("default_action")?,
                }
                f.write_str(
                    ": SCMP_ACT_NOTIFY asks a listener of yours, but here the listener kills; use another action",
                )
            }
            Self::PassCall { nr, first_free_arg } => {
                write!(f, "cannot let the system call {nr} pass by a token in its arguments from {first_free_arg} on")
            }
            Self::FitProgram { instructions } => {
                write!(
                    f,
                    "the policy takes {instructions} instructions, more than the {MAX_INSTRUCTIONS} that the kernel allows; \
                     use fewer rules with conditions"
                )
            }
        }
    }
}

impl std::error::Error for Error {}
