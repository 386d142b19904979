//! From init to the host. The host takes every one for hostile.

use crate::outcome::{Outcome, Sample};
use crate::step::Failure;
use crate::tree::{Filled, Listing};
use serde::{Deserialize, Serialize};

/// A reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The id of the request; 0 for [`ReplyBody::Hello`] and for the [`ReplyBody::Failed`] that stands in its place.
    pub id: u32,
    /// What is answered.
    pub body: ReplyBody,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ReplyBody {
    /// The container is ready.
    Hello {
        /// [`crate::VERSION`] of the image.
        version: u32,
    },
    /// Done as asked.
    Done,
    /// One for each file asked for, in order. Descriptors beside the packet belong to those that succeeded, in order.
    Opened(Vec<Result<Opened, Failure>>),
    /// A part of a directory.
    Listed(Listing),
    /// One for each item asked for, up to the first that failed. Descriptors beside the packet belong to the files among them, in order.
    Filled(Vec<Filled>),
    /// The program runs; the packet's `SCM_CREDENTIALS` hold its pid. Not the last reply.
    Started,
    /// The run waits before `execve`; the packet's `SCM_CREDENTIALS` hold its pid. Not the last reply.
    SyncPoint,
    /// What the run used in the course of time, at most [`crate::SAMPLES_MAX`] samples in the order of their times. Before [`ReplyBody::Ended`], if that
    /// was asked for. Not the last reply.
    Timeline(Vec<Sample>),
    /// The run is over, and every process of it is gone.
    Ended(Outcome),
    /// It could not be done; nothing of it is left.
    Failed(Failure),
}

/// A file that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// For `Commit` and `Discard`; 0 unless [`crate::OpenHow::Replace`].
    pub ticket: u32,
}
