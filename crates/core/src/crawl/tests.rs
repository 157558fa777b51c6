use super::*;
use crate::checkpoint::crawl::{decode_crawl, encode_crawl};
use crate::outcome::poll::Denial;
use std::time::Duration;

fn item(gid: &str, num_subtasks: u32) -> Item {
    let resource = pb::Resource { gid: gid.to_owned(), ..pb::Resource::default() };
    Item { resource, num_subtasks, ..Item::default() }
}

fn crawl(kind: StreamKind) -> Crawl {
    let id = StreamId::new("main", "9");
    Crawl::begin(&id, kind, Purpose::of(Reason::Initial), DateTime::UNIX_EPOCH)
}

fn reads(crawl: &Crawl) -> Option<(&str, What, Option<&str>)> {
    match &crawl.place {
        Place::Reading(Reading { listing, offset, .. }) => Some((listing.of.as_str(), listing.what, offset.as_deref())),
        Place::Sweeping => None,
    }
}

fn advance(crawl: &mut Crawl, items: &[Item], next_offset: Option<&str>, depth: Depth) {
    let (_, what, _) = reads(crawl).expect("a list");
    crawl.advance(next_offset, items.iter().flat_map(|item| below(what, item, depth)).collect());
}

fn listing(of: &str, what: What) -> Listing {
    Listing { of: of.into(), what }
}

#[test]
fn a_project_is_read_list_by_list_to_its_depth() {
    let (mut crawl, depth) = (crawl(StreamKind::Resource), Depth::Stories);
    assert_eq!(reads(&crawl), Some(("9", What::Project, None)));
    advance(&mut crawl, &[item("9", 0)], None, depth);
    assert_eq!(reads(&crawl), Some(("9", What::Sections, None)));
    advance(&mut crawl, &[item("1", 0)], None, depth);
    assert_eq!(reads(&crawl), Some(("9", What::Tasks, None)));
    advance(&mut crawl, &[item("10", 0)], Some("x"), depth);
    assert_eq!(reads(&crawl), Some(("9", What::Tasks, Some("x"))), "to the end, before what is below");
    assert_eq!(crawl.restart_list(), Some(Fate::Retried(listing("9", What::Tasks))));
    assert_eq!(reads(&crawl), Some(("9", What::Tasks, None)));
    advance(&mut crawl, &[item("11", 1)], None, depth);
    let mut read = Vec::new();
    while let Some((of, what, _)) = reads(&crawl) {
        read.push((of.to_owned(), what));
        let items = if what == What::Subtasks { vec![item("111", 0)] } else { Vec::new() };
        advance(&mut crawl, &items, None, depth);
    }
    let expected =
        [("10", What::TaskStories), ("11", What::Subtasks), ("11", What::TaskStories), ("111", What::TaskStories)];
    assert_eq!(read, expected.map(|(of, what)| (of.to_owned(), what)));
    assert!(crawl.queue.is_empty() && crawl.waiting() == 0);
}

#[test]
fn what_a_stream_watches_is_found_by_asking_and_left_out_by_name_if_it_is_refused() {
    let stream = StreamId::new("main", "9");
    let mut gone = crawl(StreamKind::Resource);
    for what in [What::Task, What::Goal] {
        gone.refused(&stream, Denial::NotFound);
        assert_eq!(reads(&gone), Some(("9", what, None)));
    }
    assert_eq!(gone.refused(&stream, Denial::NotFound), Some(Fate::Gone(listing("9", What::Goal))));
    assert_eq!((reads(&gone), gone.left_out.is_empty()), (None, true));
    let mut hidden = crawl(StreamKind::Resource);
    for denial in [Denial::Forbidden, Denial::NotFound, Denial::NotFound] {
        hidden.refused(&stream, denial);
    }
    let left_out = LeftOut { listing: listing("9", What::Project), reason: "forbidden".to_owned() };
    assert_eq!((reads(&hidden), hidden.left_out.named.as_slice()), (None, [left_out].as_slice()));
    assert_eq!(hidden.left_out.scope(), BTreeSet::from([listing("9", What::Project)]));
}

#[test]
fn a_list_that_fails_holds_up_no_other_and_is_left_out_in_the_end() {
    let mut crawl = crawl(StreamKind::Resource);
    advance(&mut crawl, &[item("9", 0)], None, Depth::Subtasks);
    for _ in 1..MOST_TRIES {
        assert_eq!(reads(&crawl).map(|it| it.1), Some(What::Sections));
        crawl.failed("server", false, Duration::ZERO);
        assert_eq!(reads(&crawl).map(|it| it.1), Some(What::Tasks), "the other one goes first");
        let fate = crawl.failed("server", true, Duration::ZERO);
        assert_eq!(fate, Some(Fate::Retried(listing("9", What::Tasks))));
    }
    crawl.failed("server", false, Duration::ZERO);
    let left_out = LeftOut { listing: listing("9", What::Tasks), reason: "server".to_owned() };
    assert_eq!(crawl.failed("server", true, Duration::ZERO), Some(Fate::LeftOut(left_out.clone())));
    assert_eq!(crawl.left_out.named, [left_out]);
    advance(&mut crawl, &[], None, Depth::Subtasks);
    assert_eq!(reads(&crawl), None);
    let end = crawl.end_record(StreamKind::Resource, Depth::Subtasks);
    assert_eq!(end.complete_types, ["project", "section"]);
    assert_eq!((end.left_out_count, end.left_out[0].what.as_str()), (1, "tasks"));
}

