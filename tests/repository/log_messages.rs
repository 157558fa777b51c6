//! Log messages are short constants, and `docs/operations/alerts.md` explains each one that is a warning or an error.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Length of a message, in characters.
const LONGEST: usize = 70;

/// Folders below a `src` or of `crates` without log messages of the bridge: the simulator, and generated code.
const SKIPPED: [&str; 2] = ["simulator", "pb"];

const DOCUMENT: &str = "docs/operations/alerts.md";
const SECTION: &str = "## Log messages";

/// A call of a logging macro.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    level: String,
    target: Option<String>,
    /// `None` if no argument is a string of its own.
    message: Option<String>,
    line: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

/// The tokens of Rust code with their lines, without comments, characters and lifetimes.
fn tokens(code: &str) -> Vec<(usize, Token)> {
    let letters: Vec<char> = code.chars().collect();
    let at = |place: usize| letters.get(place).copied().unwrap_or('\0');
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let (mut found, mut place, mut line) = (Vec::new(), 0, 1);
    while place < letters.len() {
        let (start, begun) = (place, line);
        match at(place) {
            '/' if at(place + 1) == '/' => {
                while place < letters.len() && at(place) != '\n' {
                    place += 1;
                }
            }
            '/' if at(place + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(place), at(place + 1)) {
                        ('/', '*') => (depth, place) = (depth + 1, place + 2),
                        ('*', '/') => (depth, place) = (depth - 1, place + 2),
                        _ => place += 1,
                    }
                    if depth == 0 || place >= letters.len() {
                        break;
                    }
                }
            }
            '\'' if at(place + 1) == '\\' => {
                place += 3;
                while place < letters.len() && at(place) != '\'' {
                    place += 1;
                }
                place += 1;
            }
            '\'' if at(place + 2) == '\'' => place += 3,
            '"' => {
                let mut text = String::new();
                place += 1;
                while place < letters.len() && at(place) != '"' {
                    if at(place) == '\\' && at(place + 1) == '\n' {
                        place += 1;
                        while at(place).is_whitespace() {
                            place += 1;
                        }
                        continue;
                    }
                    if at(place) == '\\' {
                        place += 1;
                    }
                    text.push(at(place));
                    place += 1;
                }
                place += 1;
                found.push((begun, Token::Text(text)));
            }
            letter if is_word(letter) => {
                while is_word(at(place)) {
                    place += 1;
                }
                let word: String = letters[start..place].iter().collect();
                let hashes = letters[place..].iter().take_while(|letter| **letter == '#').count();
                if matches!(word.as_str(), "r" | "br" | "cr") && at(place + hashes) == '"' {
                    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                    let from = place + hashes + 1;
                    let length = letters[from..].windows(end.len()).position(|window| window == end).unwrap();
                    found.push((begun, Token::Text(letters[from..from + length].iter().collect())));
                    place = from + length + end.len();
                } else {
                    found.push((begun, Token::Word(word)));
                }
            }
            letter => {
                if !letter.is_whitespace() && letter != '\'' {
                    found.push((begun, Token::Sign(letter)));
                }
                place += 1;
            }
        }
        line += letters[start..place.min(letters.len())].iter().filter(|letter| **letter == '\n').count();
    }
    found
}

/// The calls of logging macros in Rust code.
fn calls(code: &str) -> Vec<Call> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    for (place, (line, token)) in tokens.iter().enumerate() {
        let Token::Word(level) = token else { continue };
        let after = [1, 2].map(|next| tokens.get(place + next).map(|(_, token)| token));
        if !LEVELS.contains(&level.as_str()) || after != [Some(&Token::Sign('!')), Some(&Token::Sign('('))] {
            continue;
        }
        let (mut depth, mut arguments) = (1, vec![Vec::new()]);
        for (_, token) in &tokens[place + 3..] {
            match token {
                Token::Sign('(' | '[' | '{') => depth += 1,
                Token::Sign(')' | ']' | '}') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && *token == Token::Sign(',') {
                arguments.push(Vec::new());
            } else {
                arguments.last_mut().unwrap().push(token);
            }
        }
        let message = arguments.iter().find_map(|argument| match argument.as_slice() {
            [Token::Text(text)] => Some(text.clone()),
            _ => None,
        });
        let target = arguments.iter().find_map(|argument| match argument.as_slice() {
            [Token::Word(name), Token::Sign(':'), Token::Text(text)] if name == "target" => Some(text.clone()),
            _ => None,
        });
        found.push(Call { level: level.clone(), target, message, line: *line });
    }
    found
}

