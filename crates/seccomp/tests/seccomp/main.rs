//! Claims about policies: what compiled programs answer, by hand and in the kernel, and what programs under them can and cannot do.

mod kernel;
mod meaning;
mod oci;
mod random;
mod size;
mod support;
