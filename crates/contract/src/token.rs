//! Tokens of NATS subjects. Illegal characters are escaped, in the same way for the bridge and for filters.

use std::fmt::Write as _;
use xxhash_rust::xxh3::xxh3_128;

/// The maximum length. A longer token is replaced by its hash, because the server's default limit for a whole protocol line
/// is 4,096 bytes.
const LONGEST_TOKEN: usize = 128;

/// A token of bounded length. A longer one becomes `=h` and a hash.
#[must_use]
pub fn token(text: &str) -> String {
    let escaped = escape(text);
    if escaped.len() > LONGEST_TOKEN { format!("=h{:032x}", xxh3_128(text.as_bytes())) } else { escaped }
}

/// ASCII letters, digits, `-` and `_` stand for themselves, other bytes become `=XX`;
/// the empty text is `_`, and the text `_` is `=5F`.
#[must_use]
pub fn escape(text: &str) -> String {
    match text {
        "" => return "_".to_owned(),
        "_" => return "=5F".to_owned(),
        _ => {}
    }
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            out.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ok = write!(out, "={byte:02X}");
        }
        out
    })
}
