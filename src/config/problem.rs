//! Problems of a configuration: all at once, each with its place.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// A place in the file's text, each from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The number of the line.
    pub line: u64,
    /// The number of the character in its line.
    pub column: u64,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Where the values of a configuration come from: the marks of the file's keys, and the variables that override keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    marks: BTreeMap<Place, Mark>,
    variables: BTreeMap<Place, String>,
}

impl Marks {
    pub(super) fn set(&mut self, place: Place, mark: Mark) {
        self.marks.insert(place, mark);
    }

    pub(super) fn get(&self, place: &Place) -> Option<Mark> {
        self.marks.get(place).copied()
    }

    pub(super) fn override_by(&mut self, place: Place, variable: String) {
        self.variables.insert(place, variable);
    }

    /// The origin of the place, or of the innermost place around it that has one.
    fn of(&self, place: &Place) -> (Option<Mark>, Option<&str>) {
        let around =
            (0..=place.0.len()).rev().filter_map(|depth| place.0.get(..depth)).map(|steps| Place(steps.to_vec()));
        let found = around.map(|place| (self.get(&place), self.variables.get(&place)));
        match found.into_iter().find(|found| found.0.is_some() || found.1.is_some()) {
            Some((_, Some(variable))) => (None, Some(variable)),
            Some((mark, None)) => (mark, None),
            None => (None, None),
        }
    }
}

/// A place in the configuration, shown as `streams[2].resource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(Vec<Step>);

/// The order is the order of problems in a report: items by number, keys by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Item(usize),
    Key(String),
}

impl Place {
    /// The place of `key` in this object.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Self {
        self.step(Step::Key(key.into()))
    }

    /// The place of an item in this list, from 0.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        self.step(Step::Item(index))
    }

    pub(super) fn step(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether the two places are the same, or one is within the other.
    fn touches(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(ours, theirs)| ours == theirs)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the file");
        }
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                Step::Item(index) => write!(f, "[{index}]")?,
                Step::Key(key) if is_plain(key) => write!(f, "{}{key}", if depth == 0 { "" } else { "." })?,
                Step::Key(key) => write!(f, "[{key:?}]")?,
            }
        }
        Ok(())
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
}

/// One problem. Its message contains keys and variables, never a value
/// of the file, because a value might be a secret in the wrong place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    place: Place,
    mark: Option<Mark>,
    /// The environment variable with the problem, instead of a mark in the file.
    variable: Option<String>,
    message: String,
}

impl Problem {
    /// The path of the key with the problem, or the name of the variable.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.variable {
            Some(variable) if self.place == Place::default() => variable.clone(),
            Some(variable) => format!("{variable}: {}", self.place),
            None => self.place.to_string(),
        }
    }

    /// Where the key is in the file. A missing key has the mark of what it is missing in.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        self.mark
    }

    /// What is wrong, and what to do.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// Without the mark: the file's name belongs before it.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.message)
    }
}

/// All problems, in the order of the file, environment variables last. As an error it is never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    file: Option<String>,
    list: Vec<Problem>,
    /// Places whose problems are consequences of known ones.
    silenced: Vec<Place>,
}

impl Problems {
    /// All problems, in their stable order.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn add(&mut self, place: Place, message: impl Into<String>) {
        self.push(Problem { place, mark: None, variable: None, message: message.into() });
    }

    /// Adds a problem of the text itself, not of a key.
    pub(super) fn add_at(&mut self, mark: Mark, message: impl Into<String>) {
        self.add_key_at(mark, Place::default(), message);
    }

    /// Adds a problem of a key that isn't where the place's mark is.
    pub(super) fn add_key_at(&mut self, mark: Mark, place: Place, message: impl Into<String>) {
        self.push(Problem { place, mark: Some(mark), variable: None, message: message.into() });
    }

    pub(super) fn add_variable(&mut self, variable: &str, message: impl Into<String>) {
        let variable = Some(variable.to_owned());
        self.push(Problem { place: Place::default(), mark: None, variable, message: message.into() });
    }

    fn push(&mut self, problem: Problem) {
        if !self.list.contains(&problem) {
            self.list.push(problem);
        }
    }

    /// Adds the problems of a later stage, except those that may only be a consequence of a known
    /// problem: a problem at the same place, within it or around it.
    pub(super) fn add_unless_known(&mut self, later: Self) {
        let known = self.list.len();
        for problem in later.list {
            let echo = |first: &Problem| first.variable.is_none() && first.place.touches(&problem.place);
            let is_silenced = self.silenced.iter().any(|place| place.touches(&problem.place));
            if !is_silenced && !self.list.iter().take(known).any(echo) {
                self.list.push(problem);
            }
        }
    }

    /// Problems of later stages at this place, within it or around it are consequences of a known one.
    pub(super) fn silence(&mut self, place: Place) {
        self.silenced.push(place);
    }

    /// Adds more problems of the same stage.
    pub(super) fn append(&mut self, more: Self) {
        more.list.into_iter().for_each(|problem| self.push(problem));
    }

    /// The same problems, as those of this file.
    #[must_use]
    pub(super) fn of(self, file: Option<&Path>) -> Self {
        Self { file: file.map(|path| path.display().to_string()), ..self }
    }

    /// The problems with their marks, in their stable order, or `value` if there are none.
    pub(super) fn or<T>(mut self, value: Option<T>, marks: &Marks) -> Result<T, Self> {
        if let (true, Some(value)) = (self.list.is_empty(), value) {
            return Ok(value);
        }
        if self.list.is_empty() {
            self.add(Place::default(), "can't be used, for a reason that was not recorded: please report this");
        }
        for problem in self.list.iter_mut().filter(|it| it.mark.is_none() && it.variable.is_none()) {
            let (mark, variable) = marks.of(&problem.place);
            (problem.mark, problem.variable) = (mark, variable.map(str::to_owned));
        }
        self.list.sort_by(|a, b| (&a.variable, &a.mark, &a.place).cmp(&(&b.variable, &b.mark, &b.place)));
        Err(self)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.list.len() {
            1 => f.write_str("1 problem:")?,
            many => write!(f, "{many} problems:")?,
        }
        // The last line of a log is what a person sees first: it is to be one that says what to do.
        for problem in &self.list {
            f.write_str("\n")?;
            match (&self.file, &problem.mark, &problem.variable) {
                (Some(file), Some(mark), None) => write!(f, "{file}:{mark}: ")?,
                (Some(file), None, None) => write!(f, "{file}: ")?,
                (None, ..) | (_, _, Some(_)) => {}
            }
            // The name of the file already says where.
            if problem.place == Place::default() && problem.variable.is_none() && self.file.is_some() {
                f.write_str(&problem.message)?;
            } else {
                write!(f, "{problem}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
