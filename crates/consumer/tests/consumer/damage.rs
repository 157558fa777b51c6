//! Records lost, doubled and moved at random, lanes cut off or gone: the detector finds each, counts right, and cries never
//! in vain. `make detect RECORDS=10000000` for more of them; `SEED` for others.

use asana_event_bridge_consumer::decode;
use asana_event_bridge_consumer::detect::{Continuity, Detector, Limits, News, Start, Tally, View};
use bridge_contract::Timestamp;
use bridge_contract::pb::{self, record::Body};
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Instant;

const TOPIC: &str = "asana.events";
const SHARDS: u64 = 8;
const LANES: u64 = 12;
/// A record may be late by as many others of all lanes.
const LATE: u64 = 20_000;
/// What the detector may take: its holes, in a B-tree, and the lanes.
const MEMORY_KB: u64 = 64 * 1024;

/// A generator of which the whole log is known to be the same for the same seed (Steele's `SplitMix64`).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What really happened in a shard's lane: by a bit for each record, not by ranges.
#[derive(Default)]
struct Truth {
    /// By epoch: how many were written, and those delivered.
    epochs: BTreeMap<u64, (u64, Vec<u64>)>,
    tally: Tally,
    /// By epoch.
    greatest: BTreeMap<u64, u64>,
}

impl Truth {
    fn write(&mut self, epoch: u64) -> u64 {
        let (written, _) = self.epochs.entry(epoch).or_default();
        *written += 1;
        *written
    }

    fn deliver(&mut self, epoch: u64, sequence: u64) {
        let (_, delivered) = self.epochs.get_mut(&epoch).unwrap();
        let (word, bit) = (sequence as usize / 64, 1 << (sequence % 64));
        if delivered.len() <= word {
            delivered.resize(word + 1, 0);
        }
        let again = delivered[word] & bit != 0;
        delivered[word] |= bit;
        let greatest = self.greatest.entry(epoch).or_default();
        self.tally.read += 1;
        self.tally.duplicates += u64::from(again);
        self.tally.reordered += u64::from(!again && sequence <= *greatest);
        *greatest = sequence.max(*greatest);
        if sequence == 1 && !again {
            // An epoch's start tells how far the one before went: what comes of it now is late.
            if let Some((before, (written, _))) = self.epochs.range(..epoch).next_back() {
                self.greatest.insert(*before, *written);
            }
        }
    }

    /// What a reader can know of, where what was written last was delivered. Where an epoch's start is lost, nobody can say
    /// whether more than it is.
    fn finish(&mut self) -> Tally {
        let mut known_end = true;
        for (epoch, (written, delivered)) in self.epochs.iter().rev() {
            let end = if known_end { *written } else { self.greatest.get(epoch).copied().unwrap_or(0) };
            self.tally.missing += end - delivered.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
            known_end = delivered.first().is_some_and(|word| word & 2 != 0);
        }
        self.tally
    }
}

/// A record on its way: those with the least time come first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Underway {
    at: std::cmp::Reverse<u64>,
    number: std::cmp::Reverse<u64>,
    place: (u32, u32, u64, u64),
    value: Vec<u8>,
}

struct World {
    chance: Chance,
    harm: u64,
    truths: BTreeMap<(u32, u32), Truth>,
    underway: BinaryHeap<Underway>,
    written: u64,
    cut: BTreeMap<(u32, u32), u64>,
    /// As it would be delivered.
    detector: Detector,
    sums: BTreeMap<&'static str, u64>,
}

impl World {
    fn write(&mut self, shard: u32, lane: u32, epoch: u64, body: Option<Body>, sure: bool) {
        let sequence = self.truths.entry((shard, lane)).or_default().write(epoch);
        let position = pb::Position {
            shard,
            epoch,
            lane,
            lane_sequence: sequence,
            stream: if body.is_some() { String::new() } else { "main/1200".to_owned() },
            stream_sequence: u64::from(body.is_none()),
        };
        let value = pb::Record { position: Some(position), received_at: None, body }.encode_to_vec();
        self.written += 1;
        let now = self.written;
        if self.cut.get(&(shard, lane)).is_some_and(|from| now >= *from) {
            return;
        }
        let mut send = |at: u64| {
            let (at, number) = (std::cmp::Reverse(at), std::cmp::Reverse(now));
            self.underway.push(Underway { at, number, place: (shard, lane, epoch, sequence), value: value.clone() });
        };
        // In a million.
        let fate = if sure || self.harm == 0 { u64::MAX } else { self.chance.below(1_000_000) };
        let harm = self.harm;
        if fate < harm {
            // Lost.
        } else if fate < 2 * harm {
            send(now);
            send(now + self.chance.below(LATE));
        } else if fate < 3 * harm {
            send(now + self.chance.below(LATE));
        } else {
            send(now);
        }
        while self.underway.peek().is_some_and(|next| next.at.0 <= now) {
            self.deliver();
        }
    }

