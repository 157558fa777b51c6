//! What `doctor` checked before the bridge runs, and the results.

use crate::escape::printable;
use serde::Serialize;
use std::fmt;

/// One thing that the bridge will need, and the result of its check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked, such as `topic asana.events`.
    pub what: String,
    /// The result of the check.
    #[serde(flatten)]
    pub verdict: CheckResult,
}

/// The result of a check. Texts are one line each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum CheckResult {
    /// As the bridge needs it.
    Ok {
        /// What was found, for people.
        found: String,
    },
    /// The bridge will work, but the operator should know this.
    Notice {
        /// What was found, for people.
        found: String,
        /// What the operator can do.
        advice: String,
    },
    /// The bridge won't work, or not as configured.
    Failed {
        /// What is wrong.
        problem: String,
        /// What the operator has to do.
        remedy: String,
    },
    /// Only `run` can show it.
    Unknown {
        /// Why the check can't show it.
        reason: String,
    },
    /// Not checked, because something that it depends on failed.
    NotTried {
        /// What failed.
        reason: String,
    },
}

impl CheckResult {
    /// As a line of a report begins, for people.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Ok { .. } => "ok",
            Self::Notice { .. } => "notice",
            Self::Failed { .. } => "FAILED",
            Self::Unknown { .. } => "unknown",
            Self::NotTried { .. } => "not tried",
        }
    }

    /// Creates an [`Ok`](Self::Ok).
    pub fn ok(found: impl Into<String>) -> Self {
        Self::Ok { found: found.into() }
    }

    /// Creates a [`Notice`](Self::Notice).
    pub fn notice(found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Notice { found: found.into(), advice: advice.into() }
    }

    /// Creates a [`Failed`](Self::Failed).
    pub fn failed(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Failed { problem: problem.into(), remedy: remedy.into() }
    }

    /// Creates an [`Unknown`](Self::Unknown).
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: reason.into() }
    }

    /// Creates a [`NotTried`](Self::NotTried).
    pub fn not_tried(reason: impl Into<String>) -> Self {
        Self::NotTried { reason: reason.into() }
    }

    /// A finding with this verdict on `what`.
    pub fn of(self, what: impl Into<String>) -> Finding {
        Finding { what: what.into(), verdict: self }
    }

    /// Whether the operator has to act.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }
}

impl fmt::Display for Finding {
    /// One line, even if the texts contain line breaks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (said, more) = match &self.verdict {
            CheckResult::Ok { found } => (found, None),
            CheckResult::Notice { found, advice } => (found, Some(advice)),
            CheckResult::Failed { problem, remedy } => (problem, Some(remedy)),
            CheckResult::Unknown { reason } | CheckResult::NotTried { reason } => (reason, None),
        };
        let more = more.map(|more| format!("; {more}")).unwrap_or_default();
        let line = format!("{:<9} {}: {said}{more}", self.verdict.label(), self.what);
        f.write_str(&printable(&line.replace('\n', " ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line() {
        let finding = CheckResult::failed("the cluster says\nno", "ask").of("topic a");
        assert_eq!(finding.to_string(), "FAILED    topic a: the cluster says no; ask");
        assert_eq!(CheckResult::not_tried("no b").of("c").to_string(), "not tried c: no b");
    }

    #[test]
    fn a_script_sees_what_a_person_sees() {
        let json = serde_json::to_value(CheckResult::failed("bad", "fix it").of("x")).unwrap();
        let expected = serde_json::json!({"what": "x", "verdict": "failed", "problem": "bad", "remedy": "fix it"});
        assert_eq!(json, expected);
    }
}
