//! Which CPUs threads may run on: sched_setaffinity(2).

use crate::check;
use std::io;

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

    /// How many.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Binds a thread of ours to these; 0 is the calling one.
    pub fn bind(&self, thread: i32) -> io::Result<()> {
        // SAFETY: the kernel reads the array.
        check(unsafe { libc::sched_setaffinity(thread, size_of_val(&self.0), self.0.as_ptr().cast()) }.into())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_bound_and_let_go() {
        let before = Cpus::of_this_thread().unwrap();
        assert!(before.count() >= 1);
        let lowest = before.0.iter().position(|word| *word != 0).unwrap();
        let mut one = Cpus([0; 128]);
        one.0[lowest] = 1 << before.0[lowest].trailing_zeros();
        one.bind(0).unwrap();
        assert_eq!(Cpus::of_this_thread().unwrap(), one);
        Cpus::ALL.bind(0).unwrap();
        assert!(Cpus::of_this_thread().unwrap().count() >= before.count(), "all that the cpuset has");
        before.bind(0).unwrap();
        assert_eq!(Cpus::of_this_thread().unwrap(), before);
        assert!(Cpus([0; 128]).bind(0).is_err(), "nowhere to run");
    }
}
