//! Claims about real cgroups: whatever this machine has of v1, v2 and both is tested, the rest is skipped by name.
//!
//! Each test makes its cgroups below a parent of its own name, which is gone when it ends, and kills only what it started in them.
//! `HOTCELL_EXPECT` (a list of `cgroup1`, `cgroup2`, `cgroup2-limits`: v2 with controllers, and `cgroup2-cpuset`: with that one) turns a skip into a failure.

mod cost;
mod figures;
mod killing;
mod limits;
mod parents;
mod places;
mod stale;
mod support;
