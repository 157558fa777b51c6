//! The form of the values on the bus.

use bridge_contract::json;
use bridge_contract::pb::{self, record::Body};
use prost::Message as _;

/// The form of a topic's values. A value of one form can be told from one of the other by its first byte ([`json::FIRST`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Protobuf's binary form.
    #[default]
    Protobuf,
    /// The contract's [JSON form](json). Values are some times as large.
    Json,
}

/// The JSON form exists: times and enumerations are the only fields that may have none, and come from `bridge_contract::time` and from
/// enumerations of the contract.
const HAS_JSON: &str = "times and enumerations are the contract's";

#[expect(clippy::expect_used, reason = "see HAS_JSON")]
impl Encoding {
    /// The media type of a value.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/protobuf",
            Self::Json => "application/json",
        }
    }

    /// A body, encoded as a field of its record.
    pub(super) fn body(self, body: &Body) -> Vec<u8> {
        match self {
            Self::Protobuf => {
                let mut bytes = Vec::with_capacity(body.encoded_len());
                body.encode(&mut bytes);
                bytes
            }
            Self::Json => json::member(body).expect(HAS_JSON),
        }
    }

    /// A record of a head and an encoded body.
    pub(super) fn value(self, head: &pb::Record, body: &[u8]) -> Vec<u8> {
        match self {
            Self::Protobuf => {
                let mut value = Vec::with_capacity(head.encoded_len() + body.len());
                // A vector has room for everything, so encoding can't fail.
                head.encode_raw(&mut value);
                value.extend_from_slice(body);
                value
            }
            Self::Json => json::joined(json::record(head).expect(HAS_JSON), body),
        }
    }

    /// A dead letter.
    pub(super) fn letter(self, letter: &pb::DeadLetter) -> Vec<u8> {
        match self {
            Self::Protobuf => letter.encode_to_vec(),
            Self::Json => serde_json::to_vec(letter).expect(HAS_JSON),
        }
    }

    /// How many bytes of a part a letter of this size has room for.
    pub(super) fn part_bytes(self, room: usize) -> usize {
        match self {
            Self::Protobuf => room,
            // In base64.
            Self::Json => room / 4 * 3,
        }
    }
}

/// The forms of what a deployment writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encodings {
    /// Of the output topics, and of the dead letters.
    pub events: Encoding,
    /// Of the state topic.
    pub state: Encoding,
}
