//! Conditions on arguments, made up and taken apart.

use hotcell_seccomp::{Comparison, Condition};
use proptest::prelude::*;

/// Any comparison with such words.
pub fn comparison<W: Strategy<Value = u64> + Clone>(word: W) -> impl Strategy<Value = Comparison> + Clone {
    (0..7, word.clone(), word).prop_map(|(kind, value, other)| match kind {
        0 => Comparison::Equal(value),
        1 => Comparison::NotEqual(value),
        2 => Comparison::Greater(value),
        3 => Comparison::GreaterOrEqual(value),
        4 => Comparison::Less(value),
        5 => Comparison::LessOrEqual(value),
        _ => Comparison::MaskedEqual { mask: value, value: other & value },
    })
}

/// Any condition on any argument.
pub fn condition<W: Strategy<Value = u64> + Clone>(word: W) -> impl Strategy<Value = Condition> {
    (0_u8..6, comparison(word)).prop_map(|(index, comparison)| Condition { index, comparison })
}

/// What an argument is compared with.
pub fn compared_with(comparison: Comparison) -> u64 {
    match comparison {
        Comparison::Equal(value)
        | Comparison::NotEqual(value)
        | Comparison::Greater(value)
        | Comparison::GreaterOrEqual(value)
        | Comparison::Less(value)
        | Comparison::LessOrEqual(value)
        | Comparison::MaskedEqual { value, .. } => value,
    }
}
