//! From a message's value to its record.

use crate::pb;
use prost::Message as _;
use prost::encoding::decode_varint;

/// Reads a message's value: plain protobuf, or in the wire format of Confluent's schema registry.
///
/// ```
/// use asana_event_bridge::{consumer::decode, pb};
/// use prost::Message as _;
/// let record = pb::Record { received_at: Some(Default::default()), ..Default::default() };
/// let plain = record.encode_to_vec();
/// assert_eq!(decode::record(&plain)?, record);
/// // Magic byte, schema id, and the first message of the schema.
/// assert_eq!(decode::record(&[&[0, 0, 0, 0, 7, 0], plain.as_slice()].concat())?, record);
/// # Ok::<(), prost::DecodeError>(())
/// ```
///
/// # Errors
/// The value is neither.
pub fn record(value: &[u8]) -> Result<pb::Record, prost::DecodeError> {
    // No protobuf message begins with a zero: there is no field of that number.
    match value.split_first() {
        Some((0, framed)) => pb::Record::decode(unframed(framed)?),
        _ => pb::Record::decode(value),
    }
}

/// What follows the schema id and the path to the message within the schema.
fn unframed(framed: &[u8]) -> Result<&[u8], prost::DecodeError> {
    let mut rest = framed.get(4..).unwrap_or_default();
    // All of it in zigzag varints. Zero stands for the path [0]. A path has at least a byte for each step.
    let steps = decode_varint(&mut rest)? / 2;
    for _ in 0..steps.min(rest.len() as u64 + 1) {
        decode_varint(&mut rest)?;
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::record as decode;
    use crate::pb;
    use proptest::prelude::*;
    use prost::Message as _;

    #[test]
    fn a_longer_path_to_the_message_is_skipped() {
        let record = pb::Record { received_at: Some(pbjson_types::Timestamp::default()), ..pb::Record::default() };
        let framed = [&[0, 0, 0, 0, 7, 4, 0, 4], record.encode_to_vec().as_slice()].concat();
        assert_eq!(decode(&framed).expect("decodes"), record);
        for cut in 1..8 {
            assert!(decode(&framed[..cut]).is_err(), "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn no_value_makes_it_panic(value in proptest::collection::vec(any::<u8>(), 0..40), framed in any::<bool>()) {
            let value = if framed { [&[0], value.as_slice()].concat() } else { value };
            let _decoded = decode(&value).is_ok();
        }
    }
}
