//! Traces, as JavaScript holds them: what to watch, and for each run the pipe that its supervisor writes to, taken apart here.
//!
//! Events cross as JSON, a batch at a time: one string costs less than a hundred objects with eight properties made by hand, and is not made when nobody
//! listens. Texts of programs need not be UTF-8; what is none becomes U+FFFD. Numbers beyond 2⁵³ are strings.

use crate::arguments::ByteArg;
use hotcell_host::protocol::trace::{
    Argument, Arguments, CallResult, DisallowedCall, TraceSubject, TracedCall, TracedCalls, Violation, split_batch,
};
use hotcell_host::protocol::{Disallowed, FileRules, OnViolation, TraceConfig, TraceEvent, TraceSummary};
use hotcell_host::trace::{Frame, Frames, Tracing, pipe};
use hotcell_host::tracer::learn::Generalise;
use hotcell_host::tracer::{Learned as Known, calls};
use hotcell_host::{Error as HostError, call_name};
use napi::{Error, Result, Status};
use napi_derive::napi;
use serde_json::{Map, Value, json};
use std::os::fd::{IntoRawFd, OwnedFd};

fn invalid(reason: impl Into<String>) -> Error {
    Error::new(Status::InvalidArg, reason.into())
}

/// What to watch, for as many runs as one likes.
#[napi]
pub struct Trace {
    tracing: Tracing,
}

/// One run's.
#[napi]
pub struct TraceRun {
    tracing: Tracing,
    events: Option<OwnedFd>,
    fd: i32,
    frames: Frames,
    summary: Option<TraceSummary>,
    learned: Option<Known>,
}

/// What one run used, or several.
#[napi]
pub struct Learned {
    known: Known,
}

#[napi]
impl Trace {
    /// `files`: rules for read, write, stat, execute, null for no file policy at all. `calls`: names, null for `all` or none. `onViolation`: 0 deny, 1 kill, 2 log.
    /// Throws what is wrong with it.
    #[napi(constructor, catch_unwind)]
    pub fn new(
        files: Option<Vec<Vec<String>>>,
        calls: Option<Vec<String>>,
        all: bool,
        on_violation: u32,
        learn: bool,
    ) -> Result<Self> {
        let files = files.map(|files| {
            let mut lists = files.into_iter();
            let mut next = || lists.next().unwrap_or_default();
            FileRules { read: next(), write: next(), stat: next(), execute: next() }
        });
        let numbered =
            calls.map(|names| names.iter().map(|name| number(name)).collect::<Result<Vec<_>>>()).transpose()?;
        let calls = match numbered {
            Some(numbers) => TracedCalls::These(numbers),
            None if all => TracedCalls::All,
            None => TracedCalls::None,
        };
        let on_violation = match on_violation {
            0 => OnViolation::Deny,
            1 => OnViolation::Kill,
            _ => OnViolation::Log,
        };
        let config = TraceConfig { files, on_violation, calls, learn, ..TraceConfig::default() };
        Tracing::new(config).map(|tracing| Self { tracing }).map_err(|error| invalid(error.to_string()))
    }

    /// For one run. Its `fd` is the caller's.
    #[napi(catch_unwind)]
    pub fn begin(&self) -> TraceRun {
        let tracing = self.tracing.clone();
        let (fd, events) = match pipe() {
            Ok((ours, theirs)) => (ours.into_raw_fd(), Some(theirs)),
            Err(error) => (-error.errno().unwrap_or(libc::EMFILE), None),
        };
        TraceRun { tracing, events, fd, frames: Frames::default(), summary: None, learned: None }
    }
}

fn number(name: &str) -> Result<u32> {
    calls::number(name).ok_or_else(|| invalid(format!("there is no system call \"{name}\" on this machine")))
}

impl TraceRun {
    /// For the run that is asked for now.
    pub(crate) fn take(&mut self) -> Option<(Tracing, OwnedFd)> {
        self.events.take().map(|events| (self.tracing.clone(), events))
    }
}

