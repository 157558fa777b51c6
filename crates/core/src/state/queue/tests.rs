use super::*;
use crate::state::Found;
use proptest::prelude::*;

const SHARD: ShardId = ShardId(1);
const SECOND: Duration = Duration::from_secs(1);

fn queue() -> Queue {
    let mut queue = Queue::new(Pace { quiet: 2 * SECOND, longest: 10 * SECOND });
    queue.assign(SHARD, 0);
    queue
}

fn entry(gid: u32, stream: &str) -> Entry {
    Entry {
        gid: Gid::from(gid.to_string()),
        resource_type: "task".to_owned(),
        stream: StreamId::new("main", stream),
        kind: StreamKind::Resource,
        happened_at: DateTime::from_timestamp(100, 0),
        received_at: DateTime::from_timestamp(200, 0).unwrap(),
        deleted: false,
        position: pb::Position::default(),
        found: None,
    }
}

fn main() -> AccountName {
    AccountName::from("main")
}

fn one(job: Option<Job>) -> Ticket {
    match job {
        Some(Job::One(ticket)) => *ticket,
        other => panic!("{other:?} isn't one ticket"),
    }
}

#[test]
fn a_resource_is_read_once_when_it_is_quiet_or_after_the_longest_wait() {
    let mut queue = queue();
    queue.add(SECOND, SHARD, 0, &entry(7, "1"));
    queue.add(2 * SECOND, SHARD, 1, &entry(7, "2"));
    assert_eq!(queue.next_due(&main()), Some(4 * SECOND));
    assert_eq!(queue.take(3 * SECOND, &main(), Thrift::Plenty), None);
    let ticket = one(queue.take(4 * SECOND, &main(), Thrift::Plenty));
    assert_eq!(ticket.streams.len(), 2);
    assert_eq!(queue.take(100 * SECOND, &main(), Thrift::Plenty), None, "both are in one");
    for (place, second) in (2..).zip(20..40) {
        queue.add(second * SECOND, SHARD, place, &entry(7, "1"));
    }
    assert_eq!(queue.next_due(&main()), Some(30 * SECOND), "it never is quiet");
}

#[test]
fn the_log_is_read_up_to_a_mark_once_its_end_was_reached_and_all_before_it_is_done() {
    let at = |second| DateTime::from_timestamp(second, 0).unwrap();
    let mut queue = queue();
    queue.end(SHARD);
    assert_eq!(queue.read_up_to(SHARD), None, "an end without a mark is at no time");
    queue.add(SECOND, SHARD, 0, &entry(7, "1"));
    queue.mark(SHARD, 1, at(300));
    queue.add(SECOND, SHARD, 2, &entry(8, "1"));
    let first = one(queue.take(9 * SECOND, &main(), Thrift::Plenty));
    queue.done(&first);
    assert_eq!(
        queue.read_up_to(SHARD),
        None,
        "an entry before the mark may be gone because of one that wasn't read yet"
    );
    queue.end(SHARD);
    assert_eq!(queue.read_up_to(SHARD), None, "8 was there when the end was reached");
    queue.mark(SHARD, 3, at(400));
    queue.end(SHARD);
    queue.add(9 * SECOND, SHARD, 4, &entry(9, "1"));
    queue.done(&one(queue.clone().take(9 * SECOND, &main(), Thrift::Plenty)));
    assert_eq!(queue.read_up_to(SHARD), Some(at(400)), "9 came later");
    queue.mark(SHARD, 5, at(350));
    queue.end(SHARD);
    let last = one(queue.take(99 * SECOND, &main(), Thrift::Plenty));
    queue.done(&last);
    assert_eq!(queue.read_up_to(SHARD), Some(at(400)), "never earlier than before");
    queue.assign(SHARD, 0);
    assert_eq!(queue.read_up_to(SHARD), None, "a new owner knows nothing");
}

