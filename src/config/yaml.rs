//! Reads YAML: what the file says, and at which line and column it says it.

use super::problem::{Mark, Marks, Place, Problems};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::granit_parser::ErrorKind;
use serde_saphyr::{DuplicateKeyPolicy, Error, ExternalMessageSource, NonFiniteFloatPolicy, Spanned};
use std::fmt;

/// Keys at the top of the file that begin with this are for the file's author, as places for anchors.
const EXTENSION: &str = "x-";

/// Parses the text of a file: its content, without keys that begin with `x-` at the top, and the place of each key.
pub(super) fn parse(text: &str) -> Result<(Value, Marks, Problems), Problems> {
    // A snippet would show lines of the file, and there may be a secret in one.
    let options = serde_saphyr::options! {
        with_snippet: false,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
    };
    let (mut marks, mut problems) = (Marks::default(), Problems::default());
    match serde_saphyr::from_str_with_options::<Spanned<Tree>>(text, options) {
        Ok(tree) => {
            let root = Place::default();
            marks.set(root.clone(), mark(&tree));
            let value = tree.value.flatten(&root, &mut marks, &mut problems);
            Ok((value, marks, problems))
        }
        Err(error) => {
            let (mark, message) = explain(&error, text);
            problems.add_at(mark, message);
            Err(problems)
        }
    }
}

/// A value of an override variable. The parser's own message would quote it.
pub(super) fn value(text: &str) -> Option<Value> {
    serde_saphyr::from_str(text).ok()
}

fn mark<T>(node: &Spanned<T>) -> Mark {
    let at = node.defined;
    Mark { line: at.line(), column: at.column() }
}

/// A node with the places of all nodes in it.
#[derive(Debug)]
enum Tree {
    Leaf(Value),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl Tree {
    /// The same as JSON. Reports keys that are there twice.
    fn flatten(self, place: &Place, marks: &mut Marks, problems: &mut Problems) -> Value {
        match self {
            Self::Leaf(value) => value,
            Self::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for (index, item) in items.into_iter().enumerate() {
                    let place = place.item(index);
                    marks.set(place.clone(), mark(&item));
                    list.push(item.value.flatten(&place, marks, problems));
                }
                list.into()
            }
            Self::Map(entries) => {
                let mut map = Map::new();
                for (key, entry) in entries {
                    if *place == Place::default() && key.value.starts_with(EXTENSION) {
                        continue;
                    }
                    let place = place.key(&key.value);
                    if let Some(first) = marks.get(&place) {
                        let message = format!("is there twice, first in line {}: keep one", first.line);
                        problems.add_key_at(mark(&key), place, message);
                        continue;
                    }
                    marks.set(place.clone(), mark(&key));
                    map.insert(key.value, entry.value.flatten(&place, marks, problems));
                }
                map.into()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf(Value::Null))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Tree, E> {
        // Integers beyond this aren't exact. YAML has no other difference between 5.0, 5e0 and 5 than its spelling.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if value.fract() == 0.0 && value.abs() < EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "it is an integer of 53 bits")]
            return self.visit_i64(value as i64);
        }
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Tree::Map(map))
    }
}

/// What is wrong with a text that is no YAML, where, and what to write. Quotes nothing of the text.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's own message does for rare errors")]
fn explain(error: &Error, text: &str) -> (Mark, String) {
    let error = error.without_snippet();
    let mark = error.location().map_or(Mark { line: 1, column: 1 }, |at| Mark { line: at.line(), column: at.column() });
    let message = match error {
        Error::ExternalMessage { source, .. } => match source.as_ref() {
            ExternalMessageSource::Parser(error) => return Lines { text, mark }.explain(error.kind()),
            _ => format!("is no YAML: {source:?}"),
        },
        Error::MultipleDocuments { .. } => {
            let lines = Lines { text, mark };
            let line = (1..=mark.line).rev().find(|number| lines.line(*number).starts_with("---")).unwrap_or(mark.line);
            let message = "begins a second document with `---`: keep one document in the file";
            return (Mark { line, column: 1 }, message.to_owned());
        }
        Error::MergeValueNotMapOrSeqOfMaps { .. } => {
            "`<<` needs a map, or a reference to one, such as `<<: *defaults`".to_owned()
        }
        Error::UnknownAnchor { .. } => NO_ANCHOR.to_owned(),
        Error::Unexpected { .. } => {
            "has a map or a list where a key belongs; if it is a template such as `{{ … }}`, render it first".to_owned()
        }
        Error::NullIntoString { .. } => "has an empty key: write its name before the `:`".to_owned(),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::RecursiveReferencesRequireWeakTypes { .. }
        | Error::Budget { .. } => "its anchors and aliases grow to too much: write the values out".to_owned(),
        error => format!("is no YAML: {error}"),
    };
    (mark, message)
}

const NO_ANCHOR: &str = "refers with `*` to an anchor that isn't above it: define it with `&NAME`, or put a value that begins with \
                         `*` in quotes";