#[test]
fn only_a_list_that_comes_further_is_read_again_without_limit() {
    let mut crawl = crawl(StreamKind::Resource);
    advance(&mut crawl, &[item("9", 0)], None, Depth::Tasks);
    for further in 1..20 {
        for page in 0..further {
            crawl.advance(Some(&page.to_string()), Vec::new());
        }
        assert!(matches!(crawl.restart_list(), Some(Fate::Retried(_))));
    }
    for _ in 0..3 {
        crawl.advance(Some("x"), Vec::new());
        assert!(matches!(crawl.restart_list(), Some(Fate::Retried(_))));
    }
    crawl.advance(Some("x"), Vec::new());
    assert!(matches!(crawl.restart_list(), Some(Fate::LeftOut(_))));
}

#[test]
fn a_list_that_is_too_long_is_read_in_parts() {
    let mut crawl = crawl(StreamKind::Workspace);
    crawl.cut_off();
    assert_eq!(reads(&crawl), Some(("9", What::TeamsToSplit, None)));
    advance(&mut crawl, &[item("5", 0)], None, Depth::Tasks);
    assert_eq!(reads(&crawl), Some(("5", What::TeamProjects, None)));
    advance(&mut crawl, &[item("6", 0)], None, Depth::Tasks);
    advance(&mut crawl, &[], None, Depth::Tasks);
    assert_eq!(reads(&crawl), Some(("6", What::Tasks, None)));
    crawl.cut_off();
    assert_eq!(reads(&crawl), Some(("6", What::SectionsToSplit, None)));
    advance(&mut crawl, &[item("7", 0)], None, Depth::Tasks);
    assert_eq!(reads(&crawl), Some(("7", What::SectionTasks, None)));
    assert!(matches!(crawl.cut_off(), Some(Fate::LeftOut(_))), "a section has no parts");
}

#[test]
fn what_was_read_alone_lies_where_it_says() {
    let id = StreamId::new("main", "9");
    let place = |resource_type: &str, within: &[&str], part_of: Option<(&str, What)>| {
        let mut item = item("1", 0);
        item.resource.resource_type = resource_type.to_owned();
        item.within = within.iter().map(|gid| Gid::from(*gid)).collect();
        item.part_of = part_of.map(|(of, what)| listing(of, what));
        place_of(&id, &item)
    };
    let task = Some(("5", What::Task));
    assert_eq!(place("story", &["5"], task), listing("5", What::TaskStories));
    assert_eq!(place("attachment", &["5"], task), listing("5", What::Attachments));
    assert_eq!(place("task", &["5"], task), listing("5", What::Subtasks));
    assert_eq!(place("task", &["5", "9"], task), listing("9", What::Task), "a subtask that is in the project, too");
    assert_eq!(place("task", &["8"], None), listing("9", What::Task));
    assert_eq!(place("section", &["8"], Some(("8", What::Project))), listing("8", What::Sections));
}

#[test]
fn what_no_list_of_a_workspace_shows_is_never_called_complete() {
    let crawl = crawl(StreamKind::Workspace);
    assert_eq!(crawl.complete_types(StreamKind::Workspace, Depth::Attachments), ["project", "section"]);
    assert_eq!(crawl.complete_types(StreamKind::Resource, Depth::Subtasks), ["project", "section", "task"]);
}

#[test]
fn what_was_left_out_is_restored_from_the_checkpoint() {
    let mut crawl = crawl(StreamKind::Resource);
    advance(&mut crawl, &[item("9", 0)], None, Depth::Subtasks);
    crawl.failed("server", true, Duration::ZERO);
    crawl.refused(&StreamId::new("main", "1"), Denial::Forbidden);
    crawl.scope = BTreeSet::from([listing("4", What::Tasks)]);
    let pieces = (crawl.first_piece..).zip(crawl.queue.iter().cloned()).collect();
    let mut restored = decode_crawl(encode_crawl(&crawl), pieces).expect("a crawl");
    // How often it was tried isn't kept.
    assert_eq!(restored.tries(), 0);
    restored.place = crawl.place.clone();
    assert_eq!(restored, crawl);
}
