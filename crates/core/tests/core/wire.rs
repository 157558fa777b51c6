//! The wire contract in bytes: what other programs rely on.

use bridge_core::record::placement::{lane_of, murmur2};
use std::num::NonZeroU32;

/// The vectors are made by Kafka's Java client: `scripts/services murmur2-vectors`.
#[test]
fn lanes_are_those_of_the_java_client() {
    let vectors: Vec<serde_json::Value> = serde_json::from_str(include_str!("vectors/murmur2.json")).unwrap();
    assert!(vectors.len() > 100, "vectors are missing");
    for vector in vectors {
        let key = vector["key"].as_str().unwrap().as_bytes();
        assert_eq!(i64::from(murmur2(key).cast_signed()), vector["hash"].as_i64().unwrap(), "{vector}");
        for (lanes, lane) in vector["partitions"].as_object().unwrap() {
            let lanes: NonZeroU32 = lanes.parse().unwrap();
            assert_eq!(u64::from(lane_of(key, lanes)), lane.as_u64().unwrap(), "{vector}");
        }
    }
}
