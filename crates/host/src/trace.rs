//! Traced runs: what is asked of them, and what comes of it.
//!
//! A supervisor in the container ([`hotcell_tracer`]) watches the run. What to watch is checked here ([`Tracing`]), together with the filter that
//! has to ask about it; what it tells comes through a pipe ([`pipe`]) whose other end is the caller's, who takes it apart with [`Frames`].
//! Supervisors run among hostile programs, so nothing that comes is trusted: lengths are bounded, and what is no frame ends the reading.

use crate::error::Error;
use crate::lock;
use crate::pipe as pipes;
use crate::seccomp::Seccomp;
use hotcell_protocol::trace::frame;
use hotcell_protocol::{DecodeError, TraceConfig, TraceSummary, decode};
use hotcell_seccomp::{Trace as Asking, Traced};
use hotcell_tracer::{Learned, check_rules, traced_calls};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

/// How many filters are kept that were compiled for a policy and a set of calls.
const KEPT: usize = 16;

/// What to watch. Copies are cheap.
#[derive(Debug, Clone)]
pub struct Tracing(Arc<Checked>);

#[derive(Debug)]
struct Checked {
    config: TraceConfig,
    calls: Vec<u32>,
}

/// A run's.
#[derive(Debug, Clone)]
pub struct Trace<'a> {
    /// What to watch.
    pub tracing: Tracing,
    /// Where to tell of it: the end of a [`pipe`]. It is looked at in the call that it is given to, and never after.
    pub events: BorrowedFd<'a>,
}

impl Tracing {
    /// Checks it.
    pub fn new(config: TraceConfig) -> Result<Self, Error> {
        if let Some(rules) = &config.files {
            check_rules(rules).map_err(Error::ReadRules)?;
        }
        let calls = traced_calls(&config);
        Ok(Self(Arc::new(Checked { config, calls })))
    }

    pub(crate) fn config(&self) -> &TraceConfig {
        &self.0.config
    }

    /// The filter for a policy that asks the supervisor about what it watches. Compiled once, as long as it is used now and then.
    pub(crate) fn filter(&self, policy: &Seccomp) -> Result<Seccomp, Error> {
        type Compiled = (u64, Vec<u32>, Seccomp);
        static COMPILED: Mutex<Vec<Compiled>> = Mutex::new(Vec::new());
        let is_it = |(id, calls, _): &Compiled| *id == policy.id() && *calls == self.0.calls;
        {
            let mut compiled = lock(&COMPILED);
            if let Some(index) = compiled.iter().position(is_it) {
                let known = compiled.remove(index);
                let filter = known.2.clone();
                compiled.push(known);
                return Ok(filter);
            }
        }
        let calls = Traced::Numbers(self.0.calls.iter().copied().collect());
        let filter = policy.traced(Asking { calls, data: 0 })?;
        let mut compiled = lock(&COMPILED);
        if let Some(known) = compiled.iter().find(|known| is_it(known)) {
            // Somebody else was faster; two of them would be two threads in each container.
            return Ok(known.2.clone());
        }
        if compiled.len() >= KEPT {
            compiled.remove(0);
        }
        compiled.push((policy.id(), self.0.calls.clone(), filter.clone()));
        Ok(filter)
    }
}

/// A pipe for a trace: the end to read, non-blocking, and the end for [`Trace::events`].
pub fn pipe() -> Result<(OwnedFd, OwnedFd), Error> {
    pipes::from_program().map(|pipe| (pipe.ours, pipe.theirs))
}

/// Something that a supervisor told.
#[derive(Debug)]
pub enum Frame<'a> {
    /// Events, to be taken apart by [`hotcell_protocol::trace::split_batch`].
    Events(&'a [u8]),
    /// The last one.
    Summary(TraceSummary),
    /// What was learned.
    Learned(Learned),
}

/// Takes apart what comes through a trace's pipe, in whatever pieces.
#[derive(Debug, Default)]
pub struct Frames {
    waiting: Vec<u8>,
    is_broken: bool,
}

impl Frames {
    /// Takes a piece, and gives each frame that is whole by now. After an error there is nothing more to be had.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Frame<'_>)) -> Result<(), DecodeError> {
        if self.is_broken {
            return Err(DecodeError::Payload);
        }
        self.waiting.extend_from_slice(bytes);
        let taken = take(&self.waiting, &mut each);
        self.is_broken = taken.is_err();
        let taken = taken.inspect_err(|_| self.waiting = Vec::new())?;
        self.waiting.drain(..taken);
        Ok(())
    }
}

/// How many bytes were whole frames.
fn take(bytes: &[u8], each: &mut impl FnMut(Frame<'_>)) -> Result<usize, DecodeError> {
    let mut rest = bytes;
    while let Some(([kind, length @ ..], behind)) = rest.split_first_chunk::<{ frame::HEAD_BYTES }>() {
        let length = u32::from_le_bytes(*length) as usize;
        if length > frame::PAYLOAD_MAX {
            return Err(DecodeError::Payload);
        }
        let Some((payload, behind)) = behind.split_at_checked(length) else { break };
        match *kind {
            frame::EVENTS => each(Frame::Events(payload)),
            frame::SUMMARY => each(Frame::Summary(decode(payload)?)),
            frame::LEARNED => each(Frame::Learned(decode(payload)?)),
            _ => return Err(DecodeError::Tag),
        }
        rest = behind;
    }
    Ok(bytes.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotcell_protocol::codec::append;

    fn framed(kind: u8, payload: &[u8]) -> Vec<u8> {
        [frame::head(kind, payload.len()).as_slice(), payload].concat()
    }

    fn shown(frames: &mut Frames, bytes: &[u8]) -> Result<Vec<String>, DecodeError> {
        let mut seen = Vec::new();
        frames.push(bytes, |frame| seen.push(format!("{frame:?}"))).map(|()| seen)
    }

    #[test]
    fn frames_are_the_same_in_whatever_pieces_they_come() {
        let mut summary = Vec::new();
        append(&TraceSummary { threads: 3, ..TraceSummary::default() }, &mut summary);
        let all =
            [framed(frame::EVENTS, b"abc"), framed(frame::SUMMARY, &summary), framed(frame::EVENTS, b"")].concat();
        let whole = shown(&mut Frames::default(), &all).unwrap();
        assert_eq!(whole.len(), 3);
        let mut frames = Frames::default();
        let pieces: Vec<_> = all.iter().flat_map(|byte| shown(&mut frames, &[*byte]).unwrap()).collect();
        assert_eq!(pieces, whole);
    }

    #[test]
    fn what_is_no_frame_ends_the_reading() {
        for broken in [framed(9, b""), framed(frame::SUMMARY, b"\xff"), vec![0, 0xff, 0xff, 0xff, 0xff]] {
            let mut frames = Frames::default();
            assert!(shown(&mut frames, &broken).is_err());
            assert!(shown(&mut frames, &framed(frame::EVENTS, b"")).is_err());
        }
    }

    #[test]
    fn one_filter_serves_all_runs_that_watch_the_same_under_the_same_policy() {
        let policy = Seccomp::profile(hotcell_seccomp::Profile::Default).unwrap();
        let files = || TraceConfig { files: Some(Default::default()), ..TraceConfig::default() };
        let first = Tracing::new(files()).unwrap().filter(&policy).unwrap();
        assert_eq!(Tracing::new(files()).unwrap().filter(&policy).unwrap().id(), first.id());
        let learning = Tracing::new(TraceConfig { learn: true, ..files() }).unwrap();
        assert_ne!(learning.filter(&policy).unwrap().id(), first.id());
    }
}
