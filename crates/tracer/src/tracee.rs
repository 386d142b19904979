//! What is remembered of each thread.

use crate::arguments::Gathered;
use crate::calls::Signature;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// One traced thread.
#[derive(Debug, Default)]
pub struct Tracee {
    /// Its process; 0 as long as it is not known.
    pub pid: i32,
    /// The call that it is in, if its end is of interest.
    pub pending: Option<Pending>,
    /// What that was called with. Kept from call to call, for its memory.
    pub gathered: Gathered,
    /// Whether the thread that made it has told us so. Its own first stop may come earlier; it is held there, lest it does something before it began.
    pub is_announced: bool,
    /// New, stopped, and waiting for that.
    pub is_held: bool,
    /// For so many ticks.
    held_ticks: u8,
    /// Whether its last SIGSYS was an ordinary signal, and its end by SIGSYS therefore no filter's doing.
    pub got_sigsys: bool,
}

/// A call that has begun.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    /// Its number.
    pub call: u32,
    /// What is known about it.
    pub signature: &'static Signature,
    /// Nanoseconds of CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// Whether it is the one that starts the program; its failures are the launcher's business.
    pub is_launch: bool,
}

/// Tids are the kernel's to choose, and few: no program gains by choosing its own so that they collide, and each stop looks several up.
#[derive(Debug, Default)]
struct TidHasher(u64);

impl Hasher for TidHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 << 8 | u64::from(*byte));
        }
    }
    fn write_i32(&mut self, tid: i32) {
        self.write_u64(tid as u64);
    }
    fn write_u64(&mut self, value: u64) {
        // Fibonacci hashing: the table looks at the upper and the lower bits.
        self.0 = value.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

/// All of them, by tid.
#[derive(Debug, Default)]
pub struct Tracees {
    threads: HashMap<i32, Tracee, BuildHasherDefault<TidHasher>>,
    /// How many there ever were.
    pub total: u32,
    /// Those that ended before they were announced.
    ended_early: HashSet<i32>,
}

impl Tracees {
    /// One that may be new.
    pub fn entry(&mut self, tid: i32) -> &mut Tracee {
        let total = &mut self.total;
        self.threads.entry(tid).or_insert_with(|| {
            *total = total.saturating_add(1);
            Tracee::default()
        })
    }

    /// One that is known.
    pub fn get(&self, tid: i32) -> Option<&Tracee> {
        self.threads.get(&tid)
    }

    /// One that is known.
    pub fn get_mut(&mut self, tid: i32) -> Option<&mut Tracee> {
        self.threads.get_mut(&tid)
    }

    /// One that is gone.
    pub fn remove(&mut self, tid: i32) -> Option<Tracee> {
        let tracee = self.threads.remove(&tid)?;
        if !tracee.is_announced {
            self.ended_early.insert(tid);
        }
        Some(tracee)
    }

    /// Whether one that is announced only now is gone already.
    pub fn is_gone_already(&mut self, tid: i32) -> bool {
        self.ended_early.remove(&tid)
    }

    /// One that made its first stop; others that had its number are forgotten.
    pub fn first_stop(&mut self, tid: i32) -> &mut Tracee {
        self.ended_early.remove(&tid);
        self.entry(tid)
    }

    /// Processes that have waited to be announced for a whole tick.
    pub fn overdue(&mut self) -> Vec<i32> {
        let mut overdue = Vec::new();
        for (tid, tracee) in self.threads.iter_mut().filter(|(tid, tracee)| tracee.is_held && tracee.pid == **tid) {
            tracee.held_ticks += 1;
            if tracee.held_ticks > 1 {
                overdue.push(*tid);
            }
        }
        overdue
    }

    /// A thread executed another program: all others of its process are gone or going, and it has the number of the process from now on.
    pub fn executed(&mut self, former: i32, pid: i32) {
        if former != pid
            && let Some(tracee) = self.threads.remove(&former)
        {
            self.threads.insert(pid, tracee);
        }
        let tracee = self.entry(pid);
        tracee.pid = pid;
        tracee.gathered.forget();
    }

    /// Every process.
    pub fn pids(&self) -> impl Iterator<Item = i32> {
        self.threads.iter().map(|(tid, tracee)| if tracee.pid == 0 { *tid } else { tracee.pid })
    }
}
