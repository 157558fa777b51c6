//! Checks of the headers that an account adds to its requests.

use super::check::Check;
use super::problem::Place;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::BTreeMap;

/// The prefix of Asana's own headers. The bridge sets all other headers itself.
const PREFIX: &str = "asana-";

impl Check<'_> {
    /// The valid headers. Reports a problem for each other header.
    pub(super) fn headers(&mut self, headers: &BTreeMap<String, String>, place: &Place) -> HeaderMap {
        let mut checked = HeaderMap::new();
        for (name, value) in headers {
            let place = place.key(name);
            if !name.to_ascii_lowercase().starts_with(PREFIX) {
                self.problem(&place, "can't be set: only headers that begin with `Asana-` can, such as `Asana-Enable`");
                continue;
            }
            match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                (Err(_), _) => self.problem(&place, "is no name of a header: it may have letters, digits and `-`"),
                (Ok(_), Ok(_)) if value.trim().is_empty() => self.problem(&place, "is empty"),
                (Ok(name), Ok(value)) => {
                    if checked.insert(name, value).is_some() {
                        self.problem(&place, "is there twice, once in other letters: names of headers know no case");
                    }
                }
                (Ok(_), Err(_)) => {
                    self.problem(&place, "is no value of a header: it may have letters, digits and signs of ASCII");
                }
            }
        }
        checked
    }
}
