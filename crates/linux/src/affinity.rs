//! Which CPUs threads may run on: sched_setaffinity(2).

use crate::check;
use std::io;

/// [`Cpus::ALL`], at an address that does not change.
pub static ALL: Cpus = Cpus::ALL;

/// CPUs by number; up to 8192, the most that Linux can be built for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpus([u64; 128]);

impl Cpus {
    /// Each of them. Asked for that, the kernel gives what the cpuset has.
    pub const ALL: Self = Self([u64::MAX; 128]);

    /// Those that the calling thread may use.
    pub fn of_this_thread() -> io::Result<Self> {
        let mut cpus = [0_u64; 128];
        // SAFETY: the kernel writes at most the size of the array.
        check(unsafe { libc::sched_getaffinity(0, size_of_val(&cpus), cpus.as_mut_ptr().cast()) }.into())?;
        Ok(Self(cpus))
    }

    /// One.
    pub fn only(cpu: u32) -> Self {
        let mut cpus = [0; 128];
        if let Some(word) = cpus.get_mut(cpu as usize / 64) {
            *word = 1 << (cpu % 64);
        }
        Self(cpus)
    }

    /// How many.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Binds a thread of ours to these; 0 is the calling one.
    pub fn bind(&self, thread: i32) -> io::Result<()> {
        // SAFETY: the kernel reads the array.
        check(unsafe { libc::sched_setaffinity(thread, size_of_val(&self.0), self.as_ptr().cast()) }.into())?;
        Ok(())
    }

    /// What [`crate::process::raw::sched_setaffinity`] takes; [`Self::BYTES`] long.
    pub const fn as_ptr(&self) -> *const u64 {
        self.0.as_ptr()
    }

    /// The size of all of them as the kernel reads it.
    pub const BYTES: usize = size_of::<Self>();
}

/// The CPU that the calling thread is on (getcpu(2)), which may have changed by the time that this is read.
pub fn current_cpu() -> Option<u32> {
    // SAFETY: no memory involved.
    u32::try_from(unsafe { libc::sched_getcpu() }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_bound_and_let_go() {
        let before = Cpus::of_this_thread().unwrap();
        assert!(before.count() >= 1);
        let cpu = current_cpu().unwrap();
        Cpus::only(cpu).bind(0).unwrap();
        assert_eq!(Cpus::of_this_thread().unwrap(), Cpus::only(cpu));
        assert_eq!(current_cpu(), Some(cpu));
        before.bind(0).unwrap();
        assert_eq!(Cpus::of_this_thread().unwrap(), before);
        assert!(Cpus::only(8191).count() == 1 && Cpus::only(8192).count() == 0);
        assert!(Cpus::only(8192).bind(0).is_err(), "nowhere to run");
    }
}
