//! What the kernel checks before it takes a program: `bpf_check_classic` and `seccomp_check_filter`.

use super::{Instruction, MAX_INSTRUCTIONS, code, offset};

/// Why the kernel would answer EINVAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// No instruction, or more than [`MAX_INSTRUCTIONS`].
    Length {
        /// How many.
        instructions: usize,
    },
    /// An instruction that seccomp does not take.
    Code {
        /// Which.
        at: usize,
    },
    /// A load from outside of seccomp_data or across words, or a scratch register that does not exist.
    Operand {
        /// Which.
        at: usize,
    },
    /// A jump beyond the end.
    Jump {
        /// Which.
        at: usize,
    },
    /// The last instruction does not answer.
    End,
}

/// Checks a program as the kernel does.
pub fn verify(program: &[Instruction]) -> Result<(), Flaw> {
    let count = program.len();
    if count == 0 || count > MAX_INSTRUCTIONS {
        return Err(Flaw::Length { instructions: count });
    }
    for (at, instruction) in program.iter().enumerate() {
        let Instruction { code: op, jt, jf, k } = *instruction;
        let rest = count - at - 1;
        match op {
            code::LOAD if !k.is_multiple_of(4) || k >= offset::END => return Err(Flaw::Operand { at }),
            code::LOAD_SCRATCH | code::LOAD_X_SCRATCH | code::STORE | code::STORE_X if k >= 16 => {
                return Err(Flaw::Operand { at });
            }
            code::JUMP if k as usize >= rest => return Err(Flaw::Jump { at }),
            code::JUMP_EQUAL | code::JUMP_GREATER | code::JUMP_GREATER_OR_EQUAL | code::JUMP_SET
                if usize::from(jt) >= rest || usize::from(jf) >= rest =>
            {
                return Err(Flaw::Jump { at });
            }
            code::LOAD
            | code::LOAD_SCRATCH
            | code::LOAD_IMMEDIATE
            | code::LOAD_X_IMMEDIATE
            | code::LOAD_X_SCRATCH
            | code::LOAD_LENGTH
            | code::LOAD_X_LENGTH
            | code::STORE
            | code::STORE_X
            | code::AND
            | code::OR_X
            | code::XOR
            | code::TAX
            | code::TXA
            | code::JUMP
            | code::JUMP_EQUAL
            | code::JUMP_GREATER
            | code::JUMP_GREATER_OR_EQUAL
            | code::JUMP_SET
            | code::RETURN
            | code::RETURN_A => {}
            _ => return Err(Flaw::Code { at }),
        }
    }
    match program.last() {
        Some(last) if matches!(last.code, code::RETURN | code::RETURN_A) => Ok(()),
        _ => Err(Flaw::End),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_refuses_is_refused() {
        let ret = Instruction::plain(code::RETURN, 0);
        let cases = [
            (vec![], Err(Flaw::Length { instructions: 0 })),
            (vec![ret; 4097], Err(Flaw::Length { instructions: 4097 })),
            (vec![ret; 4096], Ok(())),
            (vec![Instruction::plain(code::LOAD, 2), ret], Err(Flaw::Operand { at: 0 })),
            (vec![Instruction::plain(code::LOAD, 64), ret], Err(Flaw::Operand { at: 0 })),
            (vec![Instruction::plain(code::STORE, 16), ret], Err(Flaw::Operand { at: 0 })),
            (vec![Instruction::plain(code::JUMP, 1), ret], Err(Flaw::Jump { at: 0 })),
            (vec![Instruction { code: code::JUMP_SET, jt: 0, jf: 1, k: 0 }, ret], Err(Flaw::Jump { at: 0 })),
            (vec![Instruction::plain(code::TAX, 0)], Err(Flaw::End)),
            // A load relative to X has no meaning without a packet.
            (vec![Instruction::plain(0x40, 0), ret], Err(Flaw::Code { at: 0 })),
        ];
        for (program, expected) in cases {
            assert_eq!(verify(&program), expected);
        }
    }
}
