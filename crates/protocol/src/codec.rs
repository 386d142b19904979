//! Framing and encoding.
//!
//! A packet is one tag byte and a payload:
//!
//! | tag | payload |
//! |---|---|
//! | [`TAG_INLINE`] | the postcard encoding itself |
//! | [`TAG_MEMFD`] | nothing: the *first* descriptor of the packet is a sealed memfd holding the encoding |
//!
//! Only requests may use a memfd. Replies always fit a packet, because init bounds what it puts into them.

use serde::{Deserialize, Serialize};

/// The payload follows the tag in the same packet.
pub const TAG_INLINE: u8 = 0;
/// The payload is the content of the first descriptor of the packet.
pub const TAG_MEMFD: u8 = 1;

/// The longest packet, tag included. Far below the default `SO_SNDBUF` (212,992 bytes, `net.core.wmem_default`), so that
/// several requests fit into a socket's queue before the sender has to wait.
pub const PACKET_MAX: usize = 32 * 1024;

/// The longest payload in a memfd. The kernel refuses more than 6 MiB of arguments and environment (execve(2), E2BIG), so
/// whatever is larger than this could not be executed either.
pub const MEMFD_MAX: usize = 16 * 1024 * 1024;

/// The longest path, as the kernel has it (`PATH_MAX`, the terminating NUL included).
pub const PATH_MAX: usize = 4096;

/// The most descriptors in one packet (`SCM_MAX_FD`, unix(7)).
pub const FDS_MAX: usize = 253;

/// A message that does not follow the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The packet has no tag, or one that this version does not know.
    Tag,
    /// The payload is not an encoding of the expected type.
    Payload,
    /// The payload continues behind the value.
    TrailingBytes,
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Tag => "the packet has an unknown tag",
            Self::Payload => "the payload is malformed",
            Self::TrailingBytes => "the payload is longer than its message",
        })
    }
}

impl std::error::Error for DecodeError {}

/// Appends the packet for `message` to `buffer`, tag first.
///
/// Whether it may be sent inline ([`PACKET_MAX`]) is for the caller to see by its length; the payload of a memfd is the
/// same bytes without the tag.
pub fn encode<T: Serialize + ?Sized>(message: &T, buffer: &mut Vec<u8>) {
    buffer.push(TAG_INLINE);
    append(message, buffer);
}

/// Appends the encoding of `message` alone.
pub fn append<T: Serialize + ?Sized>(message: &T, buffer: &mut Vec<u8>) {
    struct Append<'a>(&'a mut Vec<u8>);
    impl postcard::ser_flavors::Flavor for Append<'_> {
        type Output = ();
        fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
            self.0.push(byte);
            Ok(())
        }
        fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }
        fn finalize(self) -> postcard::Result<()> {
            Ok(())
        }
    }
    let result = postcard::serialize_with_flavor(message, Append(buffer));
    debug_assert!(result.is_ok(), "a Vec takes everything, and our types have known lengths");
}

/// Decodes a payload (without its tag), which must hold exactly one message.
pub fn decode<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, DecodeError> {
    match postcard::take_from_bytes(payload) {
        Ok((message, [])) => Ok(message),
        Ok(_) => Err(DecodeError::TrailingBytes),
        Err(_) => Err(DecodeError::Payload),
    }
}

/// Splits a packet into its tag and its payload.
pub fn split(packet: &[u8]) -> Result<(u8, &[u8]), DecodeError> {
    match packet.split_first() {
        Some((&tag @ (TAG_INLINE | TAG_MEMFD), payload)) => Ok((tag, payload)),
        _ => Err(DecodeError::Tag),
    }
}
