//! The index against a model of it, and killed in the middle of its work.
use asana_event_bridge::index::{Index, IndexError};
use bridge_core::crawl::known::{Absent, AbsentFrom, Change, Entry, Mark, NOT_VISIBLE, Shortfall, Update};
use bridge_core::ids::{Gid, StreamId};
use bridge_core::outcome::list::{Listing, What};
use chrono::DateTime;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// By number where the gid is one that fits, then by text.
type Order = (bool, i64, String);

fn order(gid: &Gid) -> Order {
    let number = gid.as_str().parse::<i64>().ok().filter(|number| number.to_string() == gid.as_str() && *number >= 0);
    (number.is_none(), number.unwrap_or(0), gid.as_str().to_owned())
}

#[derive(Default)]
struct Model {
    /// With whether a crawl of all of it is known.
    marks: BTreeMap<StreamId, (Mark, bool)>,
    /// With the crawl that passed each.
    entries: BTreeMap<StreamId, BTreeMap<Order, (Gid, Entry, u64)>>,
}

impl Model {
    fn apply(&mut self, (stream, Update { from, to, changes }): &(StreamId, Update)) {
        let (mark, complete) = self.marks.entry(stream.clone()).or_insert((*from, false));
        let entries = self.entries.entry(stream.clone()).or_default();
        if mark != from {
            distrust(entries);
            *complete = false;
        }
        *mark = *to;
        for change in changes {
            match change {
                Change::Clear => {
                    entries.clear();
                    *complete = false;
                }
                Change::Distrust => {
                    distrust(entries);
                    *complete = false;
                }
                Change::Complete => *complete = true,
                Change::Touched { gid, resource_type: None, at } => {
                    if let Some((_, entry, _)) = entries.get_mut(&order(gid)) {
                        entry.touched_at = entry.touched_at.max(at.timestamp_millis());
                    }
                }
                Change::Seen { gid, resource_type, hash, evident, crawl, place } => {
                    let before = entries.get(&order(gid));
                    let (touched_at, passed) = before.map_or((0, 0), |(_, it, passed)| (it.touched_at, *passed));
                    let entry = Entry {
                        resource_type: resource_type.clone(),
                        hash: *hash,
                        evident: *evident,
                        crawl: *crawl,
                        touched_at,
                        place: Some(place.clone()),
                    };
                    entries.insert(order(gid), (gid.clone(), entry, passed));
                }
                Change::Passed { gid, crawl, is_hidden } => {
                    if let Some((_, entry, passed)) = entries.get_mut(&order(gid)) {
                        *passed = *crawl;
                        entry.hash = if *is_hidden { NOT_VISIBLE } else { entry.hash };
                    }
                }
                Change::Touched { gid, resource_type: Some(resource_type), at } => {
                    let resource_type = resource_type.clone();
                    let fresh = Entry { resource_type, hash: 0, evident: 0, crawl: 0, touched_at: 0, place: None };
                    let (_, entry, _) = entries.entry(order(gid)).or_insert_with(|| (gid.clone(), fresh, 0));
                    entry.touched_at = entry.touched_at.max(at.timestamp_millis());
                }
                Change::Gone { gid } => drop(entries.remove(&order(gid))),
            }
        }
    }

    fn compare(&self, index: &Index, gids: &[Gid]) {
        for stream in streams() {
            let entries = self.entries.get(&stream).cloned().unwrap_or_default();
            let marked = self.marks.get(&stream).copied();
            assert_eq!(index.mark(&stream).unwrap(), marked.map(|(mark, _)| mark));
            let (mark, complete) = marked.unwrap_or_default();
            assert_eq!(index.is_trusted(&stream, mark).unwrap(), complete);
            let other = Mark { epoch: mark.epoch, sequence: mark.sequence.wrapping_add(1) };
            assert!(!index.is_trusted(&stream, other).unwrap());
            assert_eq!(index.len(&stream).unwrap(), entries.len() as u64);
            let known: Vec<_> = gids.iter().map(|gid| entries.get(&order(gid)).map(|(_, it, _)| it.clone())).collect();
            assert_eq!(index.look_up(&stream, gids).unwrap(), known);
            for crawl in [1, 2, 500] {
                for scope in [BTreeSet::new(), BTreeSet::from([place(1)])] {
                    let from = AbsentFrom { crawl, scope, unread: BTreeSet::from([place(0)]) };
                    assert_eq!(read_absent(index, &stream, &from), absent(&entries, &from));
                }
                let mut short = index.shortfalls(&stream, crawl, 0, 10).unwrap();
                short.sort_by_key(|it| it.listing.clone());
                assert_eq!(short, shortfalls(&entries, &stream, crawl));
                for (gid, ..) in entries.values() {
                    let below = index.below(&stream, gid, &[What::Tasks, What::Subtasks], crawl, 100).unwrap();
                    assert_eq!(below.into_iter().collect::<BTreeMap<_, _>>(), lies_below(&entries, gid, crawl));
                }
            }
        }
    }
}

