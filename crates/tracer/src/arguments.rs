//! A call's arguments, read when it begins and shown when it has ended.
//!
//! Runs in the supervisor. Strings and buffers that a call reads are read from the tracee's memory before it takes place, those that it writes
//! afterwards; all of them into one buffer a thread, which is kept.

use crate::calls::{Kind, Signature};
use crate::memory::{self, StringEnd};
use crate::path::PATH_MAX;
use hotcell_protocol::trace::{Argument, Arguments};
use std::ops::Range;

/// How much of a buffer is shown.
const BUFFER_BYTES: usize = 32;

/// What was read of a tracee's memory.
#[derive(Debug, Clone, Default)]
enum Piece {
    #[default]
    None,
    /// Whether it goes on.
    Text(Range<usize>, bool),
    /// How long it is.
    Bytes(Range<usize>, u64),
}

/// The arguments of a call that has begun.
#[derive(Debug, Default)]
pub struct Gathered {
    values: [u64; 6],
    pieces: [Piece; 6],
    memory: Vec<u8>,
}

impl Gathered {
    /// At the beginning of the call.
    pub fn begin(&mut self, tid: i32, signature: &Signature, values: [u64; 6]) {
        self.memory.clear();
        self.values = values;
        for ((kind, value), piece) in signature.arguments.iter().zip(values).zip(&mut self.pieces) {
            *piece = match kind {
                Kind::Path if value != 0 => {
                    let (range, end) = memory::read_string(tid, value, PATH_MAX, &mut self.memory);
                    if range.is_empty() && end == StringEnd::Fault {
                        Piece::None
                    } else {
                        Piece::Text(range, end != StringEnd::Nul)
                    }
                }
                Kind::In(length) if value != 0 => {
                    let length = values.get(usize::from(*length)).copied().unwrap_or(0);
                    let wanted = length.min(BUFFER_BYTES as u64) as usize;
                    Piece::Bytes(memory::read(tid, value, wanted, &mut self.memory), length)
                }
                _ => Piece::None,
            };
        }
    }

    /// At its end.
    pub fn end(&mut self, tid: i32, signature: &Signature, result: i64) {
        for ((kind, value), piece) in signature.arguments.iter().zip(self.values).zip(&mut self.pieces) {
            if matches!(kind, Kind::Out) && result > 0 && value != 0 {
                let wanted = result.min(BUFFER_BYTES as i64) as usize;
                *piece = Piece::Bytes(memory::read(tid, value, wanted, &mut self.memory), result as u64);
            }
        }
    }

    /// To be shown; `names` is a scratch buffer for the names of constants.
    pub fn show<'a>(&'a self, signature: &Signature, names: &'a mut String) -> Arguments<'a> {
        names.clear();
        let mut ends = [0; 6];
        for ((kind, value), end) in signature.arguments.iter().zip(self.values).zip(&mut ends) {
            match kind {
                Kind::Names(constants) => constants.write(value & 0xffff_ffff, names),
                Kind::Dir if value as i32 == libc::AT_FDCWD => names.push_str("AT_FDCWD"),
                _ => {}
            }
            *end = names.len();
        }
        let names: &'a str = names;
        let mut arguments = Arguments::new();
        let mut start = 0;
        let values = signature.arguments.iter().zip(self.values).zip(&self.pieces).zip(ends);
        for (((kind, value), piece), end) in values {
            let name = names.get(start..end).unwrap_or_default();
            start = end;
            let memory = |range: &Range<usize>| self.memory.get(range.clone()).unwrap_or_default();
            arguments.push(match (piece, kind) {
                (Piece::Text(range, goes_on), _) => Argument::Text(memory(range), *goes_on),
                (Piece::Bytes(range, length), _) => Argument::Bytes(memory(range), *length),
                _ if !name.is_empty() => Argument::Name(name),
                (_, Kind::Int | Kind::Dir) => Argument::Number(i64::from(value as i32)),
                (_, Kind::Long | Kind::Size) => Argument::Number(value as i64),
                (_, Kind::Mode) => Argument::Octal(value as u32),
                _ if value == 0 => Argument::Null,
                _ => Argument::Hex(value),
            });
        }
        arguments
    }

    /// Where the memory of the thread that executed another program came from.
    pub fn forget(&mut self) {
        self.memory.shrink_to(PATH_MAX);
    }
}
