//! Classic BPF, as far as seccomp takes it (Documentation/userspace-api/seccomp_filter.rst, Documentation/networking/filter.rst).

mod interpret;
mod verify;

pub use interpret::{Coverage, Data, Fault, interpret, interpret_covering};
pub use verify::{Flaw, verify};

/// The longest program that the kernel takes (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// One instruction: `struct sock_filter` of linux/filter.h.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// Instructions to skip if a condition holds.
    pub jt: u8,
    /// Instructions to skip if it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

impl Instruction {
    /// An instruction that jumps nowhere by itself.
    pub const fn plain(code: u16, k: u32) -> Self {
        Self { code, jt: 0, jf: 0, k }
    }

    /// As it lies in memory; both architectures are little-endian.
    pub const fn to_bytes(self) -> [u8; 8] {
        let [c0, c1] = self.code.to_le_bytes();
        let [k0, k1, k2, k3] = self.k.to_le_bytes();
        [c0, c1, self.jt, self.jf, k0, k1, k2, k3]
    }

    /// The inverse of [`Instruction::to_bytes`].
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        let [c0, c1, jt, jf, k0, k1, k2, k3] = bytes;
        Self { code: u16::from_le_bytes([c0, c1]), jt, jf, k: u32::from_le_bytes([k0, k1, k2, k3]) }
    }
}

/// A filter: what `SECCOMP_SET_MODE_FILTER` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
}

impl Program {
    pub(crate) fn new(instructions: Vec<Instruction>) -> Self {
        Self { instructions }
    }

    /// The instructions; `struct sock_fprog` has room for their count, as it is at most [`MAX_INSTRUCTIONS`].
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "a program is never empty: the kernel would refuse it")]
    pub fn len(&self) -> usize {
        self.instructions.len()
    }

    /// An array of `struct sock_filter`, eight bytes each.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.instructions.iter().flat_map(|instruction| instruction.to_bytes()).collect()
    }
}

/// Instruction codes: those that `seccomp_check_filter` lets pass and this crate makes use of.
pub(crate) mod code {
    /// `A = seccomp_data[k]`, a word.
    pub const LOAD: u16 = 0x20;
    /// `A = M[k]`
    pub const LOAD_SCRATCH: u16 = 0x60;
    /// `A = k`
    pub const LOAD_IMMEDIATE: u16 = 0x00;
    /// `X = k`
    pub const LOAD_X_IMMEDIATE: u16 = 0x01;
    /// `X = M[k]`
    pub const LOAD_X_SCRATCH: u16 = 0x61;
    /// `M[k] = A`
    pub const STORE: u16 = 0x02;
    /// `M[k] = X`
    pub const STORE_X: u16 = 0x03;
    /// `A = length of the packet`, which seccomp makes the size of seccomp_data.
    pub const LOAD_LENGTH: u16 = 0x80;
    /// The same into X.
    pub const LOAD_X_LENGTH: u16 = 0x81;
    /// `A &= k`
    pub const AND: u16 = 0x54;
    /// `A |= X`
    pub const OR_X: u16 = 0x4c;
    /// `A ^= k`
    pub const XOR: u16 = 0xa4;
    /// `X = A`
    pub const TAX: u16 = 0x07;
    /// `A = X`
    pub const TXA: u16 = 0x87;
    /// Always skip `k`.
    pub const JUMP: u16 = 0x05;
    /// `A == k`
    pub const JUMP_EQUAL: u16 = 0x15;
    /// `A > k`
    pub const JUMP_GREATER: u16 = 0x25;
    /// `A >= k`
    pub const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
    /// `A & k != 0`
    pub const JUMP_SET: u16 = 0x45;
    /// Answer `k`.
    pub const RETURN: u16 = 0x06;
    /// Answer `A`.
    pub const RETURN_A: u16 = 0x16;
}

/// Offsets in `struct seccomp_data` of linux/seccomp.h.
pub(crate) mod offset {
    /// The number of the call.
    pub const NR: u32 = 0;
    /// `AUDIT_ARCH_*`
    pub const ARCH: u32 = 4;
    /// Its size.
    pub const END: u32 = 64;

    /// The lower half of an argument; both architectures are little-endian.
    pub const fn low(index: u8) -> u32 {
        16 + 8 * index as u32
    }

    /// The upper half.
    pub const fn high(index: u8) -> u32 {
        low(index) + 4
    }
}