fn distrust(entries: &mut Entries) {
    for (_, entry, passed) in entries.values_mut() {
        (entry.hash, entry.evident, entry.crawl, *passed) = (0, 0, 0, 0);
    }
}

type Entries = BTreeMap<Order, (Gid, Entry, u64)>;

fn lacks((_, entry, passed): &(Gid, Entry, u64), crawl: u64) -> bool {
    entry.crawl != crawl && *passed != crawl && entry.touched_at < crawl.cast_signed()
}

fn absent(entries: &Entries, from: &AbsentFrom) -> Vec<Absent> {
    let lacking = entries.values().filter(|it| lacks(it, from.crawl));
    let absent = lacking.filter_map(|(gid, entry, _)| {
        let lies_in = entry.place.as_ref().and_then(|place| entries.get(&order(&place.of)));
        let saw_place = lies_in.is_some_and(|(_, it, _)| it.crawl == from.crawl);
        let is_in_itself = entry.place.as_ref().is_some_and(|place| place.of == *gid);
        let is_asked = !from.scope.is_empty() || lies_in.is_none() || saw_place || is_in_itself;
        let absent = Absent { gid: gid.clone(), entry: entry.clone(), knows_place: lies_in.is_some() };
        (is_asked && from.concerns(gid, entry, saw_place)).then_some(absent)
    });
    absent.collect()
}

fn shortfalls(entries: &Entries, stream: &StreamId, crawl: u64) -> Vec<Shortfall> {
    let mut lists: BTreeMap<Listing, (u64, u64)> = BTreeMap::new();
    for it in entries.values() {
        let Some(place) = &it.1.place else { continue };
        let saw_place = entries.get(&order(&place.of)).is_some_and(|(_, entry, _)| entry.crawl == crawl);
        if saw_place || place.of == stream.resource {
            let (known, unseen) = lists.entry(place.clone()).or_default();
            *known += 1;
            *unseen += u64::from(lacks(it, crawl));
        }
    }
    let short = lists.into_iter().filter(|(_, (known, unseen))| *unseen > 0 && unseen * 100 > known * 10);
    short.map(|(listing, (known, unseen))| Shortfall { listing, known, unseen }).collect()
}

fn lies_below(entries: &Entries, of: &Gid, crawl: u64) -> BTreeMap<Gid, Entry> {
    let mut found: BTreeSet<&Gid> = BTreeSet::from([of]);
    for _ in 0..8 {
        let lies_in = |entry: &Entry| {
            let place = entry.place.as_ref().filter(|place| matches!(place.what, What::Tasks | What::Subtasks));
            place.is_some_and(|place| found.contains(&place.of))
        };
        let deeper: BTreeSet<_> = entries.values().filter(|(_, it, _)| lies_in(it)).map(|(gid, ..)| gid).collect();
        found.extend(deeper);
    }
    let is_root = |gid: &Gid| {
        let place = entries[&order(gid)].1.place.as_ref();
        let place = place.filter(|place| matches!(place.what, What::Tasks | What::Subtasks));
        gid == of && !place.is_some_and(|place| found.contains(&place.of))
    };
    let below = found.iter().filter(|gid| !is_root(gid)).map(|gid| &entries[&order(gid)]);
    let below = below.filter(|(_, entry, _)| entry.crawl != crawl && entry.touched_at < crawl.cast_signed());
    below.map(|(gid, entry, _)| (gid.clone(), entry.clone())).collect()
}

