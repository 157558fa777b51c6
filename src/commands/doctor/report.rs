//! All findings, for people and for scripts.

use crate::finding::{CheckResult, Finding};
use serde::Serialize;
use std::fmt;

/// All findings, in the order of their parts: this machine, accounts, the bus.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The findings, one for each check.
    pub findings: Vec<Finding>,
}

/// A report with its summary.
#[derive(Serialize)]
struct Told<'a> {
    is_ok: bool,
    /// Whether nothing failed, and every check has a result.
    is_certain: bool,
    findings: &'a [Finding],
}

impl Report {
    /// Whether nothing failed.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        !self.findings.iter().any(|finding| finding.verdict.is_failed())
    }

    /// Whether nothing failed, and every check was tried and has a result.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.findings.iter().all(|finding| match finding.verdict {
            CheckResult::Ok { .. } | CheckResult::Notice { .. } => true,
            CheckResult::Failed { .. } | CheckResult::Unknown { .. } | CheckResult::NotTried { .. } => false,
        })
    }

    /// The report as one JSON object.
    ///
    /// # Errors
    /// None that is known.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&Told { is_ok: self.is_ok(), is_certain: self.is_certain(), findings: &self.findings })
    }

    fn count(&self, is_one: fn(&CheckResult) -> bool) -> usize {
        self.findings.iter().filter(|finding| is_one(&finding.verdict)).count()
    }
}

impl fmt::Display for Report {
    /// The summary only. The findings themselves are printed as they come.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            ("ok", self.count(|verdict| matches!(verdict, CheckResult::Ok { .. }))),
            ("notice", self.count(|verdict| matches!(verdict, CheckResult::Notice { .. }))),
            ("failed", self.count(CheckResult::is_failed)),
            ("unknown", self.count(|verdict| matches!(verdict, CheckResult::Unknown { .. }))),
            ("not tried", self.count(|verdict| matches!(verdict, CheckResult::NotTried { .. }))),
        ];
        let counts = counts.into_iter().filter(|(name, count)| *count > 0 || matches!(*name, "ok" | "failed"));
        f.write_str(&counts.map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", "))?;
        let has_doubts = self.is_ok() && !self.is_certain();
        f.write_str(if has_doubts { "; not all could be checked (`--strict` exits with 1)" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_spoils_a_report() {
        let mut report = Report { findings: vec![CheckResult::ok("a").of("x"), CheckResult::not_tried("b").of("y")] };
        assert_eq!((report.is_ok(), report.is_certain()), (true, false));
        let said = "1 ok, 0 failed, 1 not tried; not all could be checked (`--strict` exits with 1)";
        assert_eq!(report.to_string(), said);
        report.findings.push(CheckResult::failed("c", "d").of("z"));
        assert_eq!((report.is_ok(), report.to_string()), (false, "1 ok, 1 failed, 1 not tried".to_owned()));
        assert!(report.to_json().unwrap().starts_with(r#"{"is_ok":false,"is_certain":false,"findings":[{"what":"x","#));
    }
}
