//! An assembler that writes from the end of the program to its start: when a jump is written, its targets are.

use crate::bpf::{Instruction, code};
use std::collections::HashMap;

/// An instruction that was written: its distance from the end of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Label(usize);

/// How far a target may be before it gets a stepping stone. Jumps reach 255; at most two stones are written in front of one.
const REACH: usize = 250;

#[derive(Default)]
pub(super) struct Assembler {
    /// The last instruction first.
    reversed: Vec<Instruction>,
    /// The nearest copy of each answer.
    answers: HashMap<u32, Label>,
    /// The nearest long jump to a label.
    stones: HashMap<Label, Label>,
}

impl Assembler {
    /// The program, from its start.
    pub fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }

    /// An instruction that goes on with what was written last.
    pub fn push(&mut self, code: u16, k: u32) -> Label {
        self.reversed.push(Instruction::plain(code, k));
        Label(self.reversed.len() - 1)
    }

    /// An answer within reach.
    pub fn answer(&mut self, ret: u32) -> Label {
        match self.answers.get(&ret) {
            Some(label) if self.reaches(*label) => *label,
            _ => {
                let label = self.push(code::RETURN, ret);
                self.answers.insert(ret, label);
                label
            }
        }
    }

    /// Loads a word of seccomp_data and goes on.
    pub fn load(&mut self, offset: u32, next: Label) -> Label {
        self.fall_through(next);
        self.push(code::LOAD, offset)
    }

    /// A comparison of what is loaded.
    pub fn branch(&mut self, code: u16, k: u32, yes: Label, no: Label) -> Label {
        if yes == no {
            return yes;
        }
        let yes = self.near(yes);
        let no = self.near(no);
        let (jt, jf) = (self.distance(yes) as u8, self.distance(no) as u8);
        self.reversed.push(Instruction { code, jt, jf, k });
        Label(self.reversed.len() - 1)
    }

    /// What is written next goes on at `target`.
    pub fn fall_through(&mut self, target: Label) {
        if target.0 + 1 == self.reversed.len() {
            return;
        }
        match self.at(target) {
            Some(instruction) if instruction.code == code::RETURN => {
                let label = self.push(code::RETURN, instruction.k);
                self.answers.insert(instruction.k, label);
            }
            _ => {
                let label = self.push(code::JUMP, self.distance(target) as u32);
                self.stones.insert(target, label);
            }
        }
    }

    /// A label within reach that leads to `target`.
    fn near(&mut self, target: Label) -> Label {
        if self.reaches(target) {
            return target;
        }
        match (self.at(target), self.stones.get(&target)) {
            (Some(instruction), _) if instruction.code == code::RETURN => self.answer(instruction.k),
            (_, Some(stone)) if self.reaches(*stone) => *stone,
            _ => {
                self.fall_through(target);
                Label(self.reversed.len() - 1)
            }
        }
    }

    fn at(&self, label: Label) -> Option<Instruction> {
        self.reversed.get(label.0).copied()
    }

    fn reaches(&self, target: Label) -> bool {
        self.distance(target) < REACH
    }

    /// Instructions to skip from one that is written now.
    fn distance(&self, target: Label) -> usize {
        self.reversed.len() - target.0 - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::{Data, interpret, verify};

    #[test]
    fn far_targets_are_reached_over_stepping_stones() {
        let mut assembler = Assembler::default();
        let far = assembler.push(code::RETURN, 7);
        let masked = assembler.push(code::AND, 3);
        let mut chain = assembler.answer(1);
        for value in 10..2000 {
            chain = assembler.branch(code::JUMP_EQUAL, value, if value % 2 == 0 { far } else { masked }, chain);
        }
        assembler.load(0, chain);
        let program = assembler.finish();
        assert_eq!(verify(&program), Ok(()));
        for (nr, answer) in [(9, 1), (10, 7), (11, 7), (1998, 7), (1999, 7), (2000, 1)] {
            assert_eq!(interpret(&program, &Data { nr, ..Data::default() }), Ok(answer), "{nr}");
        }
        assert!(program.len() < 1992 + 30, "{}", program.len());
    }
}
