//! What a supervisor of traced runs is told, and what it tells: events while a run goes on, a summary at its end.
//!
//! Written by the supervisor (`hotcell-tracer`, a process in the container), read by the host, which takes every byte for hostile:
//! texts are borrowed from the batch that they arrived in, lists are as long as the bytes that hold them at most, and an event has six
//! arguments at most, as a system call has. A batch is events laid end to end, each behind its length (a `u32`, little endian); [`split_batch`]
//! takes them apart.
//!
//! System calls travel as their numbers (of the machine that both sides run on), errors as errno(3): names are for who shows them.

use crate::codec::{DecodeError, append, decode};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What to watch, and what to do about it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceConfig {
    /// Which files may be used; `None` for no policy at all.
    pub files: Option<FileRules>,
    /// What happens when the program uses another.
    pub on_violation: OnViolation,
    /// Which system calls become events.
    pub calls: TracedCalls,
    /// Whether to collect what a policy for this program would have to allow.
    pub learn: bool,
    /// Who the traced programs are, inside: symbolic links that this user made do not extend a rule.
    pub program_uid: u32,
    /// What happens to events that the receiver is too slow for.
    pub overflow: Overflow,
}

/// Paths and globs by what they allow. Every rule is absolute. `*` and `?` match within a component, `**` across; a rule that ends in
/// `/` or `/**` means the directory and everything below.
///
/// Whoever may read, write or execute a path may also stat it, and so anybody may the directories above it: without that, no
/// program finds its way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRules {
    /// What may be opened for reading, directories included.
    pub read: Vec<String>,
    /// What may be opened for writing, made, removed, renamed, or have its owner, mode, times or attributes changed.
    pub write: Vec<String>,
    /// What may be looked at: stat(2), access(2), readlink(2), chdir(2), statfs(2).
    pub stat: Vec<String>,
    /// What may be executed.
    pub execute: Vec<String>,
}

/// What happens when a program uses a file that no rule allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnViolation {
    /// The call fails with EACCES, and is reported.
    #[default]
    Deny,
    /// The run ends, and is reported.
    Kill,
    /// It is reported.
    Log,
}

/// Which system calls become events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TracedCalls {
    /// None.
    #[default]
    None,
    /// Every one.
    All,
    /// These numbers.
    These(Vec<u32>),
}

/// What happens to events that the receiver is too slow for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overflow {
    /// Traced processes stand still until it has caught up.
    #[default]
    Wait,
    /// Events are dropped and counted.
    Drop,
}

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FileOperation {
    /// Its content, or a directory's, is read.
    Read,
    /// It is changed, made or removed.
    Write,
    /// It is looked at.
    Stat,
    /// It is executed.
    Execute,
}

impl FileOperation {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Stat, Self::Execute];

    /// The name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Stat => "stat",
            Self::Execute => "execute",
        }
    }
}

/// Something that happened in a traced run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum TraceEvent<'a> {
    /// A system call came to its end.
    #[serde(borrow)]
    Call(TracedCall<'a>),
    /// A file was used that no rule allows.
    #[serde(borrow)]
    Violation(Violation<'a>),
    /// A call was refused because nobody could watch what it leads to.
    Refused {
        /// By whom.
        who: TraceSubject,
        /// Its number.
        call: u32,
        /// What the program was given instead of a result.
        errno: u16,
    },
    /// A seccomp filter ended a process, or sent it SIGSYS.
    Disallowed(DisallowedCall),
    /// A process or thread began.
    Started {
        /// The new one; `pid` and `tid` are the same for a process.
        who: TraceSubject,
        /// The thread that made it; 0 if that was killed before it could be told.
        parent: u32,
    },
    /// A process or thread ended.
    Ended {
        /// Which.
        who: TraceSubject,
        /// As wait(2) has it.
        status: i32,
    },
    /// So many events before this one were dropped ([`Overflow::Drop`]).
    Lost(u64),
}

/// A thread, and the process that it belongs to, by the numbers of the container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TraceSubject {
    /// The process.
    pub pid: u32,
    /// The thread.
    pub tid: u32,
}

/// A system call that came to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TracedCall<'a> {
    /// By whom.
    pub who: TraceSubject,
    /// Its number.
    pub call: u32,
    /// What it was called with.
    #[serde(borrow)]
    pub arguments: Arguments<'a>,
    /// What it came to.
    pub result: CallResult,
    /// Nanoseconds from the start of the trace to its beginning (CLOCK_MONOTONIC).
    pub start_ns: u64,
    /// Nanoseconds until its end, what tracing added included.
    pub duration_ns: u64,
}

/// What a system call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallResult {
    /// It returned this.
    Value(i64),
    /// It failed with this errno. 512 and above are the kernel's own: interrupted by a signal, and restarted or not.
    Error(u16),
    /// It did not return: the thread ended in it.
    None,
}

