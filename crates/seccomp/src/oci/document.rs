//! The shape of the document, as serde sees it. Meaning is given to it in `parse.rs`.

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

#[derive(Deserialize, Serialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Document {
    #[serde(skip_serializing)]
    #[expect(dead_code, reason = "accepted, and of no meaning")]
    pub comment: Option<String>,
    pub default_action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_errno_ret: Option<u64>,
    #[serde(skip_serializing)]
    pub default_errno: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_errno_ret: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architectures: Option<Vec<String>>,
    #[serde(skip_serializing)]
    pub arch_map: Option<Vec<ArchMap>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<Vec<String>>,
    #[serde(skip_serializing)]
    pub listener_path: Option<String>,
    #[serde(skip_serializing)]
    pub listener_metadata: Option<String>,
    #[serde(default)]
    pub syscalls: Option<Vec<Syscall>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ArchMap {
    pub architecture: String,
    pub sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Syscall {
    #[serde(skip_serializing)]
    pub name: Option<String>,
    pub names: Option<Vec<String>>,
    pub action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u64>,
    #[serde(skip_serializing)]
    pub errno: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#match: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<Arg>>,
    #[serde(skip_serializing)]
    #[expect(dead_code, reason = "accepted, and of no meaning")]
    pub comment: Option<String>,
    #[serde(skip_serializing)]
    pub includes: Option<Filter>,
    #[serde(skip_serializing)]
    pub excludes: Option<Filter>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Arg {
    pub index: u64,
    pub value: Word,
    #[serde(default, skip_serializing_if = "Word::is_zero")]
    pub value_two: Word,
    pub op: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Filter {
    pub caps: Option<Vec<String>>,
    pub arches: Option<Vec<String>>,
    pub min_kernel: Option<String>,
}

impl Filter {
    /// Whether there is anything in it: Podman's profile gives an empty one to every entry.
    pub fn asks(&self) -> bool {
        let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
        some(&self.caps) || some(&self.arches) || self.min_kernel.is_some()
    }
}

/// 64 bits: a number, or a string where numbers end at 2⁵³.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Word(pub u64);

impl Word {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
    fn is_zero(&self) -> bool {
        self.0 == 0
    }
}

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordVisitor;
        impl Visitor<'_> for WordVisitor {
            type Value = Word;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer from 0 to 18446744073709551615, or a string with one, decimal or 0x…")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Word, E> {
                Ok(Word(value))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Word, E> {
                let parsed = match text.strip_prefix("0x") {
                    // from_str_radix takes a sign; nobody means one.
                    Some(digits) if digits.starts_with(['+', '-']) => None,
                    Some(digits) => u64::from_str_radix(digits, 16).ok(),
                    None if text.starts_with('+') => None,
                    None => text.parse().ok(),
                };
                parsed.map(Word).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(WordVisitor)
    }
}
