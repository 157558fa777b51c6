//! Reads protobuf's wire format in place, without allocating.

use bridge_contract::Timestamp;
use bridge_contract::time::date_time;
use chrono::{DateTime, Utc};
use prost::DecodeError;
use prost::encoding::decode_varint;

/// One field of a message, without its number.
#[derive(Clone, Copy)]
pub(crate) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// A field of a fixed width, or a group. The contract has none.
    Other,
}

/// Reads the first field of a message, and removes it from the front.
pub(crate) fn next<'a>(rest: &mut &'a [u8]) -> Result<Option<(u64, Field<'a>)>, DecodeError> {
    if rest.is_empty() {
        return Ok(None);
    }
    let key = varint(rest)?;
    let field = match key & 7 {
        0 => Field::Number(varint(rest)?),
        2 => {
            let length = usize::try_from(varint(rest)?).unwrap_or(usize::MAX);
            Field::Bytes(take(rest, length)?)
        }
        1 => take(rest, 8).map(|_| Field::Other)?,
        5 => take(rest, 4).map(|_| Field::Other)?,
        _ => return Err(no_record()),
    };
    if key >> 3 == 0 { Err(no_record()) } else { Ok(Some((key >> 3, field))) }
}

pub(crate) fn fields<'a>(
    mut message: &'a [u8],
    mut each: impl FnMut(u64, Field<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    while let Some((number, field)) = next(&mut message)? {
        each(number, field)?;
    }
    Ok(())
}

/// The numbers in the fields 1 and 2 of a message.
pub(crate) fn numbers(message: &[u8]) -> Result<[u64; 2], DecodeError> {
    let mut found = [0; 2];
    fields(message, |number, field| {
        if let (1 | 2, Field::Number(value)) = (number, field) {
            let [first, second] = &mut found;
            *(if number == 1 { first } else { second }) = value;
        }
        Ok(())
    })?;
    Ok(found)
}

pub(crate) fn timestamp(message: &[u8]) -> Result<Option<DateTime<Utc>>, DecodeError> {
    let [seconds, nanos] = numbers(message)?;
    // Negative numbers travel as the unsigned ones of the same bits.
    Ok(date_time(&Timestamp { seconds: seconds.cast_signed(), nanos: low(nanos).cast_signed() }))
}

fn varint(rest: &mut &[u8]) -> Result<u64, DecodeError> {
    match rest.split_first() {
        Some((byte, behind)) if *byte < 0x80 => {
            *rest = behind;
            Ok(u64::from(*byte))
        }
        _ => decode_varint(rest),
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], DecodeError> {
    let (taken, behind) = rest.split_at_checked(length).ok_or_else(no_record)?;
    *rest = behind;
    Ok(taken)
}

pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_not_text| no_record())
}

/// Truncates a number that is too large for its field, as protobuf specifies.
#[expect(clippy::cast_possible_truncation, reason = "that is the rule")]
pub(crate) fn low(number: u64) -> u32 {
    number as u32
}

/// Only prost can create its errors. This is the error of a field that is cut off.
fn no_record() -> DecodeError {
    match decode_varint(&mut [].as_slice()) {
        Err(error) => error,
        Ok(_) => DecodeError::new_unexpected_type_url("", ""),
    }
}
