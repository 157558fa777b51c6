//! Vectors of what is read out of an event: its fingerprint, and a custom field's value.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bridge_consumer::Event as Known;
use bridge_core::record::event::{Event, to_json};
use prost::Message as _;
use serde_json::value::RawValue;
use serde_json::{Value, json};

fn parse(text: &str) -> Event {
    let raw: Box<RawValue> = serde_json::from_str(text).expect("JSON");
    Event::parse(&raw)
}

/// Forms of one event, all with the same fingerprint.
struct Change {
    description: &'static str,
    forms: &'static [&'static str],
}

const CHANGES: [Change; 11] = [
    Change {
        description: "A task was added to a project. Names, subtypes, unknown keys, white space and the order of keys don't count.",
        forms: &[
            r#"{"action":"added","resource":{"gid":"1201","resource_type":"task"},"parent":{"gid":"1200","resource_type":"project"},"created_at":"2026-01-02T03:04:05.678Z","user":{"gid":"77","resource_type":"user"}}"#,
            r#"{"user":{"gid":"77","resource_type":"user","name":"Ada"},"action":"added","type":"task","resource":{"gid":"1201","resource_type":"task","resource_subtype":"default_task","name":"Launch"},"parent":{"gid":"1200","resource_type":"project","name":"Moon"},"created_at":"2026-01-02T03:04:05.678Z"}"#,
            r#"{ "action": "added", "unheard_of": [1], "resource": {"gid": "1201", "resource_type": "task", "color": null}, "parent": {"gid": "1200", "resource_type": "project"}, "created_at": "2026-01-02T03:04:05.678Z", "user": {"gid": "77", "resource_type": "user"} }"#,
        ],
    },
    Change {
        description: "A custom field was set: as a reference, and with its new value, to which streams of whole workspaces don't come.",
        forms: &[
            r#"{"action":"changed","resource":{"gid":"1201","resource_type":"task"},"parent":null,"change":{"field":"custom_fields","action":"changed","new_value":{"gid":"9","resource_type":"custom_field"}},"created_at":"2026-01-02T03:04:05.678Z","user":null}"#,
            r#"{"action":"changed","resource":{"gid":"1201","resource_type":"task"},"parent":null,"change":{"field":"custom_fields","action":"changed","new_value":{"gid":"9","resource_type":"custom_field","name":"Priority","enum_value":{"gid":"91","name":"High"}}},"created_at":"2026-01-02T03:04:05.678Z","user":null}"#,
            r#"{"action":"changed","resource":{"gid":"1201","resource_type":"task"},"change":{"field":"custom_fields","action":"changed","new_value":{"gid":"9","resource_type":"custom_field","number_value":1e400}},"created_at":"2026-01-02T03:04:05.678Z"}"#,
        ],
    },
    Change {
        description: "The same field, added to the task's values: another change.",
        forms: &[
            r#"{"action":"changed","resource":{"gid":"1201","resource_type":"task"},"parent":null,"change":{"field":"custom_fields","action":"added","added_value":{"gid":"9","resource_type":"custom_field"}},"created_at":"2026-01-02T03:04:05.678Z","user":null}"#,
        ],
    },
    Change {
        description: "And removed from them.",
        forms: &[
            r#"{"action":"changed","resource":{"gid":"1201","resource_type":"task"},"parent":null,"change":{"field":"custom_fields","action":"removed","removed_value":{"gid":"9","resource_type":"custom_field"}},"created_at":"2026-01-02T03:04:05.678Z","user":null}"#,
        ],
    },
    Change {
        description: "A scalar as a value doesn't count, be it there, null or absent.",
        forms: &[
            r#"{"action":"changed","resource":{"gid":"1201","resource_type":"task"},"parent":null,"change":{"field":"notes","action":"changed"},"created_at":"2026-01-02T03:04:05.678Z","user":null}"#,
            r#"{"action":"changed","resource":{"gid":"1201","resource_type":"task"},"parent":null,"change":{"field":"notes","action":"changed","new_value":"x"},"created_at":"2026-01-02T03:04:05.678Z","user":null}"#,
            r#"{"action":"changed","resource":{"gid":"1201","resource_type":"task"},"parent":null,"change":{"field":"notes","action":"changed","new_value":null},"created_at":"2026-01-02T03:04:05.678Z","user":null}"#,
        ],
    },
    Change {
        description: "A gid that came as a number counts as its digits.",
        forms: &[
            r#"{"action":"deleted","resource":{"gid":"1201","resource_type":"task"},"parent":null,"created_at":"2026-01-02T03:04:05.678Z","user":null}"#,
            r#"{"action":"deleted","resource":{"gid":1201,"resource_type":"task"},"parent":null,"created_at":"2026-01-02T03:04:05.678Z","user":null}"#,
        ],
    },
    Change {
        description: "A time counts as it is written, also one that no Timestamp holds.",
        forms: &[
            r#"{"action":"deleted","resource":{"gid":"1201","resource_type":"task"},"parent":null,"created_at":"2016-12-31T23:59:60.000Z","user":null}"#,
        ],
    },
    Change {
        description: "Another way to write the next second is another text.",
        forms: &[
            r#"{"action":"deleted","resource":{"gid":"1201","resource_type":"task"},"parent":null,"created_at":"2017-01-01T00:00:00Z","user":null}"#,
        ],
    },
    Change {
        description: "A time that is no text counts by its JSON.",
        forms: &[
            r#"{"action":"deleted","resource":{"gid":"1201","resource_type":"task"},"parent":null,"created_at":1483228800,"user":null}"#,
        ],
    },
    Change {
        description: "Without a resource's gid the whole text counts as well.",
        forms: &[r#"{"action":"added","resource":null,"created_at":"2026-01-02T03:04:05.678Z"}"#],
    },
    Change { description: "Text that is no event at all counts as it is.", forms: &[r#"["not","an event"]"#] },
];

/// What `fingerprints.json` holds.
pub(super) fn fingerprints() -> Value {
    let changes = CHANGES.iter().map(|change| {
        let fingerprint = |text: &&str| parse(text).0.fingerprint;
        let prints: Vec<_> = change.forms.iter().map(fingerprint).collect();
        assert!(prints.iter().all(|print| print == &prints[0]), "{}: {prints:?}", change.description);
        let print = u128::from_be_bytes(prints[0].as_slice().try_into().expect("16 bytes"));
        json!({ "description": change.description, "events": change.forms, "fingerprint": format!("{print:032x}") })
    });
    json!({
        "description": "Events as JSON text, in forms of which each has the same fingerprint.",
        "fingerprints": changes.collect::<Vec<_>>(),
    })
}

#[test]
fn other_changes_have_other_fingerprints() {
    let vectors = fingerprints();
    let prints: Vec<_> = vectors["fingerprints"].as_array().unwrap().iter().map(|it| &it["fingerprint"]).collect();
    let different: std::collections::BTreeSet<_> = prints.iter().map(ToString::to_string).collect();
    assert_eq!(different.len(), CHANGES.len());
}

/// What a change's value is, as JSON.
const FIELDS: [(&str, &str); 18] = [
    ("A plain reference, as streams of whole workspaces bring it.", r#"{"gid":"9","resource_type":"custom_field"}"#),
    ("With its name.", r#"{"gid":"9","resource_type":"custom_field","name":"Priority","resource_subtype":"enum"}"#),
    (
        "An option.",
        r#"{"gid":"9","resource_type":"custom_field","name":"Priority","resource_subtype":"enum","type":"enum","display_value":"High","enum_value":{"gid":"91","name":"High"}}"#,
    ),
    (
        "An option without its name; the deprecated key for the type.",
        r#"{"gid":"9","resource_type":"custom_field","name":"Priority","type":"enum","enum_value":{"gid":"91"}}"#,
    ),
    (
        "No option any more.",
        r#"{"gid":"9","resource_type":"custom_field","name":"Priority","resource_subtype":"enum","display_value":null,"enum_value":null}"#,
    ),
    (
        "Options.",
        r#"{"gid":"9","resource_type":"custom_field","name":"Areas","resource_subtype":"multi_enum","display_value":"A, B","multi_enum_values":[{"gid":"91","name":"A"},{"gid":"92","name":"B"}]}"#,
    ),
    (
        "No options any more.",
        r#"{"gid":"9","resource_type":"custom_field","name":"Areas","resource_subtype":"multi_enum","display_value":"","multi_enum_values":[]}"#,
    ),
    (
        "A number.",
        r#"{"gid":"9","resource_type":"custom_field","name":"Cost","resource_subtype":"number","display_value":"€ 5.20","number_value":5.2}"#,
    ),
    (
        "Zero is a number, and other types' keys are null.",
        r#"{"gid":"9","resource_type":"custom_field","name":"Cost","resource_subtype":"number","display_value":"0","enum_value":null,"number_value":0,"text_value":null}"#,
    ),
    (
        "A text.",
        r#"{"gid":"9","resource_type":"custom_field","name":"Ünits","resource_subtype":"text","display_value":"a \"b\"\n","text_value":"a \"b\"\n"}"#,
    ),
    (
        "A text of no letters.",
        r#"{"gid":"9","resource_type":"custom_field","name":"Note","resource_subtype":"text","display_value":"","text_value":""}"#,
    ),
    (
        "A day.",
        r#"{"gid":"9","resource_type":"custom_field","name":"Ship","resource_subtype":"date","display_value":"2026-08-23T00:00:00.000Z","date_value":{"date":"2026-08-23","date_time":null}}"#,
    ),
    (
        "A day and a time.",
        r#"{"gid":"9","resource_type":"custom_field","name":"Ship","resource_subtype":"date","display_value":"2026-08-23T22:00:00.000Z","date_value":{"date":"2026-08-23","date_time":"2026-08-23T22:00:00.000Z"}}"#,
    ),
    (
        "People.",
        r#"{"gid":"9","resource_type":"custom_field","name":"Reviewers","resource_subtype":"people","display_value":"Ada","people_value":[{"gid":"77","resource_type":"user","name":"Ada"}]}"#,
    ),
    (
        "References.",
        r#"{"gid":"9","resource_type":"custom_field","name":"Blocks","resource_subtype":"reference","display_value":"Launch","reference_value":[{"gid":"1201","resource_type":"task","name":"Launch"}]}"#,
    ),
    (
        "A type that this version doesn't know: it can be shown.",
        r#"{"gid":"9","resource_type":"custom_field","name":"ID","resource_subtype":"custom_id","display_value":"MOON-7"}"#,
    ),
    (
        "A value of another form than Asana describes isn't guessed at.",
        r#"{"gid":"9","resource_type":"custom_field","name":"Priority","resource_subtype":"enum","display_value":"High","enum_value":"High"}"#,
    ),
    ("No custom field.", r#"{"gid":"77","resource_type":"user","name":"Ada"}"#),
];

/// What `custom-fields.json` holds.
pub(super) fn custom_fields() -> Value {
    let entry = |description: &str, key: &str, value: &str| {
        let action = key.split('_').next().unwrap().replace("new", "changed");
        let text = format!(
            r#"{{"action":"changed","resource":{{"gid":"1201","resource_type":"task"}},"parent":null,"change":{{"field":"custom_fields","action":"{action}","{key}":{value}}},"created_at":"2026-01-02T03:04:05.678Z","user":null}}"#
        );
        let event = parse(&text).0;
        let same = serde_json::from_str::<Value>(&to_json(&event)).unwrap();
        assert_eq!(same, serde_json::from_str::<Value>(&text).unwrap(), "nothing of it is lost");
        let mut field = json!(Known::from(event.clone()).custom_field());
        if let Some(field) = field.as_object_mut() {
            field.entry("value").or_insert(Value::Null);
        }
        json!({
            "description": description,
            "event": BASE64_STANDARD.encode(event.encode_to_vec()),
            "readable": event,
            "custom_field": field,
        })
    };
    let mut entries: Vec<_> =
        FIELDS.iter().map(|(description, value)| entry(description, "new_value", value)).collect();
    let (_, option) = FIELDS[2];
    entries.push(entry("A value that was added.", "added_value", option));
    entries.push(entry("A value that was removed.", "removed_value", option));
    let odd = parse(&format!(r#"{{"change":{{"new_value":{option},"odd":1}}}}"#)).0;
    assert!(!odd.raw_json.is_empty());
    entries.push(json!({
        "description": "An event of another form than the ordinary one.",
        "event": BASE64_STANDARD.encode(odd.encode_to_vec()),
        "readable": odd,
        "custom_field": entries[2]["custom_field"],
    }));
    assert_eq!(json!(Known::from(odd).custom_field()), entries[2]["custom_field"]);
    entries.push(json!({
        "description": "An event without a change.",
        "event": BASE64_STANDARD.encode(parse(r#"{"action":"added"}"#).0.encode_to_vec()),
        "readable": parse(r#"{"action":"added"}"#).0,
        "custom_field": null,
    }));
    json!({ "description": "Events, and the custom field that was changed.", "custom_fields": entries })
}

#[test]
fn every_kind_of_value_is_met() {
    let vectors = custom_fields();
    let fields = vectors["custom_fields"].as_array().unwrap().iter();
    let kinds: std::collections::BTreeSet<_> = fields.filter_map(|it| it["custom_field"]["kind"].as_str()).collect();
    let all = ["date", "empty", "enum", "multi_enum", "number", "people", "reference", "text", "unknown"];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
}