#[test]
fn ends_that_wait_are_bounded_and_the_last_one_counts() {
    let mut queue = queue();
    queue.add(SECOND, SHARD, 0, &entry(7, "1"));
    for place in 1..1_000_u64 {
        queue.mark(SHARD, place, DateTime::from_timestamp(place.cast_signed(), 0).unwrap());
        queue.end(SHARD);
    }
    assert_eq!(queue.parts[&SHARD].ends.len(), MOST_ENDS);
    let first = one(queue.take(9 * SECOND, &main(), Thrift::Plenty));
    queue.done(&first);
    assert_eq!(queue.read_up_to(SHARD), DateTime::from_timestamp(999, 0));
}

#[test]
fn what_comes_while_it_is_read_is_read_again() {
    let mut queue = queue();
    queue.add(SECOND, SHARD, 0, &entry(7, "1"));
    let ticket = one(queue.take(9 * SECOND, &main(), Thrift::Plenty));
    queue.add(9 * SECOND, SHARD, 1, &entry(7, "1"));
    assert_eq!(queue.place_after(SHARD, [&ticket].into_iter()), Some(1));
    queue.done(&ticket);
    let again = one(queue.take(11 * SECOND, &main(), Thrift::Plenty));
    assert_eq!(queue.place_after(SHARD, std::iter::empty()), Some(1));
    assert_eq!(queue.place_after(SHARD, [&again].into_iter()), Some(2));
}

#[test]
fn many_tasks_of_a_project_are_read_by_one_list_and_others_alone() {
    let mut queue = queue();
    for gid in 10..14 {
        queue.add(SECOND, SHARD, gid.into(), &entry(gid, "1"));
    }
    queue.add(SECOND, SHARD, 14, &Entry { resource_type: "story".to_owned(), ..entry(4, "1") });
    queue.add(SECOND, SHARD, 15, &entry(5, "2"));
    queue.add(SECOND, SHARD, 16, &Entry { deleted: true, ..entry(6, "1") });
    let Some(Job::Tasks { project, tickets }) = queue.take(5 * SECOND, &main(), Thrift::Plenty) else {
        panic!("no list")
    };
    assert_eq!((project, tickets.len()), (Gid::from("1"), 4));
    for ticket in tickets {
        queue.put_back(ticket.alone(), 5 * SECOND);
    }
    for _ in 0..7 {
        one(queue.take(5 * SECOND, &main(), Thrift::Plenty));
    }
    assert_eq!(queue.take(5 * SECOND, &main(), Thrift::Plenty), None);
    queue.is_no_project(Gid::from("1"));
    for gid in 10..14 {
        queue.add(SECOND, SHARD, 10 + u64::from(gid), &entry(gid, "1"));
    }
    one(queue.take(50 * SECOND, &main(), Thrift::Plenty));
}

#[test]
fn changes_of_a_project_are_gathered_while_requests_are_scarce() {
    let mut queue = queue();
    queue.add(SECOND, SHARD, 0, &entry(10, "1"));
    one(queue.take(3 * SECOND, &main(), Thrift::Scarce));
    for gid in 11..13 {
        queue.add(5 * SECOND, SHARD, gid.into(), &entry(gid, "1"));
    }
    queue.add(5 * SECOND, SHARD, 13, &entry(13, "2"));
    let other = one(queue.take(9 * SECOND, &main(), Thrift::Scarce));
    assert_eq!(other.gid, Gid::from("13"), "another project was read long ago");
    assert_eq!(queue.take(20 * SECOND, &main(), Thrift::Scarce), None);
    assert_eq!(queue.next_due(&main()), Some(3 * SECOND + GATHERING));
    let job = queue.take(3 * SECOND + GATHERING, &main(), Thrift::Scarce);
    assert!(matches!(job, Some(Job::Tasks { tickets, .. }) if tickets.len() == 2));
}

