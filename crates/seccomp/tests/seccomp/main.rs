//! Claims about policies: what compiled programs answer, by hand and in the kernel, and what programs under them can and cannot do.
//!
//! Compilers and runtimes that this machine has not are skipped by name; `HOTCELL_EXPECT=gcc,python3,node,java,go` turns that into a failure.

mod attacks;
mod conditions;
mod cost;
mod coverage;
mod golden;
mod kernel;
mod libseccomp;
mod meaning;
mod oci;
mod programs;
mod random;
mod size;
mod support;
mod watchers;
