//! Reads JSON of any shape, each value on its own, so that an unreadable value doesn't affect the values beside it.

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::fmt;
use std::marker::PhantomData;

/// A `T` from a JSON object. A derived struct alone would also accept an array.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OnlyMap<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyMap<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        from.deserialize_map(OnlyMap(PhantomData))
    }
}

/// What the text of a JSON object holds; `None` where it is none, or isn't of this type.
#[must_use]
pub fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    serde_json::from_str::<Object<T>>(text).ok().map(|object| object.0)
}

/// What a field holds; `None` where it isn't there, or isn't of this type.
#[must_use]
pub fn typed<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// Reads a field that is a text; `None` if it is missing, or isn't one.
#[must_use]
pub fn string(raw: Option<&RawValue>) -> Option<String> {
    typed(raw)
}

/// Reads a field that is a gid. If it is a number, the gid is its digits.
#[must_use]
pub fn gid(raw: Option<&RawValue>) -> Option<String> {
    let digits = |raw: &RawValue| raw.get().bytes().all(|byte| byte.is_ascii_digit()).then(|| raw.get().to_owned());
    string(raw).or_else(|| raw.and_then(digits))
}