/// In pages of two, so that where one ends is tested, too.
fn read_absent(index: &Index, stream: &StreamId, from: &AbsentFrom) -> Vec<Absent> {
    let mut all: Vec<Absent> = Vec::new();
    loop {
        let page = index.absent(stream, from, all.last().map(|absent| &absent.gid), 2).unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Among them the stream's own resource.
fn place(number: usize) -> Listing {
    let (of, what) =
        [("1", What::Tasks), ("1204619611", What::Subtasks), ("0", What::Tasks), ("x", What::TaskStories)][number];
    Listing { of: Gid::from(of), what }
}

fn streams() -> [StreamId; 3] {
    [StreamId::new("main", "1"), StreamId::new("main", "2"), StreamId::new("other", "1")]
}

/// Asana's, and some that only look like numbers.
fn gids() -> Vec<Gid> {
    let odd =
        ["0", "00", "01", "+1", "-1", "", "x", "9223372036854775807", "9223372036854775808", "99999999999999999999"];
    odd.into_iter().map(Gid::from).chain((0..10).map(|n| Gid::from(format!("120461961{n}")))).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Apply(Vec<(StreamId, Update)>),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let gid = || prop::sample::select(gids());
    let resource_type = || prop::sample::select(vec!["task", "story", "section"]).prop_map(str::to_owned);
    let number = || prop_oneof![0..3_u64, any::<u64>(), Just(u64::MAX)];
    let crawl = || prop::sample::select(vec![0, 1, 2, 500, u64::MAX]);
    let seen = (gid(), resource_type(), number(), crawl(), 0..4_usize).prop_map(
        |(gid, resource_type, hash, crawl, number)| Change::Seen {
            gid,
            resource_type,
            hash,
            evident: !hash,
            crawl,
            place: place(number),
        },
    );
    let touched = (gid(), prop::option::of(resource_type()), prop_oneof![0..1_000_i64, Just(1_900_000_000_000)])
        .prop_map(|(gid, resource_type, at)| Change::Touched {
            gid,
            resource_type,
            at: DateTime::from_timestamp_millis(at).unwrap(),
        });
    let gone = gid().prop_map(|gid| Change::Gone { gid });
    let whole = prop::sample::select(vec![Change::Clear, Change::Distrust, Change::Complete, Change::Complete]);
    let passed = (gid(), crawl(), any::<bool>());
    let passed = passed.prop_map(|(gid, crawl, is_hidden)| Change::Passed { gid, crawl, is_hidden });
    let change = prop_oneof![8 => seen, 2 => passed, 6 => touched, 2 => gone, 1 => whole];
    let stream = || prop::sample::select(streams().to_vec());
    // Few, so that what comes often goes on where the index is.
    let mark = || prop::sample::select(vec![(1, 1), (1, 1), (1, 2), (u64::MAX, u64::MAX)]);
    let update = (mark(), mark(), prop::collection::vec(change, 0..8)).prop_map(|(from, to, changes)| {
        let mark = |(epoch, sequence)| Mark { epoch, sequence };
        Update { from: mark(from), to: mark(to), changes }
    });
    let apply = prop::collection::vec((stream(), update), 1..4);
    prop_oneof![8 => apply.prop_map(Step::Apply), 1 => Just(Step::Reopen)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_index_knows_what_its_model_knows(steps in prop::collection::vec(step(), 1..20)) {
        let folder = tempfile::tempdir().unwrap();
        let (mut index, mut model) = (Index::open(folder.path()).unwrap(), Model::default());
        let gids = gids();
        for step in steps {
            match step {
                Step::Apply(commit) => {
                    index.apply(&commit).unwrap();
                    for part in &commit {
                        model.apply(part);
                    }
                }
                Step::Reopen => {
                    drop(index);
                    index = Index::open(folder.path()).unwrap();
                }
            }
            model.compare(&index, &gids);
        }
    }
}

const KEPT: u64 = 40;

/// Commit n shows the same resources with hash n, and one more: of two streams.
fn commit(n: u64) -> Vec<(StreamId, Update)> {
    let seen = |gid: u64| Change::Seen {
        gid: Gid::from(gid.to_string()),
        resource_type: "task".to_owned(),
        hash: n,
        crawl: 1,
        evident: n,
        place: place(3),
    };
    let changes: Vec<_> = (0..KEPT).chain([KEPT + n]).map(seen).collect();
    let mark = |sequence| Mark { epoch: 1, sequence };
    let update = Update { from: mark(n - 1), to: mark(n), changes };
    streams().into_iter().take(2).map(|stream| (stream, update.clone())).collect()
}

#[test]
#[ignore = "the child of the test below, which runs it"]
fn child_applies_until_it_is_killed() {
    let folder = std::env::var("INDEX_FOLDER").unwrap();
    let mut index = Index::open(Path::new(&folder)).unwrap();
    let last = index.mark(&streams()[0]).unwrap().map_or(0, |mark| mark.sequence);
    for n in last + 1.. {
        index.apply(&commit(n)).unwrap();
        println!("applied {n}");
    }
}

#[test]
fn killed_in_the_middle_mark_and_entries_are_of_the_same_commit() {
    let folder = tempfile::tempdir().unwrap();
    let mut before = 0;
    for round in 0..20_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "index::child_applies_until_it_is_killed", "--ignored", "--nocapture"])
            .env("INDEX_FOLDER", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let applied = |line: String| line.strip_prefix("applied ").map(|n| n.parse::<u64>().unwrap());
        // Different moments, some of them while the journal is carried over.
        let until = before + 1 + round * 37 % 400;
        let reached = lines.by_ref().filter_map(applied).find(|n| *n >= until).expect("the child got there");
        if round == 0 {
            let refused = Index::open(folder.path());
            assert!(matches!(refused, Err(IndexError::Locked(_))), "{refused:?}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let said = lines.filter_map(applied).last().unwrap_or(reached);

        let index = Index::open(folder.path()).unwrap();
        let n = index.mark(&streams()[0]).unwrap().unwrap().sequence;
        assert!(n >= said, "{said} commits were applied, {n} are there");
        for stream in streams().iter().take(2) {
            assert_eq!(index.mark(stream).unwrap(), Some(Mark { epoch: 1, sequence: n }));
            assert_eq!(index.len(stream).unwrap(), KEPT + n);
            let from = AbsentFrom { crawl: 2, scope: BTreeSet::new(), unread: BTreeSet::new() };
            let entries = index.absent(stream, &from, None, usize::MAX).unwrap();
            let hashes = entries.iter().map(|absent| absent.entry.hash);
            assert!(hashes.eq(std::iter::repeat_n(n, KEPT as usize).chain(1..=n)), "of different commits");
        }
        before = n;
    }
}

#[test]
fn a_damaged_store_and_one_of_another_format_are_begun_anew() {
    let file = |folder: &Path| folder.join("index.sqlite3");
    let damages: [&dyn Fn(&Path); 4] = [
        &|folder| std::fs::write(file(folder), b"this is no store").unwrap(),
        &|folder| {
            let mut bytes = std::fs::read(file(folder)).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle..middle + 4096].fill(0xa5);
            std::fs::write(file(folder), bytes).unwrap();
        },
        &|folder| std::fs::File::options().write(true).open(file(folder)).unwrap().set_len(8192).unwrap(),
        &|folder| {
            let store = rusqlite::Connection::open(file(folder)).unwrap();
            store.pragma_update(None, "user_version", 999).unwrap();
        },
    ];
    for damage in damages {
        let folder = tempfile::tempdir().unwrap();
        let mut index = Index::open(folder.path()).unwrap();
        for n in 1..=400 {
            index.apply(&commit(n)).unwrap();
        }
        drop(index);
        damage(folder.path());

        let mut index = Index::open(folder.path()).unwrap();
        assert_eq!(index.mark(&streams()[0]).unwrap(), None);
        index.apply(&commit(1)).unwrap();
        drop(index);
        assert_eq!(Index::open(folder.path()).unwrap().len(&streams()[0]).unwrap(), KEPT + 1);
    }
}

#[test]
fn a_store_that_is_open_is_refused_and_stays_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut index = Index::open(folder.path()).unwrap();
    index.apply(&commit(1)).unwrap();
    assert!(matches!(Index::open(folder.path()), Err(IndexError::Locked(_))));
    index.apply(&commit(2)).unwrap();
    drop(index);
    let mark = Index::open(folder.path()).unwrap().mark(&streams()[0]).unwrap();
    assert_eq!(mark, Some(Mark { epoch: 1, sequence: 2 }));
}

#[test]
fn its_files_are_for_this_user_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut index = Index::open(folder.path()).unwrap();
    index
        .apply(&[(
            StreamId::new("main", "1"),
            Update { from: Mark::default(), to: Mark::default(), changes: Vec::new() },
        )])
        .unwrap();
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap).collect();
    assert!(!files.is_empty());
    for file in files {
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{}", file.path().display());
    }
}
