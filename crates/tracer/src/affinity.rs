//! Keeping supervisor and tracee on one processor.
//!
//! Runs in the supervisor. A thread that makes one traced call after the other and its supervisor take turns: never do both have something to
//! do. The scheduler does not know that. It wakes the one on a processor other than that which the other is on, which means an inter-processor interrupt
//! each time: on virtual machines 20 to 40 µs, when a switch between two processes on one processor costs 2. So a thread that made many stops
//! in a row, with nobody else making one in between, is bound to the supervisor's processor together with it, until somebody else stops, or few stops
//! are made ([`Follower::tick`]), or the thread is about to fork or to look at its affinity. Those calls must be among the traced ones, so nobody
//! ever sees the mask (but for `Cpus_allowed` in /proc/PID/status); it is put back before they take place.
//!
//! (sched_yield(2) instead of sleeping until the next stop would save another microsecond. On a processor that others want as well it cost 450 a call.)
//!
//! Where the supervisor may not set it (no CAP_SYS_NICE over the tracee), nothing is bound and all goes slower.

use std::mem::MaybeUninit;

/// So many stops of one thread in a row.
const STOPS_IN_A_ROW: u32 = 64;
/// With fewer in a tick a thread has something else to do.
const STOPS_IN_A_TICK: u32 = 200;

/// Follows whoever stops most.
#[derive(Debug)]
pub struct Follower {
    is_enabled: bool,
    last: i32,
    in_a_row: u32,
    in_this_tick: u32,
    bound: Option<Bound>,
}

#[derive(Debug)]
struct Bound {
    tid: i32,
    theirs: Mask,
    ours: Mask,
}

/// As large as kernels are built for at most (8192 processors).
type Mask = [u64; 128];

impl Follower {
    /// One that follows nobody yet.
    pub const fn new() -> Self {
        Self { is_enabled: true, last: 0, in_a_row: 0, in_this_tick: 0, bound: None }
    }

    /// A thread stopped in a call.
    pub fn stopped(&mut self, tid: i32) {
        if !self.is_enabled {
            return;
        }
        if tid != self.last {
            self.last = tid;
            self.in_a_row = 0;
            self.release();
        }
        self.in_a_row += 1;
        self.in_this_tick += 1;
        if self.in_a_row == STOPS_IN_A_ROW && self.bound.is_none() {
            self.bind(tid);
        }
    }

    /// The timer ticked.
    pub fn tick(&mut self) {
        if self.in_this_tick < STOPS_IN_A_TICK {
            self.release();
            self.in_a_row = 0;
        } else if self.bound.is_none() && self.in_a_row > STOPS_IN_A_ROW {
            self.in_a_row = 0;
        }
        self.in_this_tick = 0;
    }

    /// Puts every mask back. Bound again after a tick at the earliest.
    pub fn release(&mut self) {
        if let Some(Bound { tid, theirs, ours }) = self.bound.take() {
            set(tid, &theirs);
            set(0, &ours);
        }
    }

    /// A thread that executed another program has the number of its process now.
    pub fn renamed(&mut self, former: i32, tid: i32) {
        if let Some(bound) = self.bound.as_mut().filter(|bound| bound.tid == former) {
            bound.tid = tid;
            self.last = tid;
        }
    }

    /// The same as [`Self::release`], for good: the program minds its processors itself.
    pub fn disable(&mut self) {
        self.release();
        self.is_enabled = false;
    }

    fn bind(&mut self, tid: i32) {
        // SAFETY: no memory involved.
        let cpu = usize::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0);
        let (Some(theirs), Some(ours)) = (get(tid), get(0)) else { return };
        let is_theirs = theirs.get(cpu / 64).is_some_and(|word| word >> (cpu % 64) & 1 == 1);
        let mut one: Mask = [0; 128];
        if let Some(word) = one.get_mut(cpu / 64).filter(|_| is_theirs) {
            *word = 1 << (cpu % 64);
        } else {
            return;
        }
        if !set(tid, &one) {
            self.is_enabled = false;
            return;
        }
        set(0, &one);
        self.bound = Some(Bound { tid, theirs, ours });
    }
}

fn get(tid: i32) -> Option<Mask> {
    let mut mask = MaybeUninit::<Mask>::zeroed();
    // SAFETY: the kernel writes at most the size of the mask.
    let result = unsafe { libc::syscall(libc::SYS_sched_getaffinity, tid, size_of::<Mask>(), mask.as_mut_ptr()) };
    if result < 0 {
        return None;
    }
    // SAFETY: zeroed before, and written.
    Some(unsafe { mask.assume_init() })
}

fn set(tid: i32, mask: &Mask) -> bool {
    // SAFETY: the kernel reads the mask.
    unsafe { libc::syscall(libc::SYS_sched_setaffinity, tid, size_of::<Mask>(), mask) == 0 }
}
