//! Formats what a crawl couldn't read, for people.

use bridge_contract::pb::LeftOut;
use std::fmt;

/// The maximum number of names in the line.
const NAMED: usize = 3;

/// One line, whatever the texts contain: `stories of 1201 (server), tasks of 7 (forbidden) and 12 more`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeftOutLine<'a> {
    /// The names in the record.
    pub(crate) named: &'a [LeftOut],
    /// The number of all that were left out.
    pub(crate) count: u64,
}

impl fmt::Display for LeftOutLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.named.iter().take(NAMED);
        for (number, LeftOut { of, what, reason }) in shown.clone().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            let [what, of, reason] = [what, of, reason].map(|text| text.escape_debug());
            write!(f, "{comma}{what} of {of} ({reason})")?;
        }
        match self.count.saturating_sub(shown.len() as u64) {
            0 => Ok(()),
            more if shown.len() == 0 => write!(f, "{more}"),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_named_and_the_rest_counted() {
        let one = LeftOut { of: "12\u{1b}01".into(), what: "stories".into(), reason: "server".into() };
        let line = |count: usize, all: u64| LeftOutLine { named: &vec![one.clone(); count], count: all }.to_string();
        let named = r"stories of 12\u{1b}01 (server)";
        assert_eq!(line(1, 1), named);
        assert_eq!(line(5, 140), format!("{named}, {named}, {named} and 137 more"));
        assert_eq!((line(0, 7), line(0, 0)), ("7".to_owned(), String::new()));
    }
}
