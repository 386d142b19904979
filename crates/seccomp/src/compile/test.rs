//! Conditions on arguments, in 32-bit halves.

use super::assemble::{Assembler, Label};
use super::decision::Decision;
use crate::bpf::{code, offset};
use crate::{Action, Comparison, Condition};

/// A condition on one argument.
#[derive(Debug, PartialEq, Eq)]
enum Test {
    /// It is one of several values, or none of them, which differ in their lower halves only and so share their loads. Without an upper
    /// half, only the lower one counts.
    AnyOf { index: u8, high: Option<u32>, lows: Vec<u32>, negated: bool },
    /// It is above a value. `code` compares the lower halves: `>` or `>=`.
    Above { index: u8, value: u64, code: u16, negated: bool },
    /// Some of its bits are these.
    Masked { index: u8, mask: u64, value: u64 },
}

/// Writes a decision's branches; returns where they start.
pub(super) fn write(
    assembler: &mut Assembler,
    decision: &Decision,
    otherwise: Label,
    answer: &dyn Fn(Action) -> u32,
) -> Label {
    let mut next = otherwise;
    for (tests, action) in gather(decision).iter().rev() {
        let matched = assembler.answer(answer(*action));
        let mut label = matched;
        for test in tests.iter().rev() {
            label = one(assembler, test, label, next);
        }
        next = label;
    }
    next
}

/// Branches as tests. Neighbours that ask for one of several values and say the same become one.
fn gather(decision: &Decision) -> Vec<(Vec<Test>, Action)> {
    let mut branches: Vec<(Vec<Test>, Action)> = Vec::new();
    for (conditions, action) in &decision.branches {
        let tests = tests(conditions);
        if let (Some((before, previous)), [Test::AnyOf { index, high, lows, negated: false }]) =
            (branches.last_mut(), tests.as_slice())
            && let [Test::AnyOf { index: same, high: half, lows: known, negated: false }] = before.as_mut_slice()
            && (&*same, &*half, &*previous) == (index, high, action)
        {
            known.extend(lows);
        } else {
            branches.push((tests, *action));
        }
    }
    branches
}

/// Sorted conditions as tests, all of which have to hold.
fn tests(conditions: &[Condition]) -> Vec<Test> {
    const LOW_HALF: u64 = 0xffff_ffff;
    let mut tests: Vec<Test> = Vec::new();
    for Condition { index, comparison } in conditions {
        let index = *index;
        let above = |value, code, negated| Test::Above { index, value, code, negated };
        let any_of = |high, value, negated| Test::AnyOf { index, high, lows: vec![halves(value).1], negated };
        let test = match *comparison {
            Comparison::Equal(value) => any_of(Some(halves(value).0), value, false),
            Comparison::NotEqual(value) => any_of(Some(halves(value).0), value, true),
            Comparison::Greater(value) => above(value, code::JUMP_GREATER, false),
            Comparison::GreaterOrEqual(value) => above(value, code::JUMP_GREATER_OR_EQUAL, false),
            Comparison::Less(value) => above(value, code::JUMP_GREATER_OR_EQUAL, true),
            Comparison::LessOrEqual(value) => above(value, code::JUMP_GREATER, true),
            Comparison::MaskedEqual { mask: LOW_HALF, value } => any_of(None, value, false),
            Comparison::MaskedEqual { mask, value } => Test::Masked { index, mask, value },
        };
        match (tests.last_mut(), &test) {
            // Neither this nor that: a chain of comparisons.
            (
                Some(Test::AnyOf { index: same, high: half, lows: known, negated: true }),
                Test::AnyOf { index, high, lows, negated: true },
            ) if (&*same, &*half) == (index, high) => known.extend(lows),
            _ => tests.push(test),
        }
    }
    tests
}

const fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}

fn one(assembler: &mut Assembler, test: &Test, yes: Label, no: Label) -> Label {
    match test {
        Test::AnyOf { index, high, lows, negated: false } => any_of(assembler, *index, *high, lows, yes, no),
        Test::AnyOf { index, high, lows, negated: true } => any_of(assembler, *index, *high, lows, no, yes),
        Test::Above { index, value, code, negated: false } => above(assembler, *index, *value, *code, yes, no),
        Test::Above { index, value, code, negated: true } => above(assembler, *index, *value, *code, no, yes),
        Test::Masked { index, mask, value } => {
            let ((mask_high, mask_low), (high, low)) = (halves(*mask), halves(*value));
            let lower = masked(assembler, offset::low(*index), mask_low, low, yes, no);
            masked(assembler, offset::high(*index), mask_high, high, lower, no)
        }
    }
}

fn any_of(assembler: &mut Assembler, index: u8, high: Option<u32>, lows: &[u32], yes: Label, no: Label) -> Label {
    let mut chain = no;
    for low in lows.iter().rev() {
        chain = assembler.branch(code::JUMP_EQUAL, *low, yes, chain);
    }
    let lower = assembler.load(offset::low(index), chain);
    let Some(high) = high else { return lower };
    let upper = assembler.branch(code::JUMP_EQUAL, high, lower, no);
    assembler.load(offset::high(index), upper)
}

/// `>` or `>=`, as `low_code` says: the upper halves decide unless they are equal.
fn above(assembler: &mut Assembler, index: u8, value: u64, low_code: u16, yes: Label, no: Label) -> Label {
    let (high, low) = halves(value);
    let decided = assembler.branch(low_code, low, yes, no);
    let lower = assembler.load(offset::low(index), decided);
    let mut upper = assembler.branch(code::JUMP_EQUAL, high, lower, no);
    if high != u32::MAX {
        upper = assembler.branch(code::JUMP_GREATER, high, yes, upper);
    }
    assembler.load(offset::high(index), upper)
}

fn masked(assembler: &mut Assembler, at: u32, mask: u32, value: u32, yes: Label, no: Label) -> Label {
    if mask == 0 {
        return yes;
    }
    let compared = if value == 0 {
        assembler.branch(code::JUMP_SET, mask, no, yes)
    } else if value == mask && mask.is_power_of_two() {
        assembler.branch(code::JUMP_SET, mask, yes, no)
    } else {
        let equal = assembler.branch(code::JUMP_EQUAL, value, yes, no);
        if mask == u32::MAX {
            equal
        } else {
            assembler.fall_through(equal);
            assembler.push(code::AND, mask)
        }
    };
    assembler.load(at, compared)
}
