//! The Node-API binding. It converts, and decides nothing: TypeScript has checked the arguments, `hotcell-host` does the work.
//!
//! # Theory of operation
//!
//! Each JavaScript environment (the main thread, each worker) makes one [`bridge::Bridge`]. A method of a container runs on the
//! environment's thread: it converts its arguments, has the host library send the request, and returns a number, under which
//! completions arrive. The reactor thread puts these into the bridge's queue and wakes the environment through one thread-safe
//! function, however many there are; the environment's thread then lays the whole queue into rows of numbers that it shares with
//! JavaScript, and calls one callback for all of them. What does not fit into numbers (output, errors) comes along as objects.
//!
//! A bridge does not keep the event loop alive unless told to. When its environment ends (a worker is terminated, the process
//! exits), all of its containers are killed and nothing is called any more. The reactor and the launcher belong to the process and to
//! this copy of the addon: another copy has its own.
//!
//! A panic must not unwind into JavaScript's frames: `catch_unwind` stands at each entry, and turns it into an exception.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]
#![cfg_attr(test, allow(dead_code, reason = "what JavaScript calls is not registered in test builds"))]

mod arguments;
mod bridge;
mod completion;
mod container;
mod descriptor;
mod error;
mod file_copy;
mod landlock;
mod probe;
mod seccomp;
mod setup;
mod trace;
mod tree;
mod value;
mod version;
