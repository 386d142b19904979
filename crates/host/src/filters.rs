//! The seccomp filters that one container's init knows, by number.

use crate::error::Error;
use crate::lock;
use crate::seccomp::Seccomp;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many are kept. A container's own, and what single runs ask for: who makes up a policy for each run does not fill init's memory.
const KEPT: usize = 16;

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Filters {
    known: Mutex<Known>,
    /// The container's own; 0 if it has none.
    usual: AtomicU32,
}

#[derive(Default)]
struct Known {
    /// Policy and number, those used last at the end.
    list: Vec<(u64, u32)>,
    last: u32,
}

impl Filters {
    /// The number of a policy. If init does not know it yet, `tell` has to tell it, with nobody else here meanwhile: who finds the number
    /// may use it at once. The second number is one that init may forget.
    pub(crate) fn number(
        &self,
        seccomp: &Seccomp,
        tell: impl FnOnce(u32) -> Result<(), Error>,
    ) -> Result<(u32, Option<u32>), Error> {
        let mut known = lock(&self.known);
        if let Some(index) = known.list.iter().position(|(id, _)| *id == seccomp.id()) {
            let entry = known.list.remove(index);
            known.list.push(entry);
            return Ok((entry.1, None));
        }
        known.last = known.last.wrapping_add(1).max(1);
        let number = known.last;
        tell(number)?;
        known.list.push((seccomp.id(), number));
        let usual = self.usual();
        let oldest = known.list.iter().position(|(_, known)| *known != usual).filter(|_| known.list.len() > KEPT);
        Ok((number, oldest.map(|index| known.list.remove(index).1)))
    }

    /// Whether init knows it.
    pub(crate) fn knows(&self, number: u32) -> bool {
        lock(&self.known).list.iter().any(|(_, known)| *known == number)
    }

    pub(crate) fn set_usual(&self, number: u32) {
        self.usual.store(number, Ordering::Release);
    }

    pub(crate) fn usual(&self) -> u32 {
        self.usual.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(errno: u16) -> Seccomp {
        let json = format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": {errno}, "syscalls": []}}"#);
        Seccomp::from_json(&json, None).unwrap()
    }

    #[test]
    fn a_policy_is_told_once_and_the_least_used_are_forgotten() {
        let filters = Filters::default();
        let own = policy(1);
        let mut told = Vec::new();
        let mut number = |policy: &Seccomp| {
            filters.number(policy, |number| {
                told.push(number);
                Ok(())
            })
        };
        let (usual, none) = number(&own).unwrap();
        assert_eq!(none, None);
        filters.set_usual(usual);
        let others: Vec<_> = (2..30).map(policy).collect();
        let mut forgotten_so_far = Vec::new();
        for other in &others {
            let (new, forgotten) = number(other).unwrap();
            forgotten_so_far.extend(forgotten);
            assert_eq!(number(other), Ok((new, None)));
        }
        assert_eq!(forgotten_so_far.len(), 1 + others.len() - KEPT);
        assert!(!forgotten_so_far.contains(&usual));
        assert_eq!(number(&own), Ok((usual, None)));
        assert_eq!(told.len(), 1 + others.len());
        let failed = filters.number(&policy(99), |_| Err(Error::UseDestroyed));
        assert_eq!(failed, Err(Error::UseDestroyed));
    }
}
