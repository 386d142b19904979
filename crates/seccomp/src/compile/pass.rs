//! The token: see [`super::Pass`].
//!
//! One chain for all calls, over the argument registers in their order, with an entry at each register that some call starts with:
//!
//! ```text
//! entry 2:  ld args[2] low   xor token   or x   tax
//!           ld args[2] high  xor token   or x   tax
//! entry 3:  …
//!           ld args[5] high  xor token   or x
//!           jeq 0 ─ yes ─▶ allow
//!                 ─ no ──▶ ld nr, tree over the calls that may pass: what the policy says
//! ```
//!
//! X collects the differences. It is 0 at the start: the kernel resets both registers first (`bpf_convert_filter`), and nothing in front of an
//! entry writes X. There is no jump before all halves have been seen, so the time that it takes does not depend on how much of a guess was right.

use super::assemble::{Assembler, Label};
use super::section::{Leaf, Segment};
use super::tree::{self, Leaves};
use crate::bpf::{code, offset};
use crate::{Action, Condition};

/// Where the chain is entered, by the first register to compare.
#[derive(Default)]
pub(super) struct Entries([Option<Label>; Condition::MAX_INDEX as usize + 1]);

impl Entries {
    pub fn entry(&self, first: u8) -> Option<Label> {
        self.0.get(usize::from(first)).copied().flatten()
    }
}

/// Writes the chain, if any segment has need of it.
pub(super) fn write(
    assembler: &mut Assembler,
    token: &[u64; 6],
    segments: &[Segment],
    leaves: &mut Leaves<'_>,
) -> Entries {
    let mut entries = Entries::default();
    let passing: Vec<Segment> = segments.iter().copied().filter(|segment| segment.leaf.pass.is_some()).collect();
    let Some(lowest) = passing.iter().filter_map(|segment| segment.leaf.pass).min() else { return entries };

    // No other numbers come here, so neighbours that are decided alike are one range, whatever lies between.
    let mut refused: Vec<Segment> =
        passing.iter().map(|segment| Segment { leaf: Leaf { pass: None, ..segment.leaf }, ..*segment }).collect();
    refused.dedup_by(|right, left| right.leaf == left.leaf);
    let root = tree::write(assembler, &refused, &mut |assembler, leaf| leaves.plain(assembler, leaf));
    let wrong = assembler.load(offset::NR, root);
    let right = assembler.answer(Action::Allow.to_ret());
    let compared = assembler.branch(code::JUMP_EQUAL, 0, right, wrong);
    assembler.fall_through(compared);

    let mut last = true;
    for (index, word) in (0..=Condition::MAX_INDEX).zip(token).rev().take_while(|(index, _)| *index >= lowest) {
        let mut entry = compared;
        for (at, half) in [(offset::high(index), (word >> 32) as u32), (offset::low(index), *word as u32)] {
            if !last {
                assembler.push(code::TAX, 0);
            }
            last = false;
            assembler.push(code::OR_X, 0);
            assembler.push(code::XOR, half);
            entry = assembler.push(code::LOAD, at);
        }
        if let Some(slot) = entries.0.get_mut(usize::from(index)) {
            *slot = Some(entry);
        }
    }
    entries
}
