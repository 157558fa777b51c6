//! The state index: its size, and how fast it takes up listings and events and finds what is gone.
//! `make bench-index`; `RESOURCES` sets how many.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "a test may stop at the first surprise, look at the clock, and print"
)]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![allow(missing_docs, reason = "a program, not a library")]

use asana_event_bridge::index::Index;
use bridge_core::crawl::known::{AbsentFrom, Change, Mark, Update};
use bridge_core::ids::{Gid, StreamId};
use bridge_core::outcome::list::{Listing, What};
use chrono::DateTime;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

/// Asana's page: what a commit brings of a listing.
const PAGE: u64 = 100;
/// What a busy commit brings of events.
const EVENTS: u64 = 50;
/// A crawl by when it began: as large as a crawl's number may get.
const CRAWLS: [u64; 3] = [1_767_000_000_000, 1_767_100_000_000, 1_767_200_000_000];

/// Random gids are within so many, and have nothing in common with it, so that no two are the same.
const SPAN: u128 = 10_000_000_000_000;
const SCATTER: u128 = 7_390_751_234_567;

fn main() {
    let resources = std::env::var_os("RESOURCES").map_or(1_000_000, |it| it.to_string_lossy().parse().unwrap());
    println!("machine: {}", machine());
    let many = (resources / 1_000).max(1);
    for (streams, gids) in [(many, Gids::Sorted), (many, Gids::Random), (1, Gids::Sorted), (1, Gids::Random)] {
        Load { streams, resources, gids }.measure();
    }
}

/// In which order gids come: made one after the other, or years apart.
#[derive(Clone, Copy, Debug)]
enum Gids {
    Sorted,
    Random,
}

struct Load {
    streams: u64,
    resources: u64,
    gids: Gids,
}

impl Load {
    fn measure(&self) {
        let folder = tempfile::tempdir().unwrap();
        let each = self.resources / self.streams;
        println!("\n{} streams of {each} resources, gids {:?}", self.streams, self.gids);
        let mut index = Index::open(folder.path()).unwrap();

        let start = Instant::now();
        self.list(&mut index, CRAWLS[0], false);
        say("first listing, commits of 100", start, self.resources);
        self.say_size("after it", folder.path());

        let touches = (self.resources / 5).next_multiple_of(EVENTS);
        let start = Instant::now();
        self.touch(&mut index, touches);
        say("events, commits of 50, looked up first", start, touches);

        let start = Instant::now();
        self.list(&mut index, CRAWLS[1], true);
        say("second listing, looked up first", start, self.resources);
        self.say_size("while it is open", folder.path());

        for (what, crawl) in [("nothing is unseen", CRAWLS[1]), ("all is unseen, pages of 1,000", CRAWLS[2])] {
            let start = Instant::now();
            let found = self.unseen(&index, crawl);
            assert_eq!(found, if crawl == CRAWLS[1] { 0 } else { self.resources });
            println!("  {what:<40} {:>9.2} s", start.elapsed().as_secs_f64());
        }
        drop(index);
        self.say_size("closed", folder.path());
        let start = Instant::now();
        let index = Index::open(folder.path()).unwrap();
        println!("  {:<40} {:>9.2} s", "opened again", start.elapsed().as_secs_f64());
        assert_eq!(index.len(&stream_id(0)).unwrap(), each);
        println!("  {:<40} {:>9} MiB", "most memory so far", peak() / 1_024);
    }

    fn gid(&self, stream: u64, number: u64) -> Gid {
        let place = u128::from(stream * (self.resources / self.streams) + number);
        let gid = match self.gids {
            Gids::Sorted => 1_204_619_611_000_000 + place * 37,
            Gids::Random => 1_200_000_000_000_000 + place * SCATTER % SPAN,
        };
        Gid::from(gid.to_string())
    }

    fn list(&self, index: &mut Index, crawl: u64, look_up: bool) {
        let each = self.resources / self.streams;
        for stream in 0..self.streams {
            let id = stream_id(stream);
            for first in (0..each).step_by(PAGE as usize) {
                let gids: Vec<_> = (first..each.min(first + PAGE)).map(|number| self.gid(stream, number)).collect();
                if look_up {
                    assert!(index.look_up(&id, &gids).unwrap().iter().all(Option::is_some));
                }
                let seen = |gid: &Gid| Change::Seen {
                    gid: gid.clone(),
                    resource_type: "task".to_owned(),
                    hash: mixed(gid.as_str().parse().unwrap()),
                    evident: 1,
                    crawl,
                    place: Listing { of: Gid::from("1"), what: What::Tasks },
                };
                let changes: Vec<_> = gids.iter().map(seen).collect();
                index.apply(&[(id.clone(), update(changes))]).unwrap();
            }
        }
    }

    /// Events of any stream, several streams in a commit.
    fn touch(&self, index: &mut Index, touches: u64) {
        for first in (0..touches).step_by(EVENTS as usize) {
            let mut commit: BTreeMap<u64, Vec<Change>> = BTreeMap::new();
            for number in first..first + EVENTS {
                let place = mixed(number) % self.resources;
                let each = self.resources / self.streams;
                let (stream, gid) = (place / each, self.gid(place / each, place % each));
                assert!(index.look_up(&stream_id(stream), std::slice::from_ref(&gid)).unwrap()[0].is_some());
                let at = DateTime::from_timestamp_millis(1_767_000_000_000 + number.cast_signed()).unwrap();
                commit.entry(stream).or_default().push(Change::Touched {
                    gid,
                    resource_type: Some("task".to_owned()),
                    at,
                });
            }
            let commit: Vec<_> =
                commit.into_iter().map(|(stream, changes)| (stream_id(stream), update(changes))).collect();
            index.apply(&commit).unwrap();
        }
    }

    fn unseen(&self, index: &Index, crawl: u64) -> u64 {
        let mut found = 0;
        for stream in (0..self.streams).map(stream_id) {
            let mut after = None;
            let from = AbsentFrom { crawl, scope: BTreeSet::new(), unread: BTreeSet::new() };
            loop {
                let page = index.absent(&stream, &from, after.as_ref(), 1_000).unwrap();
                found += page.len() as u64;
                match page.into_iter().last() {
                    Some(absent) => after = Some(absent.gid),
                    None => break,
                }
            }
        }
        found
    }

    /// What the files of the folder take of the disk, the journal too.
    fn say_size(&self, when: &str, folder: &Path) {
        let bytes: u64 = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
        println!("  {:<40} {:>9.1} bytes each", format!("on disk {when}"), bytes as f64 / self.resources as f64);
    }
}

/// The mark stays, so that the index sees nothing missing.
fn update(changes: Vec<Change>) -> Update {
    let mark = Mark { epoch: CRAWLS[0], sequence: 1 };
    Update { from: mark, to: mark, changes }
}

fn stream_id(number: u64) -> StreamId {
    StreamId::new("main", format!("12046196114{number:05}"))
}

fn say(what: &str, start: Instant, count: u64) {
    println!("  {what:<40} {:>9.0} a second", count as f64 / start.elapsed().as_secs_f64());
}

fn mixed(number: u64) -> u64 {
    let once = (number ^ (number >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let twice = (once ^ (once >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    twice ^ (twice >> 32)
}

/// Peak resident memory of this process, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} cores,{}", model.trim_start_matches([' ', '\t', ':']).to_owned())
}
