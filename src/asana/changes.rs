//! `Asana-Change` headers: each is logged once, and those that affect us are reported.
//!
//! Asana announces a change of its API in answers that it concerns:
//! `Asana-Change: name=<flag>;info=<url>[;affected=true]` (Asana's guide "Deprecations").

use bridge_core::ids::AccountName;
use reqwest::header::HeaderMap;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The maximum number of different values that are remembered. Further ones aren't logged. Asana makes few changes at a
/// time.
const MAX_SEEN: usize = 64;

/// The maximum length of a value, in bytes. Longer values are ignored.
const MAX_LENGTH: usize = 1024;

/// A callback that gets an account, and Asana's name of a change.
pub type Tell = dyn Fn(&AccountName, &str) + Send + Sync;

/// Is called once for each change that affects an account's requests.
#[derive(Clone)]
pub struct Listener(pub Arc<Tell>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

/// The changes that were logged for one account.
#[derive(Default)]
pub(super) struct Changes {
    seen: Mutex<BTreeSet<String>>,
    listener: Option<Listener>,
}

impl Changes {
    pub(super) fn new(listener: Option<Listener>) -> Self {
        Self { seen: Mutex::default(), listener }
    }

    /// Logs what is new in `headers`.
    pub(super) fn observe(&self, account: &AccountName, headers: &HeaderMap) {
        for value in headers.get_all("asana-change").iter().filter_map(|value| value.to_str().ok()) {
            if !self.is_new(value) {
                continue;
            }
            let [name, info, affected] = ["name", "info", "affected"].map(|key| part(value, key).unwrap_or(""));
            tracing::warn!(%account, name, info, affected, "upcoming API change announced by Asana");
            if let Some(Listener(tell)) = self.listener.as_ref().filter(|_| affected == "true") {
                tell(account, name);
            }
        }
    }

    fn is_new(&self, value: &str) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        value.len() <= MAX_LENGTH && seen.len() < MAX_SEEN && !seen.contains(value) && seen.insert(value.to_owned())
    }
}

/// The value of `key` in `key=value;key=value`.
fn part<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split(';').filter_map(|part| part.split_once('=')).find(|(name, _)| name.trim() == key).map(|it| it.1.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_new_once_and_memory_is_bounded() {
        let changes = Changes::default();
        assert!(changes.is_new("name=a;info=https://asa.na/1"));
        assert!(!changes.is_new("name=a;info=https://asa.na/1"));
        assert!(changes.is_new("name=a;info=https://asa.na/1;affected=true"));
        assert!(!changes.is_new(&"x".repeat(MAX_LENGTH + 1)));
        let new = (0..1000).filter(|n| changes.is_new(&n.to_string())).count();
        assert_eq!(new, MAX_SEEN - 2);
    }

    #[test]
    fn what_affects_the_account_is_told_once() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&told);
        let listener = Listener(Arc::new(move |account: &AccountName, change: &str| {
            to.lock().unwrap().push(format!("{account} {change}"));
        }));
        let changes = Changes::new(Some(listener));
        let headers = |values: &[&'static str]| {
            let name = reqwest::header::HeaderName::from_static("asana-change");
            values.iter().map(|value| (name.clone(), reqwest::header::HeaderValue::from_static(value))).collect()
        };
        let both = headers(&["name=a;info=https://asa.na/1;affected=true", "name=b;info=https://asa.na/2"]);
        changes.observe(&AccountName::from("main"), &both);
        changes.observe(&AccountName::from("main"), &both);
        assert_eq!(*told.lock().unwrap(), ["main a"]);
    }

    #[test]
    fn the_parts_of_a_value_are_found() {
        let value = "name=string_ids; info=https://asa.na/2?a=b;affected=true";
        assert_eq!(part(value, "name"), Some("string_ids"));
        assert_eq!(part(value, "info"), Some("https://asa.na/2?a=b"));
        assert_eq!(part(value, "affected"), Some("true"));
        assert_eq!(part(value, "none"), None);
    }
}
