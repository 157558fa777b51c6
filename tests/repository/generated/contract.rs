//! The wire contract as a page, and as the schemas of the `AsyncAPI` document: both are made of its proto.

use prost_types::field_descriptor_proto::Type;
use prost_types::source_code_info::Location;
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use std::fmt::Write as _;

// Where a comment stands is said as a path of field numbers, those of descriptor.proto.
pub(super) const MESSAGE_OF_FILE: i32 = 4;
pub(super) const ENUM_OF_FILE: i32 = 5;
const SYNTAX_OF_FILE: i32 = 12;
pub(super) const FIELD_OF_MESSAGE: i32 = 2;
const VALUE_OF_ENUM: i32 = 2;

/// The reference page.
pub(crate) fn markdown(file: &FileDescriptorProto) -> String {
    let page = Page { file };
    let mut sections = Vec::new();
    for (at, message) in (0..).zip(&file.message_type) {
        let path = [MESSAGE_OF_FILE, at];
        sections.push((page.line(&path), page.message(message, &path)));
    }
    for (at, enumeration) in (0..).zip(&file.enum_type) {
        let path = [ENUM_OF_FILE, at];
        sections.push((page.line(&path), page.enumeration(enumeration, &path)));
    }
    sections.sort_unstable();
    let sections: String = sections.into_iter().map(|(_, text)| text).collect();
    format!(
        "# The wire contract: `{}`\n\n<!-- Made of proto/{} by `make generate`. -->\n\n{}\n{sections}",
        file.package(),
        file.name(),
        page.comment(&[SYNTAX_OF_FILE]).unwrap_or_default(),
    )
}

/// What the comments of a proto say.
pub(super) struct Page<'a> {
    pub(super) file: &'a FileDescriptorProto,
}

impl Page<'_> {
    fn message(&self, message: &DescriptorProto, path: &[i32]) -> String {
        let mut text = self.heading(message.name(), path);
        text.push_str("\n| number | field | type | |\n| --- | --- | --- | --- |\n");
        for (at, field) in (0..).zip(&message.field) {
            let comment = self.cell(path, FIELD_OF_MESSAGE, at);
            let oneof = usize::try_from(field.oneof_index.unwrap_or(-1)).ok().filter(|_| !field.proto3_optional());
            let oneof = oneof.map_or(String::new(), |at| format!(", one of `{}`", message.oneof_decl[at].name()));
            let (number, name, kind) = (field.number(), field.name(), self.kind(field));
            writeln!(text, "| {number} | `{name}` | {kind}{oneof} | {comment} |").unwrap();
        }
        text
    }

    fn enumeration(&self, enumeration: &EnumDescriptorProto, path: &[i32]) -> String {
        let mut text = self.heading(enumeration.name(), path);
        text.push_str("\n| number | value | |\n| --- | --- | --- |\n");
        for (at, value) in (0..).zip(&enumeration.value) {
            let comment = self.cell(path, VALUE_OF_ENUM, at);
            writeln!(text, "| {} | `{}` | {comment} |", value.number(), value.name()).unwrap();
        }
        text
    }

    fn heading(&self, name: &str, path: &[i32]) -> String {
        let comment = self.comment(path).unwrap_or_else(|| panic!("{name} has no comment"));
        format!("\n## {name}\n\n{comment}")
    }

    fn cell(&self, path: &[i32], list: i32, at: i32) -> String {
        let comment = self.comment(&[path, &[list, at]].concat()).unwrap_or_default();
        comment.trim().replace('\n', " ").replace('|', "\\|")
    }

    fn kind(&self, field: &FieldDescriptorProto) -> String {
        let name = field.type_name().trim_start_matches('.');
        match name.strip_prefix(self.file.package()).and_then(|name| name.strip_prefix('.')) {
            Some(ours) => format!("[{ours}](#{})", ours.to_lowercase()),
            None if !name.is_empty() => format!("`{name}`"),
            None => {
                let optional = if field.proto3_optional() { "optional " } else { "" };
                let scalar = Type::as_str_name(&field.r#type()).trim_start_matches("TYPE_").to_lowercase();
                format!("{optional}{scalar}")
            }
        }
    }

    /// The comment before something, a blank of each line's beginning taken off.
    pub(super) fn comment(&self, path: &[i32]) -> Option<String> {
        let comment = self.location(path)?.leading_comments.as_ref()?;
        let lines: Vec<_> = comment.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
        Some(lines.join("\n") + "\n")
    }

    fn line(&self, path: &[i32]) -> i32 {
        self.location(path).expect("source information").span[0]
    }

    fn location(&self, path: &[i32]) -> Option<&Location> {
        self.file.source_code_info.as_ref()?.location.iter().find(|location| location.path == path)
    }
}

/// The entries of `components.schemas` in the `AsyncAPI` document.
pub(crate) fn asyncapi_schemas(proto: &str) -> String {
    schema("record", "Record", proto) + &schema("deadLetter", "DeadLetter", proto)
}

/// The proto as a block of YAML. Parsers want to be told which message they are meant to take.
fn schema(name: &str, root: &str, proto: &str) -> String {
    let head = format!("message {root} {{");
    assert!(proto.contains(&head), "the contract has no {root}");
    let proto = proto.replace(&head, &format!("// @RootNode\n{head}"));
    let mut text =
        format!("    {name}:\n      schemaFormat: application/vnd.google.protobuf;version=3\n      schema: |\n");
    for line in proto.lines() {
        let indent = if line.is_empty() { "" } else { "        " };
        writeln!(text, "{indent}{line}").unwrap();
    }
    text
}
