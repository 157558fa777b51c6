//! Compares what a user may publish and subscribe to, as the server reports it, with what the bridge needs. Pure.

use serde::Deserialize;

/// A user's permissions, as `$SYS.REQ.USER.INFO` answers. Without restrictions a part is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Permissions {
    publish: Rules,
    subscribe: Rules,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Rules {
    allow: Vec<String>,
    deny: Vec<String>,
}

impl Permissions {
    /// The subjects of these that it may not publish to, or only in part.
    pub(super) fn unpublishable<'a>(&self, subjects: &'a [String]) -> Vec<&'a str> {
        self.publish.lacking(subjects)
    }

    /// The subjects of these that it may not subscribe to, or only in part.
    pub(super) fn unsubscribable<'a>(&self, subjects: &'a [String]) -> Vec<&'a str> {
        self.subscribe.lacking(subjects)
    }
}

impl Rules {
    fn lacking<'a>(&self, subjects: &'a [String]) -> Vec<&'a str> {
        subjects.iter().map(String::as_str).filter(|subject| !self.allows(subject)).collect()
    }

    /// One rule must allow the whole subject with its wildcards, and no rule may deny a part of it.
    fn allows(&self, subject: &str) -> bool {
        // The name of a queue may follow.
        let rule = |text: &'_ String| text.split(' ').next().unwrap_or_default().to_owned();
        let allowed = self.allow.is_empty() || self.allow.iter().any(|allow| covers(&rule(allow), subject));
        allowed && !self.deny.iter().any(|deny| overlaps(&rule(deny), subject))
    }
}

/// Whether `pattern` matches everything that `subject` matches.
fn covers(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (None, None) | (Some(">"), Some(_)) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

/// Whether there is a subject that both match.
fn overlaps(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (None, None) | (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
            (Some(token), Some(same)) if token == same => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_it_stands_for() {
        for (pattern, subject, expected) in [
            (">", "a.b.>", true),
            ("a.>", "a.b.>", true),
            ("a.>", "a", false),
            ("a.*", "a.b", true),
            ("a.*", "a.*", true),
            ("a.*", "a.>", false),
            ("a.b", "a.*", false),
            ("a.*.c", "a.b.c", true),
            ("a.b", "a.b.c", false),
        ] {
            assert_eq!(covers(pattern, subject), expected, "{pattern} {subject}");
        }
    }

    #[test]
    fn a_part_that_is_denied_is_found() {
        for (one, other, expected) in [
            ("a.lane.0.>", "a.lane.>", true),
            ("a.*.x", "a.b.>", true),
            ("a.b", "a.c", false),
            ("a", "a.>", false),
            ("*.b", "a.*", true),
        ] {
            assert_eq!((overlaps(one, other), overlaps(other, one)), (expected, expected), "{one} {other}");
        }
    }

    #[test]
    fn what_is_lacking_is_named() {
        let told = r#"{"publish": {"allow": ["a.>", "$JS.API.>"], "deny": ["a.secret"]}, "subscribe": {"deny": ["_INBOX.>"]}}"#;
        let permissions: Permissions = serde_json::from_str(told).unwrap();
        let subjects = ["a.lane.>", "a.>", "b", "$JS.API.STREAM.INFO.x"].map(str::to_owned);
        assert_eq!(permissions.unpublishable(&subjects), ["a.>", "b"]);
        assert_eq!(permissions.unsubscribable(&["_INBOX.>".to_owned()]), ["_INBOX.>"]);
        assert!(Permissions::default().unpublishable(&subjects).is_empty());
    }
}
