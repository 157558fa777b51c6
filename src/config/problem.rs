//! Problems of a configuration: all at once, each with its place.

use std::fmt;

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
    /// The environment variable with the problem, instead of a place in the file.
    variable: Option<String>,
    message: String,
}

impl Problem {
    /// The path of the key with the problem, or the name of the variable.
    #[must_use]
    pub fn place(&self) -> String {
        self.variable.clone().unwrap_or_else(|| self.place.to_string())
    }

    /// What is wrong, and what to do.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.variable {
            Some(variable) => write!(f, "{variable}: {}", self.message),
            None => write!(f, "{}: {}", self.place, self.message),
        }
    }
}

/// All problems, sorted by place, environment variables last. As an error it is never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// All problems, in their stable order.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, place: Place, message: impl Into<String>) {
        let problem = Problem { place, variable: None, message: message.into() };
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }

    pub(super) fn add_variable(&mut self, variable: &str, message: impl Into<String>) {
        self.0.push(Problem { place: Place::default(), variable: Some(variable.to_owned()), message: message.into() });
    }

    /// Adds the problems of a later stage, except those that may only be a consequence of a known
    /// problem: a problem at the same place, within it or around it.
    pub(super) fn add_unless_known(&mut self, later: Self) {
        let known = self.0.len();
        for problem in later.0 {
            let echo = |first: &Problem| first.variable.is_none() && first.place.touches(&problem.place);
            if !self.0.iter().take(known).any(echo) {
                self.0.push(problem);
            }
        }
    }

    /// The problems in their stable order, or `value` if there are none.
    pub(super) fn or<T>(mut self, value: Option<T>) -> Result<T, Self> {
        if let (true, Some(value)) = (self.0.is_empty(), value) {
            return Ok(value);
        }
        if self.0.is_empty() {
            self.add(Place::default(), "can't be used, for a reason that was not recorded: please report this");
        }
        self.0.sort_by(|a, b| (&a.variable, &a.place).cmp(&(&b.variable, &b.place)));
        Err(self)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("1 problem:")?,
            many => write!(f, "{many} problems:")?,
        }
        // The last line of a log is what a person sees first: it is to be one that says what to do.
        self.0.iter().try_for_each(|problem| write!(f, "\n{problem}"))
    }
}

impl std::error::Error for Problems {}

/// The word of `known` that was most likely meant by `word`, if any is similar.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // 0.8 accepts one wrong or swapped letter in five. Below it suggestions become guesses.
    const LIKELY: f64 = 0.8;
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= LIKELY)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
