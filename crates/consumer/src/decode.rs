//! Decodes a message's value.

use super::record::Record;
use crate::detect::sighting::{Progress, ShardProgress, Sighting, Signal};
use crate::wire::{Field, fields, low, next, numbers, timestamp, utf8};
use bridge_contract::pb;
use prost::Message as _;
use prost::encoding::decode_varint;

/// The first byte of a value in the JSON form. No record in protobuf's binary form begins with it.
const JSON: u8 = b'{';

/// Why a value can't be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The value isn't a record in protobuf's binary form.
    #[error("the value is no record: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// The value begins as JSON, and isn't a record in the JSON form.
    #[error("the value is no record in JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The value is JSON, which only [`wire`] and [`record`] decode, with the feature `json`.
    #[error("the value is JSON, which isn't decoded here")]
    IsJson,
}

/// Decodes a message's value into the contract's own type. The value is in protobuf's binary form or, with the feature `json`, in the
/// contract's JSON form; plain, or in the wire format of Confluent's schema registry.
///
/// ```
/// use asana_event_bridge_consumer::{decode, pb};
/// use prost::Message as _;
/// let record = pb::Record { received_at: Some(Default::default()), ..Default::default() };
/// let plain = record.encode_to_vec();
/// assert_eq!(decode::wire(&plain)?, record);
/// // Magic byte, schema id, and the first message of the schema.
/// assert_eq!(decode::wire(&[&[0, 0, 0, 0, 7, 0], plain.as_slice()].concat())?, record);
/// # Ok::<(), decode::DecodeError>(())
/// ```
///
/// # Errors
/// The value has none of these forms.
pub fn wire(value: &[u8]) -> Result<pb::Record, DecodeError> {
    match unframed(value)? {
        text if text.first() == Some(&JSON) => json(text),
        bytes => Ok(pb::Record::decode(bytes)?),
    }
}

#[cfg(feature = "json")]
fn json(text: &[u8]) -> Result<pb::Record, DecodeError> {
    Ok(bridge_contract::json::read(text)?)
}

#[cfg(not(feature = "json"))]
fn json(_text: &[u8]) -> Result<pb::Record, DecodeError> {
    Err(DecodeError::IsJson)
}

/// Decodes a message's value, of any form, into Rust types to match on.
///
/// # Errors
/// The value isn't a record.
pub fn record(value: &[u8]) -> Result<Record, DecodeError> {
    wire(value).map(Record::from)
}