#[napi]
impl TraceRun {
    /// To read from; a negative errno if there could be no pipe.
    #[napi(getter)]
    pub fn fd(&self) -> i32 {
        self.fd
    }

    /// Takes what was read. Gives the events in it as a JSON array, if they are wanted and there are any. Throws if it is not what a supervisor writes.
    #[napi(catch_unwind, ts_args_type = "bytes: Uint8Array, wanted: boolean")]
    pub fn push(&mut self, bytes: ByteArg, wanted: bool) -> Result<Option<String>> {
        let Self { frames, summary, learned, .. } = self;
        let mut events: Vec<Value> = Vec::new();
        let mut is_broken = false;
        let pushed = frames.push(bytes.as_bytes(), |frame| match frame {
            Frame::Events(batch) if wanted => {
                for event in split_batch(batch) {
                    match event {
                        Ok(event) => events.push(shown(&event)),
                        Err(_) => is_broken = true,
                    }
                }
            }
            Frame::Events(_) => {}
            Frame::Summary(told) => *summary = Some(told),
            Frame::Learned(told) => *learned = Some(told),
        });
        if pushed.is_err() || is_broken {
            return Err(Error::new(Status::GenericFailure, "a supervisor spoke out of turn"));
        }
        Ok((!events.is_empty()).then(|| Value::Array(events).to_string()))
    }

    /// What it came to, as JSON; null without an end.
    #[napi(catch_unwind)]
    pub fn summary(&self) -> Option<String> {
        self.summary.as_ref().map(|summary| summarised(summary).to_string())
    }

    /// What was learned, if that was asked for, and came.
    #[napi(catch_unwind)]
    pub fn learned(&self) -> Option<Learned> {
        self.learned.clone().map(|known| Learned { known })
    }
}

#[napi]
impl Learned {
    /// Both.
    #[napi(catch_unwind)]
    pub fn merge(&self, other: &Learned) -> Self {
        let mut known = self.known.clone();
        known.merge(other.known.clone());
        Self { known }
    }

    /// The smallest profile, in the OCI runtime-spec's format, as JSON.
    #[napi(catch_unwind)]
    pub fn seccomp(&self) -> String {
        json!(self.known.oci_seccomp()).to_string()
    }

    /// Paths to read, write, execute, as JSON.
    #[napi(catch_unwind)]
    pub fn landlock(&self) -> String {
        json!(self.known.landlock(Generalise::default())).to_string()
    }

    /// Rules for a trace, as JSON.
    #[napi(catch_unwind)]
    pub fn files(&self) -> String {
        json!(self.known.file_rules(Generalise::default())).to_string()
    }

    /// Whether there was room for everything.
    #[napi(catch_unwind)]
    pub fn is_complete(&self) -> bool {
        self.known.is_complete()
    }
}

fn named(call: u32) -> String {
    calls::name(call).map_or_else(|| format!("syscall_{call}"), str::to_owned)
}

fn text(bytes: &[u8]) -> Value {
    Value::String(String::from_utf8_lossy(bytes).into_owned())
}

/// Exactly, as far as JavaScript's numbers go.
fn integer(number: i64) -> Value {
    const SAFE: u64 = 1 << 53;
    if number.unsigned_abs() < SAFE { json!(number) } else { Value::String(number.to_string()) }
}

fn response(response: OnViolation) -> &'static str {
    match response {
        OnViolation::Deny => "deny",
        OnViolation::Kill => "kill",
        OnViolation::Log => "log",
    }
}

fn of(kind: &str, who: TraceSubject) -> Map<String, Value> {
    let mut event = Map::new();
    event.insert("type".into(), kind.into());
    event.insert("pid".into(), who.pid.into());
    event.insert("tid".into(), who.tid.into());
    event
}

