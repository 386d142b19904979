//! Conditions on arguments, in 32-bit halves.

use super::assemble::{Assembler, Label};
use super::decision::Decision;
use crate::bpf::{code, offset};
use crate::{Action, Comparison, Condition};

/// A condition, or several equalities of one argument that share their loads.
#[derive(Debug, PartialEq, Eq)]
enum Test {
    One(Condition),
    /// The argument is one of these, which differ in their lower halves only; or is none of them.
    AnyOf {
        index: u8,
        high: u32,
        lows: Vec<u32>,
        negated: bool,
    },
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
    let mut tests: Vec<Test> = Vec::new();
    for condition in conditions {
        let (value, negated) = match condition.comparison {
            Comparison::Equal(value) => (value, false),
            Comparison::NotEqual(value) => (value, true),
            _ => {
                tests.push(Test::One(*condition));
                continue;
            }
        };
        let (above, below) = halves(value);
        match tests.last_mut() {
            Some(Test::AnyOf { index, high, lows, negated: true })
                if negated && (*index, *high) == (condition.index, above) =>
            {
                lows.push(below);
            }
            _ => tests.push(Test::AnyOf { index: condition.index, high: above, lows: vec![below], negated }),
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
        Test::One(Condition { index, comparison }) => match *comparison {
            Comparison::Equal(value) => any_of(assembler, *index, halves(value).0, &[halves(value).1], yes, no),
            Comparison::NotEqual(value) => any_of(assembler, *index, halves(value).0, &[halves(value).1], no, yes),
            Comparison::Greater(value) => above(assembler, *index, value, code::JUMP_GREATER, yes, no),
            Comparison::GreaterOrEqual(value) => above(assembler, *index, value, code::JUMP_GREATER_OR_EQUAL, yes, no),
            Comparison::Less(value) => above(assembler, *index, value, code::JUMP_GREATER_OR_EQUAL, no, yes),
            Comparison::LessOrEqual(value) => above(assembler, *index, value, code::JUMP_GREATER, no, yes),
            Comparison::MaskedEqual { mask, value } => {
                let ((mask_high, mask_low), (high, low)) = (halves(mask), halves(value));
                let lower = masked(assembler, offset::low(*index), mask_low, low, yes, no);
                masked(assembler, offset::high(*index), mask_high, high, lower, no)
            }
        },
    }
}

fn any_of(assembler: &mut Assembler, index: u8, high: u32, lows: &[u32], yes: Label, no: Label) -> Label {
    let mut chain = no;
    for low in lows.iter().rev() {
        chain = assembler.branch(code::JUMP_EQUAL, *low, yes, chain);
    }
    let lower = assembler.load(offset::low(index), chain);
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
