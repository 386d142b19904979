//! Claims about real containers, made and driven without Node.
//!
//! Nothing is simulated: each test creates containers. Where the host allows none, the tests say so by name and pass, unless
//! `HOTCELL_EXPECT` lists `container`.

mod files;
mod leaks;
mod limits;
mod loss;
mod probing;
mod runs;
mod seccomp;
mod support;
mod syncing;
mod terminals;
mod tracing;
mod trees;
