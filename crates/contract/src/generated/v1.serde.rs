impl serde::Serialize for Change {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.field.is_empty() {
            len += 1;
        }
        if !self.action.is_empty() {
            len += 1;
        }
        if self.added_value.is_some() {
            len += 1;
        }
        if self.new_value.is_some() {
            len += 1;
        }
        if self.removed_value.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.Change", len)?;
        if !self.field.is_empty() {
            struct_ser.serialize_field("field", &self.field)?;
        }
        if !self.action.is_empty() {
            struct_ser.serialize_field("action", &self.action)?;
        }
        if let Some(v) = self.added_value.as_ref() {
            struct_ser.serialize_field("addedValue", v)?;
        }
        if let Some(v) = self.new_value.as_ref() {
            struct_ser.serialize_field("newValue", v)?;
        }
        if let Some(v) = self.removed_value.as_ref() {
            struct_ser.serialize_field("removedValue", v)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Change {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "field",
            "action",
            "added_value",
            "addedValue",
            "new_value",
            "newValue",
            "removed_value",
            "removedValue",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Field,
            Action,
            AddedValue,
            NewValue,
            RemovedValue,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "field" => Ok(GeneratedField::Field),
                            "action" => Ok(GeneratedField::Action),
                            "addedValue" | "added_value" => Ok(GeneratedField::AddedValue),
                            "newValue" | "new_value" => Ok(GeneratedField::NewValue),
                            "removedValue" | "removed_value" => Ok(GeneratedField::RemovedValue),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Change;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.Change")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Change, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut field__ = None;
                let mut action__ = None;
                let mut added_value__ = None;
                let mut new_value__ = None;
                let mut removed_value__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Field => {
                            if field__.is_some() {
                                return Err(serde::de::Error::duplicate_field("field"));
                            }
                            field__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Action => {
                            if action__.is_some() {
                                return Err(serde::de::Error::duplicate_field("action"));
                            }
                            action__ = Some(map_.next_value()?);
                        }
                        GeneratedField::AddedValue => {
                            if added_value__.is_some() {
                                return Err(serde::de::Error::duplicate_field("addedValue"));
                            }
                            added_value__ = map_.next_value()?;
                        }
                        GeneratedField::NewValue => {
                            if new_value__.is_some() {
                                return Err(serde::de::Error::duplicate_field("newValue"));
                            }
                            new_value__ = map_.next_value()?;
                        }
                        GeneratedField::RemovedValue => {
                            if removed_value__.is_some() {
                                return Err(serde::de::Error::duplicate_field("removedValue"));
                            }
                            removed_value__ = map_.next_value()?;
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(Change {
                    field: field__.unwrap_or_default(),
                    action: action__.unwrap_or_default(),
                    added_value: added_value__,
                    new_value: new_value__,
                    removed_value: removed_value__,
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.Change", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for ChangeValue {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.resource.is_some() {
            len += 1;
        }
        if !self.json.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.ChangeValue", len)?;
        if let Some(v) = self.resource.as_ref() {
            struct_ser.serialize_field("resource", v)?;
        }
        if !self.json.is_empty() {
            struct_ser.serialize_field("json", &self.json)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for ChangeValue {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "resource",
            "json",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Resource,
            Json,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "resource" => Ok(GeneratedField::Resource),
                            "json" => Ok(GeneratedField::Json),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = ChangeValue;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.ChangeValue")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<ChangeValue, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut resource__ = None;
                let mut json__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Resource => {
                            if resource__.is_some() {
                                return Err(serde::de::Error::duplicate_field("resource"));
                            }
                            resource__ = map_.next_value()?;
                        }
                        GeneratedField::Json => {
                            if json__.is_some() {
                                return Err(serde::de::Error::duplicate_field("json"));
                            }
                            json__ = Some(map_.next_value()?);
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(ChangeValue {
                    resource: resource__,
                    json: json__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.ChangeValue", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for CrawlReason {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        let variant = match self {
            Self::Unspecified => "CRAWL_REASON_UNSPECIFIED",
            Self::SourceGap => "CRAWL_REASON_SOURCE_GAP",
            Self::Reconciliation => "CRAWL_REASON_RECONCILIATION",
            Self::Initial => "CRAWL_REASON_INITIAL",
        };
        serializer.serialize_str(variant)
    }
}
impl<'de> serde::Deserialize<'de> for CrawlReason {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "CRAWL_REASON_UNSPECIFIED",
            "CRAWL_REASON_SOURCE_GAP",
            "CRAWL_REASON_RECONCILIATION",
            "CRAWL_REASON_INITIAL",
        ];

        struct GeneratedVisitor;

        impl serde::de::Visitor<'_> for GeneratedVisitor {
            type Value = CrawlReason;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "expected one of: {:?}", &FIELDS)
            }

            fn visit_i64<E>(self, v: i64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Signed(v), &self)
                    })
            }

            fn visit_u64<E>(self, v: u64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Unsigned(v), &self)
                    })
            }

            fn visit_str<E>(self, value: &str) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                match value {
                    "CRAWL_REASON_UNSPECIFIED" => Ok(CrawlReason::Unspecified),
                    "CRAWL_REASON_SOURCE_GAP" => Ok(CrawlReason::SourceGap),
                    "CRAWL_REASON_RECONCILIATION" => Ok(CrawlReason::Reconciliation),
                    "CRAWL_REASON_INITIAL" => Ok(CrawlReason::Initial),
                    _ => Err(serde::de::Error::unknown_variant(value, FIELDS)),
                }
            }
        }
        deserializer.deserialize_any(GeneratedVisitor)
    }
}
impl serde::Serialize for DeadLetter {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.position.is_some() {
            len += 1;
        }
        if !self.topic.is_empty() {
            len += 1;
        }
        if self.part_index != 0 {
            len += 1;
        }
        if self.part_count != 0 {
            len += 1;
        }
        if !self.part.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.DeadLetter", len)?;
        if let Some(v) = self.position.as_ref() {
            struct_ser.serialize_field("position", v)?;
        }
        if !self.topic.is_empty() {
            struct_ser.serialize_field("topic", &self.topic)?;
        }
        if self.part_index != 0 {
            struct_ser.serialize_field("partIndex", &self.part_index)?;
        }
        if self.part_count != 0 {
            struct_ser.serialize_field("partCount", &self.part_count)?;
        }
        if !self.part.is_empty() {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("part", pbjson::private::base64::encode(&self.part).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for DeadLetter {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "position",
            "topic",
            "part_index",
            "partIndex",
            "part_count",
            "partCount",
            "part",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Position,
            Topic,
            PartIndex,
            PartCount,
            Part,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "position" => Ok(GeneratedField::Position),
                            "topic" => Ok(GeneratedField::Topic),
                            "partIndex" | "part_index" => Ok(GeneratedField::PartIndex),
                            "partCount" | "part_count" => Ok(GeneratedField::PartCount),
                            "part" => Ok(GeneratedField::Part),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = DeadLetter;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.DeadLetter")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<DeadLetter, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut position__ = None;
                let mut topic__ = None;
                let mut part_index__ = None;
                let mut part_count__ = None;
                let mut part__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Position => {
                            if position__.is_some() {
                                return Err(serde::de::Error::duplicate_field("position"));
                            }
                            position__ = map_.next_value()?;
                        }
                        GeneratedField::Topic => {
                            if topic__.is_some() {
                                return Err(serde::de::Error::duplicate_field("topic"));
                            }
                            topic__ = Some(map_.next_value()?);
                        }
                        GeneratedField::PartIndex => {
                            if part_index__.is_some() {
                                return Err(serde::de::Error::duplicate_field("partIndex"));
                            }
                            part_index__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::PartCount => {
                            if part_count__.is_some() {
                                return Err(serde::de::Error::duplicate_field("partCount"));
                            }
                            part_count__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Part => {
                            if part__.is_some() {
                                return Err(serde::de::Error::duplicate_field("part"));
                            }
                            part__ = 
                                Some(map_.next_value::<::pbjson::private::BytesDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(DeadLetter {
                    position: position__,
                    topic: topic__.unwrap_or_default(),
                    part_index: part_index__.unwrap_or_default(),
                    part_count: part_count__.unwrap_or_default(),
                    part: part__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.DeadLetter", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for EpochStart {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.previous_epoch != 0 {
            len += 1;
        }
        if self.previous_lane_sequence != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.EpochStart", len)?;
        if self.previous_epoch != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("previousEpoch", ToString::to_string(&self.previous_epoch).as_str())?;
        }
        if self.previous_lane_sequence != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("previousLaneSequence", ToString::to_string(&self.previous_lane_sequence).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for EpochStart {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "previous_epoch",
            "previousEpoch",
            "previous_lane_sequence",
            "previousLaneSequence",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            PreviousEpoch,
            PreviousLaneSequence,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "previousEpoch" | "previous_epoch" => Ok(GeneratedField::PreviousEpoch),
                            "previousLaneSequence" | "previous_lane_sequence" => Ok(GeneratedField::PreviousLaneSequence),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = EpochStart;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.EpochStart")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<EpochStart, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut previous_epoch__ = None;
                let mut previous_lane_sequence__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::PreviousEpoch => {
                            if previous_epoch__.is_some() {
                                return Err(serde::de::Error::duplicate_field("previousEpoch"));
                            }
                            previous_epoch__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::PreviousLaneSequence => {
                            if previous_lane_sequence__.is_some() {
                                return Err(serde::de::Error::duplicate_field("previousLaneSequence"));
                            }
                            previous_lane_sequence__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(EpochStart {
                    previous_epoch: previous_epoch__.unwrap_or_default(),
                    previous_lane_sequence: previous_lane_sequence__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.EpochStart", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Event {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.action.is_empty() {
            len += 1;
        }
        if self.resource.is_some() {
            len += 1;
        }
        if self.parent.is_some() {
            len += 1;
        }
        if self.change.is_some() {
            len += 1;
        }
        if self.created_at.is_some() {
            len += 1;
        }
        if self.user.is_some() {
            len += 1;
        }
        if self.r#type.is_some() {
            len += 1;
        }
        if !self.fingerprint.is_empty() {
            len += 1;
        }
        if !self.raw_json.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.Event", len)?;
        if !self.action.is_empty() {
            struct_ser.serialize_field("action", &self.action)?;
        }
        if let Some(v) = self.resource.as_ref() {
            struct_ser.serialize_field("resource", v)?;
        }
        if let Some(v) = self.parent.as_ref() {
            struct_ser.serialize_field("parent", v)?;
        }
        if let Some(v) = self.change.as_ref() {
            struct_ser.serialize_field("change", v)?;
        }
        if let Some(v) = self.created_at.as_ref() {
            struct_ser.serialize_field("createdAt", v)?;
        }
        if let Some(v) = self.user.as_ref() {
            struct_ser.serialize_field("user", v)?;
        }
        if let Some(v) = self.r#type.as_ref() {
            struct_ser.serialize_field("type", v)?;
        }
        if !self.fingerprint.is_empty() {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("fingerprint", pbjson::private::base64::encode(&self.fingerprint).as_str())?;
        }
        if !self.raw_json.is_empty() {
            struct_ser.serialize_field("rawJson", &self.raw_json)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Event {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "action",
            "resource",
            "parent",
            "change",
            "created_at",
            "createdAt",
            "user",
            "type",
            "fingerprint",
            "raw_json",
            "rawJson",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Action,
            Resource,
            Parent,
            Change,
            CreatedAt,
            User,
            Type,
            Fingerprint,
            RawJson,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "action" => Ok(GeneratedField::Action),
                            "resource" => Ok(GeneratedField::Resource),
                            "parent" => Ok(GeneratedField::Parent),
                            "change" => Ok(GeneratedField::Change),
                            "createdAt" | "created_at" => Ok(GeneratedField::CreatedAt),
                            "user" => Ok(GeneratedField::User),
                            "type" => Ok(GeneratedField::Type),
                            "fingerprint" => Ok(GeneratedField::Fingerprint),
                            "rawJson" | "raw_json" => Ok(GeneratedField::RawJson),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Event;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.Event")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Event, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut action__ = None;
                let mut resource__ = None;
                let mut parent__ = None;
                let mut change__ = None;
                let mut created_at__ = None;
                let mut user__ = None;
                let mut r#type__ = None;
                let mut fingerprint__ = None;
                let mut raw_json__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Action => {
                            if action__.is_some() {
                                return Err(serde::de::Error::duplicate_field("action"));
                            }
                            action__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Resource => {
                            if resource__.is_some() {
                                return Err(serde::de::Error::duplicate_field("resource"));
                            }
                            resource__ = map_.next_value()?;
                        }
                        GeneratedField::Parent => {
                            if parent__.is_some() {
                                return Err(serde::de::Error::duplicate_field("parent"));
                            }
                            parent__ = map_.next_value()?;
                        }
                        GeneratedField::Change => {
                            if change__.is_some() {
                                return Err(serde::de::Error::duplicate_field("change"));
                            }
                            change__ = map_.next_value()?;
                        }
                        GeneratedField::CreatedAt => {
                            if created_at__.is_some() {
                                return Err(serde::de::Error::duplicate_field("createdAt"));
                            }
                            created_at__ = map_.next_value()?;
                        }
                        GeneratedField::User => {
                            if user__.is_some() {
                                return Err(serde::de::Error::duplicate_field("user"));
                            }
                            user__ = map_.next_value()?;
                        }
                        GeneratedField::Type => {
                            if r#type__.is_some() {
                                return Err(serde::de::Error::duplicate_field("type"));
                            }
                            r#type__ = map_.next_value()?;
                        }
                        GeneratedField::Fingerprint => {
                            if fingerprint__.is_some() {
                                return Err(serde::de::Error::duplicate_field("fingerprint"));
                            }
                            fingerprint__ = 
                                Some(map_.next_value::<::pbjson::private::BytesDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::RawJson => {
                            if raw_json__.is_some() {
                                return Err(serde::de::Error::duplicate_field("rawJson"));
                            }
                            raw_json__ = Some(map_.next_value()?);
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(Event {
                    action: action__.unwrap_or_default(),
                    resource: resource__,
                    parent: parent__,
                    change: change__,
                    created_at: created_at__,
                    user: user__,
                    r#type: r#type__,
                    fingerprint: fingerprint__.unwrap_or_default(),
                    raw_json: raw_json__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.Event", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for LanesChanged {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.previous_count != 0 {
            len += 1;
        }
        if self.count != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.LanesChanged", len)?;
        if self.previous_count != 0 {
            struct_ser.serialize_field("previousCount", &self.previous_count)?;
        }
        if self.count != 0 {
            struct_ser.serialize_field("count", &self.count)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for LanesChanged {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "previous_count",
            "previousCount",
            "count",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            PreviousCount,
            Count,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "previousCount" | "previous_count" => Ok(GeneratedField::PreviousCount),
                            "count" => Ok(GeneratedField::Count),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = LanesChanged;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.LanesChanged")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<LanesChanged, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut previous_count__ = None;
                let mut count__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::PreviousCount => {
                            if previous_count__.is_some() {
                                return Err(serde::de::Error::duplicate_field("previousCount"));
                            }
                            previous_count__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Count => {
                            if count__.is_some() {
                                return Err(serde::de::Error::duplicate_field("count"));
                            }
                            count__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(LanesChanged {
                    previous_count: previous_count__.unwrap_or_default(),
                    count: count__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.LanesChanged", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for LeftOut {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.of.is_empty() {
            len += 1;
        }
        if !self.what.is_empty() {
            len += 1;
        }
        if !self.reason.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.LeftOut", len)?;
        if !self.of.is_empty() {
            struct_ser.serialize_field("of", &self.of)?;
        }
        if !self.what.is_empty() {
            struct_ser.serialize_field("what", &self.what)?;
        }
        if !self.reason.is_empty() {
            struct_ser.serialize_field("reason", &self.reason)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for LeftOut {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "of",
            "what",
            "reason",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Of,
            What,
            Reason,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "of" => Ok(GeneratedField::Of),
                            "what" => Ok(GeneratedField::What),
                            "reason" => Ok(GeneratedField::Reason),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = LeftOut;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.LeftOut")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<LeftOut, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut of__ = None;
                let mut what__ = None;
                let mut reason__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Of => {
                            if of__.is_some() {
                                return Err(serde::de::Error::duplicate_field("of"));
                            }
                            of__ = Some(map_.next_value()?);
                        }
                        GeneratedField::What => {
                            if what__.is_some() {
                                return Err(serde::de::Error::duplicate_field("what"));
                            }
                            what__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Reason => {
                            if reason__.is_some() {
                                return Err(serde::de::Error::duplicate_field("reason"));
                            }
                            reason__ = Some(map_.next_value()?);
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(LeftOut {
                    of: of__.unwrap_or_default(),
                    what: what__.unwrap_or_default(),
                    reason: reason__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.LeftOut", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Position {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.shard != 0 {
            len += 1;
        }
        if self.epoch != 0 {
            len += 1;
        }
        if self.lane != 0 {
            len += 1;
        }
        if self.lane_sequence != 0 {
            len += 1;
        }
        if !self.stream.is_empty() {
            len += 1;
        }
        if self.stream_sequence != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.Position", len)?;
        if self.shard != 0 {
            struct_ser.serialize_field("shard", &self.shard)?;
        }
        if self.epoch != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("epoch", ToString::to_string(&self.epoch).as_str())?;
        }
        if self.lane != 0 {
            struct_ser.serialize_field("lane", &self.lane)?;
        }
        if self.lane_sequence != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("laneSequence", ToString::to_string(&self.lane_sequence).as_str())?;
        }
        if !self.stream.is_empty() {
            struct_ser.serialize_field("stream", &self.stream)?;
        }
        if self.stream_sequence != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("streamSequence", ToString::to_string(&self.stream_sequence).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Position {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "shard",
            "epoch",
            "lane",
            "lane_sequence",
            "laneSequence",
            "stream",
            "stream_sequence",
            "streamSequence",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Shard,
            Epoch,
            Lane,
            LaneSequence,
            Stream,
            StreamSequence,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "shard" => Ok(GeneratedField::Shard),
                            "epoch" => Ok(GeneratedField::Epoch),
                            "lane" => Ok(GeneratedField::Lane),
                            "laneSequence" | "lane_sequence" => Ok(GeneratedField::LaneSequence),
                            "stream" => Ok(GeneratedField::Stream),
                            "streamSequence" | "stream_sequence" => Ok(GeneratedField::StreamSequence),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Position;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.Position")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Position, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut shard__ = None;
                let mut epoch__ = None;
                let mut lane__ = None;
                let mut lane_sequence__ = None;
                let mut stream__ = None;
                let mut stream_sequence__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Shard => {
                            if shard__.is_some() {
                                return Err(serde::de::Error::duplicate_field("shard"));
                            }
                            shard__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Epoch => {
                            if epoch__.is_some() {
                                return Err(serde::de::Error::duplicate_field("epoch"));
                            }
                            epoch__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Lane => {
                            if lane__.is_some() {
                                return Err(serde::de::Error::duplicate_field("lane"));
                            }
                            lane__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::LaneSequence => {
                            if lane_sequence__.is_some() {
                                return Err(serde::de::Error::duplicate_field("laneSequence"));
                            }
                            lane_sequence__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Stream => {
                            if stream__.is_some() {
                                return Err(serde::de::Error::duplicate_field("stream"));
                            }
                            stream__ = Some(map_.next_value()?);
                        }
                        GeneratedField::StreamSequence => {
                            if stream_sequence__.is_some() {
                                return Err(serde::de::Error::duplicate_field("streamSequence"));
                            }
                            stream_sequence__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(Position {
                    shard: shard__.unwrap_or_default(),
                    epoch: epoch__.unwrap_or_default(),
                    lane: lane__.unwrap_or_default(),
                    lane_sequence: lane_sequence__.unwrap_or_default(),
                    stream: stream__.unwrap_or_default(),
                    stream_sequence: stream_sequence__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.Position", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for PublishedProgress {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.at.is_some() {
            len += 1;
        }
        if self.streams != 0 {
            len += 1;
        }
        if self.not_loaded != 0 {
            len += 1;
        }
        if self.complete_up_to.is_some() {
            len += 1;
        }
        if self.open_source_gaps != 0 {
            len += 1;
        }
        if self.suspended != 0 {
            len += 1;
        }
        if self.left_out != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.PublishedProgress", len)?;
        if let Some(v) = self.at.as_ref() {
            struct_ser.serialize_field("at", v)?;
        }
        if self.streams != 0 {
            struct_ser.serialize_field("streams", &self.streams)?;
        }
        if self.not_loaded != 0 {
            struct_ser.serialize_field("notLoaded", &self.not_loaded)?;
        }
        if let Some(v) = self.complete_up_to.as_ref() {
            struct_ser.serialize_field("completeUpTo", v)?;
        }
        if self.open_source_gaps != 0 {
            struct_ser.serialize_field("openSourceGaps", &self.open_source_gaps)?;
        }
        if self.suspended != 0 {
            struct_ser.serialize_field("suspended", &self.suspended)?;
        }
        if self.left_out != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("leftOut", ToString::to_string(&self.left_out).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for PublishedProgress {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "at",
            "streams",
            "not_loaded",
            "notLoaded",
            "complete_up_to",
            "completeUpTo",
            "open_source_gaps",
            "openSourceGaps",
            "suspended",
            "left_out",
            "leftOut",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            At,
            Streams,
            NotLoaded,
            CompleteUpTo,
            OpenSourceGaps,
            Suspended,
            LeftOut,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "at" => Ok(GeneratedField::At),
                            "streams" => Ok(GeneratedField::Streams),
                            "notLoaded" | "not_loaded" => Ok(GeneratedField::NotLoaded),
                            "completeUpTo" | "complete_up_to" => Ok(GeneratedField::CompleteUpTo),
                            "openSourceGaps" | "open_source_gaps" => Ok(GeneratedField::OpenSourceGaps),
                            "suspended" => Ok(GeneratedField::Suspended),
                            "leftOut" | "left_out" => Ok(GeneratedField::LeftOut),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = PublishedProgress;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.PublishedProgress")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<PublishedProgress, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut at__ = None;
                let mut streams__ = None;
                let mut not_loaded__ = None;
                let mut complete_up_to__ = None;
                let mut open_source_gaps__ = None;
                let mut suspended__ = None;
                let mut left_out__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::At => {
                            if at__.is_some() {
                                return Err(serde::de::Error::duplicate_field("at"));
                            }
                            at__ = map_.next_value()?;
                        }
                        GeneratedField::Streams => {
                            if streams__.is_some() {
                                return Err(serde::de::Error::duplicate_field("streams"));
                            }
                            streams__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::NotLoaded => {
                            if not_loaded__.is_some() {
                                return Err(serde::de::Error::duplicate_field("notLoaded"));
                            }
                            not_loaded__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::CompleteUpTo => {
                            if complete_up_to__.is_some() {
                                return Err(serde::de::Error::duplicate_field("completeUpTo"));
                            }
                            complete_up_to__ = map_.next_value()?;
                        }
                        GeneratedField::OpenSourceGaps => {
                            if open_source_gaps__.is_some() {
                                return Err(serde::de::Error::duplicate_field("openSourceGaps"));
                            }
                            open_source_gaps__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Suspended => {
                            if suspended__.is_some() {
                                return Err(serde::de::Error::duplicate_field("suspended"));
                            }
                            suspended__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::LeftOut => {
                            if left_out__.is_some() {
                                return Err(serde::de::Error::duplicate_field("leftOut"));
                            }
                            left_out__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(PublishedProgress {
                    at: at__,
                    streams: streams__.unwrap_or_default(),
                    not_loaded: not_loaded__.unwrap_or_default(),
                    complete_up_to: complete_up_to__,
                    open_source_gaps: open_source_gaps__.unwrap_or_default(),
                    suspended: suspended__.unwrap_or_default(),
                    left_out: left_out__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.PublishedProgress", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Record {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.position.is_some() {
            len += 1;
        }
        if self.received_at.is_some() {
            len += 1;
        }
        if self.body.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.Record", len)?;
        if let Some(v) = self.position.as_ref() {
            struct_ser.serialize_field("position", v)?;
        }
        if let Some(v) = self.received_at.as_ref() {
            struct_ser.serialize_field("receivedAt", v)?;
        }
        if let Some(v) = self.body.as_ref() {
            match v {
                record::Body::Event(v) => {
                    struct_ser.serialize_field("event", v)?;
                }
                record::Body::StandIn(v) => {
                    struct_ser.serialize_field("standIn", v)?;
                }
                record::Body::Snapshot(v) => {
                    struct_ser.serialize_field("snapshot", v)?;
                }
                record::Body::SnapshotBegin(v) => {
                    struct_ser.serialize_field("snapshotBegin", v)?;
                }
                record::Body::SnapshotEnd(v) => {
                    struct_ser.serialize_field("snapshotEnd", v)?;
                }
                record::Body::SourceGap(v) => {
                    struct_ser.serialize_field("sourceGap", v)?;
                }
                record::Body::SourceGapHealed(v) => {
                    struct_ser.serialize_field("sourceGapHealed", v)?;
                }
                record::Body::EpochStart(v) => {
                    struct_ser.serialize_field("epochStart", v)?;
                }
                record::Body::Watermark(v) => {
                    struct_ser.serialize_field("watermark", v)?;
                }
                record::Body::LanesChanged(v) => {
                    struct_ser.serialize_field("lanesChanged", v)?;
                }
                record::Body::StreamSuspended(v) => {
                    struct_ser.serialize_field("streamSuspended", v)?;
                }
                record::Body::StreamResumed(v) => {
                    struct_ser.serialize_field("streamResumed", v)?;
                }
                record::Body::StreamEnded(v) => {
                    struct_ser.serialize_field("streamEnded", v)?;
                }
                record::Body::State(v) => {
                    struct_ser.serialize_field("state", v)?;
                }
                record::Body::StateProgress(v) => {
                    struct_ser.serialize_field("stateProgress", v)?;
                }
            }
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Record {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "position",
            "received_at",
            "receivedAt",
            "event",
            "stand_in",
            "standIn",
            "snapshot",
            "snapshot_begin",
            "snapshotBegin",
            "snapshot_end",
            "snapshotEnd",
            "source_gap",
            "sourceGap",
            "source_gap_healed",
            "sourceGapHealed",
            "epoch_start",
            "epochStart",
            "watermark",
            "lanes_changed",
            "lanesChanged",
            "stream_suspended",
            "streamSuspended",
            "stream_resumed",
            "streamResumed",
            "stream_ended",
            "streamEnded",
            "state",
            "state_progress",
            "stateProgress",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Position,
            ReceivedAt,
            Event,
            StandIn,
            Snapshot,
            SnapshotBegin,
            SnapshotEnd,
            SourceGap,
            SourceGapHealed,
            EpochStart,
            Watermark,
            LanesChanged,
            StreamSuspended,
            StreamResumed,
            StreamEnded,
            State,
            StateProgress,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "position" => Ok(GeneratedField::Position),
                            "receivedAt" | "received_at" => Ok(GeneratedField::ReceivedAt),
                            "event" => Ok(GeneratedField::Event),
                            "standIn" | "stand_in" => Ok(GeneratedField::StandIn),
                            "snapshot" => Ok(GeneratedField::Snapshot),
                            "snapshotBegin" | "snapshot_begin" => Ok(GeneratedField::SnapshotBegin),
                            "snapshotEnd" | "snapshot_end" => Ok(GeneratedField::SnapshotEnd),
                            "sourceGap" | "source_gap" => Ok(GeneratedField::SourceGap),
                            "sourceGapHealed" | "source_gap_healed" => Ok(GeneratedField::SourceGapHealed),
                            "epochStart" | "epoch_start" => Ok(GeneratedField::EpochStart),
                            "watermark" => Ok(GeneratedField::Watermark),
                            "lanesChanged" | "lanes_changed" => Ok(GeneratedField::LanesChanged),
                            "streamSuspended" | "stream_suspended" => Ok(GeneratedField::StreamSuspended),
                            "streamResumed" | "stream_resumed" => Ok(GeneratedField::StreamResumed),
                            "streamEnded" | "stream_ended" => Ok(GeneratedField::StreamEnded),
                            "state" => Ok(GeneratedField::State),
                            "stateProgress" | "state_progress" => Ok(GeneratedField::StateProgress),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Record;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.Record")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Record, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut position__ = None;
                let mut received_at__ = None;
                let mut body__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Position => {
                            if position__.is_some() {
                                return Err(serde::de::Error::duplicate_field("position"));
                            }
                            position__ = map_.next_value()?;
                        }
                        GeneratedField::ReceivedAt => {
                            if received_at__.is_some() {
                                return Err(serde::de::Error::duplicate_field("receivedAt"));
                            }
                            received_at__ = map_.next_value()?;
                        }
                        GeneratedField::Event => {
                            if body__.is_some() {
                                return Err(serde::de::Error::duplicate_field("event"));
                            }
                            body__ = map_.next_value::<::std::option::Option<_>>()?.map(record::Body::Event)
;
                        }
                        GeneratedField::StandIn => {
                            if body__.is_some() {
                                return Err(serde::de::Error::duplicate_field("standIn"));
                            }
                            body__ = map_.next_value::<::std::option::Option<_>>()?.map(record::Body::StandIn)
;
                        }
                        GeneratedField::Snapshot => {
                            if body__.is_some() {
                                return Err(serde::de::Error::duplicate_field("snapshot"));
                            }
                            body__ = map_.next_value::<::std::option::Option<_>>()?.map(record::Body::Snapshot)
;
                        }
                        GeneratedField::SnapshotBegin => {
                            if body__.is_some() {
                                return Err(serde::de::Error::duplicate_field("snapshotBegin"));
                            }
                            body__ = map_.next_value::<::std::option::Option<_>>()?.map(record::Body::SnapshotBegin)
;
                        }
                        GeneratedField::SnapshotEnd => {
                            if body__.is_some() {
                                return Err(serde::de::Error::duplicate_field("snapshotEnd"));
                            }
                            body__ = map_.next_value::<::std::option::Option<_>>()?.map(record::Body::SnapshotEnd)
;
                        }
                        GeneratedField::SourceGap => {
                            if body__.is_some() {
                                return Err(serde::de::Error::duplicate_field("sourceGap"));
                            }
                            body__ = map_.next_value::<::std::option::Option<_>>()?.map(record::Body::SourceGap)
;
                        }
                        GeneratedField::SourceGapHealed => {
                            if body__.is_some() {
                                return Err(serde::de::Error::duplicate_field("sourceGapHealed"));
                            }
                            body__ = map_.next_value::<::std::option::Option<_>>()?.map(record::Body::SourceGapHealed)
;
                        }
                        GeneratedField::EpochStart => {
                            if body__.is_some() {
                                return Err(serde::de::Error::duplicate_field("epochStart"));
                            }
                            body__ = map_.next_value::<::std::option::Option<_>>()?.map(record::Body::EpochStart)
;
                        }
                        GeneratedField::Watermark => {
                            if body__.is_some() {
                                return Err(serde::de::Error::duplicate_field("watermark"));
                            }
                            body__ = map_.next_value::<::std::option::Option<_>>()?.map(record::Body::Watermark)
;
                        }
                        GeneratedField::LanesChanged => {
                            if body__.is_some() {
                                return Err(serde::de::Error::duplicate_field("lanesChanged"));
                            }
                            body__ = map_.next_value::<::std::option::Option<_>>()?.map(record::Body::LanesChanged)
;
                        }
                        GeneratedField::StreamSuspended => {
                            if body__.is_some() {
                                return Err(serde::de::Error::duplicate_field("streamSuspended"));
                            }
                            body__ = map_.next_value::<::std::option::Option<_>>()?.map(record::Body::StreamSuspended)
;
                        }
                        GeneratedField::StreamResumed => {
                            if body__.is_some() {
                                return Err(serde::de::Error::duplicate_field("streamResumed"));
                            }
                            body__ = map_.next_value::<::std::option::Option<_>>()?.map(record::Body::StreamResumed)
;
                        }
                        GeneratedField::StreamEnded => {
                            if body__.is_some() {
                                return Err(serde::de::Error::duplicate_field("streamEnded"));
                            }
                            body__ = map_.next_value::<::std::option::Option<_>>()?.map(record::Body::StreamEnded)
;
                        }
                        GeneratedField::State => {
                            if body__.is_some() {
                                return Err(serde::de::Error::duplicate_field("state"));
                            }
                            body__ = map_.next_value::<::std::option::Option<_>>()?.map(record::Body::State)
;
                        }
                        GeneratedField::StateProgress => {
                            if body__.is_some() {
                                return Err(serde::de::Error::duplicate_field("stateProgress"));
                            }
                            body__ = map_.next_value::<::std::option::Option<_>>()?.map(record::Body::StateProgress)
;
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(Record {
                    position: position__,
                    received_at: received_at__,
                    body: body__,
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.Record", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Resource {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.gid.is_empty() {
            len += 1;
        }
        if !self.resource_type.is_empty() {
            len += 1;
        }
        if self.name.is_some() {
            len += 1;
        }
        if self.resource_subtype.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.Resource", len)?;
        if !self.gid.is_empty() {
            struct_ser.serialize_field("gid", &self.gid)?;
        }
        if !self.resource_type.is_empty() {
            struct_ser.serialize_field("resourceType", &self.resource_type)?;
        }
        if let Some(v) = self.name.as_ref() {
            struct_ser.serialize_field("name", v)?;
        }
        if let Some(v) = self.resource_subtype.as_ref() {
            struct_ser.serialize_field("resourceSubtype", v)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Resource {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "gid",
            "resource_type",
            "resourceType",
            "name",
            "resource_subtype",
            "resourceSubtype",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Gid,
            ResourceType,
            Name,
            ResourceSubtype,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "gid" => Ok(GeneratedField::Gid),
                            "resourceType" | "resource_type" => Ok(GeneratedField::ResourceType),
                            "name" => Ok(GeneratedField::Name),
                            "resourceSubtype" | "resource_subtype" => Ok(GeneratedField::ResourceSubtype),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Resource;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.Resource")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Resource, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut gid__ = None;
                let mut resource_type__ = None;
                let mut name__ = None;
                let mut resource_subtype__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Gid => {
                            if gid__.is_some() {
                                return Err(serde::de::Error::duplicate_field("gid"));
                            }
                            gid__ = Some(map_.next_value()?);
                        }
                        GeneratedField::ResourceType => {
                            if resource_type__.is_some() {
                                return Err(serde::de::Error::duplicate_field("resourceType"));
                            }
                            resource_type__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Name => {
                            if name__.is_some() {
                                return Err(serde::de::Error::duplicate_field("name"));
                            }
                            name__ = map_.next_value()?;
                        }
                        GeneratedField::ResourceSubtype => {
                            if resource_subtype__.is_some() {
                                return Err(serde::de::Error::duplicate_field("resourceSubtype"));
                            }
                            resource_subtype__ = map_.next_value()?;
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(Resource {
                    gid: gid__.unwrap_or_default(),
                    resource_type: resource_type__.unwrap_or_default(),
                    name: name__,
                    resource_subtype: resource_subtype__,
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.Resource", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Restored {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        let variant = match self {
            Self::Unspecified => "RESTORED_UNSPECIFIED",
            Self::State => "RESTORED_STATE",
            Self::PartOfState => "RESTORED_PART_OF_STATE",
        };
        serializer.serialize_str(variant)
    }
}
impl<'de> serde::Deserialize<'de> for Restored {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "RESTORED_UNSPECIFIED",
            "RESTORED_STATE",
            "RESTORED_PART_OF_STATE",
        ];

        struct GeneratedVisitor;

        impl serde::de::Visitor<'_> for GeneratedVisitor {
            type Value = Restored;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "expected one of: {:?}", &FIELDS)
            }

            fn visit_i64<E>(self, v: i64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Signed(v), &self)
                    })
            }

            fn visit_u64<E>(self, v: u64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Unsigned(v), &self)
                    })
            }

            fn visit_str<E>(self, value: &str) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                match value {
                    "RESTORED_UNSPECIFIED" => Ok(Restored::Unspecified),
                    "RESTORED_STATE" => Ok(Restored::State),
                    "RESTORED_PART_OF_STATE" => Ok(Restored::PartOfState),
                    _ => Err(serde::de::Error::unknown_variant(value, FIELDS)),
                }
            }
        }
        deserializer.deserialize_any(GeneratedVisitor)
    }
}
impl serde::Serialize for ShardProgress {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.shard != 0 {
            len += 1;
        }
        if self.epoch != 0 {
            len += 1;
        }
        if self.lane_sequence != 0 {
            len += 1;
        }
        if self.complete_up_to.is_some() {
            len += 1;
        }
        if self.empty {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.ShardProgress", len)?;
        if self.shard != 0 {
            struct_ser.serialize_field("shard", &self.shard)?;
        }
        if self.epoch != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("epoch", ToString::to_string(&self.epoch).as_str())?;
        }
        if self.lane_sequence != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("laneSequence", ToString::to_string(&self.lane_sequence).as_str())?;
        }
        if let Some(v) = self.complete_up_to.as_ref() {
            struct_ser.serialize_field("completeUpTo", v)?;
        }
        if self.empty {
            struct_ser.serialize_field("empty", &self.empty)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for ShardProgress {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "shard",
            "epoch",
            "lane_sequence",
            "laneSequence",
            "complete_up_to",
            "completeUpTo",
            "empty",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Shard,
            Epoch,
            LaneSequence,
            CompleteUpTo,
            Empty,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "shard" => Ok(GeneratedField::Shard),
                            "epoch" => Ok(GeneratedField::Epoch),
                            "laneSequence" | "lane_sequence" => Ok(GeneratedField::LaneSequence),
                            "completeUpTo" | "complete_up_to" => Ok(GeneratedField::CompleteUpTo),
                            "empty" => Ok(GeneratedField::Empty),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = ShardProgress;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.ShardProgress")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<ShardProgress, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut shard__ = None;
                let mut epoch__ = None;
                let mut lane_sequence__ = None;
                let mut complete_up_to__ = None;
                let mut empty__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Shard => {
                            if shard__.is_some() {
                                return Err(serde::de::Error::duplicate_field("shard"));
                            }
                            shard__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Epoch => {
                            if epoch__.is_some() {
                                return Err(serde::de::Error::duplicate_field("epoch"));
                            }
                            epoch__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::LaneSequence => {
                            if lane_sequence__.is_some() {
                                return Err(serde::de::Error::duplicate_field("laneSequence"));
                            }
                            lane_sequence__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::CompleteUpTo => {
                            if complete_up_to__.is_some() {
                                return Err(serde::de::Error::duplicate_field("completeUpTo"));
                            }
                            complete_up_to__ = map_.next_value()?;
                        }
                        GeneratedField::Empty => {
                            if empty__.is_some() {
                                return Err(serde::de::Error::duplicate_field("empty"));
                            }
                            empty__ = Some(map_.next_value()?);
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(ShardProgress {
                    shard: shard__.unwrap_or_default(),
                    epoch: epoch__.unwrap_or_default(),
                    lane_sequence: lane_sequence__.unwrap_or_default(),
                    complete_up_to: complete_up_to__,
                    empty: empty__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.ShardProgress", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Snapshot {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.crawl_id.is_empty() {
            len += 1;
        }
        if self.resource.is_some() {
            len += 1;
        }
        if self.parent.is_some() {
            len += 1;
        }
        if !self.state_json.is_empty() {
            len += 1;
        }
        if self.modified_at.is_some() {
            len += 1;
        }
        if self.change != 0 {
            len += 1;
        }
        if self.reason != 0 {
            len += 1;
        }
        if self.asked_by.is_some() {
            len += 1;
        }
        if !self.streams.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.Snapshot", len)?;
        if !self.crawl_id.is_empty() {
            struct_ser.serialize_field("crawlId", &self.crawl_id)?;
        }
        if let Some(v) = self.resource.as_ref() {
            struct_ser.serialize_field("resource", v)?;
        }
        if let Some(v) = self.parent.as_ref() {
            struct_ser.serialize_field("parent", v)?;
        }
        if !self.state_json.is_empty() {
            struct_ser.serialize_field("stateJson", &self.state_json)?;
        }
        if let Some(v) = self.modified_at.as_ref() {
            struct_ser.serialize_field("modifiedAt", v)?;
        }
        if self.change != 0 {
            let v = SnapshotChange::try_from(self.change)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.change)))?;
            struct_ser.serialize_field("change", &v)?;
        }
        if self.reason != 0 {
            let v = SnapshotReason::try_from(self.reason)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.reason)))?;
            struct_ser.serialize_field("reason", &v)?;
        }
        if let Some(v) = self.asked_by.as_ref() {
            struct_ser.serialize_field("askedBy", v)?;
        }
        if !self.streams.is_empty() {
            struct_ser.serialize_field("streams", &self.streams)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Snapshot {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "crawl_id",
            "crawlId",
            "resource",
            "parent",
            "state_json",
            "stateJson",
            "modified_at",
            "modifiedAt",
            "change",
            "reason",
            "asked_by",
            "askedBy",
            "streams",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            CrawlId,
            Resource,
            Parent,
            StateJson,
            ModifiedAt,
            Change,
            Reason,
            AskedBy,
            Streams,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "crawlId" | "crawl_id" => Ok(GeneratedField::CrawlId),
                            "resource" => Ok(GeneratedField::Resource),
                            "parent" => Ok(GeneratedField::Parent),
                            "stateJson" | "state_json" => Ok(GeneratedField::StateJson),
                            "modifiedAt" | "modified_at" => Ok(GeneratedField::ModifiedAt),
                            "change" => Ok(GeneratedField::Change),
                            "reason" => Ok(GeneratedField::Reason),
                            "askedBy" | "asked_by" => Ok(GeneratedField::AskedBy),
                            "streams" => Ok(GeneratedField::Streams),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Snapshot;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.Snapshot")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Snapshot, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut crawl_id__ = None;
                let mut resource__ = None;
                let mut parent__ = None;
                let mut state_json__ = None;
                let mut modified_at__ = None;
                let mut change__ = None;
                let mut reason__ = None;
                let mut asked_by__ = None;
                let mut streams__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::CrawlId => {
                            if crawl_id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("crawlId"));
                            }
                            crawl_id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Resource => {
                            if resource__.is_some() {
                                return Err(serde::de::Error::duplicate_field("resource"));
                            }
                            resource__ = map_.next_value()?;
                        }
                        GeneratedField::Parent => {
                            if parent__.is_some() {
                                return Err(serde::de::Error::duplicate_field("parent"));
                            }
                            parent__ = map_.next_value()?;
                        }
                        GeneratedField::StateJson => {
                            if state_json__.is_some() {
                                return Err(serde::de::Error::duplicate_field("stateJson"));
                            }
                            state_json__ = Some(map_.next_value()?);
                        }
                        GeneratedField::ModifiedAt => {
                            if modified_at__.is_some() {
                                return Err(serde::de::Error::duplicate_field("modifiedAt"));
                            }
                            modified_at__ = map_.next_value()?;
                        }
                        GeneratedField::Change => {
                            if change__.is_some() {
                                return Err(serde::de::Error::duplicate_field("change"));
                            }
                            change__ = Some(map_.next_value::<SnapshotChange>()? as i32);
                        }
                        GeneratedField::Reason => {
                            if reason__.is_some() {
                                return Err(serde::de::Error::duplicate_field("reason"));
                            }
                            reason__ = Some(map_.next_value::<SnapshotReason>()? as i32);
                        }
                        GeneratedField::AskedBy => {
                            if asked_by__.is_some() {
                                return Err(serde::de::Error::duplicate_field("askedBy"));
                            }
                            asked_by__ = map_.next_value()?;
                        }
                        GeneratedField::Streams => {
                            if streams__.is_some() {
                                return Err(serde::de::Error::duplicate_field("streams"));
                            }
                            streams__ = Some(map_.next_value()?);
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(Snapshot {
                    crawl_id: crawl_id__.unwrap_or_default(),
                    resource: resource__,
                    parent: parent__,
                    state_json: state_json__.unwrap_or_default(),
                    modified_at: modified_at__,
                    change: change__.unwrap_or_default(),
                    reason: reason__.unwrap_or_default(),
                    asked_by: asked_by__,
                    streams: streams__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.Snapshot", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for SnapshotBegin {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.crawl_id.is_empty() {
            len += 1;
        }
        if self.reason != 0 {
            len += 1;
        }
        if !self.gap_ids.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.SnapshotBegin", len)?;
        if !self.crawl_id.is_empty() {
            struct_ser.serialize_field("crawlId", &self.crawl_id)?;
        }
        if self.reason != 0 {
            let v = CrawlReason::try_from(self.reason)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.reason)))?;
            struct_ser.serialize_field("reason", &v)?;
        }
        if !self.gap_ids.is_empty() {
            struct_ser.serialize_field("gapIds", &self.gap_ids)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for SnapshotBegin {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "crawl_id",
            "crawlId",
            "reason",
            "gap_ids",
            "gapIds",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            CrawlId,
            Reason,
            GapIds,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "crawlId" | "crawl_id" => Ok(GeneratedField::CrawlId),
                            "reason" => Ok(GeneratedField::Reason),
                            "gapIds" | "gap_ids" => Ok(GeneratedField::GapIds),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = SnapshotBegin;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.SnapshotBegin")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<SnapshotBegin, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut crawl_id__ = None;
                let mut reason__ = None;
                let mut gap_ids__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::CrawlId => {
                            if crawl_id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("crawlId"));
                            }
                            crawl_id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Reason => {
                            if reason__.is_some() {
                                return Err(serde::de::Error::duplicate_field("reason"));
                            }
                            reason__ = Some(map_.next_value::<CrawlReason>()? as i32);
                        }
                        GeneratedField::GapIds => {
                            if gap_ids__.is_some() {
                                return Err(serde::de::Error::duplicate_field("gapIds"));
                            }
                            gap_ids__ = Some(map_.next_value()?);
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(SnapshotBegin {
                    crawl_id: crawl_id__.unwrap_or_default(),
                    reason: reason__.unwrap_or_default(),
                    gap_ids: gap_ids__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.SnapshotBegin", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for SnapshotChange {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        let variant = match self {
            Self::Unspecified => "SNAPSHOT_CHANGE_UNSPECIFIED",
            Self::Created => "SNAPSHOT_CHANGE_CREATED",
            Self::Updated => "SNAPSHOT_CHANGE_UPDATED",
            Self::Unchanged => "SNAPSHOT_CHANGE_UNCHANGED",
            Self::Deleted => "SNAPSHOT_CHANGE_DELETED",
            Self::Left => "SNAPSHOT_CHANGE_LEFT",
            Self::NotVisible => "SNAPSHOT_CHANGE_NOT_VISIBLE",
        };
        serializer.serialize_str(variant)
    }
}
impl<'de> serde::Deserialize<'de> for SnapshotChange {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "SNAPSHOT_CHANGE_UNSPECIFIED",
            "SNAPSHOT_CHANGE_CREATED",
            "SNAPSHOT_CHANGE_UPDATED",
            "SNAPSHOT_CHANGE_UNCHANGED",
            "SNAPSHOT_CHANGE_DELETED",
            "SNAPSHOT_CHANGE_LEFT",
            "SNAPSHOT_CHANGE_NOT_VISIBLE",
        ];

        struct GeneratedVisitor;

        impl serde::de::Visitor<'_> for GeneratedVisitor {
            type Value = SnapshotChange;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "expected one of: {:?}", &FIELDS)
            }

            fn visit_i64<E>(self, v: i64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Signed(v), &self)
                    })
            }

            fn visit_u64<E>(self, v: u64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Unsigned(v), &self)
                    })
            }

            fn visit_str<E>(self, value: &str) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                match value {
                    "SNAPSHOT_CHANGE_UNSPECIFIED" => Ok(SnapshotChange::Unspecified),
                    "SNAPSHOT_CHANGE_CREATED" => Ok(SnapshotChange::Created),
                    "SNAPSHOT_CHANGE_UPDATED" => Ok(SnapshotChange::Updated),
                    "SNAPSHOT_CHANGE_UNCHANGED" => Ok(SnapshotChange::Unchanged),
                    "SNAPSHOT_CHANGE_DELETED" => Ok(SnapshotChange::Deleted),
                    "SNAPSHOT_CHANGE_LEFT" => Ok(SnapshotChange::Left),
                    "SNAPSHOT_CHANGE_NOT_VISIBLE" => Ok(SnapshotChange::NotVisible),
                    _ => Err(serde::de::Error::unknown_variant(value, FIELDS)),
                }
            }
        }
        deserializer.deserialize_any(GeneratedVisitor)
    }
}
impl serde::Serialize for SnapshotEnd {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.crawl_id.is_empty() {
            len += 1;
        }
        if self.snapshots != 0 {
            len += 1;
        }
        if !self.complete_types.is_empty() {
            len += 1;
        }
        if !self.left_out.is_empty() {
            len += 1;
        }
        if self.left_out_count != 0 {
            len += 1;
        }
        if self.compared {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.SnapshotEnd", len)?;
        if !self.crawl_id.is_empty() {
            struct_ser.serialize_field("crawlId", &self.crawl_id)?;
        }
        if self.snapshots != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("snapshots", ToString::to_string(&self.snapshots).as_str())?;
        }
        if !self.complete_types.is_empty() {
            struct_ser.serialize_field("completeTypes", &self.complete_types)?;
        }
        if !self.left_out.is_empty() {
            struct_ser.serialize_field("leftOut", &self.left_out)?;
        }
        if self.left_out_count != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("leftOutCount", ToString::to_string(&self.left_out_count).as_str())?;
        }
        if self.compared {
            struct_ser.serialize_field("compared", &self.compared)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for SnapshotEnd {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "crawl_id",
            "crawlId",
            "snapshots",
            "complete_types",
            "completeTypes",
            "left_out",
            "leftOut",
            "left_out_count",
            "leftOutCount",
            "compared",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            CrawlId,
            Snapshots,
            CompleteTypes,
            LeftOut,
            LeftOutCount,
            Compared,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "crawlId" | "crawl_id" => Ok(GeneratedField::CrawlId),
                            "snapshots" => Ok(GeneratedField::Snapshots),
                            "completeTypes" | "complete_types" => Ok(GeneratedField::CompleteTypes),
                            "leftOut" | "left_out" => Ok(GeneratedField::LeftOut),
                            "leftOutCount" | "left_out_count" => Ok(GeneratedField::LeftOutCount),
                            "compared" => Ok(GeneratedField::Compared),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = SnapshotEnd;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.SnapshotEnd")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<SnapshotEnd, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut crawl_id__ = None;
                let mut snapshots__ = None;
                let mut complete_types__ = None;
                let mut left_out__ = None;
                let mut left_out_count__ = None;
                let mut compared__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::CrawlId => {
                            if crawl_id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("crawlId"));
                            }
                            crawl_id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Snapshots => {
                            if snapshots__.is_some() {
                                return Err(serde::de::Error::duplicate_field("snapshots"));
                            }
                            snapshots__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::CompleteTypes => {
                            if complete_types__.is_some() {
                                return Err(serde::de::Error::duplicate_field("completeTypes"));
                            }
                            complete_types__ = Some(map_.next_value()?);
                        }
                        GeneratedField::LeftOut => {
                            if left_out__.is_some() {
                                return Err(serde::de::Error::duplicate_field("leftOut"));
                            }
                            left_out__ = Some(map_.next_value()?);
                        }
                        GeneratedField::LeftOutCount => {
                            if left_out_count__.is_some() {
                                return Err(serde::de::Error::duplicate_field("leftOutCount"));
                            }
                            left_out_count__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Compared => {
                            if compared__.is_some() {
                                return Err(serde::de::Error::duplicate_field("compared"));
                            }
                            compared__ = Some(map_.next_value()?);
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(SnapshotEnd {
                    crawl_id: crawl_id__.unwrap_or_default(),
                    snapshots: snapshots__.unwrap_or_default(),
                    complete_types: complete_types__.unwrap_or_default(),
                    left_out: left_out__.unwrap_or_default(),
                    left_out_count: left_out_count__.unwrap_or_default(),
                    compared: compared__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.SnapshotEnd", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for SnapshotReason {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        let variant = match self {
            Self::Unspecified => "SNAPSHOT_REASON_UNSPECIFIED",
            Self::Changed => "SNAPSHOT_REASON_CHANGED",
        };
        serializer.serialize_str(variant)
    }
}
impl<'de> serde::Deserialize<'de> for SnapshotReason {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "SNAPSHOT_REASON_UNSPECIFIED",
            "SNAPSHOT_REASON_CHANGED",
        ];

        struct GeneratedVisitor;

        impl serde::de::Visitor<'_> for GeneratedVisitor {
            type Value = SnapshotReason;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "expected one of: {:?}", &FIELDS)
            }

            fn visit_i64<E>(self, v: i64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Signed(v), &self)
                    })
            }

            fn visit_u64<E>(self, v: u64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Unsigned(v), &self)
                    })
            }

            fn visit_str<E>(self, value: &str) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                match value {
                    "SNAPSHOT_REASON_UNSPECIFIED" => Ok(SnapshotReason::Unspecified),
                    "SNAPSHOT_REASON_CHANGED" => Ok(SnapshotReason::Changed),
                    _ => Err(serde::de::Error::unknown_variant(value, FIELDS)),
                }
            }
        }
        deserializer.deserialize_any(GeneratedVisitor)
    }
}
impl serde::Serialize for SourceGap {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.gap_id.is_empty() {
            len += 1;
        }
        if self.reason != 0 {
            len += 1;
        }
        if self.last_complete_poll_at.is_some() {
            len += 1;
        }
        if self.resumed_at.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.SourceGap", len)?;
        if !self.gap_id.is_empty() {
            struct_ser.serialize_field("gapId", &self.gap_id)?;
        }
        if self.reason != 0 {
            let v = SourceGapReason::try_from(self.reason)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.reason)))?;
            struct_ser.serialize_field("reason", &v)?;
        }
        if let Some(v) = self.last_complete_poll_at.as_ref() {
            struct_ser.serialize_field("lastCompletePollAt", v)?;
        }
        if let Some(v) = self.resumed_at.as_ref() {
            struct_ser.serialize_field("resumedAt", v)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for SourceGap {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "gap_id",
            "gapId",
            "reason",
            "last_complete_poll_at",
            "lastCompletePollAt",
            "resumed_at",
            "resumedAt",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            GapId,
            Reason,
            LastCompletePollAt,
            ResumedAt,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "gapId" | "gap_id" => Ok(GeneratedField::GapId),
                            "reason" => Ok(GeneratedField::Reason),
                            "lastCompletePollAt" | "last_complete_poll_at" => Ok(GeneratedField::LastCompletePollAt),
                            "resumedAt" | "resumed_at" => Ok(GeneratedField::ResumedAt),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = SourceGap;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.SourceGap")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<SourceGap, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut gap_id__ = None;
                let mut reason__ = None;
                let mut last_complete_poll_at__ = None;
                let mut resumed_at__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::GapId => {
                            if gap_id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("gapId"));
                            }
                            gap_id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Reason => {
                            if reason__.is_some() {
                                return Err(serde::de::Error::duplicate_field("reason"));
                            }
                            reason__ = Some(map_.next_value::<SourceGapReason>()? as i32);
                        }
                        GeneratedField::LastCompletePollAt => {
                            if last_complete_poll_at__.is_some() {
                                return Err(serde::de::Error::duplicate_field("lastCompletePollAt"));
                            }
                            last_complete_poll_at__ = map_.next_value()?;
                        }
                        GeneratedField::ResumedAt => {
                            if resumed_at__.is_some() {
                                return Err(serde::de::Error::duplicate_field("resumedAt"));
                            }
                            resumed_at__ = map_.next_value()?;
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(SourceGap {
                    gap_id: gap_id__.unwrap_or_default(),
                    reason: reason__.unwrap_or_default(),
                    last_complete_poll_at: last_complete_poll_at__,
                    resumed_at: resumed_at__,
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.SourceGap", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for SourceGapHealed {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.gap_id.is_empty() {
            len += 1;
        }
        if !self.crawl_id.is_empty() {
            len += 1;
        }
        if self.restored != 0 {
            len += 1;
        }
        if !self.left_out.is_empty() {
            len += 1;
        }
        if self.left_out_count != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.SourceGapHealed", len)?;
        if !self.gap_id.is_empty() {
            struct_ser.serialize_field("gapId", &self.gap_id)?;
        }
        if !self.crawl_id.is_empty() {
            struct_ser.serialize_field("crawlId", &self.crawl_id)?;
        }
        if self.restored != 0 {
            let v = Restored::try_from(self.restored)
                .map_err(|_| serde::ser::Error::custom(format!("Invalid variant {}", self.restored)))?;
            struct_ser.serialize_field("restored", &v)?;
        }
        if !self.left_out.is_empty() {
            struct_ser.serialize_field("leftOut", &self.left_out)?;
        }
        if self.left_out_count != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("leftOutCount", ToString::to_string(&self.left_out_count).as_str())?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for SourceGapHealed {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "gap_id",
            "gapId",
            "crawl_id",
            "crawlId",
            "restored",
            "left_out",
            "leftOut",
            "left_out_count",
            "leftOutCount",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            GapId,
            CrawlId,
            Restored,
            LeftOut,
            LeftOutCount,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "gapId" | "gap_id" => Ok(GeneratedField::GapId),
                            "crawlId" | "crawl_id" => Ok(GeneratedField::CrawlId),
                            "restored" => Ok(GeneratedField::Restored),
                            "leftOut" | "left_out" => Ok(GeneratedField::LeftOut),
                            "leftOutCount" | "left_out_count" => Ok(GeneratedField::LeftOutCount),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = SourceGapHealed;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.SourceGapHealed")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<SourceGapHealed, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut gap_id__ = None;
                let mut crawl_id__ = None;
                let mut restored__ = None;
                let mut left_out__ = None;
                let mut left_out_count__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::GapId => {
                            if gap_id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("gapId"));
                            }
                            gap_id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::CrawlId => {
                            if crawl_id__.is_some() {
                                return Err(serde::de::Error::duplicate_field("crawlId"));
                            }
                            crawl_id__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Restored => {
                            if restored__.is_some() {
                                return Err(serde::de::Error::duplicate_field("restored"));
                            }
                            restored__ = Some(map_.next_value::<Restored>()? as i32);
                        }
                        GeneratedField::LeftOut => {
                            if left_out__.is_some() {
                                return Err(serde::de::Error::duplicate_field("leftOut"));
                            }
                            left_out__ = Some(map_.next_value()?);
                        }
                        GeneratedField::LeftOutCount => {
                            if left_out_count__.is_some() {
                                return Err(serde::de::Error::duplicate_field("leftOutCount"));
                            }
                            left_out_count__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(SourceGapHealed {
                    gap_id: gap_id__.unwrap_or_default(),
                    crawl_id: crawl_id__.unwrap_or_default(),
                    restored: restored__.unwrap_or_default(),
                    left_out: left_out__.unwrap_or_default(),
                    left_out_count: left_out_count__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.SourceGapHealed", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for SourceGapReason {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        let variant = match self {
            Self::Unspecified => "SOURCE_GAP_REASON_UNSPECIFIED",
            Self::TokenExpired => "SOURCE_GAP_REASON_TOKEN_EXPIRED",
            Self::TokenRefused => "SOURCE_GAP_REASON_TOKEN_REFUSED",
            Self::CheckpointLost => "SOURCE_GAP_REASON_CHECKPOINT_LOST",
        };
        serializer.serialize_str(variant)
    }
}
impl<'de> serde::Deserialize<'de> for SourceGapReason {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "SOURCE_GAP_REASON_UNSPECIFIED",
            "SOURCE_GAP_REASON_TOKEN_EXPIRED",
            "SOURCE_GAP_REASON_TOKEN_REFUSED",
            "SOURCE_GAP_REASON_CHECKPOINT_LOST",
        ];

        struct GeneratedVisitor;

        impl serde::de::Visitor<'_> for GeneratedVisitor {
            type Value = SourceGapReason;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "expected one of: {:?}", &FIELDS)
            }

            fn visit_i64<E>(self, v: i64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Signed(v), &self)
                    })
            }

            fn visit_u64<E>(self, v: u64) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                i32::try_from(v)
                    .ok()
                    .and_then(|x| x.try_into().ok())
                    .ok_or_else(|| {
                        serde::de::Error::invalid_value(serde::de::Unexpected::Unsigned(v), &self)
                    })
            }

            fn visit_str<E>(self, value: &str) -> std::result::Result<Self::Value, E>
            where
                E: serde::de::Error,
            {
                match value {
                    "SOURCE_GAP_REASON_UNSPECIFIED" => Ok(SourceGapReason::Unspecified),
                    "SOURCE_GAP_REASON_TOKEN_EXPIRED" => Ok(SourceGapReason::TokenExpired),
                    "SOURCE_GAP_REASON_TOKEN_REFUSED" => Ok(SourceGapReason::TokenRefused),
                    "SOURCE_GAP_REASON_CHECKPOINT_LOST" => Ok(SourceGapReason::CheckpointLost),
                    _ => Err(serde::de::Error::unknown_variant(value, FIELDS)),
                }
            }
        }
        deserializer.deserialize_any(GeneratedVisitor)
    }
}
impl serde::Serialize for StandIn {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if !self.reason.is_empty() {
            len += 1;
        }
        if !self.dead_letter_topic.is_empty() {
            len += 1;
        }
        if self.record_bytes != 0 {
            len += 1;
        }
        if self.limit_bytes != 0 {
            len += 1;
        }
        if !self.fingerprint.is_empty() {
            len += 1;
        }
        if self.resource.is_some() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.StandIn", len)?;
        if !self.reason.is_empty() {
            struct_ser.serialize_field("reason", &self.reason)?;
        }
        if !self.dead_letter_topic.is_empty() {
            struct_ser.serialize_field("deadLetterTopic", &self.dead_letter_topic)?;
        }
        if self.record_bytes != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("recordBytes", ToString::to_string(&self.record_bytes).as_str())?;
        }
        if self.limit_bytes != 0 {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("limitBytes", ToString::to_string(&self.limit_bytes).as_str())?;
        }
        if !self.fingerprint.is_empty() {
            #[allow(clippy::needless_borrow)]
            #[allow(clippy::needless_borrows_for_generic_args)]
            struct_ser.serialize_field("fingerprint", pbjson::private::base64::encode(&self.fingerprint).as_str())?;
        }
        if let Some(v) = self.resource.as_ref() {
            struct_ser.serialize_field("resource", v)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for StandIn {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "reason",
            "dead_letter_topic",
            "deadLetterTopic",
            "record_bytes",
            "recordBytes",
            "limit_bytes",
            "limitBytes",
            "fingerprint",
            "resource",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Reason,
            DeadLetterTopic,
            RecordBytes,
            LimitBytes,
            Fingerprint,
            Resource,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "reason" => Ok(GeneratedField::Reason),
                            "deadLetterTopic" | "dead_letter_topic" => Ok(GeneratedField::DeadLetterTopic),
                            "recordBytes" | "record_bytes" => Ok(GeneratedField::RecordBytes),
                            "limitBytes" | "limit_bytes" => Ok(GeneratedField::LimitBytes),
                            "fingerprint" => Ok(GeneratedField::Fingerprint),
                            "resource" => Ok(GeneratedField::Resource),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = StandIn;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.StandIn")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<StandIn, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut reason__ = None;
                let mut dead_letter_topic__ = None;
                let mut record_bytes__ = None;
                let mut limit_bytes__ = None;
                let mut fingerprint__ = None;
                let mut resource__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Reason => {
                            if reason__.is_some() {
                                return Err(serde::de::Error::duplicate_field("reason"));
                            }
                            reason__ = Some(map_.next_value()?);
                        }
                        GeneratedField::DeadLetterTopic => {
                            if dead_letter_topic__.is_some() {
                                return Err(serde::de::Error::duplicate_field("deadLetterTopic"));
                            }
                            dead_letter_topic__ = Some(map_.next_value()?);
                        }
                        GeneratedField::RecordBytes => {
                            if record_bytes__.is_some() {
                                return Err(serde::de::Error::duplicate_field("recordBytes"));
                            }
                            record_bytes__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::LimitBytes => {
                            if limit_bytes__.is_some() {
                                return Err(serde::de::Error::duplicate_field("limitBytes"));
                            }
                            limit_bytes__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Fingerprint => {
                            if fingerprint__.is_some() {
                                return Err(serde::de::Error::duplicate_field("fingerprint"));
                            }
                            fingerprint__ = 
                                Some(map_.next_value::<::pbjson::private::BytesDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Resource => {
                            if resource__.is_some() {
                                return Err(serde::de::Error::duplicate_field("resource"));
                            }
                            resource__ = map_.next_value()?;
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(StandIn {
                    reason: reason__.unwrap_or_default(),
                    dead_letter_topic: dead_letter_topic__.unwrap_or_default(),
                    record_bytes: record_bytes__.unwrap_or_default(),
                    limit_bytes: limit_bytes__.unwrap_or_default(),
                    fingerprint: fingerprint__.unwrap_or_default(),
                    resource: resource__,
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.StandIn", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for State {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.resource.is_some() {
            len += 1;
        }
        if !self.state_json.is_empty() {
            len += 1;
        }
        if self.modified_at.is_some() {
            len += 1;
        }
        if self.read_after.is_some() {
            len += 1;
        }
        if self.asked_by.is_some() {
            len += 1;
        }
        if !self.streams.is_empty() {
            len += 1;
        }
        if self.followed {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.State", len)?;
        if let Some(v) = self.resource.as_ref() {
            struct_ser.serialize_field("resource", v)?;
        }
        if !self.state_json.is_empty() {
            struct_ser.serialize_field("stateJson", &self.state_json)?;
        }
        if let Some(v) = self.modified_at.as_ref() {
            struct_ser.serialize_field("modifiedAt", v)?;
        }
        if let Some(v) = self.read_after.as_ref() {
            struct_ser.serialize_field("readAfter", v)?;
        }
        if let Some(v) = self.asked_by.as_ref() {
            struct_ser.serialize_field("askedBy", v)?;
        }
        if !self.streams.is_empty() {
            struct_ser.serialize_field("streams", &self.streams)?;
        }
        if self.followed {
            struct_ser.serialize_field("followed", &self.followed)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for State {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "resource",
            "state_json",
            "stateJson",
            "modified_at",
            "modifiedAt",
            "read_after",
            "readAfter",
            "asked_by",
            "askedBy",
            "streams",
            "followed",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Resource,
            StateJson,
            ModifiedAt,
            ReadAfter,
            AskedBy,
            Streams,
            Followed,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "resource" => Ok(GeneratedField::Resource),
                            "stateJson" | "state_json" => Ok(GeneratedField::StateJson),
                            "modifiedAt" | "modified_at" => Ok(GeneratedField::ModifiedAt),
                            "readAfter" | "read_after" => Ok(GeneratedField::ReadAfter),
                            "askedBy" | "asked_by" => Ok(GeneratedField::AskedBy),
                            "streams" => Ok(GeneratedField::Streams),
                            "followed" => Ok(GeneratedField::Followed),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = State;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.State")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<State, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut resource__ = None;
                let mut state_json__ = None;
                let mut modified_at__ = None;
                let mut read_after__ = None;
                let mut asked_by__ = None;
                let mut streams__ = None;
                let mut followed__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Resource => {
                            if resource__.is_some() {
                                return Err(serde::de::Error::duplicate_field("resource"));
                            }
                            resource__ = map_.next_value()?;
                        }
                        GeneratedField::StateJson => {
                            if state_json__.is_some() {
                                return Err(serde::de::Error::duplicate_field("stateJson"));
                            }
                            state_json__ = Some(map_.next_value()?);
                        }
                        GeneratedField::ModifiedAt => {
                            if modified_at__.is_some() {
                                return Err(serde::de::Error::duplicate_field("modifiedAt"));
                            }
                            modified_at__ = map_.next_value()?;
                        }
                        GeneratedField::ReadAfter => {
                            if read_after__.is_some() {
                                return Err(serde::de::Error::duplicate_field("readAfter"));
                            }
                            read_after__ = map_.next_value()?;
                        }
                        GeneratedField::AskedBy => {
                            if asked_by__.is_some() {
                                return Err(serde::de::Error::duplicate_field("askedBy"));
                            }
                            asked_by__ = map_.next_value()?;
                        }
                        GeneratedField::Streams => {
                            if streams__.is_some() {
                                return Err(serde::de::Error::duplicate_field("streams"));
                            }
                            streams__ = Some(map_.next_value()?);
                        }
                        GeneratedField::Followed => {
                            if followed__.is_some() {
                                return Err(serde::de::Error::duplicate_field("followed"));
                            }
                            followed__ = Some(map_.next_value()?);
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(State {
                    resource: resource__,
                    state_json: state_json__.unwrap_or_default(),
                    modified_at: modified_at__,
                    read_after: read_after__,
                    asked_by: asked_by__,
                    streams: streams__.unwrap_or_default(),
                    followed: followed__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.State", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for StateProgress {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.shard != 0 {
            len += 1;
        }
        if self.shards != 0 {
            len += 1;
        }
        if self.read_up_to.is_some() {
            len += 1;
        }
        if !self.published.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.StateProgress", len)?;
        if self.shard != 0 {
            struct_ser.serialize_field("shard", &self.shard)?;
        }
        if self.shards != 0 {
            struct_ser.serialize_field("shards", &self.shards)?;
        }
        if let Some(v) = self.read_up_to.as_ref() {
            struct_ser.serialize_field("readUpTo", v)?;
        }
        if !self.published.is_empty() {
            struct_ser.serialize_field("published", &self.published)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for StateProgress {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "shard",
            "shards",
            "read_up_to",
            "readUpTo",
            "published",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Shard,
            Shards,
            ReadUpTo,
            Published,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "shard" => Ok(GeneratedField::Shard),
                            "shards" => Ok(GeneratedField::Shards),
                            "readUpTo" | "read_up_to" => Ok(GeneratedField::ReadUpTo),
                            "published" => Ok(GeneratedField::Published),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = StateProgress;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.StateProgress")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<StateProgress, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut shard__ = None;
                let mut shards__ = None;
                let mut read_up_to__ = None;
                let mut published__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Shard => {
                            if shard__.is_some() {
                                return Err(serde::de::Error::duplicate_field("shard"));
                            }
                            shard__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Shards => {
                            if shards__.is_some() {
                                return Err(serde::de::Error::duplicate_field("shards"));
                            }
                            shards__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::ReadUpTo => {
                            if read_up_to__.is_some() {
                                return Err(serde::de::Error::duplicate_field("readUpTo"));
                            }
                            read_up_to__ = map_.next_value()?;
                        }
                        GeneratedField::Published => {
                            if published__.is_some() {
                                return Err(serde::de::Error::duplicate_field("published"));
                            }
                            published__ = Some(map_.next_value()?);
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(StateProgress {
                    shard: shard__.unwrap_or_default(),
                    shards: shards__.unwrap_or_default(),
                    read_up_to: read_up_to__,
                    published: published__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.StateProgress", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for StreamEnded {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let len = 0;
        let struct_ser = serializer.serialize_struct("asana_event_bridge.v1.StreamEnded", len)?;
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for StreamEnded {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                            Ok(GeneratedField::__SkipField__)
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = StreamEnded;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.StreamEnded")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<StreamEnded, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                while map_.next_key::<GeneratedField>()?.is_some() {
                    let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                }
                Ok(StreamEnded {
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.StreamEnded", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for StreamResumed {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let len = 0;
        let struct_ser = serializer.serialize_struct("asana_event_bridge.v1.StreamResumed", len)?;
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for StreamResumed {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                            Ok(GeneratedField::__SkipField__)
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = StreamResumed;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.StreamResumed")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<StreamResumed, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                while map_.next_key::<GeneratedField>()?.is_some() {
                    let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                }
                Ok(StreamResumed {
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.StreamResumed", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for StreamSuspended {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.status != 0 {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.StreamSuspended", len)?;
        if self.status != 0 {
            struct_ser.serialize_field("status", &self.status)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for StreamSuspended {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "status",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Status,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "status" => Ok(GeneratedField::Status),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = StreamSuspended;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.StreamSuspended")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<StreamSuspended, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut status__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Status => {
                            if status__.is_some() {
                                return Err(serde::de::Error::duplicate_field("status"));
                            }
                            status__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(StreamSuspended {
                    status: status__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.StreamSuspended", FIELDS, GeneratedVisitor)
    }
}
impl serde::Serialize for Watermark {
    #[allow(deprecated)]
    fn serialize<S>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>
    where
        S: serde::Serializer,
    {
        use serde::ser::SerializeStruct;
        let mut len = 0;
        if self.shards != 0 {
            len += 1;
        }
        if self.lanes != 0 {
            len += 1;
        }
        if !self.progress.is_empty() {
            len += 1;
        }
        let mut struct_ser = serializer.serialize_struct("asana_event_bridge.v1.Watermark", len)?;
        if self.shards != 0 {
            struct_ser.serialize_field("shards", &self.shards)?;
        }
        if self.lanes != 0 {
            struct_ser.serialize_field("lanes", &self.lanes)?;
        }
        if !self.progress.is_empty() {
            struct_ser.serialize_field("progress", &self.progress)?;
        }
        struct_ser.end()
    }
}
impl<'de> serde::Deserialize<'de> for Watermark {
    #[allow(deprecated)]
    fn deserialize<D>(deserializer: D) -> std::result::Result<Self, D::Error>
    where
        D: serde::Deserializer<'de>,
    {
        const FIELDS: &[&str] = &[
            "shards",
            "lanes",
            "progress",
        ];

        #[allow(clippy::enum_variant_names)]
        enum GeneratedField {
            Shards,
            Lanes,
            Progress,
            __SkipField__,
        }
        impl<'de> serde::Deserialize<'de> for GeneratedField {
            fn deserialize<D>(deserializer: D) -> std::result::Result<GeneratedField, D::Error>
            where
                D: serde::Deserializer<'de>,
            {
                struct GeneratedVisitor;

                impl serde::de::Visitor<'_> for GeneratedVisitor {
                    type Value = GeneratedField;

                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(formatter, "expected one of: {:?}", &FIELDS)
                    }

                    #[allow(unused_variables)]
                    fn visit_str<E>(self, value: &str) -> std::result::Result<GeneratedField, E>
                    where
                        E: serde::de::Error,
                    {
                        match value {
                            "shards" => Ok(GeneratedField::Shards),
                            "lanes" => Ok(GeneratedField::Lanes),
                            "progress" => Ok(GeneratedField::Progress),
                            _ => Ok(GeneratedField::__SkipField__),
                        }
                    }
                }
                deserializer.deserialize_identifier(GeneratedVisitor)
            }
        }
        struct GeneratedVisitor;
        impl<'de> serde::de::Visitor<'de> for GeneratedVisitor {
            type Value = Watermark;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("struct asana_event_bridge.v1.Watermark")
            }

            fn visit_map<V>(self, mut map_: V) -> std::result::Result<Watermark, V::Error>
                where
                    V: serde::de::MapAccess<'de>,
            {
                let mut shards__ = None;
                let mut lanes__ = None;
                let mut progress__ = None;
                while let Some(k) = map_.next_key()? {
                    match k {
                        GeneratedField::Shards => {
                            if shards__.is_some() {
                                return Err(serde::de::Error::duplicate_field("shards"));
                            }
                            shards__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Lanes => {
                            if lanes__.is_some() {
                                return Err(serde::de::Error::duplicate_field("lanes"));
                            }
                            lanes__ = 
                                Some(map_.next_value::<::pbjson::private::NumberDeserialize<_>>()?.0)
                            ;
                        }
                        GeneratedField::Progress => {
                            if progress__.is_some() {
                                return Err(serde::de::Error::duplicate_field("progress"));
                            }
                            progress__ = Some(map_.next_value()?);
                        }
                        GeneratedField::__SkipField__ => {
                            let _ = map_.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(Watermark {
                    shards: shards__.unwrap_or_default(),
                    lanes: lanes__.unwrap_or_default(),
                    progress: progress__.unwrap_or_default(),
                })
            }
        }
        deserializer.deserialize_struct("asana_event_bridge.v1.Watermark", FIELDS, GeneratedVisitor)
    }
}
