//! Events on their way out.
//!
//! Runs in the supervisor. Events are encoded into one buffer and given to a [`Sink`] when enough came together, and at each tick of the
//! supervisor's timer. Memory is bounded either way: a sink that waits makes traced processes wait with it, since they stand still until the
//! supervisor looks; one that does not wait has events dropped and counted.

use crate::error::Error;
use hotcell_protocol::TraceEvent;
use hotcell_protocol::trace::{Overflow, append_event};
use std::io;

/// A batch is given away beyond this. With the largest event behind it (three paths) it still fits into a packet of the protocol.
const BATCH_BYTES: usize = 16 * 1024;
/// What may wait for a receiver that is too slow ([`Overflow::Drop`]).
const BACKLOG_BYTES: usize = 64 * 1024;

/// Where events go.
pub trait Sink {
    /// Takes a batch of whole events ([`hotcell_protocol::trace::split_batch`]). Says whether it did; `false` is only for when it must not wait.
    ///
    /// An error ends the supervision, and with it every traced process: nobody is left to tell.
    fn send(&mut self, batch: &[u8], may_wait: bool) -> io::Result<bool>;
}

/// For those who want everything at the end.
impl Sink for Vec<u8> {
    fn send(&mut self, batch: &[u8], _may_wait: bool) -> io::Result<bool> {
        self.extend_from_slice(batch);
        Ok(true)
    }
}

/// The buffer in front of a sink.
#[derive(Debug)]
pub(crate) struct Outbox<S> {
    sink: S,
    batch: Vec<u8>,
    overflow: Overflow,
    /// Dropped since the last event that went through.
    lost: u64,
    /// Dropped ever.
    pub lost_total: u64,
}

impl<S: Sink> Outbox<S> {
    pub fn new(sink: S, overflow: Overflow) -> Self {
        Self { sink, batch: Vec::with_capacity(BATCH_BYTES * 2), overflow, lost: 0, lost_total: 0 }
    }

    /// Takes an event, and gives the batch away if it is large.
    pub fn push(&mut self, event: &TraceEvent<'_>) -> Result<(), Error> {
        if self.batch.len() >= BACKLOG_BYTES {
            self.lost += 1;
            self.lost_total += 1;
            return self.flush();
        }
        if self.lost > 0 {
            append_event(&TraceEvent::Lost(self.lost), &mut self.batch);
            self.lost = 0;
        }
        append_event(event, &mut self.batch);
        if self.batch.len() >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Gives away what there is.
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let sent = self.sink.send(&self.batch, self.overflow == Overflow::Wait);
        if sent.map_err(|error| Error::Send { errno: hotcell_linux::errno(&error) })? {
            self.batch.clear();
        }
        Ok(())
    }

    /// The end: what is left may wait, whatever the configuration says, and the sink comes back.
    pub fn finish(mut self) -> Result<S, Error> {
        if self.lost > 0 {
            append_event(&TraceEvent::Lost(self.lost), &mut self.batch);
        }
        self.overflow = Overflow::Wait;
        self.flush()?;
        Ok(self.sink)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hotcell_protocol::trace::{TraceSubject, split_batch};

    /// Takes so many batches, and then none.
    struct Slow {
        takes: usize,
        taken: Vec<u8>,
        most: usize,
    }

    impl Sink for Slow {
        fn send(&mut self, batch: &[u8], may_wait: bool) -> io::Result<bool> {
            self.most = self.most.max(batch.len());
            if self.takes == 0 && !may_wait {
                return Ok(false);
            }
            self.takes = self.takes.saturating_sub(1);
            self.taken.extend_from_slice(batch);
            Ok(true)
        }
    }

    #[test]
    fn memory_is_bounded_and_what_is_lost_is_counted() {
        let mut outbox = Outbox::new(Slow { takes: 1, taken: Vec::new(), most: 0 }, Overflow::Drop);
        let count = 100_000;
        for status in 0..count {
            let event = TraceEvent::Ended { who: TraceSubject::default(), status };
            outbox.push(&event).unwrap();
        }
        let lost = outbox.lost_total;
        let Slow { taken, most, .. } = outbox.finish().unwrap();
        assert!(most < BACKLOG_BYTES + 100, "{most}");
        let events: Vec<_> = split_batch(&taken).map(Result::unwrap).collect();
        assert_eq!(events.last(), Some(&TraceEvent::Lost(lost)));
        assert_eq!(events.len() as u64 - 1 + lost, count as u64);
    }

    #[test]
    fn a_sink_that_waits_gets_everything_in_order() {
        let mut outbox = Outbox::new(Vec::new(), Overflow::Wait);
        let event = |status| TraceEvent::Ended { who: TraceSubject::default(), status };
        for status in 0..50_000 {
            outbox.push(&event(status)).unwrap();
        }
        assert_eq!(outbox.lost_total, 0);
        let bytes = outbox.finish().unwrap();
        assert!(split_batch(&bytes).map(Result::unwrap).eq((0..50_000).map(event)));
    }
}
