//! What happened to a resource or to a field, in Asana's words.

use std::fmt;

/// What happened to a resource, or to its field. An open set: Asana may add actions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// The resource is new, or new in a parent.
    Added,
    /// One of the resource's fields changed.
    Changed,
    /// The resource was moved to Asana's trash.
    Deleted,
    /// The resource was taken out of a parent, and still exists.
    Removed,
    /// The resource was restored from Asana's trash.
    Undeleted,
    /// Another action, in Asana's words.
    Other(String),
}

impl Action {
    /// The action in Asana's words.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Deleted => "deleted",
            Self::Removed => "removed",
            Self::Undeleted => "undeleted",
            Self::Other(word) => word,
        }
    }
}

impl From<&str> for Action {
    fn from(word: &str) -> Self {
        match word {
            "added" => Self::Added,
            "changed" => Self::Changed,
            "deleted" => Self::Deleted,
            "removed" => Self::Removed,
            "undeleted" => Self::Undeleted,
            _ => Self::Other(word.to_owned()),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_its_word_and_a_word_that_is_not_known_is_kept() {
        for word in ["added", "changed", "deleted", "removed", "undeleted", "Removed", "archived", ""] {
            assert_eq!(Action::from(word).as_str(), word);
        }
        assert_eq!(Action::from("removed"), Action::Removed);
        assert_eq!(Action::from("Removed"), Action::Other("Removed".to_owned()));
    }
}
