//! Slots: threads of pid 1 that clone programs, each for one run at a time.
//!
//! Runs in pid 1's main thread. What a thread has (a place in cgroups, a seccomp filter) it cannot lay aside, so there is one for each pair of a
//! group and a filter that was asked for; and as it stands still between clone and execve, and its UTS namespace is the tag of what it
//! clones, a run has it for itself until its last process is gone. A run with neither group nor filter takes none: the main thread
//! clones it.
//!
//! Slots are kept for the next run, a few of those without a group: runs overlap now and then, and a thread is cheap, but not free.

use crate::exec::Forker;
use crate::exec::forker::{Filter, Place};
use crate::groups::Group;
use hotcell_linux::eventfd::EventFd;
use hotcell_linux::{errno, seccomp};
use hotcell_protocol::{Disallowed, Failure, Identity, Step};
use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

/// How many that have nothing to do are kept for each filter, beside those of groups.
const IDLE_MAX: usize = 2;

/// One thread.
pub struct Slot {
    /// Unique for as long as pid 1 lives.
    pub id: u32,
    /// Where its programs are born.
    pub group: Option<Rc<Group>>,
    /// The thread.
    pub forker: Forker,
    /// The request that waits for it to be ready.
    pub request: Cell<Option<u32>>,
    /// Whether a run has it.
    pub busy: Cell<bool>,
    /// Whether its listener is being watched.
    pub watched: Cell<bool>,
}

/// All of them.
#[derive(Default)]
pub struct Slots {
    all: Vec<Rc<Slot>>,
    filters: Vec<Rc<Filter>>,
    next: u32,
}

/// What each thread needs to know of its container.
pub struct Surroundings<'a> {
    /// Pid 1's identity.
    pub init: Identity,
    /// The container's /proc.
    pub proc: Option<&'a OwnedFd>,
    /// Whether programs outside of groups, too, are to see their own cgroup as the root of all.
    pub hides_cgroup: bool,
    /// What it notifies.
    pub news: &'a Arc<EventFd>,
}

impl Slot {
    /// What a program of its was about to do when its filter stopped it; `None` if it is gone by now.
    pub fn disallowed(&self) -> Option<Disallowed> {
        let call = seccomp::receive(self.forker.listener()?.as_fd()).ok()?;
        Some(Disallowed { nr: call.nr, arch: call.arch, args: call.args })
    }
}

impl Slots {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<Slot>> {
        self.all.iter()
    }

    /// How many threads these are.
    pub fn threads(&self) -> u64 {
        self.all.len() as u64
    }

    /// Makes a filter known.
    pub fn add_filter(&mut self, filter: Filter) -> Result<(), Failure> {
        if filter.number == 0 || self.filters.iter().any(|known| known.number == filter.number) {
            return Err(Failure::new(Step::Request, libc::EEXIST));
        }
        self.filters.push(Rc::new(filter));
        Ok(())
    }

    /// Forgets a filter. Who has it keeps it.
    pub fn remove_filter(&mut self, number: u32) {
        self.filters.retain(|filter| filter.number != number);
        self.all.retain(|slot| slot.busy.get() || slot.forker.filter() != Some(number));
    }

    /// Starts a thread with this filter (0 for none), in this group.
    pub fn start(
        &mut self,
        group: Option<Rc<Group>>,
        filter: u32,
        around: &Surroundings<'_>,
    ) -> Result<Rc<Slot>, Failure> {
        let filter = match filter {
            0 => None,
            number => {
                let known = self.filters.iter().find(|known| known.number == number);
                Some(Rc::clone(known.ok_or_else(|| Failure::new(Step::Request, libc::ENOENT))?))
            }
        };
        let failed = |error: std::io::Error| Failure::new(Step::EnterGroup, errno(&error));
        let (tasks, directory) = group.as_ref().map_or_else(|| Ok((Vec::new(), None)), |group| group.entrance())?;
        let proc = around.proc.map(OwnedFd::try_clone).transpose().map_err(failed)?;
        let hides_cgroup = around.hides_cgroup || group.is_some();
        let place = Place { tasks, directory, init: around.init, proc, filter, hides_cgroup };
        let forker = Forker::start(place, around.news).map_err(failed)?;
        self.next = self.next.wrapping_add(1);
        let slot = Rc::new(Slot {
            id: self.next,
            group,
            forker,
            request: Cell::new(None),
            busy: Cell::new(false),
            watched: Cell::new(false),
        });
        self.all.push(Rc::clone(&slot));
        Ok(slot)
    }

    /// One for a run: an idle one, or a new one.
    pub fn take(
        &mut self,
        group: Option<&Rc<Group>>,
        filter: u32,
        around: &Surroundings<'_>,
    ) -> Result<Rc<Slot>, Failure> {
        let fits = |slot: &&Rc<Slot>| {
            !slot.busy.get()
                && slot.forker.filter().unwrap_or(0) == filter
                && slot.group.as_ref().map(|group| group.number) == group.map(|group| group.number)
                && !matches!(slot.forker.entered(), Some(Err(_)))
        };
        let slot = match self.all.iter().find(fits) {
            Some(idle) => Rc::clone(idle),
            None => self.start(group.cloned(), filter, around)?,
        };
        slot.busy.set(true);
        Ok(slot)
    }

    /// Gives one back whose run is over.
    pub fn release(&mut self, slot: &Rc<Slot>) {
        slot.busy.set(false);
        slot.forker.forget_done();
        let filter = slot.forker.filter();
        let is_like = |other: &&Rc<Slot>| other.group.is_none() && !other.busy.get() && other.forker.filter() == filter;
        let is_known = filter.is_none_or(|number| self.filters.iter().any(|known| known.number == number));
        if slot.group.is_none() && (!is_known || self.all.iter().filter(is_like).count() > IDLE_MAX) {
            self.all.retain(|known| known.id != slot.id);
        }
    }

    /// Forgets those that could not get to their place, or are in this group.
    pub fn retain(&mut self, keep: impl Fn(&Slot) -> bool) {
        self.all.retain(|slot| keep(slot));
    }
}
