//! What was looked at before the bridge runs, and how it was found.

use crate::escape::printable;
use serde::Serialize;
use std::fmt;

/// One thing that the bridge will need, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, such as `topic asana.events`.
    pub what: String,
    /// How it was found.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// How something was found. Texts are one line each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// As the bridge needs it.
    Ok {
        /// What was found.
        found: String,
    },
    /// The bridge will work, and somebody should know this.
    Notice {
        /// What was found.
        found: String,
        /// What could be done.
        advice: String,
    },
    /// The bridge won't work, or not as it is meant to.
    Failed {
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// Only `run` can show it.
    Unknown {
        /// Why.
        reason: String,
    },
    /// Something that it depends on failed.
    NotTried {
        /// What.
        reason: String,
    },
}

impl Verdict {
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

    /// An [`Ok`](Self::Ok).
    pub fn ok(found: impl Into<String>) -> Self {
        Self::Ok { found: found.into() }
    }

    /// A [`Notice`](Self::Notice).
    pub fn notice(found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Notice { found: found.into(), advice: advice.into() }
    }

    /// A [`Failed`](Self::Failed).
    pub fn failed(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Failed { problem: problem.into(), remedy: remedy.into() }
    }

    /// An [`Unknown`](Self::Unknown).
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: reason.into() }
    }

    /// A [`NotTried`](Self::NotTried).
    pub fn not_tried(reason: impl Into<String>) -> Self {
        Self::NotTried { reason: reason.into() }
    }

    /// Of something.
    pub fn of(self, what: impl Into<String>) -> Finding {
        Finding { what: what.into(), verdict: self }
    }

    /// Whether somebody has to act.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }
}

impl fmt::Display for Finding {
    /// One line, whatever the texts hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (said, more) = match &self.verdict {
            Verdict::Ok { found } => (found, None),
            Verdict::Notice { found, advice } => (found, Some(advice)),
            Verdict::Failed { problem, remedy } => (problem, Some(remedy)),
            Verdict::Unknown { reason } | Verdict::NotTried { reason } => (reason, None),
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
        let finding = Verdict::failed("the cluster says\nno", "ask").of("topic a");
        assert_eq!(finding.to_string(), "FAILED    topic a: the cluster says no; ask");
        assert_eq!(Verdict::not_tried("no b").of("c").to_string(), "not tried c: no b");
    }

    #[test]
    fn a_script_sees_what_a_person_sees() {
        let json = serde_json::to_value(Verdict::failed("bad", "fix it").of("x")).unwrap();
        let expected = serde_json::json!({"what": "x", "verdict": "failed", "problem": "bad", "remedy": "fix it"});
        assert_eq!(json, expected);
    }
}
