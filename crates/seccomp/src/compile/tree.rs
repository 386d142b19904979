//! A tree of comparisons over ranges of numbers, and what its leaves are.

use super::assemble::{Assembler, Label};
use super::decision::{DecisionId, Decisions};
use super::section::{Leaf, Segment};
use super::test;
use crate::Action;
use crate::bpf::code;
use std::collections::HashMap;

/// Single numbers that a block may have besides its base. Each costs a comparison in the block, but saves two ranges.
const MAX_EXCEPTIONS: usize = 3;

/// A range of numbers that lead to `base`, but for a few.
struct Block {
    first: u32,
    base: Leaf,
    exceptions: Vec<(u32, Leaf)>,
}

/// Writes the decision over a number that is loaded already; returns where it starts. `leaf` writes what a range leads to.
pub(super) fn write(
    assembler: &mut Assembler,
    segments: &[Segment],
    leaf: &mut dyn FnMut(&mut Assembler, Leaf) -> Label,
) -> Label {
    balanced(assembler, &blocks(segments), leaf)
}

fn balanced(assembler: &mut Assembler, blocks: &[Block], leaf: &mut dyn FnMut(&mut Assembler, Leaf) -> Label) -> Label {
    let (lower, upper) = blocks.split_at(blocks.len() / 2);
    match (lower, upper) {
        (_, [only]) if lower.is_empty() => {
            let mut label = leaf(assembler, only.base);
            for (nr, exception) in only.exceptions.iter().rev() {
                let target = leaf(assembler, *exception);
                label = assembler.branch(code::JUMP_EQUAL, *nr, target, label);
            }
            label
        }
        (_, [first, ..]) => {
            let above = balanced(assembler, upper, leaf);
            let below = balanced(assembler, lower, leaf);
            assembler.branch(code::JUMP_GREATER_OR_EQUAL, first.first, above, below)
        }
        // Sections cover all numbers, so there is always a segment.
        _ => assembler.answer(Action::KillProcess.to_ret()),
    }
}

fn blocks(segments: &[Segment]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut rest = segments;
    while let [head, tail @ ..] = rest {
        let mut block = Block { first: head.first, base: head.leaf, exceptions: Vec::new() };
        rest = tail;
        while let Some(singles) = singles_before(block.base, rest, MAX_EXCEPTIONS - block.exceptions.len()) {
            let (exceptions, after) = rest.split_at(singles);
            block.exceptions.extend(exceptions.iter().map(|segment| (segment.first, segment.leaf)));
            // Skips the segment that is of the base again.
            rest = after.get(1..).unwrap_or_default();
        }
        blocks.push(block);
    }
    blocks
}

/// How many single numbers stand before the base comes again, if no more than `room`.
fn singles_before(base: Leaf, segments: &[Segment], room: usize) -> Option<usize> {
    for (index, pair) in segments.windows(2).take(room).enumerate() {
        let [single, next] = pair else { return None };
        if single.first.checked_add(1) != Some(next.first) {
            return None;
        }
        if next.leaf == base {
            return Some(index + 1);
        }
    }
    None
}

/// Writes decisions where they are first wanted, and knows where they are.
pub(super) struct Leaves<'a> {
    decisions: &'a Decisions,
    answer: &'a dyn Fn(Action) -> u32,
    written: HashMap<DecisionId, Label>,
}

impl<'a> Leaves<'a> {
    pub fn new(decisions: &'a Decisions, answer: &'a dyn Fn(Action) -> u32) -> Self {
        Self { decisions, answer, written: HashMap::new() }
    }

    /// What the policy says, token or not.
    pub fn plain(&mut self, assembler: &mut Assembler, leaf: Leaf) -> Label {
        if let Some(label) = self.written.get(&leaf.decision) {
            return *label;
        }
        let Some(decision) = self.decisions.get(leaf.decision) else {
            return assembler.answer((self.answer)(Action::KillProcess));
        };
        let otherwise = assembler.answer((self.answer)(decision.otherwise));
        if decision.branches.is_empty() {
            return otherwise;
        }
        let label = test::write(assembler, decision, otherwise, self.answer);
        self.written.insert(leaf.decision, label);
        label
    }
}
