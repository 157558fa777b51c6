//! The rights that `docs/operations/doctor.md` lists, as the tests grant them: the document is the only list.

use super::blocks::blocks;

/// Whose rights a list of the document has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// A bridge whose topics, or JetStream streams, are there.
    Bridge,
    /// What a bridge needs in addition if it creates them.
    Creator,
    /// What a bridge needs in addition if it refreshes states.
    Refresher,
    /// A login for `tail`, `verify` and `checkpoint list`.
    Reader,
}

/// All that a bridge may need.
pub(crate) const OF_BRIDGE: [Of; 3] = [Of::Bridge, Of::Refresher, Of::Creator];

/// One operation on one resource of Kafka.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Acl {
    pub(crate) operation: String,
    /// `--topic`, `--group` or `--transactional-id`.
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) is_prefix: bool,
}

impl Acl {
    /// What `kafka-acls.sh` is told of it, after `--add` or `--remove`.
    pub(crate) fn arguments(&self, principal: &str) -> Vec<String> {
        let pattern = if self.is_prefix { "prefixed" } else { "literal" };
        let principal = format!("User:{principal}");
        let words = ["--allow-principal", &principal, "--operation", &self.operation, &self.kind, &self.name];
        words.into_iter().chain(["--resource-pattern-type", pattern]).map(str::to_owned).collect()
    }

    /// The same for a deployment whose names begin with this, and not with `asana`.
    pub(crate) fn renamed(&self, name: &str) -> Self {
        let rest = self.name.strip_prefix("asana").expect("a default name");
        Self { name: format!("{name}{rest}"), ..self.clone() }
    }
}

/// The rights on Kafka.
pub(crate) fn of_kafka(of: Of) -> Vec<Acl> {
    let lines = list("Rights on Kafka", of).replace("\\\n", " ");
    let acls: Vec<Acl> = lines.lines().flat_map(acls).collect();
    assert!(!acls.is_empty(), "rights of {of:?}");
    acls
}

/// The subjects on NATS that may be published to.
pub(crate) fn of_nats(of: Of) -> Vec<String> {
    let subjects: Vec<_> = list("Rights on NATS", of).split_whitespace().map(str::to_owned).collect();
    assert!(!subjects.is_empty(), "rights of {of:?}");
    subjects
}

/// Each operation on each resource of a line that is a command.
fn acls(line: &str) -> Vec<Acl> {
    let mut words = line.split_whitespace();
    assert_eq!((words.next(), words.next()), (Some("kafka-acls.sh"), Some("--add")), "{line}");
    let (mut operations, mut resources, mut is_prefix) = (Vec::new(), Vec::new(), false);
    while let Some(option) = words.next() {
        let value = words.next().unwrap_or_else(|| panic!("{option} has a value: {line}"));
        match option {
            "--allow-principal" => {}
            "--operation" => operations.push(value),
            "--topic" | "--group" | "--transactional-id" => resources.push((option, value)),
            "--resource-pattern-type" => is_prefix = value == "prefixed",
            _ => panic!("{option} isn't known: {line}"),
        }
    }
    let acl = |operation: &str, (kind, name): &(&str, &str)| Acl {
        operation: operation.to_owned(),
        kind: (*kind).to_owned(),
        name: (*name).to_owned(),
        is_prefix,
    };
    operations.iter().flat_map(|operation| resources.iter().map(move |it| acl(operation, it))).collect()
}

/// The text of the block under the heading whose first line says whose rights it has.
fn list(heading: &str, of: Of) -> String {
    let first = match of {
        Of::Bridge => "# the bridge",
        Of::Creator => "# the bridge, if it creates what is missing",
        Of::Refresher => "# the bridge, if it refreshes states",
        Of::Reader => "# readers",
    };
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations/doctor.md");
    let text = std::fs::read_to_string(path).expect("the document");
    let (_, section) = text.split_once(&format!("\n### {heading}\n")).expect("the heading");
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks = blocks(section);
    let found = blocks.iter().find_map(|block| block.text.strip_prefix(first)?.strip_prefix('\n'));
    found.unwrap_or_else(|| panic!("no block {first:?} under {heading}")).to_owned()
}