/// The repository.
fn root() -> &'static Path {
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.find(|folder| folder.join(DOCUMENT).is_file()).expect("the repository")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    // A folder that is missing has none.
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let is_skipped = |path: &PathBuf| SKIPPED.iter().any(|name| path.ends_with(name));
    entries.map(|entry| entry.expect("an entry").path()).filter(|path| !is_skipped(path)).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let (folders, files): (Vec<_>, Vec<_>) = entries(folder).into_iter().partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

/// All calls of our own in the sources, with their places.
fn all_calls() -> Vec<(String, Call)> {
    let crates = entries(&root().join("crates")).into_iter().map(|folder| folder.join("src"));
    let mut files: Vec<_> = crates.chain([root().join("src")]).flat_map(|folder| sources(&folder)).collect();
    files.sort();
    let mut found = Vec::new();
    for file in files {
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        let text = std::fs::read_to_string(&file).expect("a source");
        // Without the unit tests at its end.
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let calls = calls(code);
        found.extend(calls.into_iter().map(|call| (format!("{name}:{}", call.line), call)));
    }
    assert!(found.len() > 80, "only {} calls were found: where are the sources?", found.len());
    found
}

/// What is wrong with the form of a message.
fn fault(message: &str) -> Option<&'static str> {
    let first = message.chars().next().unwrap_or(' ');
    if !(first.is_lowercase() || first.is_ascii_digit()) {
        Some("it doesn't begin with a lower-case letter")
    } else if message.contains([':', ';']) {
        Some("advice and values are for fields: it has a colon or a semicolon")
    } else if message.contains(['{', '}']) {
        Some("values are for fields: it has a placeholder")
    } else if message.ends_with('.') {
        Some("it ends with a full stop")
    } else if message.chars().count() > LONGEST {
        Some("it is too long")
    } else {
        None
    }
}

/// The messages of the table, with their levels.
fn documented() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root().join(DOCUMENT)).expect("the document");
    let lines = text.lines().skip_while(|line| *line != SECTION).skip(1).take_while(|line| !line.starts_with("## "));
    let mut found = BTreeMap::new();
    for line in lines.filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [message, level, meaning, remedy] = cells.as_slice() else { panic!("not four cells: {line}") };
        assert!(!meaning.is_empty() && !remedy.is_empty(), "{line}");
        let message = message.trim_matches('`').to_owned();
        assert!(found.insert(message, (*level).to_lowercase()).is_none(), "two rows: {line}");
    }
    found
}

#[test]
fn a_message_is_a_short_constant_and_what_varies_is_in_fields() {
    let mut wrong = Vec::new();
    for (place, call) in all_calls() {
        match &call.message {
            Some(message) => wrong.extend(fault(message).map(|fault| format!("{place}: \"{message}\": {fault}"))),
            None => wrong.push(format!("{place}: {}! has no message that is a string of its own", call.level)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_warning_and_error_is_in_the_table_and_none_besides() {
    let mut logged = BTreeSet::new();
    for (_, Call { level, message, .. }) in all_calls() {
        if matches!(level.as_str(), "warn" | "error") {
            logged.extend(message.map(|message| (message, level)));
        }
    }
    let documented: BTreeSet<_> = documented().into_iter().collect();
    let missing = logged.difference(&documented).map(|(message, level)| format!("add `{message}`, {level}"));
    let stale = documented.difference(&logged).map(|(message, level)| format!("remove `{message}`, {level}"));
    let wrong: Vec<_> = missing.chain(stale).collect();
    assert!(wrong.is_empty(), "{DOCUMENT}, {SECTION}:\n{}", wrong.join("\n"));
}

#[test]
fn calls_are_found_however_they_are_written() {
    let code = r##"
        // warn!("in a comment")
        /* error!("in /* another */ comment") */
        fn f<'a>(quote: char, it: &'a str) -> bool { quote == '"' || quote == '\'' || it == "warn!(\"in a string\")" }
        fn g() {
            let raw = r#"error!("in a raw string")"#;
            tracing::warn!(%account, seconds = pause.as_secs(), ?found, hint = "do (this)", "first message");
            tracing::error!(
                target: "librdkafka",
                list = [1, 2].map(|it| format!("{it},")).join(", "), // a comment, too
                "second \
                 message"
            );
            match it { _ => info!("third message") }
            debug!(hint = "no message");
            compile_error!("another macro");
        }
    "##;
    let call = |level: &str, target: Option<&str>, message: Option<&str>, line| Call {
        level: level.to_owned(),
        target: target.map(str::to_owned),
        message: message.map(str::to_owned),
        line,
    };
    let expected = [
        call("warn", None, Some("first message"), 7),
        call("error", Some("librdkafka"), Some("second message"), 8),
        call("info", None, Some("third message"), 14),
        call("debug", None, None, 15),
    ];
    assert_eq!(calls(code), expected);
}
