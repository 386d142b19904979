//! Claims about real programs under a real supervisor.

mod calls;
mod cost;
mod evasion;
mod files;
mod life;
mod programs;
mod resolution;
mod support;
