//! The JSON Schema of the contract's JSON form, made of its proto.

use super::contract::{ENUM_OF_FILE, FIELD_OF_MESSAGE, MESSAGE_OF_FILE, Page};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use serde_json::{Map, Value, json};

/// Draft 7, which registries and generators of code know. Unknown members are allowed: a newer bridge may write some.
pub(super) fn json_schema(file: &FileDescriptorProto) -> Value {
    let page = Page { file };
    let mut definitions = Map::new();
    for (at, message) in (0..).zip(&file.message_type) {
        definitions.insert(message.name().to_owned(), object(&page, message, &[MESSAGE_OF_FILE, at]));
    }
    for (at, enumeration) in (0..).zip(&file.enum_type) {
        let names: Vec<_> = enumeration.value.iter().map(EnumValueDescriptorProto::name).collect();
        let description = page.comment(&[ENUM_OF_FILE, at]);
        definitions
            .insert(enumeration.name().to_owned(), described(json!({ "type": "string", "enum": names }), description));
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": format!("{}.Record", file.package()),
        "$ref": "#/$defs/Record",
        "$defs": definitions,
    })
}

fn object(page: &Page<'_>, message: &DescriptorProto, path: &[i32]) -> Value {
    let mut properties = Map::new();
    for (at, field) in (0..).zip(&message.field) {
        let comment = page.comment(&[path, &[FIELD_OF_MESSAGE, at]].concat());
        properties.insert(field.json_name().to_owned(), described(property(field), comment));
        if field.name() == "state_json" {
            let text =
                "In place of `stateJson`: everything that Asana returned of it. Its numbers are as Asana wrote them.";
            properties.insert("object".to_owned(), json!({ "type": "object", "description": text }));
        }
    }
    described(json!({ "type": "object", "properties": properties }), page.comment(path))
}

/// By the rules of protobuf's JSON form.
fn property(field: &FieldDescriptorProto) -> Value {
    let item = match field.r#type() {
        Type::String => json!({ "type": "string" }),
        Type::Bool => json!({ "type": "boolean" }),
        Type::Int32 | Type::Uint32 => json!({ "type": "integer" }),
        Type::Int64 | Type::Uint64 => json!({ "type": "string", "pattern": "^[0-9]+$" }),
        Type::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Type::Message if field.type_name() == ".google.protobuf.Timestamp" => {
            json!({ "type": "string", "format": "date-time" })
        }
        Type::Message | Type::Enum => {
            let name = field.type_name().rsplit('.').next().unwrap();
            json!({ "$ref": format!("#/$defs/{name}") })
        }
        other => panic!("{}: {other:?} has no rule here", field.name()),
    };
    if field.label() == Label::Repeated { json!({ "type": "array", "items": item }) } else { item }
}

/// Draft 7 ignores what stands beside a reference.
fn described(schema: Value, comment: Option<String>) -> Value {
    let Some(comment) = comment else { return schema };
    let mut schema = if schema.get("$ref").is_some() { json!({ "allOf": [schema] }) } else { schema };
    schema["description"] = comment.trim().into();
    schema
}