/// Decodes only the part of a message's value in protobuf's binary form that a [`Detector`](super::Detector) needs. It allocates
/// nothing, and takes a small part of the time that decoding the whole record takes.
///
/// ```
/// use asana_event_bridge_consumer::{Detector, Start, decode};
/// use bridge_contract::pb;
/// use prost::Message as _;
/// let position = pb::Position { epoch: 1, lane_sequence: 3, ..Default::default() };
/// let value = pb::Record { position: Some(position), ..Default::default() }.encode_to_vec();
/// let mut detector = Detector::by_lane(Start::Beginning);
/// let verdict = detector.observe("asana.events", decode::sighting(&value)?);
/// assert_eq!(verdict.continuity.label(), "missing");
/// # Ok::<(), decode::DecodeError>(())
/// ```
///
/// # Errors
/// The value isn't a record, or is JSON. Errors inside an event aren't found.
pub fn sighting(value: &[u8]) -> Result<Sighting<'_>, DecodeError> {
    let mut sighting = Sighting::default();
    let mut rest = unframed(value)?;
    if rest.first() == Some(&JSON) {
        return Err(DecodeError::IsJson);
    }
    while let Some((number, field)) = next(&mut rest)? {
        match (number, field) {
            (1, Field::Bytes(position)) => position_of(position, &mut sighting)?,
            (15, Field::Bytes(gap)) => {
                let (mut gap_id, mut since) = ("", None);
                fields(gap, |number, field| match (number, field) {
                    (1, Field::Bytes(text)) => utf8(text).map(|text| gap_id = text),
                    (3, Field::Bytes(time)) => timestamp(time).map(|time| since = time),
                    _ => Ok(()),
                })?;
                sighting.signal = Signal::SourceGap { gap_id, since };
            }
            (16, Field::Bytes(healed)) => {
                let mut gap_id = "";
                fields(healed, |number, field| match (number, field) {
                    (1, Field::Bytes(text)) => utf8(text).map(|text| gap_id = text),
                    _ => Ok(()),
                })?;
                sighting.signal = Signal::SourceGapHealed { gap_id };
            }
            (17, Field::Bytes(start)) => {
                let [previous_epoch, previous_lane_sequence] = numbers(start)?;
                sighting.signal = Signal::EpochStart { previous_epoch, previous_lane_sequence };
            }
            (18, Field::Bytes(watermark)) => {
                let (mut shards, mut lanes) = (0, 0);
                fields(watermark, |number, field| {
                    match (number, field) {
                        (1, Field::Number(count)) => shards = low(count),
                        (2, Field::Number(count)) => lanes = low(count),
                        (3, Field::Bytes(progress)) => drop(ShardProgress::decode(progress)?),
                        _ => {}
                    }
                    Ok(())
                })?;
                sighting.signal = Signal::Watermark { shards, lanes, progress: Progress::Encoded(watermark) };
            }
            (19, Field::Bytes(changed)) => {
                let [previous_count, count] = numbers(changed)?.map(low);
                sighting.signal = Signal::LanesChanged { previous_count, count };
            }
            (22, Field::Bytes(_)) => sighting.signal = Signal::StreamEnded,
            // The last body of several is the one that counts.
            (10..=14 | 20 | 21, Field::Bytes(_)) => sighting.signal = Signal::None,
            _ => {}
        }
    }
    Ok(sighting)
}

fn position_of<'a>(position: &'a [u8], to: &mut Sighting<'a>) -> Result<(), prost::DecodeError> {
    fields(position, |number, field| {
        match (number, field) {
            (1, Field::Number(shard)) => to.shard = low(shard),
            (2, Field::Number(epoch)) => to.epoch = epoch,
            (3, Field::Number(lane)) => to.lane = low(lane),
            (4, Field::Number(sequence)) => to.lane_sequence = sequence,
            (5, Field::Bytes(stream)) => to.stream = utf8(stream)?,
            (6, Field::Number(sequence)) => to.stream_sequence = sequence,
            _ => {}
        }
        Ok(())
    })
}