fn shown(event: &TraceEvent<'_>) -> Value {
    match event {
        TraceEvent::Call(call) => shown_call(call),
        TraceEvent::Violation(Violation { who, call, operation, path, response: how }) => {
            let mut event = of("violation", *who);
            event.insert("name".into(), named(*call).into());
            event.insert("operation".into(), operation.name().into());
            event.insert("path".into(), text(path));
            event.insert("response".into(), response(*how).into());
            event.into()
        }
        TraceEvent::Refused { who, call, errno } => {
            let mut event = of("refused", *who);
            event.insert("name".into(), named(*call).into());
            event.insert("errno".into(), (*errno).into());
            event.into()
        }
        TraceEvent::Disallowed(call) => {
            let DisallowedCall { who, arguments, is_fatal, .. } = call;
            let mut event = of("disallowed", *who);
            event.insert("name".into(), disallowed_name(call).into());
            event.insert("args".into(), arguments.iter().map(|value| format!("{value:#x}")).collect());
            event.insert("fatal".into(), (*is_fatal).into());
            event.into()
        }
        TraceEvent::Started { who, parent } => {
            let mut event = of("start", *who);
            event.insert("parent".into(), (*parent).into());
            event.into()
        }
        TraceEvent::Ended { who, status } => {
            let mut event = of("exit", *who);
            if libc::WIFSIGNALED(*status) {
                event.insert("signal".into(), libc::WTERMSIG(*status).into());
            } else {
                event.insert("exitCode".into(), libc::WEXITSTATUS(*status).into());
            }
            event.into()
        }
        TraceEvent::Lost(count) => json!({"type": "lost", "count": count}),
    }
}

fn disallowed_name(call: &DisallowedCall) -> String {
    call_name(&Disallowed { nr: call.call as i32, arch: call.arch, args: call.arguments })
}

fn shown_call(call: &TracedCall<'_>) -> Value {
    let mut event = of("syscall", call.who);
    event.insert("name".into(), named(call.call).into());
    event.insert("args".into(), shown_arguments(&call.arguments));
    match call.result {
        CallResult::Value(value) => event.insert("result".into(), integer(value)),
        CallResult::Error(errno) => event.insert("errno".into(), errno.into()),
        CallResult::None => None,
    };
    event.insert("startMs".into(), (call.start_ns as f64 / 1e6).into());
    event.insert("durationMs".into(), (call.duration_ns as f64 / 1e6).into());
    event.into()
}

fn shown_arguments(arguments: &Arguments<'_>) -> Value {
    let shown = |argument: &Argument<'_>| match *argument {
        Argument::Number(number) => integer(number),
        Argument::Hex(number) => Value::String(format!("{number:#x}")),
        Argument::Octal(mode) => Value::String(format!("{mode:#o}").replacen("0o", "0", 1)),
        Argument::Null => Value::Null,
        Argument::Name(name) => name.into(),
        Argument::Text(bytes, _) | Argument::Bytes(bytes, _) => text(bytes),
    };
    arguments.as_slice().iter().map(shown).collect()
}

fn summarised(summary: &TraceSummary) -> Value {
    let TraceSummary { calls, threads, violations, fatal, lost, .. } = summary;
    let counted = calls.iter().map(|counted| {
        let total_ms = counted.time_ns as f64 / 1e6;
        (named(counted.call), json!({"count": counted.count, "errors": counted.errors, "totalTimeMs": total_ms}))
    });
    let fatal = fatal.as_ref().map(
        |fatal| json!({"name": named(fatal.call), "operation": fatal.operation.name(), "path": text(&fatal.path)}),
    );
    let calls: Map<String, Value> = counted.collect();
    json!({"calls": calls, "threads": threads, "violations": violations, "lost": lost, "fatal": fatal})
}

/// The run's trace in the host's words, for as long as the request is being made.
pub(crate) struct Asked(pub(crate) Option<(Tracing, OwnedFd)>);

impl Asked {
    pub(crate) fn of(run: Option<&mut TraceRun>) -> std::result::Result<Self, HostError> {
        match run {
            None => Ok(Self(None)),
            // Each is for one run.
            Some(run) => run.take().map(|taken| Self(Some(taken))).ok_or(HostError::MakePipe { errno: libc::EBADF }),
        }
    }
}
