//! Values that carry their unit: `"30s"`, `"64MiB"`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::Duration;

/// A time span such as `"100ms"`, `"30s"`, `"7days"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanDuration(pub Duration);

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_duration(&text)
            .map(Self)
            .map_err(|error| serde::de::Error::custom(format!("{text:?} is no time span such as \"30s\": {error}")))
    }
}

/// A size such as `"64MiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (unit, size) =
            UNITS.into_iter().find(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size)).unwrap_or(("B", 1));
        to.collect_str(&format_args!("{}{unit}", self.0 / size))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let parse = || {
            let (unit, size) = UNITS.into_iter().find(|(unit, _)| text.ends_with(unit))?;
            text.strip_suffix(unit)?.trim().parse::<u64>().ok()?.checked_mul(size)
        };
        parse().map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("{text:?} is no size such as \"64MiB\" (units: B, KiB, MiB, GiB)"))
        })
    }
}
