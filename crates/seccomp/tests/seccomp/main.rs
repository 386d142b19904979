//! Claims about policies: what compiled programs answer, by hand and in the kernel, and what programs under them can and cannot do.

mod meaning;
mod oci;
mod random;