/// One argument of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub enum Argument<'a> {
    /// A number.
    Number(i64),
    /// An address, or bits that mean nothing to us. To be shown in hexadecimal.
    Hex(u64),
    /// A mode. To be shown in octal.
    Octal(u32),
    /// NULL.
    #[default]
    Null,
    /// A constant, or several joined by `|`.
    Name(#[serde(borrow)] &'a str),
    /// A string of the program's, a path usually, without its NUL; the flag says that it went on.
    Text(#[serde(borrow, with = "serde_bytes")] &'a [u8], bool),
    /// The first bytes of a buffer, and how long it is.
    Bytes(#[serde(borrow, with = "serde_bytes")] &'a [u8], u64),
}

/// Up to six arguments, in order.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Arguments<'a> {
    items: [Argument<'a>; 6],
    count: u8,
}

impl<'a> Arguments<'a> {
    /// None.
    pub const fn new() -> Self {
        Self { items: [Argument::Null; 6], count: 0 }
    }

    /// Appends one; a seventh is dropped.
    pub fn push(&mut self, argument: Argument<'a>) {
        if let Some(item) = self.items.get_mut(usize::from(self.count)) {
            *item = argument;
            self.count += 1;
        }
    }

    /// All of them.
    pub fn as_slice(&self) -> &[Argument<'a>] {
        self.items.get(..usize::from(self.count)).unwrap_or_default()
    }
}

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(usize::from(self.count)))?;
        for argument in self.as_slice() {
            list.serialize_element(argument)?;
        }
        list.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Arguments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<'a>(core::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for List<'a> {
            type Value = Arguments<'a>;
            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("six arguments at most")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut arguments = Arguments::new();
                while let Some(argument) = list.next_element()? {
                    if arguments.count == 6 {
                        return Err(A::Error::custom("a seventh argument"));
                    }
                    arguments.push(argument);
                }
                Ok(arguments)
            }
        }
        deserializer.deserialize_seq(List(core::marker::PhantomData))
    }
}

/// A file was used that no rule allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation<'a> {
    /// By whom.
    pub who: TraceSubject,
    /// The system call.
    pub call: u32,
    /// What it would have done.
    pub operation: FileOperation,
    /// To which file, links resolved; as the program wrote it where that could not be told. At most [`crate::codec::PATH_MAX`] bytes.
    #[serde(borrow, with = "serde_bytes")]
    pub path: &'a [u8],
    /// What was done about it.
    pub response: OnViolation,
}

/// A call that a seccomp filter did not allow, as far as the kernel shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisallowedCall {
    /// By whom.
    pub who: TraceSubject,
    /// The number, in the numbering of `arch`.
    pub call: u32,
    /// `AUDIT_ARCH_*` (linux/audit.h).
    pub arch: u32,
    /// As the registers had them.
    pub arguments: [u64; 6],
    /// Whether it is the end of the process (or thread); else it got a SIGSYS that it may handle.
    pub is_fatal: bool,
}

/// What a trace came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceSummary {
    /// By number.
    pub calls: Vec<CallCount>,
    /// Threads and processes that there were.
    pub threads: u32,
    /// Files that were used against the rules, each time counted.
    pub violations: u64,
    /// The violation that ended the run ([`OnViolation::Kill`]).
    pub fatal: Option<FatalViolation>,
    /// The first call that ended a process because a seccomp filter did not allow it.
    pub disallowed: Option<DisallowedCall>,
    /// Events that were dropped.
    pub lost: u64,
}

/// Calls of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCount {
    /// The number.
    pub call: u32,
    /// How many.
    pub count: u64,
    /// How many of them failed.
    pub errors: u64,
    /// Nanoseconds between their beginnings and ends, together.
    pub time_ns: u64,
}

/// The violation that ended a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FatalViolation {
    /// The system call.
    pub call: u32,
    /// What it would have done.
    pub operation: FileOperation,
    /// To which file.
    #[serde(with = "serde_bytes")]
    pub path: Vec<u8>,
}

/// What comes through a traced run's pipe: frames of a kind (one byte), a length (a `u32`, little endian), and as many bytes.
///
/// The last one is the summary. Without it the supervisor was ended before its time.
pub mod frame {
    /// A batch of events, see [`super::split_batch`].
    pub const EVENTS: u8 = 0;
    /// A [`super::TraceSummary`].
    pub const SUMMARY: u8 = 1;
    /// What was learned, in the tracer's own encoding.
    pub const LEARNED: u8 = 2;
    /// How many bytes kind and length take.
    pub const HEAD_BYTES: usize = 5;
    /// The longest payload: a reader that finds a longer one reads no further.
    pub const PAYLOAD_MAX: usize = 32 * 1024 * 1024;

    /// Kind and length.
    pub fn head(kind: u8, length: usize) -> [u8; HEAD_BYTES] {
        let [a, b, c, d] = (length as u32).to_le_bytes();
        [kind, a, b, c, d]
    }
}

/// How many bytes the length of an event takes in a batch.
pub const LENGTH_BYTES: usize = 4;

/// Appends an event to a batch.
pub fn append_event(event: &TraceEvent<'_>, batch: &mut Vec<u8>) {
    let start = batch.len();
    batch.extend_from_slice(&[0; LENGTH_BYTES]);
    append(event, batch);
    let length = (batch.len() - start - LENGTH_BYTES) as u32;
    if let Some(place) = batch.get_mut(start..start + LENGTH_BYTES) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

/// Takes a batch of events apart; ends after the first that is none.
pub fn split_batch(batch: &[u8]) -> impl Iterator<Item = Result<TraceEvent<'_>, DecodeError>> {
    let mut rest = Some(batch).filter(|batch| !batch.is_empty());
    core::iter::from_fn(move || {
        let here = rest.take()?;
        let event = (|| {
            let (length, behind) = here.split_first_chunk::<LENGTH_BYTES>()?;
            behind.split_at_checked(u32::from_le_bytes(*length) as usize)
        })();
        let Some((event, behind)) = event else { return Some(Err(DecodeError::Payload)) };
        let event = decode(event);
        rest = Some(behind).filter(|behind| event.is_ok() && !behind.is_empty());
        Some(event)
    })
}