    fn deliver(&mut self) {
        let Some(Underway { place: (shard, lane, epoch, sequence), value, .. }) = self.underway.pop() else { return };
        self.truths.get_mut(&(shard, lane)).unwrap().deliver(epoch, sequence);
        let verdict = self.detector.observe(TOPIC, decode::sighting(&value).unwrap());
        if let Continuity::Missing(count) = verdict.continuity {
            *self.sums.entry("told missing").or_default() += count;
        }
        if let Some(News::EpochChanged { missing, .. }) = verdict.news {
            *self.sums.entry("told missing").or_default() += missing.unwrap_or(0);
        }
        *self.sums.entry(verdict.continuity.label()).or_default() += 1;
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var_os(name).map_or(default, |it| it.to_string_lossy().parse().unwrap())
}

/// The greatest memory that this process had, in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Writes `records` in two epochs, of which `harm` in a million are lost, doubled and late (so many each), and cuts lanes.
fn run(records: u64, seed: u64, harm: u64, cuts: usize) {
    let mut chance = Chance(seed);
    let cut: BTreeMap<_, _> = (0..cuts)
        .map(|at| {
            let lane = (chance.below(SHARDS) as u32, chance.below(LANES) as u32);
            // Each fourth is gone from its very start.
            (lane, if at % 4 == 3 { 0 } else { records / 4 + chance.below(records / 2) })
        })
        .collect();
    let mut world = World {
        chance,
        harm,
        truths: BTreeMap::new(),
        underway: BinaryHeap::new(),
        written: 0,
        cut: cut.clone(),
        detector: Detector::new(View::ByLane, Start::Beginning, Limits::default()),
        sums: BTreeMap::new(),
    };
    let start = Instant::now();
    let lanes = || (0..SHARDS as u32).flat_map(|shard| (0..LANES as u32).map(move |lane| (shard, lane)));
    let watermarks = |world: &mut World, epoch: u64, time: u64, sure: bool| {
        for (shard, lane) in lanes() {
            let complete_up_to = Some(Timestamp { seconds: time.cast_signed(), nanos: 0 });
            let lane_sequence = world.truths[&(shard, lane)].epochs[&epoch].0 + 1;
            let own = pb::ShardProgress { shard, epoch, lane_sequence, complete_up_to, empty: false };
            let watermark = pb::Watermark { shards: SHARDS as u32, lanes: LANES as u32, progress: vec![own] };
            world.write(shard, lane, epoch, Some(Body::Watermark(watermark)), sure);
        }
    };
    let mut epoch = 1_000;
    for number in 0..records {
        if number == 0 || number == records / 2 {
            let previous_epoch = if number == 0 { 0 } else { epoch };
            epoch += number;
            for (shard, lane) in lanes() {
                let truth = world.truths.get(&(shard, lane)).and_then(|truth| truth.epochs.get(&previous_epoch));
                let previous_lane_sequence = truth.map_or(0, |(written, _)| *written);
                let start = pb::EpochStart { previous_epoch, previous_lane_sequence };
                world.write(shard, lane, epoch, Some(Body::EpochStart(start)), false);
            }
        }
        if number % 50_000 == 0 {
            watermarks(&mut world, epoch, number, false);
        }
        let (shard, lane) = (world.chance.below(SHARDS) as u32, world.chance.below(LANES) as u32);
        world.write(shard, lane, epoch, None, false);
    }
    watermarks(&mut world, epoch, records, true);
    while !world.underway.is_empty() {
        world.deliver();
    }
    let took = start.elapsed();

    let found: BTreeMap<_, _> =
        world.detector.lanes().into_iter().map(|(key, tally)| ((key.shard, key.lane), tally)).collect();
    let mut sum = Tally::default();
    for (lane, truth) in &mut world.truths {
        let truth = truth.finish();
        if cut.contains_key(lane) {
            // What came of it is judged like the rest; how much its tail has, nobody can know.
            let found = found.get(lane).copied().unwrap_or_default();
            let seen = |tally: Tally| (tally.read, tally.duplicates, tally.reordered, tally.older);
            assert_eq!(seen(found), seen(truth), "shard and lane {lane:?}");
            assert!(found.missing <= truth.missing);
            continue;
        }
        assert_eq!(found[lane], truth, "shard and lane {lane:?}");
        sum = sum.plus(truth);
    }
    let behind: BTreeSet<_> = world.detector.behind().into_iter().map(|it| (it.key.shard, it.key.lane)).collect();
    assert_eq!(behind, cut.keys().copied().collect::<BTreeSet<_>>());
    // Once the holes are dealt with, everything is complete but for the lanes whose tail is lost.
    world.detector.accept_losses();
    let complete = world.detector.complete_up_to(TOPIC).map(|time| time.timestamp());
    assert_eq!(complete == Some(records.cast_signed()), cut.is_empty(), "{complete:?}");
    assert_eq!(world.sums.get("older"), None);
    println!(
        "seed {seed}: {} records written; {} missing, {} duplicates, {} reordered found beside {} lanes cut off, in {took:.1?}; \
         told {:?}; peak memory {} MiB",
        world.written,
        sum.missing,
        sum.duplicates,
        sum.reordered,
        cut.len(),
        world.sums,
        peak_memory() / 1024
    );
    if harm == 0 && cuts == 0 {
        assert_eq!(world.sums.keys().copied().collect::<Vec<_>>(), ["in_order", "told missing"], "a false alarm");
        assert_eq!(world.sums["told missing"], 0);
    }
}

#[test]
fn an_undamaged_log_gives_no_alarm() {
    run(number("RECORDS", 200_000) / 4, number("SEED", 1), 0, 0);
}

#[test]
fn every_loss_duplication_and_reordering_is_found() {
    let before = peak_memory();
    run(number("RECORDS", 200_000), number("SEED", 1), 10_000, 6);
    let truth = number("RECORDS", 200_000) / 8 / 1024;
    let underway = LATE * 2 * 200 / 1024;
    let grown = peak_memory().saturating_sub(before);
    assert!(grown < MEMORY_KB + truth + underway, "{grown} KiB");
}

#[test]
fn heavy_damage_is_found_and_light_damage_too() {
    for (seed, harm) in [(2, 200_000), (3, 10)] {
        run(number("RECORDS", 200_000) / 4, seed, harm, 3);
    }
}
