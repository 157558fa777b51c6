//! The figures: printed as they come, and written as JSON at the end.

use super::amounts::Amounts;
use super::machine;
use serde_json::{Value, json};
use std::path::Path;

#[derive(Debug)]
pub(crate) struct Report {
    document: Value,
    failures: Vec<String>,
}

/// The figures of one measurement. The unit is in the name.
pub(crate) type Figures<'a> = &'a [(&'a str, f64)];

impl Report {
    pub(crate) fn new(amounts: &Amounts) -> Self {
        let (machine, versions) = (machine::describe(), machine::versions());
        println!("machine: {machine}\nversions: {versions}\n{amounts:?}");
        Self {
            document: json!({ "machine": machine, "versions": versions, "is_smoke": amounts.is_smoke, "results": [] }),
            failures: Vec::new(),
        }
    }

    /// Adds what a section measured, under these conditions.
    pub(crate) fn add(&mut self, section: &str, conditions: &Value, figures: Figures<'_>) {
        println!("\n{section} {conditions}");
        for (name, figure) in figures {
            println!("  {figure:>12.2}  {name}");
        }
        let figures: serde_json::Map<_, _> = figures.iter().map(|(name, it)| ((*name).to_owned(), json!(it))).collect();
        let result = json!({ "section": section, "conditions": conditions, "figures": figures });
        self.document["results"].as_array_mut().unwrap().push(result);
    }

    /// Notes a failure if a ratio is beyond its bound.
    pub(crate) fn check(&mut self, what: &str, is_kept: bool) {
        if !is_kept {
            println!("  BEYOND ITS BOUND: {what}");
            self.failures.push(what.to_owned());
        }
    }

    /// Writes the JSON.
    ///
    /// # Panics
    /// If a ratio was beyond its bound.
    pub(crate) fn end(self) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("bridge.json");
        std::fs::write(&path, serde_json::to_string_pretty(&self.document).unwrap()).unwrap();
        println!("\nwritten to {}", path.display());
        assert!(self.failures.is_empty(), "beyond their bounds: {}", self.failures.join("; "));
    }
}
