//! All numbers of one way into the kernel, as ranges with the same decision.

use super::decision::{Decision, DecisionId, Decisions};
use super::{Options, Trace};
use crate::policy::{Policy, Unknown};
use crate::syscalls::{self, Abi, Arch, X32_BIT};
use crate::{Action, bpf};
use std::collections::{BTreeMap, BTreeSet};

/// What ENOSYS is on both architectures.
const ENOSYS: u16 = 38;

/// Numbers from `first` on, up to the next segment's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub first: u32,
    pub leaf: Leaf,
}

/// What a number leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leaf {
    pub decision: DecisionId,
    /// Arguments from this one on may hold the token.
    pub pass: Option<u8>,
}

pub(super) struct Section {
    segments: Vec<Segment>,
}

impl Section {
    /// All numbers of programs of the architecture.
    pub fn native(policy: &Policy, arch: Arch, options: &Options, decisions: &mut Decisions) -> Self {
        let mut section = Self::of(policy, arch, arch.abi(), options, decisions);
        let Some(pass) = &options.pass else { return section };
        for (nr, first_free_arg) in &pass.calls {
            let leaf = section.at(*nr);
            let free = leaf.and_then(|leaf| decisions.get(leaf.decision)).is_some_and(|it| it.is_always(Action::Allow));
            if let (Some(leaf), false) = (leaf, free) {
                section.set(*nr, Leaf { pass: Some(*first_free_arg), ..leaf });
            }
        }
        section.merge();
        section
    }

    /// All numbers of another ABI.
    pub fn foreign(policy: &Policy, arch: Arch, abi: Abi, options: &Options, decisions: &mut Decisions) -> Self {
        Self::of(policy, arch, abi, options, decisions)
    }

    /// Numbers that nobody may use.
    pub fn killing(decisions: &mut Decisions) -> Self {
        let leaf = Leaf { decision: decisions.add(Decision::always(Action::KillProcess)), pass: None };
        Self { segments: vec![Segment { first: 0, leaf }] }
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Puts the numbers of x32 where they are among those of x86-64. −1 is no x32 call; tracers skip calls by it.
    pub fn splice_x32(&mut self, x32: Self) {
        let last = self.at(u32::MAX);
        self.segments.retain(|segment| segment.first < X32_BIT);
        let base = x32.at(X32_BIT);
        self.segments.extend(base.map(|leaf| Segment { first: X32_BIT, leaf }));
        self.segments.extend(x32.segments.into_iter().filter(|segment| segment.first > X32_BIT));
        self.segments.extend(last.map(|leaf| Segment { first: u32::MAX, leaf }));
        self.merge();
    }

    fn of(policy: &Policy, arch: Arch, abi: Abi, options: &Options, decisions: &mut Decisions) -> Self {
        let named: BTreeSet<&str> = policy.rules.iter().flat_map(|rule| &rule.syscalls).map(String::as_str).collect();
        let highest = named.iter().filter_map(|name| syscalls::number(abi, name)).max();
        let enosys = Action::Errno(ENOSYS);
        let permissive = policy.default_action.permits() || matches!(policy.default_action, Action::Trace(_));
        let newer_is_enosys = policy.unknown == Unknown::NewerThanRules && !permissive;
        let mut add = |decision: Decision, native: Option<u32>| {
            let decision = match &options.trace {
                Some(trace) if Trace::covers(trace, native) => decision.traced(trace),
                _ => decision,
            };
            Leaf { decision: decisions.add(decision), pass: None }
        };
        let gap = match policy.unknown {
            Unknown::Unnamed(action) => action,
            Unknown::NewerThanRules => policy.default_action,
        };
        let gap_leaf = add(Decision::always(gap), None);
        let mut leaves: BTreeMap<u32, Leaf> = BTreeMap::new();
        let mut by_name: BTreeMap<&str, Decision> = BTreeMap::new();
        for (nr, name) in syscalls::all(abi) {
            let native = syscalls::number(arch.abi(), name);
            let newer = newer_is_enosys && highest.is_some_and(|highest| nr > highest);
            let decision = if newer {
                Decision::always(enosys)
            } else if named.contains(name) {
                by_name.entry(name).or_insert_with(|| Decision::of(policy, name)).clone()
            } else {
                Decision::always(policy.default_action)
            };
            leaves.insert(nr, add(decision, native));
        }
        // A tracer may ask for numbers that have no name.
        if let Some(Trace { calls: super::Traced::Numbers(numbers), .. }) = &options.trace {
            for nr in
                numbers.iter().filter(|nr| abi == arch.abi() && !leaves.contains_key(nr)).copied().collect::<Vec<_>>()
            {
                let newer = newer_is_enosys && highest.is_some_and(|highest| nr > highest);
                leaves.insert(nr, add(Decision::always(if newer { enosys } else { gap }), Some(nr)));
            }
        }
        let beyond = highest.filter(|_| newer_is_enosys).map(|highest| (highest, add(Decision::always(enosys), None)));
        let unnamed = |nr: u32| match beyond {
            Some((highest, leaf)) if nr > highest => leaf,
            _ => gap_leaf,
        };
        let mut section = Self { segments: vec![Segment { first: 0, leaf: unnamed(0) }] };
        if let Some((highest, leaf)) = beyond {
            section.set_from(highest.saturating_add(1), leaf);
        }
        for (nr, leaf) in leaves {
            section.set(nr, leaf);
        }
        section.merge();
        section
    }

    /// The leaf of a number.
    fn at(&self, nr: u32) -> Option<Leaf> {
        let after = self.segments.partition_point(|segment| segment.first <= nr);
        after.checked_sub(1).and_then(|index| self.segments.get(index)).map(|segment| segment.leaf)
    }

    /// Gives a number a leaf of its own.
    fn set(&mut self, nr: u32, leaf: Leaf) {
        let behind = nr.checked_add(1).and_then(|next| Some((next, self.at(next)?)));
        self.split(nr, leaf);
        if let Some((next, before)) = behind {
            self.split_if_absent(next, before);
        }
    }

    /// Gives all numbers from one on a leaf.
    fn set_from(&mut self, nr: u32, leaf: Leaf) {
        self.segments.retain(|segment| segment.first < nr);
        self.segments.push(Segment { first: nr, leaf });
    }

    fn split(&mut self, nr: u32, leaf: Leaf) {
        match self.segments.binary_search_by_key(&nr, |segment| segment.first) {
            Ok(index) => {
                if let Some(segment) = self.segments.get_mut(index) {
                    segment.leaf = leaf;
                }
            }
            Err(index) => self.segments.insert(index, Segment { first: nr, leaf }),
        }
    }

    fn split_if_absent(&mut self, nr: u32, leaf: Leaf) {
        if let Err(index) = self.segments.binary_search_by_key(&nr, |segment| segment.first) {
            self.segments.insert(index, Segment { first: nr, leaf });
        }
    }

    /// Joins neighbours that lead to the same.
    fn merge(&mut self) {
        self.segments.dedup_by(|right, left| right.leaf == left.leaf);
        debug_assert!(self.segments.len() <= bpf::MAX_INSTRUCTIONS);
    }
}
