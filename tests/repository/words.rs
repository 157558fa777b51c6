//! Texts that users read have no word of the table "Not these" in `docs/words.md`.
use regex::Regex;
use std::path::{Path, PathBuf};

/// Folders without texts of ours.
const SKIPPED: &[&str] = &["target", "node_modules", ".git", ".venv", "testdata"];
/// Source files and folders whose strings and doc comments users read, in the root and in each crate.
const SOURCES: &[&str] = &["src/commands/cli.rs", "src/config"];
/// Crates of which users read all strings and doc comments.
const CRATES: &[&str] = &["crates/consumer/src", "crates/contract"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Which parts of a file count.
#[derive(Clone, Copy)]
enum Part {
    All,
    /// Strings and doc comments of Rust, without the tests at the end of the file.
    Rust,
}

/// A word of a text, in lower case.
#[derive(Debug)]
struct Word {
    text: String,
    line: usize,
    /// Whether only white space and marks of comments are between this word and the one before it.
    follows: bool,
}

/// A word, or words in a row, that must not be there, and what to write instead.
struct Forbidden {
    words: Vec<String>,
    instead: String,
}

fn words_of(text: &str) -> Vec<Word> {
    let tokens = Regex::new(r"(?s)[\w\-'’]+|.").unwrap();
    let (mut words, mut line, mut follows) = (Vec::new(), 1, false);
    for token in tokens.find_iter(text) {
        let token = token.as_str();
        let word = token.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
        if !word.is_empty() {
            words.push(Word { text: word.to_lowercase(), line, follows });
            follows = true;
            continue;
        }
        line += usize::from(token == "\n");
        follows &= token.chars().all(|c| c.is_whitespace() || "-/#*`!\"\\>".contains(c));
    }
    words
}

/// The rows of the table under the heading "Not these".
fn forbidden(glossary: &str) -> Vec<Forbidden> {
    let (_, table) = glossary.split_once("\n## Not these\n").expect("the heading of the table");
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(2);
    let mut found = Vec::new();
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [words, instead] = cells[..] else { panic!("a row has two cells: {row}") };
        for phrase in words.split(',') {
            let words = words_of(phrase).into_iter().map(|word| word.text).collect::<Vec<_>>();
            assert!(!words.is_empty(), "an empty word: {row}");
            found.push(Forbidden { words, instead: instead.to_owned() });
        }
    }
    assert!(found.len() > 20, "the table is there");
    found
}

/// The text with everything blanked but strings and doc comments, so that lines stay where they are.
fn strings_and_docs(source: &str) -> String {
    let code = source.split("\n#[cfg(test)]\nmod ").next().unwrap();
    let mut kept = String::with_capacity(code.len());
    let mut is_string = false;
    for line in code.split_inclusive('\n') {
        let trimmed = line.trim_start();
        if !is_string && (trimmed.starts_with("///") || trimmed.starts_with("//!")) {
            kept.push_str(line);
            continue;
        }
        let mut letters = line.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\n' => kept.push('\n'),
                '"' => {
                    is_string = !is_string;
                    // What ends a text ends a phrase, too.
                    kept.push_str(" ; ");
                }
                '\\' if is_string => {
                    kept.push(' ');
                    letters.next_if(|next| *next != '\n');
                }
                '/' if !is_string && letters.peek() == Some(&'/') => {
                    kept.push('\n');
                    break;
                }
                // A quotation mark as a character begins no string.
                '\'' if !is_string && letters.next_if_eq(&'"').is_some() => kept.push(' '),
                letter if is_string => kept.push(letter),
                _ => kept.push(' '),
            }
        }
    }
    kept
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn has(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|it| it == extension)
}

/// All files under the place, which may be a file itself, or not there.
fn files(place: &Path, found: &mut Vec<PathBuf>) {
    if place.is_file() {
        found.push(place.to_owned());
    } else if let Ok(entries) = std::fs::read_dir(place) {
        let mut entries: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        entries.retain(|path| !SKIPPED.contains(&name_of(path)));
        entries.sort();
        for path in entries {
            files(&path, found);
        }
    }
}

fn files_where(place: &str, is_ours: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root().join(place), &mut found);
    found.retain(|path| is_ours(name_of(path)));
    found
}

