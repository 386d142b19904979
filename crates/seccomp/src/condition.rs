//! Conditions on a system call's arguments.

use std::fmt;

/// A condition on one argument, a register of 64 bits. All comparisons are unsigned, and see all 64 bits.
///
/// The kernel narrows most arguments to what the system call declares (`int`, `unsigned int`), so the upper half of a register may hold
/// anything and the call means the same. To *deny* a value of a 32-bit argument, use `MaskedEqual` with a mask of `0xffff_ffff`
/// (TIOCSTI with upper bits set: CVE-2019-10063); to *allow* one, `Equal` is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Condition {
    /// Which argument, 0–5.
    pub index: u8,
    /// What of it.
    pub comparison: Comparison,
}

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Comparison {
    /// `argument == value`
    Equal(u64),
    /// `argument != value`
    NotEqual(u64),
    /// `argument > value`
    Greater(u64),
    /// `argument >= value`
    GreaterOrEqual(u64),
    /// `argument < value`
    Less(u64),
    /// `argument <= value`
    LessOrEqual(u64),
    /// `argument & mask == value`
    MaskedEqual {
        /// The bits to look at.
        mask: u64,
        /// What they have to be.
        value: u64,
    },
}

impl Condition {
    /// The largest argument index (seccomp_data has six).
    pub const MAX_INDEX: u8 = 5;

    /// A condition on the argument `index`.
    pub const fn new(index: u8, comparison: Comparison) -> Self {
        Self { index, comparison }
    }

    /// The lower 32 bits of an argument are `value`: for arguments that the kernel takes as `int`.
    pub const fn low_word(index: u8, value: u32) -> Self {
        Self::masked(index, 0xffff_ffff, value as u64)
    }

    /// The bits of `mask` in an argument are `value`.
    pub const fn masked(index: u8, mask: u64, value: u64) -> Self {
        Self { index, comparison: Comparison::MaskedEqual { mask, value } }
    }

    /// An argument is `value`.
    pub const fn equal(index: u8, value: u64) -> Self {
        Self { index, comparison: Comparison::Equal(value) }
    }

    /// An argument is not `value`.
    pub const fn not_equal(index: u8, value: u64) -> Self {
        Self { index, comparison: Comparison::NotEqual(value) }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let index = self.index;
        match self.comparison {
            Comparison::Equal(value) => write!(f, "args[{index}] == {value:#x}"),
            Comparison::NotEqual(value) => write!(f, "args[{index}] != {value:#x}"),
            Comparison::Greater(value) => write!(f, "args[{index}] > {value:#x}"),
            Comparison::GreaterOrEqual(value) => write!(f, "args[{index}] >= {value:#x}"),
            Comparison::Less(value) => write!(f, "args[{index}] < {value:#x}"),
            Comparison::LessOrEqual(value) => write!(f, "args[{index}] <= {value:#x}"),
            Comparison::MaskedEqual { mask, value } => write!(f, "args[{index}] & {mask:#x} == {value:#x}"),
        }
    }
}