/// The value without the prefix of a schema registry.
fn unframed(value: &[u8]) -> Result<&[u8], prost::DecodeError> {
    // No protobuf message begins with a zero: there is no field of that number.
    let Some((0, framed)) = value.split_first() else { return Ok(value) };
    // Behind the schema's id there is JSON, or the path to the message within the schema.
    let mut rest = framed.get(4..).unwrap_or_default();
    if rest.first() == Some(&JSON) {
        return Ok(rest);
    }
    // All of it in zigzag varints. Zero stands for the path [0]. A path has at least a byte for each step.
    let steps = decode_varint(&mut rest)? / 2;
    for _ in 0..steps.min(rest.len() as u64 + 1) {
        decode_varint(&mut rest)?;
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::{sighting, wire};
    use crate::detect::sighting::Sighting;
    use bridge_contract::pb::{self, record::Body};
    use proptest::prelude::*;
    use prost::Message as _;

    #[test]
    fn a_longer_path_to_the_message_is_skipped() {
        let record = pb::Record { received_at: Some(bridge_contract::Timestamp::default()), ..pb::Record::default() };
        let framed = [&[0, 0, 0, 0, 7, 4, 0, 4], record.encode_to_vec().as_slice()].concat();
        assert_eq!(wire(&framed).expect("decodes"), record);
        for cut in 1..8 {
            assert!(wire(&framed[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[cfg(feature = "json")]
    #[test]
    fn json_is_recognized_plain_and_framed() {
        let record = pb::Record { received_at: Some(bridge_contract::Timestamp::default()), ..pb::Record::default() };
        let plain = bridge_contract::json::record(&record).expect("JSON");
        for value in [plain.clone(), [&[0, 0, 0, 0, 7], plain.as_slice()].concat()] {
            assert_eq!(wire(&value).expect("decodes"), record);
            assert!(matches!(sighting(&value), Err(super::DecodeError::IsJson)));
            assert!(wire(&value[..value.len() - 1]).is_err());
        }
    }

    fn body() -> impl Strategy<Value = Option<Body>> {
        let number = || prop_oneof![Just(0), Just(u64::MAX), any::<u64>(), 0..300_u64];
        let time = || {
            proptest::option::of((any::<i64>(), any::<i32>()))
                .prop_map(|it| it.map(|(seconds, nanos)| bridge_contract::Timestamp { seconds: seconds >> 24, nanos }))
        };
        let progress = || {
            (any::<u32>(), number(), number(), time(), any::<bool>()).prop_map(
                |(shard, epoch, lane_sequence, complete_up_to, empty)| pb::ShardProgress {
                    shard,
                    epoch,
                    lane_sequence,
                    complete_up_to,
                    empty,
                },
            )
        };
        prop_oneof![
            Just(None),
            Just(Some(Body::Event(pb::Event { action: "added".to_owned(), ..pb::Event::default() }))),
            (number(), number()).prop_map(|(previous_epoch, previous_lane_sequence)| Some(Body::EpochStart(
                pb::EpochStart { previous_epoch, previous_lane_sequence }
            ))),
            (proptest::collection::vec(progress(), 0..3), any::<u32>(), any::<u32>())
                .prop_map(|(progress, shards, lanes)| Some(Body::Watermark(pb::Watermark { shards, lanes, progress }))),
            (".{0,3}", time()).prop_map(|(gap_id, last_complete_poll_at)| Some(Body::SourceGap(pb::SourceGap {
                gap_id,
                reason: 1,
                last_complete_poll_at,
                resumed_at: last_complete_poll_at,
            }))),
            ".{0,3}".prop_map(|gap_id| Some(Body::SourceGapHealed(pb::SourceGapHealed {
                gap_id,
                crawl_id: "c".to_owned(),
                restored: 1,
                ..Default::default()
            }))),
            (any::<u32>(), any::<u32>()).prop_map(|(previous_count, count)| Some(Body::LanesChanged(
                pb::LanesChanged { previous_count, count }
            ))),
            Just(Some(Body::StreamEnded(pb::StreamEnded {}))),
        ]
    }

    proptest! {
        #[test]
        fn a_sighting_is_that_of_the_whole_record(
            numbers: (u32, u64, u32, u64, u64), stream in ".{0,9}", body in body(), framed: bool, cut in 0..200_usize,
        ) {
            let (shard, epoch, lane, lane_sequence, stream_sequence) = numbers;
            let position = pb::Position { shard, epoch, lane, lane_sequence, stream, stream_sequence };
            let record = pb::Record { position: Some(position), received_at: Some(bridge_contract::Timestamp::default()), body };
            let mut value = if framed { vec![0, 0, 0, 0, 7, 0] } else { Vec::new() };
            record.encode(&mut value).expect("room");
            prop_assert_eq!(sighting(&value).ok(), Some(Sighting::from(&record)));
            value.truncate(cut);
            // Cut between two fields, both read the half; else neither.
            let whole = wire(&value);
            prop_assert_eq!(sighting(&value).ok(), whole.as_ref().ok().map(Sighting::from));
        }

        #[test]
        fn no_value_makes_it_panic(value in proptest::collection::vec(any::<u8>(), 0..40), framed in any::<bool>()) {
            let value = if framed { [&[0], value.as_slice()].concat() } else { value };
            let _decoded = (wire(&value).is_ok(), sighting(&value).is_ok());
        }
    }
}