/// All texts that users read.
fn texts() -> Vec<(PathBuf, Part)> {
    let of_chart = |name: &str| {
        matches!(name, "values.yaml" | "NOTES.txt" | "prometheusrule.yaml") || has(name, "md") || has(name, "json")
    };
    let mut prose = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    let docs = files_where("docs", |name| has(name, "md") && name != "words.md");
    assert!(docs.len() > 10, "the documentation is there");
    prose.extend(docs);
    prose.extend(files_where("helm", of_chart));
    prose.extend(files_where("proto", |name| has(name, "proto")));
    prose.extend(files_where("docs/recipes", |name| has(name, "py")));
    prose.extend(files_where("examples", |name| name.starts_with("README")));
    prose.extend(files_where("clients", |name| {
        ["md", "py", "java", "ts"].iter().any(|it| has(name, it)) || has(name, "go") && !name.ends_with(".pb.go")
    }));
    prose.extend(files_where("crates", |name| has(name, "proto") || has(name, "md")));

    let is_rust = |name: &str| has(name, "rs");
    let mut sources = Vec::new();
    for place in SOURCES.iter().chain(CRATES) {
        sources.extend(files_where(place, is_rust));
    }
    if let Ok(crates) = std::fs::read_dir(root().join("crates")) {
        for member in crates.map(|entry| entry.expect("an entry").path()) {
            for place in SOURCES {
                files(&member.join(place), &mut sources);
            }
        }
    }
    sources.retain(|path| is_rust(name_of(path)) && name_of(path) != "tests.rs");
    sources.sort();
    sources.dedup();

    let prose = prose.into_iter().map(|path| (path, Part::All));
    prose.chain(sources.into_iter().map(|path| (path, Part::Rust))).collect()
}

/// Each forbidden word of the text, by its line, with what to write instead.
fn findings(text: &str, forbidden: &[Forbidden]) -> Vec<(usize, String)> {
    let words = words_of(text);
    let mut found = Vec::new();
    for (at, first) in words.iter().enumerate() {
        for Forbidden { words: phrase, instead } in forbidden {
            let Some(these) = words.get(at..at + phrase.len()) else { continue };
            let is_phrase = these.iter().zip(phrase).all(|(word, wanted)| word.text == *wanted)
                && these.iter().skip(1).all(|word| word.follows);
            if is_phrase {
                found.push((first.line, format!("\"{}\": write {instead}", phrase.join(" "))));
            }
        }
    }
    found
}

#[test]
fn texts_for_users_use_the_words_of_the_glossary() {
    let read =
        |path: &Path| std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let forbidden = forbidden(&read(&root().join("docs/words.md")));
    let mut wrong = Vec::new();
    for (path, part) in texts() {
        let text = match part {
            Part::All => read(&path),
            Part::Rust => strings_and_docs(&read(&path)),
        };
        let name = path.strip_prefix(root()).unwrap_or(&path).display();
        wrong.extend(findings(&text, &forbidden).into_iter().map(|(line, what)| format!("{name}:{line}: {what}")));
    }
    assert!(wrong.is_empty(), "{} words of docs/words.md, \"Not these\":\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn words_are_found_whole_in_any_case_and_across_lines() {
    let glossary = "\n## Not these\n\n| not | but |\n| --- | --- |\n";
    let rows = (0..20).map(|number| format!("| word{number} | x |\n")).collect::<Vec<_>>().concat();
    let table = forbidden(&format!("{glossary}| bell, time-out | webhook |\n| by and by | later |\n{rows}"));
    let lines = |text: &str| findings(text, &table).into_iter().map(|(line, _)| line).collect::<Vec<_>>();
    assert_eq!(lines("A Bell.\nbells, bell_x, a time-out"), [1, 2]);
    assert_eq!(lines("/// it ends by\n/// and by, or by and. By"), [1]);
}

#[test]
fn of_rust_only_strings_and_doc_comments_count() {
    let source = "//! bell 1\nlet bell = 2; // bell\nlog(\"a \\\"bell\\\"\n  bell\"); '\"' bell\n/// bell\n#[cfg(test)]\nmod tests { \"bell\" }";
    let kept = strings_and_docs(source);
    let found: Vec<_> = words_of(&kept).into_iter().filter(|word| word.text == "bell").map(|word| word.line).collect();
    assert_eq!(found, [1, 3, 4, 5]);
}
