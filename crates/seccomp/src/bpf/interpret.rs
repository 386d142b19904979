//! A program, run by hand, step by step: what the kernel's interpreter does, for tests and for architectures that are not at hand.

use super::{Instruction, code, offset};

/// `struct seccomp_data`: what a filter sees of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Data {
    /// The number of the call.
    pub nr: u32,
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// Where the call was made.
    pub instruction_pointer: u64,
    /// Its arguments, as registers.
    pub args: [u64; 6],
}

impl Data {
    fn word(&self, at: u32) -> Option<u32> {
        let half = |value: u64, upper: bool| (if upper { value >> 32 } else { value }) as u32;
        match at {
            offset::NR => Some(self.nr),
            offset::ARCH => Some(self.arch),
            8 => Some(half(self.instruction_pointer, false)),
            12 => Some(half(self.instruction_pointer, true)),
            16..offset::END if at.is_multiple_of(4) => {
                let argument = self.args.get(((at - 16) / 8) as usize)?;
                Some(half(*argument, at % 8 == 4))
            }
            _ => None,
        }
    }
}

/// Why a program could not be run to its end; one that [`super::verify()`] lets pass always can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It ran past its end.
    PastEnd,
    /// It has an instruction that seccomp does not know.
    UnknownCode {
        /// Which.
        at: usize,
    },
    /// It reads what is not there.
    BadOperand {
        /// Which.
        at: usize,
    },
}

/// Which instructions of a program were executed, and which ways conditional jumps went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    executed: Vec<bool>,
    taken: Vec<bool>,
    not_taken: Vec<bool>,
}

impl Coverage {
    /// None yet, of a program of this length.
    pub fn new(instructions: usize) -> Self {
        Self {
            executed: vec![false; instructions],
            taken: vec![false; instructions],
            not_taken: vec![false; instructions],
        }
    }

    /// The instructions that were never executed.
    pub fn missed(&self) -> Vec<usize> {
        self.executed.iter().enumerate().filter(|(_, done)| !**done).map(|(at, _)| at).collect()
    }

    /// The conditional jumps that always went the same way.
    pub fn one_way(&self, program: &[Instruction]) -> Vec<usize> {
        let conditional = |instruction: &Instruction| instruction.code & 0x07 == 0x05 && instruction.code != code::JUMP;
        let both = self.taken.iter().zip(&self.not_taken);
        let jumps = program.iter().zip(both).enumerate().filter(|(_, (instruction, _))| conditional(instruction));
        jumps.filter(|(_, (_, (taken, not_taken)))| !(**taken && **not_taken)).map(|(at, _)| at).collect()
    }

    fn mark(marks: &mut [bool], at: usize) {
        if let Some(mark) = marks.get_mut(at) {
            *mark = true;
        }
    }
}

/// What a program answers.
pub fn interpret(program: &[Instruction], data: &Data) -> Result<u32, Fault> {
    interpret_covering(program, data, &mut Coverage::new(0))
}

/// The same, keeping a record of the way.
pub fn interpret_covering(program: &[Instruction], data: &Data, coverage: &mut Coverage) -> Result<u32, Fault> {
    let (mut a, mut x, mut scratch) = (0_u32, 0_u32, [0_u32; 16]);
    let mut at = 0;
    loop {
        let Instruction { code: op, jt, jf, k } = *program.get(at).ok_or(Fault::PastEnd)?;
        let bad = Fault::BadOperand { at };
        Coverage::mark(&mut coverage.executed, at);
        let mut skip = 0;
        let mut jump = |condition: bool, coverage: &mut Coverage| {
            Coverage::mark(if condition { &mut coverage.taken } else { &mut coverage.not_taken }, at);
            skip = usize::from(if condition { jt } else { jf });
        };
        match op {
            code::LOAD => a = data.word(k).ok_or(bad)?,
            code::LOAD_IMMEDIATE => a = k,
            code::LOAD_X_IMMEDIATE => x = k,
            code::LOAD_SCRATCH => a = *scratch.get(k as usize).ok_or(bad)?,
            code::LOAD_X_SCRATCH => x = *scratch.get(k as usize).ok_or(bad)?,
            code::LOAD_LENGTH => a = offset::END,
            code::LOAD_X_LENGTH => x = offset::END,
            code::STORE => *scratch.get_mut(k as usize).ok_or(bad)? = a,
            code::STORE_X => *scratch.get_mut(k as usize).ok_or(bad)? = x,
            code::AND => a &= k,
            code::OR_X => a |= x,
            code::XOR => a ^= k,
            code::TAX => x = a,
            code::TXA => a = x,
            code::JUMP_EQUAL => jump(a == k, coverage),
            code::JUMP_GREATER => jump(a > k, coverage),
            code::JUMP_GREATER_OR_EQUAL => jump(a >= k, coverage),
            code::JUMP_SET => jump(a & k != 0, coverage),
            code::JUMP => skip = k as usize,
            code::RETURN => return Ok(k),
            code::RETURN_A => return Ok(a),
            _ => return Err(Fault::UnknownCode { at }),
        }
        at += 1 + skip;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_seccomp_data_lie_where_the_kernel_puts_them() {
        let data = Data {
            nr: 1,
            arch: 2,
            instruction_pointer: 0x3_0000_0004,
            args: [0x5_0000_0006, 0, 0, 0, 0, 0x7_0000_0008],
        };
        let read = |at| interpret(&[Instruction::plain(code::LOAD, at), Instruction::plain(code::RETURN_A, 0)], &data);
        let expected = [(0, 1), (4, 2), (8, 4), (12, 3), (16, 6), (20, 5), (56, 8), (60, 7)];
        for (at, value) in expected {
            assert_eq!(read(at), Ok(value), "at {at}");
        }
        assert_eq!(read(64), Err(Fault::BadOperand { at: 0 }));
        assert_eq!(read(18), Err(Fault::BadOperand { at: 0 }));
    }

    #[test]
    fn a_program_without_an_end_is_a_fault() {
        assert_eq!(interpret(&[Instruction::plain(code::TAX, 0)], &Data::default()), Err(Fault::PastEnd));
        assert_eq!(interpret(&[Instruction::plain(0xff, 0)], &Data::default()), Err(Fault::UnknownCode { at: 0 }));
    }
}