const INDENTATION: &str =
    "isn't in one column with the keys that it belongs to: indent all keys of a map equally, with spaces";
const BRACKETS: &str = "`{…}` or `[…]` isn't complete: separate its entries with commas, and close it";

/// The lines around an error of the parser.
struct Lines<'a> {
    text: &'a str,
    mark: Mark,
}

impl Lines<'_> {
    fn line(&self, number: u64) -> &str {
        let index = usize::try_from(number).unwrap_or_default().checked_sub(1);
        index.and_then(|index| self.text.lines().nth(index)).unwrap_or_default()
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the library's own message does for rare errors")]
    fn explain(&self, kind: &ErrorKind) -> (Mark, String) {
        if let Some(tab) = self.tab() {
            return (tab, "is indented with a tab: indent with spaces".to_owned());
        }
        if let Some(colon) = self.narrow_colon() {
            return (colon, "has no space after the `:`: write `KEY: VALUE`".to_owned());
        }
        let line = self.line(self.mark.line);
        let message = match kind {
            ErrorKind::UnclosedQuotedScalar => "begins with a quote that is never closed: close it",
            ErrorKind::InvalidTrailingSingleQuotedScalar => {
                "has more text after the closing quote: within `'…'`, write `''` for one `'`"
            }
            ErrorKind::InvalidTrailingDoubleQuotedScalar => {
                "has more text after the closing quote: within `\"…\"`, write `\\\"` for one `\"`"
            }
            ErrorKind::UnknownQuotedScalarEscape
            | ErrorKind::InvalidQuotedScalarHexEscape
            | ErrorKind::InvalidUnicodeEscape => {
                "has a `\\` that YAML doesn't know within `\"…\"`: write `\\\\`, or use `'…'`"
            }
            ErrorKind::UnexpectedCharacter { .. } => {
                "begins with a character that YAML reserves: put the value in quotes"
            }
            ErrorKind::UnknownAnchor => NO_ANCHOR,
            ErrorKind::MissingAnchorOrAliasName => {
                "begins with `*` or `&`, and has no name after it: put the value in quotes"
            }
            ErrorKind::ExpectedFlowMappingSeparator if line.contains("${") => {
                "has a `${…}` within `{…}`: put it in quotes, `\"${NAME}\"`"
            }
            ErrorKind::UnexpectedEofFlowSequence
            | ErrorKind::UnexpectedEofFlowMapping
            | ErrorKind::UnexpectedEofImplicitFlowMapping
            | ErrorKind::ExpectedFlowMappingSeparator
            | ErrorKind::ExpectedFlowSequenceSeparator
            | ErrorKind::InvalidColonPlacement
            | ErrorKind::MisplacedFlowCollectionEnd
            | ErrorKind::MismatchedFlowCollectionEnd { .. }
            | ErrorKind::UnclosedFlowCollection { .. } => BRACKETS,
            ErrorKind::MappingValueNotAllowed if self.is_first_colon(line) => INDENTATION,
            ErrorKind::MappingValueNotAllowed => "has a second `: ` in its value: put the value in quotes",
            ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation | ErrorKind::MappingKeyNotAllowed => {
                INDENTATION
            }
            ErrorKind::ExpectedBlockSequenceEntry => {
                "is in one column with a list: begin it with `- `, or write the list below a key"
            }
            ErrorKind::BlockSequenceEntryNotAllowed => {
                "begins a list in the middle of a line: write the `- ` on a new line"
            }
            ErrorKind::SimpleKeyExpected => "has no `:`: write `KEY: VALUE`",
            other => return (self.mark, format!("is no YAML: {other}")),
        };
        (self.mark, message.to_owned())
    }

    /// The first tab in an indentation, from the line before the error on: the parser may notice it late.
    fn tab(&self) -> Option<Mark> {
        (self.mark.line.saturating_sub(1).max(1)..=self.mark.line + 1).find_map(|number| {
            let line = self.line(number);
            let rest = line.trim_start_matches(' ');
            let column = (line.len() - rest.len()) as u64 + 1;
            rest.starts_with('\t').then_some(Mark { line: number, column })
        })
    }

    /// A `KEY:VALUE` in the error's line or the line before it.
    fn narrow_colon(&self) -> Option<Mark> {
        (self.mark.line.saturating_sub(1).max(1)..=self.mark.line).find_map(|number| {
            let line = self.line(number);
            let entry = line.trim_start().trim_start_matches("- ");
            let (key, value) = entry.split_once(':')?;
            let is_key =
                !key.is_empty() && key.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter));
            let is_narrow = !value.is_empty() && !value.starts_with([' ', '\t', '/']);
            (is_key && is_narrow).then(|| Mark { line: number, column: (line.len() - entry.len()) as u64 + 1 })
        })
    }

    fn is_first_colon(&self, line: &str) -> bool {
        line.find(':').is_some_and(|at| at as u64 + 1 >= self.mark.column)
    }
}