#[test]
fn a_shard_that_went_and_came_back_begins_from_its_place() {
    let mut queue = queue();
    queue.add(SECOND, SHARD, 0, &entry(7, "1"));
    queue.add(SECOND, SHARD, 1, &entry(8, "1"));
    let old = one(queue.take(9 * SECOND, &main(), Thrift::Plenty));
    queue.assign(SHARD, 0);
    assert!(queue.is_empty(), "it reads its log again");
    queue.put_back(old.clone(), Duration::ZERO);
    queue.done(&old);
    assert!(queue.is_empty() && !queue.is_current(&old));
    queue.add(10 * SECOND, SHARD, 0, &entry(7, "1"));
    assert_eq!(queue.place_after(SHARD, std::iter::empty()), Some(0));
}

#[test]
fn what_a_crawl_saw_leave_doesnt_show_it() {
    let snapshot = pb::Snapshot { change: pb::SnapshotChange::Left.into(), ..pb::Snapshot::default() };
    let found = Some(Found { snapshot, read_after: None });
    let mut queue = queue();
    queue.add(SECOND, SHARD, 0, &Entry { found, ..entry(7, "1") });
    queue.add(SECOND, SHARD, 1, &entry(7, "2"));
    let ticket = one(queue.take(9 * SECOND, &main(), Thrift::Plenty));
    assert_eq!(ticket.streams, [StreamId::new("main", "2")].into());
    assert!(ticket.alone && ticket.asked_by.is_some());
}

#[derive(Clone, Debug)]
enum Step {
    Add(u32),
    Take,
    PutBack(usize),
    Done(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..6_u32).prop_map(Step::Add),
        2 => Just(Step::Take),
        1 => any::<usize>().prop_map(Step::PutBack),
        2 => any::<usize>().prop_map(Step::Done),
    ]
}

proptest! {
    /// Whatever happens in which order: no entry is behind the place before a reading that began after it is done, no
    /// resource is read twice at a time because of one entry, and the place comes to the end when all is done.
    #[test]
    fn the_place_never_passes_what_isnt_done(steps in prop::collection::vec(step(), 1..200)) {
        let mut queue = queue();
        let (mut now, mut place) = (SECOND, 0);
        // The gid of each entry, and whether it is covered by a finished reading.
        let mut entries: Vec<(u32, bool)> = Vec::new();
        let mut taken: Vec<(Ticket, usize)> = Vec::new();
        for step in steps {
            now += SECOND;
            match step {
                Step::Add(gid) => {
                    queue.add(now, SHARD, entries.len() as u64, &entry(gid, &gid.to_string()));
                    entries.push((gid, false));
                }
                Step::Take => {
                    if let Some(Job::One(ticket)) = queue.take(now, &main(), Thrift::Plenty) {
                        taken.push((*ticket, entries.len()));
                    }
                }
                Step::PutBack(at) if !taken.is_empty() => {
                    let (ticket, _) = taken.remove(at % taken.len());
                    queue.put_back(ticket, now);
                }
                Step::Done(at) if !taken.is_empty() => {
                    let (ticket, seen) = taken.remove(at % taken.len());
                    place = queue.place_after(SHARD, std::iter::once(&ticket)).unwrap();
                    queue.done(&ticket);
                    for (gid, is_done) in &mut entries[..seen] {
                        *is_done |= gid.to_string() == ticket.gid.as_str();
                    }
                }
                Step::PutBack(_) | Step::Done(_) => {}
            }
            let first_open = entries.iter().position(|(_, is_done)| !is_done).unwrap_or(entries.len());
            prop_assert!(place <= first_open as u64, "{place} is behind {first_open}");
        }
        for (ticket, _) in taken {
            queue.put_back(ticket, now);
        }
        while let Some(Job::One(ticket)) = queue.take(now + 100 * SECOND, &main(), Thrift::Plenty) {
            place = queue.place_after(SHARD, std::iter::once(ticket.as_ref())).unwrap();
            queue.done(&ticket);
        }
        prop_assert!(queue.is_empty() && queue.oldest().is_none());
        prop_assert!(place == entries.len() as u64 || entries.iter().all(|(_, is_done)| *is_done));
    }
}
