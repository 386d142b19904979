//! All numbers of one way into the kernel, as ranges with the same decision.

use super::decision::{Decision, DecisionId, Decisions};
use super::{Options, Trace, Traced};
use crate::Action;
use crate::policy::{Policy, Unknown};
use crate::syscalls::{self, Abi, Arch, X32_BIT};
use std::collections::BTreeSet;

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

    /// All numbers of an ABI, native or not, without regard to a token.
    pub fn of(policy: &Policy, arch: Arch, abi: Abi, options: &Options, decisions: &mut Decisions) -> Self {
        let answers = Answers::new(policy, abi);
        let mut leaf = |decision: Decision, native: Option<u32>| {
            let decision = match options.trace.as_ref().filter(|trace| trace.covers(native)) {
                Some(trace) => decision.traced(trace),
                None => decision,
            };
            Leaf { decision: decisions.add(decision), pass: None }
        };
        // What is nobody's, first: below and above the highest number that rules name.
        let mut section = Self { segments: vec![Segment { first: 0, leaf: leaf(answers.to(0, None), None) }] };
        if let Some(first) = answers.highest.and_then(|highest| highest.checked_add(1)) {
            section.segments.push(Segment { first, leaf: leaf(answers.to(first, None), None) });
        }
        for (nr, name) in syscalls::all(abi) {
            section.set(nr, leaf(answers.to(nr, Some(name)), syscalls::number(arch.abi(), name)));
        }
        // A tracer may ask for numbers that have no name.
        if let Some(Trace { calls: Traced::Numbers(numbers), .. }) = &options.trace {
            for nr in numbers.iter().filter(|nr| abi == arch.abi() && syscalls::name(abi, **nr).is_none()) {
                section.set(*nr, leaf(answers.to(*nr, None), Some(*nr)));
            }
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
    }
}

/// What a policy answers to the numbers of an ABI.
struct Answers<'a> {
    policy: &'a Policy,
    /// All names that rules have.
    named: BTreeSet<&'a str>,
    /// The highest number among them.
    highest: Option<u32>,
    /// Whether what is above it fails with ENOSYS.
    newer_is_absent: bool,
}

impl<'a> Answers<'a> {
    fn new(policy: &'a Policy, abi: Abi) -> Self {
        let named: BTreeSet<&str> = policy.rules.iter().flat_map(|rule| &rule.syscalls).map(String::as_str).collect();
        let highest = named.iter().filter_map(|name| syscalls::number(abi, name)).max();
        let permissive = policy.default_action.permits() || matches!(policy.default_action, Action::Trace(_));
        let newer_is_absent = policy.unknown == Unknown::NewerThanRules && !permissive;
        Self { policy, named, highest, newer_is_absent }
    }

    fn to(&self, nr: u32, name: Option<&str>) -> Decision {
        if self.newer_is_absent && self.highest.is_some_and(|highest| nr > highest) {
            return Decision::always(Action::Errno(ENOSYS));
        }
        match (name, self.policy.unknown) {
            (Some(name), _) if self.named.contains(name) => Decision::of(self.policy, name),
            (None, Unknown::Unnamed(action)) => Decision::always(action),
            _ => Decision::always(self.policy.default_action),
        }
    }
}
