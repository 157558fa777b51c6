//! Maps gids to lanes and streams to shards.

use crate::ids::{Gid, ShardId, StreamId};
use std::num::NonZeroU32;
use xxhash_rust::xxh3::xxh3_64;

/// The lane of a key among `lanes`. It is the default partition of Kafka's Java client, so that joins with topics of
/// the same key match.
///
/// ```
/// # use std::num::NonZeroU32;
/// use bridge_core::record::placement::lane_of;
/// let lanes = NonZeroU32::new(12).unwrap();
/// assert!(lane_of(b"1204619611402340", lanes) < 12);
/// ```
#[must_use]
pub fn lane_of(key: &[u8], lanes: NonZeroU32) -> u32 {
    // The Java client clears the sign bit instead of taking the absolute value.
    (murmur2(key) & 0x7fff_ffff) % lanes
}

/// The shard of a stream. A change of this function would move every stream away from its checkpoint: it is part of the
/// checkpoint's format.
#[must_use]
pub fn shard_of(stream: &StreamId, shards: NonZeroU32) -> ShardId {
    shard_of_text(&stream.to_string(), shards)
}

/// The shard whose owner reads a resource again, and writes its state. It needn't be that of the streams that show the
/// resource. A change of this function would leave entries of the refresh log unread, and let two owners write the same
/// state: it is part of the checkpoint's format.
#[must_use]
pub fn shard_of_gid(gid: &Gid, shards: NonZeroU32) -> ShardId {
    shard_of_text(gid.as_str(), shards)
}

fn shard_of_text(text: &str, shards: NonZeroU32) -> ShardId {
    let shard = xxh3_64(text.as_bytes()) % u64::from(shards.get());
    ShardId(u32::try_from(shard).unwrap_or_default())
}

/// `MurmurHash2` of 32 bits with the seed that Kafka uses
/// (`org.apache.kafka.common.utils.Utils.murmur2`).
#[must_use]
pub fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mix = |word: u32| {
        let word = word.wrapping_mul(M);
        (word ^ (word >> 24)).wrapping_mul(M)
    };

    // The hash is defined on lengths of 32 bits.
    #[expect(clippy::cast_possible_truncation, reason = "keys are far shorter than 4 GiB")]
    let mut hash = SEED ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        hash = hash.wrapping_mul(M) ^ mix(u32::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |last, byte| (last << 8) | u32::from(*byte));
        hash = (hash ^ last).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}
