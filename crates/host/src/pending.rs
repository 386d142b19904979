//! What a container owes an answer to.

use crate::cgroups::{BoxedGroup, Lease};
use crate::event::{RequestId, Sink};
use crate::limits::Limits;
use crate::run::Collector;
use hotcell_protocol::ReplyBody;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A request in flight.
pub(crate) struct Pending {
    pub(crate) id: RequestId,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) kind: Kind,
    pub(crate) deadline: Option<Deadline>,
}

/// When init is killed if the answer is not there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    /// What the wait is for, and how long it is, for the message.
    pub(crate) request: &'static str,
    pub(crate) seconds: u64,
}

impl Deadline {
    pub(crate) fn after(seconds: u64, request: &'static str) -> Self {
        Self { at: Instant::now() + Duration::from_secs(seconds), request, seconds }
    }
}

/// What kind of answer is due.
pub(crate) enum Kind {
    /// Of the launcher and of init's first packet.
    Create {
        /// That packet has come.
        greeted: bool,
    },
    /// `Done` or `Failed`.
    Plain,
    /// `Opened` with one file, or `Failed`.
    Open {
        /// Whether there is a ticket to it.
        replace: bool,
    },
    /// `Listed` or `Failed`.
    List,
    /// `Opened` with so many files, or `Failed`.
    Read {
        /// How many.
        count: usize,
    },
    /// `Filled` with one for each item, up to the first that failed; or `Failed`.
    Fill {
        /// Which of the items are files.
        files: Vec<bool>,
    },
    /// `Done` or `Failed`: init was told of a run group.
    AddGroup {
        /// Its number.
        group: u32,
    },
    /// `Done` or `Failed`: init was told of a filter. Runs that have it tell what went wrong.
    AddFilter,
    /// `Done` or `Failed`: init was told to forget a run group.
    RemoveGroup {
        /// Removed with the answer.
        group: BoxedGroup,
    },
    /// `Ended` or `Failed`, and before these once each of what was asked for.
    Run {
        /// A `SyncPoint` may come.
        sync: bool,
        /// A `Started` may come.
        report_start: bool,
        /// A `Timeline` may come.
        timeline: bool,
        /// Who collects the output.
        collector: Option<Arc<Collector>>,
        /// What it is judged by.
        limits: Box<Limits>,
        /// The group that it is in.
        lease: Option<Lease>,
        /// How many resource limits it asked for, and what those behind them are called.
        resources: (u32, Vec<&'static str>),
    },
}

impl Kind {
    /// Whether this reply may be the last to such a request.
    pub(crate) fn ends_with(&self, body: &ReplyBody) -> bool {
        matches!(
            (self, body),
            (_, ReplyBody::Failed(_))
                | (Self::Plain | Self::AddFilter | Self::AddGroup { .. } | Self::RemoveGroup { .. }, ReplyBody::Done)
                | (Self::Open { .. } | Self::Read { .. }, ReplyBody::Opened(_))
                | (Self::List, ReplyBody::Listed(_))
                | (Self::Fill { .. }, ReplyBody::Filled(_))
                | (Self::Run { .. }, ReplyBody::Ended(_))
        )
    }

    /// Whether there may be something else in the container afterwards.
    pub(crate) const fn may_change(&self) -> bool {
        !matches!(self, Self::AddGroup { .. } | Self::AddFilter | Self::RemoveGroup { .. })
    }

    /// Lets a `SyncPoint`, `Started` or `Timeline` pass that was asked for and has not come yet.
    pub(crate) fn passes(&mut self, body: &ReplyBody) -> bool {
        match (self, body) {
            (Self::Run { sync, .. }, ReplyBody::SyncPoint) => std::mem::take(sync),
            // Whoever runs is past the sync point.
            (Self::Run { sync, report_start, .. }, ReplyBody::Started) => {
                *sync = false;
                std::mem::take(report_start)
            }
            // It is about the end.
            (Self::Run { sync, report_start, timeline, .. }, ReplyBody::Timeline(_)) => {
                (*sync, *report_start) = (false, false);
                std::mem::take(timeline)
            }
            _ => false,
        }
    }
}
