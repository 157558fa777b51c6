//! What was probably meant by a word that isn't known.

use super::problem::{Place, Step};
use super::schema::Part;

/// What people call keys that have another name here.
const SYNONYMS: [(&str, &str); 25] = [
    ("accessToken", "token"),
    ("apiKey", "token"),
    ("apiUrl", "baseUrl"),
    ("address", "listen"),
    ("bind", "listen"),
    ("brokers", "bootstrapServers"),
    ("credentials", "credentialsFile"),
    ("creds", "credentialsFile"),
    ("gid", "resource"),
    ("goal", "resource"),
    ("host", "listen"),
    ("id", "resource"),
    ("pat", "token"),
    ("port", "listen"),
    ("project", "resource"),
    ("projects", "streams"),
    ("rateLimit", "requestsPerMinute"),
    ("resources", "streams"),
    ("servers", "bootstrapServers"),
    ("task", "resource"),
    ("timeout", "requestTimeout"),
    ("url", "baseUrl"),
    ("url", "urls"),
    ("url", "servers"),
    ("username", "user"),
];

/// What to write instead of the unknown `key` of the object at `place`.
pub(super) fn key(key: &str, part: Part, place: &Place, root: Part) -> String {
    if let Some(meant) = meant(key, part) {
        let is_sure = is_same(meant, key);
        return if is_sure {
            format!("unknown key; write `{meant}`")
        } else {
            format!("unknown key; did you mean `{meant}`?")
        };
    }
    if key.starts_with("x-") && *place != Place::default() {
        return "unknown key; keys that begin with `x-` belong at the top of the file".to_owned();
    }
    let elsewhere = || {
        let mut found = Vec::new();
        search(key, root, &Place::default(), &mut found);
        let in_words = |place: Place| {
            if place == Place::default() { "at the top of the file".to_owned() } else { format!("in `{place}`") }
        };
        found.into_iter().map(in_words).collect::<Vec<_>>()
    };
    match elsewhere().as_slice() {
        [] => {
            let known: Vec<_> = part.keys().map(|(key, _)| key).collect();
            format!("unknown key; known here: {}", known.join(", "))
        }
        places => format!("unknown key here; it belongs {}: check the indentation", places.join(" or ")),
    }
}

/// The key of `part` that was probably meant by the unknown `key`.
pub(super) fn meant(key: &str, part: Part) -> Option<&'static str> {
    let known = || part.keys().map(|(key, _)| key);
    let synonyms = || SYNONYMS.iter().filter(|(word, _)| is_same(word, key)).map(|(_, meant)| *meant);
    let same = known().find(|known| is_same(known, key));
    same.or_else(|| known().find(|known| synonyms().any(|meant| meant == *known))).or_else(|| nearest(key, known()))
}

/// The objects that have `key`.
fn search(key: &str, part: Part, place: &Place, found: &mut Vec<Place>) {
    if part.keys().any(|(known, _)| is_same(known, key)) {
        found.push(place.clone());
    }
    for (name, _) in part.keys() {
        let place = place.key(name);
        let Some(value) = part.key(name) else { continue };
        if let Some(item) = value.items() {
            search(key, item, &place.item(0), found);
        } else if let Some(entry) = value.any_key() {
            search(key, entry, &place.step(Step::Key("NAME".to_owned())), found);
        } else if !value.is_secret() {
            search(key, value, &place, found);
        }
    }
}

/// Whether two words are the same but for their case and for what joins their parts, such as `bootstrap_servers`.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let bare =
        |text: &str| -> String { text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect() };
    bare(one) == bare(other)
}

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
