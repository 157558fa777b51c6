//! Custom fields: one of each kind, and their values in tasks.

use rand::RngExt;
use serde_json::{Map, Value, json};

use super::{
    arena::Id,
    event::{Compact, Gid},
    model::{Priority, Task},
    time::Timestamp,
    words,
    world::World,
};

/// The custom fields that every task has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Priority,
    Estimate,
    Customer,
    Launch,
    Reviewers,
}

impl Field {
    pub(crate) const ALL: [Self; 5] = [Self::Priority, Self::Estimate, Self::Customer, Self::Launch, Self::Reviewers];

    fn name(self) -> &'static str {
        match self {
            Self::Priority => "Priority",
            Self::Estimate => "Estimate",
            Self::Customer => "Customer",
            Self::Launch => "Launch",
            Self::Reviewers => "Reviewers",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Priority => "enum",
            Self::Estimate => "number",
            Self::Customer => "text",
            Self::Launch => "date",
            Self::Reviewers => "people",
        }
    }

    /// The suffix of the gid, after that of *Priority*, whose options have 1 to 3.
    fn suffix(self) -> &'static str {
        match self {
            Self::Priority => "",
            Self::Estimate => "4",
            Self::Customer => "5",
            Self::Launch => "6",
            Self::Reviewers => "7",
        }
    }
}

impl World {
    /// Gives a custom field another value, sometimes none.
    pub(crate) fn set_custom(&mut self, task: Id<Task>, field: Field, now: Timestamp) {
        let dice = &mut self.dice;
        let some = dice.random_range(0..8) > 0;
        let quarters = dice.random_range(1..80);
        let customer = words::company(dice);
        let day = now.plus(std::time::Duration::from_secs(dice.random_range(1..200_u64) * 86_400)).date();
        let priority = self.pick(&Priority::ALL);
        let reviewer = self.any_user();
        let values = &mut self.tasks[task].custom;
        match field {
            Field::Priority => values.priority = priority.filter(|_| some),
            Field::Estimate => values.estimate = some.then_some(quarters),
            Field::Customer => values.customer = some.then_some(customer),
            Field::Launch => values.launch = some.then_some(day),
            Field::Reviewers => values.reviewers = some.then_some(reviewer).into_iter().collect(),
        }
    }

    fn custom_gid(&self, suffix: &str) -> Gid {
        Gid::from(format!("{}{suffix}", self.custom_fields))
    }

    /// A custom field with a task's value, as an event shows it.
    pub(crate) fn compact_custom(&self, task: Id<Task>, field: Field) -> Compact {
        let mut compact = Compact::new(&self.custom_gid(field.suffix()), "custom_field", field.name());
        compact.resource_subtype = Some(field.kind());
        compact.more = Some(Box::new(self.custom_value(task, field)));
        compact
    }

    fn custom_value(&self, task: Id<Task>, field: Field) -> Map<String, Value> {
        let values = &self.tasks[task].custom;
        let (shown, value) = match field {
            Field::Priority => {
                let option = values
                    .priority
                    .map(|priority| Compact::new(&self.custom_gid(priority.suffix()), "enum_option", priority.name()));
                (values.priority.map(|priority| priority.name().to_owned()), json!(option))
            }
            Field::Estimate => {
                let hours = values.estimate.map(|quarters| f64::from(quarters) / 4.0);
                (hours.map(|hours| hours.to_string()), json!(hours))
            }
            Field::Customer => (values.customer.clone(), json!(values.customer)),
            Field::Launch => {
                let day = values.launch.as_ref().map(|day| json!({"date": day, "date_time": null}));
                (values.launch.as_ref().map(|day| format!("{day}T00:00:00.000Z")), json!(day))
            }
            Field::Reviewers => {
                let names = values.reviewers.iter().map(|user| self.users[*user].name.clone()).collect::<Vec<_>>();
                let people = values.reviewers.iter().map(|user| self.compact_user(*user)).collect::<Vec<_>>();
                (Some(names.join(", ")).filter(|names| !names.is_empty()), json!(people))
            }
        };
        let kind = field.kind();
        let members = [("type".to_owned(), json!(kind)), ("display_value".to_owned(), json!(shown))];
        members.into_iter().chain([(format!("{kind}_value"), value)]).collect()
    }

    /// The custom fields in a task's record, where enum options are shown in full.
    pub(crate) fn custom_records(&self, task: Id<Task>) -> Vec<Value> {
        let record = |field: Field| {
            let mut record = json!(self.compact_custom(task, field));
            if let Some(Value::Object(option)) = record.get_mut("enum_value") {
                option.insert("enabled".to_owned(), json!(true));
                option.insert("color".to_owned(), json!("none"));
            }
            record
        };
        Field::ALL.into_iter().map(record).collect()
    }
}
