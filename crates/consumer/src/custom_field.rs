//! Reads the new value of a custom field from an event.

use super::record::Event;
use bridge_contract::pb::ChangeValue;
use serde::Serialize;
use serde_json::Value;

/// A custom field that was changed, as far as Asana sent it. Streams of whole workspaces contain little, because Asana doesn't
/// support `opt_fields` there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CustomField {
    /// The gid of the custom field.
    pub gid: String,
    /// The field's name, if Asana sent it.
    pub name: Option<String>,
    /// Asana's word for the field's type, such as `enum`, if Asana sent it. An open set.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The new value of the field.
    #[serde(flatten)]
    pub value: FieldValue,
    /// The new value as a text for people, for fields of any type. Also `None` for an empty field.
    pub display_value: Option<String>,
}

/// The new value of a custom field.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
#[non_exhaustive]
pub enum FieldValue {
    /// The selected option of a field with options.
    Enum(Named),
    /// The selected options of a field with several options.
    MultiEnum(Vec<Named>),
    /// A number, also the result of a formula.
    Number(f64),
    /// The text of a text field.
    Text(String),
    /// A day, and a time if one was set.
    Date(FieldDate),
    /// The users of a people field.
    People(Vec<Named>),
    /// Tasks, projects, portfolios or goals.
    Reference(Vec<Named>),
    /// The field was emptied.
    Empty,
    /// Asana didn't send the value, or sent it in an unknown form.
    Unknown,
}

/// An option, a user, or another object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// The gid of the object.
    pub gid: String,
    /// The object's name, if Asana sent it.
    pub name: Option<String>,
}

/// A day, in Asana's format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldDate {
    /// The day, as `YYYY-MM-DD`.
    pub date: Option<String>,
    /// The time in RFC 3339, if a time was set.
    pub date_time: Option<String>,
}

impl Event {
    /// The custom field that was changed. `None` if something else changed.
    ///
    /// ```
    /// use asana_event_bridge_consumer::{CustomField, FieldValue, record::ChangeValue};
    /// use bridge_contract::pb::Resource;
    /// let field = Resource { gid: "7".into(), resource_type: "custom_field".into(), ..Resource::default() };
    /// let json = r#"{"gid":"7","resource_type":"custom_field","number_value":5.2,"display_value":"5.2"}"#;
    /// let value = ChangeValue { resource: Some(field), json: json.into() };
    /// assert_eq!(CustomField::of(&value).map(|field| field.value), Some(FieldValue::Number(5.2)));
    /// ```
    #[must_use]
    pub fn custom_field(&self) -> Option<CustomField> {
        CustomField::of(self.change.as_ref()?.value.as_ref()?)
    }
}

impl CustomField {
    /// Reads a changed value as a custom field. `None` if the value isn't one.
    #[must_use]
    pub fn of(value: &ChangeValue) -> Option<Self> {
        let field = value.resource.as_ref().filter(|it| it.resource_type == "custom_field")?;
        let said: Value = serde_json::from_str(&value.json).unwrap_or_default();
        Some(Self {
            gid: field.gid.clone(),
            name: field.name.clone(),
            kind: field.resource_subtype.clone().or_else(|| text(&said, "type")),
            value: FieldValue::of(&said),
            display_value: text(&said, "display_value"),
        })
    }
}

/// A function that reads a value that is neither null nor an empty list.
type Reading = fn(&Value) -> Option<FieldValue>;

/// The key of a field's value, for each type, and how to read it.
const VALUES: [(&str, Reading); 7] = [
    ("enum_value", |value| named(value).map(FieldValue::Enum)),
    ("multi_enum_values", |value| all_named(value).map(FieldValue::MultiEnum)),
    ("number_value", |value| value.as_f64().map(FieldValue::Number)),
    ("text_value", |value| value.as_str().map(|text| FieldValue::Text(text.to_owned()))),
    ("date_value", |value| date(value).map(FieldValue::Date)),
    ("people_value", |value| all_named(value).map(FieldValue::People)),
    ("reference_value", |value| all_named(value).map(FieldValue::Reference)),
];

impl FieldValue {
    fn of(said: &Value) -> Self {
        let told: Vec<_> = VALUES.iter().filter_map(|(key, read)| Some((said.get(key)?, read))).collect();
        let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        match told.iter().find(|(value, _)| !is_empty(value)) {
            Some((value, read)) => read(value).unwrap_or(Self::Unknown),
            None if told.is_empty() => Self::Unknown,
            None => Self::Empty,
        }
    }
}

fn text(said: &Value, key: &str) -> Option<String> {
    said.get(key)?.as_str().map(str::to_owned)
}

fn named(said: &Value) -> Option<Named> {
    Some(Named { gid: text(said, "gid")?, name: text(said, "name") })
}

fn all_named(said: &Value) -> Option<Vec<Named>> {
    said.as_array()?.iter().map(named).collect()
}

fn date(said: &Value) -> Option<FieldDate> {
    let date = FieldDate { date: text(said, "date"), date_time: text(said, "date_time") };
    (date.date.is_some() || date.date_time.is_some()).then_some(date)
}
