//! Texts from elsewhere, as a terminal may print them.

use std::borrow::Cow;

/// The text with everything escaped that could deceive who reads it on a terminal: control characters, which move the cursor, change
/// colours or begin another line, and the characters that change the direction of writing, which show text in another order than it
/// has. For text in one line only: JSON has its own escapes.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(deceives) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if deceives(letter) {
            escaped.extend(letter.escape_default());
        } else {
            escaped.push(letter);
        }
    }
    Cow::Owned(escaped)
}

fn deceives(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            // The marks, embeddings, overrides and isolates of Unicode's bidirectional algorithm.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Separators that some terminals take for the end of a line.
            | '\u{2028}' | '\u{2029}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_the_cursor_or_turns_the_text_is_escaped() {
        for (text, expected) in [
            ("a\u{1b}[2Jb", r"a\u{1b}[2Jb"),
            ("a\nb\tc\rd", r"a\nb\tc\rd"),
            ("\0\u{7}\u{7f}\u{9b}31m", r"\u{0}\u{7}\u{7f}\u{9b}31m"),
            ("abc\u{202e}cba", r"abc\u{202e}cba"),
            ("\u{200e}\u{200f}\u{202a}\u{2066}\u{2069}", r"\u{200e}\u{200f}\u{202a}\u{2066}\u{2069}"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }

    #[test]
    fn all_other_text_stays_as_it_is() {
        for text in ["", "Grüße, 世界 🎉", "שלום", r"C:\temp", "\"quoted\""] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }
}
