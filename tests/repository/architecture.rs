//! Which way dependencies point: the tables in `docs/architecture.md` against the code.

use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A file beyond this holds two ideas. Lines, tests included.
const LONGEST_FILE: usize = 700;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A row of a table: a place, what of ours it may use, and what it must not name.
#[derive(Debug)]
struct Row {
    place: String,
    may_use: BTreeSet<String>,
    must_not_name: BTreeSet<String>,
}

/// The rows of all tables whose head is `place | what | may use | must not name`.
fn rows() -> Vec<Row> {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).expect("the document");
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
    let mut rows = Vec::new();
    let mut is_in = false;
    for line in text.lines() {
        is_in = line == "| place | what | may use | must not name |" || is_in && line.starts_with('|');
        let cells: Vec<_> = line.split('|').collect();
        let (true, [_, places, _, may_use, must_not_name, _]) = (is_in, cells.as_slice()) else { continue };
        rows.extend(quoted(places).into_iter().map(|place| Row {
            place,
            may_use: quoted(may_use),
            must_not_name: quoted(must_not_name),
        }));
    }
    assert!(rows.len() > 20, "the tables of docs/architecture.md were not found");
    rows
}

fn sources(place: &Path) -> Vec<PathBuf> {
    if place.is_file() {
        return vec![place.to_owned()];
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(place).unwrap_or_else(|error| panic!("{}: {error}", place.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("generated") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The code, without comments and without what stands under `#[cfg(test)]` at the end of the file.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a source");
    let tests = Regex::new(r"\n#\[cfg\(test\)\]\nmod \w+ \{").unwrap();
    let code = tests.split(&text).next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Crates of ours, as a dependency and as the tables call them.
const CRATES: [(&str, &str); 4] = [
    ("asana_simulator", "simulator"),
    ("bridge_consumer", "consumer"),
    ("bridge_contract", "contract"),
    ("bridge_core", "core"),
];

/// The first names of the paths of ours in the code: modules of its own crate, and other crates.
fn named(code: &str) -> BTreeSet<String> {
    let modules = Regex::new(r"\bcrate::([a-z_0-9]+)").unwrap();
    let modules = modules.captures_iter(code).map(|found| found[1].to_owned());
    let crates = CRATES.iter().filter(|(name, _)| code.contains(&format!("{name}::")));
    modules.chain(crates.map(|(_, name)| (*name).to_owned())).collect()
}

#[test]
fn dependencies_point_the_way_that_the_architecture_says() {
    let rows = rows();
    let mut wrong = Vec::new();
    for Row { place, may_use, must_not_name } in &rows {
        let own = Path::new(place).file_stem().unwrap().to_str().unwrap().to_owned();
        let is_crate = place.starts_with("crates/") && !place.contains("/src/");
        let mut used = BTreeSet::new();
        for file in sources(&root().join(place)) {
            if is_crate && !file.starts_with(root().join(place).join("src")) {
                continue;
            }
            let code = code(&file);
            // Inside a crate's own row its modules don't count: they have rows of their own.
            let names = named(&code).into_iter().filter(|name| *name != own);
            let names =
                names.filter(|name| !is_crate || CRATES.iter().any(|(_, it)| it == name)).collect::<BTreeSet<_>>();
            let strange = names.difference(may_use).map(|name| format!("{} uses {name}", file.display()));
            wrong.extend(strange);
            used.extend(names);
            let forbidden = must_not_name.iter().filter(|name| code.contains(name.as_str()));
            wrong.extend(forbidden.map(|name| format!("{} names {name}", file.display())));
        }
        let unused = may_use.difference(&used);
        wrong.extend(unused.map(|name| format!("{place} doesn't use {name}: remove it from the table")));
    }
    let places: BTreeSet<_> = rows.iter().map(|row| row.place.as_str()).collect();
    for folder in ["src", "crates/core/src", "crates"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let is_root = ["lib.rs", "main.rs", "generated"].contains(&name.as_str());
            let place = format!("{folder}/{name}");
            if !is_root && !places.contains(place.as_str()) {
                wrong.push(format!("{place} is in no table"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A module by its path from the crate's root.
type Module = Vec<String>;

/// The modules of a crate, each with its file.
fn modules(source: &Path) -> BTreeMap<Module, PathBuf> {
    let module = |file: &Path| {
        let path = file.strip_prefix(source).unwrap().with_extension("");
        let mut names: Module = path.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
        names.pop_if(|last| ["mod", "lib"].contains(&last.as_str()));
        names
    };
    sources(source).into_iter().map(|file| (module(&file), file)).collect()
}

/// The modules of a crate, and those that each names by `crate::` or `super::`.
fn imports(source: &Path) -> BTreeMap<Module, BTreeSet<Module>> {
    let files = modules(source);
    let path =
        Regex::new(r"\b(crate|super)((?:::super)*)((?:::[A-Za-z_0-9]+)*)(::\{(?:[^{}]|\{[^{}]*\})*\})?").unwrap();
    let group = Regex::new(r"\{[^{}]*\}").unwrap();
    let first = Regex::new(r"(?:^|,)\s*([A-Za-z_0-9]+)").unwrap();
    let named = |from: &Module, code: &str| {
        let mut named = BTreeSet::new();
        for found in path.captures_iter(code) {
            let ups = 1 + found[2].matches("super").count();
            let base = if &found[1] == "crate" { &[][..] } else { &from[..from.len().saturating_sub(ups)] };
            let names = found[3].split("::").filter(|name| !name.is_empty());
            let target: Module = base.iter().map(String::as_str).chain(names).map(str::to_owned).collect();
            let within = found.get(4).map_or("", |it| it.as_str().trim_start_matches("::"));
            let within = within.strip_prefix('{').and_then(|it| it.strip_suffix('}')).unwrap_or_default();
            let within = group.replace_all(within, "");
            let parts: Vec<_> = first.captures_iter(&within).map(|it| it[1].to_owned()).collect();
            let targets = parts.into_iter().map(|part| [target.clone(), vec![part]].concat()).chain([target.clone()]);
            for mut target in targets {
                while !files.contains_key(&target) && target.pop().is_some() {}
                // A module and what it is made of use each other.
                if !target.starts_with(from) && !from.starts_with(&target) {
                    named.insert(target);
                }
            }
        }
        named
    };
    files.iter().map(|(module, file)| (module.clone(), named(module, &code(file)))).collect()
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let crates = std::fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    for folder in crates.chain([root().to_owned()]) {
        let mut open = imports(&folder.join("src"));
        // What imports nothing that is left is in no circle.
        loop {
            let before = open.len();
            let left: BTreeSet<_> = open.keys().cloned().collect();
            open.retain(|_, imports| imports.iter().any(|module| left.contains(module)));
            if open.len() == before {
                break;
            }
        }
        // Nor is what nothing that is left imports.
        loop {
            let imported: BTreeSet<_> = open.values().flatten().cloned().collect();
            let before = open.len();
            open.retain(|module, _| imported.contains(module));
            if open.len() == before {
                break;
            }
        }
        let show = |module: &Module| module.join("::");
        let circle: Vec<_> = open
            .iter()
            .map(|(module, imports)| {
                let imports: Vec<_> = imports.iter().filter(|it| open.contains_key(*it)).map(show).collect();
                format!("{} imports {}", show(module), imports.join(", "))
            })
            .collect();
        assert!(circle.is_empty(), "{}: a circle in\n{}", folder.display(), circle.join("\n"));
    }
}

/// The sinks are the modules of `src/sink` that write batches. `any` is the one that knows all of them.
#[test]
fn the_sinks_do_not_know_each_other() {
    let source = root().join("src");
    let writes = |file: &Path| code(file).contains(" Committer for ");
    let is_sink = |module: &Module, file: &Path| module.len() == 2 && module[0] == "sink" && writes(file);
    let found = modules(&source).into_iter().filter(|(module, file)| is_sink(module, file) && module[1] != "any");
    let sinks: Vec<_> = found.map(|(module, _)| module).collect();
    assert!(sinks.len() > 2, "the sinks were not found: {sinks:?}");
    for (module, imported) in imports(&source) {
        let Some(own) = sinks.iter().find(|sink| module.starts_with(sink)) else { continue };
        for other in sinks.iter().filter(|sink| *sink != own) {
            let is_named = imported.iter().any(|it| it.starts_with(other));
            assert!(!is_named, "{} names {}", module.join("::"), other.join("::"));
        }
    }
}

#[test]
fn no_file_holds_two_ideas() {
    for file in ["src", "crates"].iter().flat_map(|folder| sources(&root().join(folder))) {
        let lines = std::fs::read_to_string(&file).expect("a source").lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines", file.display());
    }
}

#[test]
fn every_file_that_the_architecture_names_exists() {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).expect("the document");
    let path = Regex::new(r"^[\w.-]+(/[\w.-]+)+$|^[\w-]+\.(rs|md|toml|yaml)$").unwrap();
    // What the text names a path relative to.
    let within = ["", "crates/core/src", "crates/core/src/record/event", "docs", "helm/asana-event-bridge", "src/sink"];
    let within = within.map(|folder| root().join(folder));
    let words = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let named: Vec<_> = words.filter(|word| path.is_match(word)).collect();
    assert!(named.len() > 60, "the paths were not found");
    let missing: Vec<_> = named.into_iter().filter(|word| !within.iter().any(|it| it.join(word).exists())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
