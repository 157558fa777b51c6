//! Tasks that are in two projects, which two accounts see: the world of the state topic.

use super::asana::{Asana, Life, item, task};
use super::judge_progress::Told;
use bridge_core::engine::{RefreshRead, RefreshRequest};
use bridge_core::ids::{AccountName, Gid, StreamId};
use bridge_core::outcome::list::{Item, ListOutcome, ListPage, Listing, What};
use bridge_core::outcome::poll::Denial;
use bridge_core::record::event::Event;
use chrono::{DateTime, Utc};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// What is known of tasks beyond their projects.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// How often each was made, changed or deleted.
    versions: BTreeMap<u32, u32>,
    modified_at: BTreeMap<u32, DateTime<Utc>>,
    /// What events have told, in order.
    pub(crate) told: Vec<Told>,
    /// Every event is told.
    pub(crate) lossless: bool,
}

impl Shared {
    pub(crate) fn new(lossless: bool) -> Self {
        Self { lossless, ..Self::default() }
    }
}

impl Asana {
    /// A task changes that this stream may show. Other projects may show it, too.
    pub(super) fn happen_to_shared(&mut self, stream: &StreamId, now: DateTime<Utc>, rng: &mut ChaCha8Rng, told: bool) {
        let ids: Vec<StreamId> = self.streams.keys().cloned().collect();
        let at = ids.iter().position(|id| id == stream).unwrap();
        let home = if rng.random_bool(0.5) { at } else { (at + ids.len() - 1) % ids.len() };
        // Those with an even number may be in the next project, too.
        let number = 10 * home as u32 + 2 * rng.random_range(0..3) + u32::from(home == at && rng.random_bool(0.4));
        let other = number.is_multiple_of(2).then(|| ids[(home + 1) % ids.len()].clone());
        let home = ids[home].clone();
        let is_alive = self.streams[&home].tasks.contains_key(&number);
        let is_in_other = other.as_ref().is_some_and(|other| self.streams[other].tasks.contains_key(&number));
        let shared = self.shared.as_mut().unwrap();
        let version = shared.versions.entry(number).or_default();
        *version += 1;
        let version = *version;
        let moves = is_alive && rng.random_bool(0.2);
        // Tags don't count as a modification.
        if !is_alive || moves || rng.random_bool(0.7) {
            shared.modified_at.insert(number, now);
        }
        let mut happened: Vec<(StreamId, &str)> = Vec::new();
        if !is_alive {
            happened.extend(std::iter::once(home).chain(other).map(|id| (id, "added")));
        } else if moves && let Some(other) = other {
            happened = vec![(home, "changed"), (other, if is_in_other { "removed" } else { "added" })];
        } else {
            let action = if rng.random_bool(0.3) { "deleted" } else { "changed" };
            let other = other.filter(|_| is_in_other);
            happened.extend(std::iter::once(home).chain(other).map(|id| (id, action)));
        }
        for (id, action) in happened {
            self.happen_in(&id, number, version, action, now);
            let is_lost = !told || (!self.shared.as_ref().unwrap().lossless && rng.random_bool(0.03));
            self.tell(&id, number, action, now, is_lost);
            if !is_lost {
                let told = Told { stream: id, number, version, at: now };
                self.shared.as_mut().unwrap().told.push(told);
            }
        }
    }

    fn happen_in(&mut self, id: &StreamId, number: u32, version: u32, action: &str, now: DateTime<Utc>) {
        let log = self.streams.get_mut(id).unwrap();
        match action {
            "deleted" | "removed" => {
                log.tasks.remove(&number);
                log.lives.get_mut(&number).unwrap().last_mut().unwrap().died = Some(now);
            }
            _ => {
                if log.tasks.insert(number, version).is_none() {
                    log.lives.entry(number).or_default().push(Life { born: now, died: None });
                }
            }
        }
    }

    fn tell(&mut self, id: &StreamId, number: u32, action: &str, now: DateTime<Utc>, is_lost: bool) {
        let log = self.streams.get_mut(id).unwrap();
        if is_lost {
            log.lost += 1;
            return;
        }
        let parent = matches!(action, "added" | "removed")
            .then(|| serde_json::json!({ "gid": id.resource.as_str(), "resource_type": "project" }));
        let text = serde_json::json!({
            "n": log.events.len(),
            "action": action,
            "created_at": now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            "parent": parent,
            "resource": { "gid": task(number).to_string(), "resource_type": "task" },
        });
        log.events.push(Event::parse(&serde_json::value::to_raw_value(&text).unwrap()));
        log.shown_at.push(now);
    }

    pub(super) fn show(&self, stream: &StreamId, number: u32, changes: u32) -> Item {
        let item = item(task(number), "task", changes, &stream.resource);
        let created_at = self.streams[stream].lives[&number].last().map(|life| life.born);
        let Some(shared) = &self.shared else { return Item { created_at, ..item } };
        let within = self.streams.iter().filter(|(_, log)| log.tasks.contains_key(&number));
        Item {
            created_at,
            within: within.map(|(id, _)| id.resource.clone()).collect(),
            modified_at: shared.modified_at.get(&number).copied(),
            ..item
        }
    }

    /// The task, as the stream's account sees it: in this project, and if tasks are shared, in all projects of the account.
    pub(super) fn find(&self, stream: &StreamId, gid: &Gid) -> Option<Item> {
        let is_seen = |id: &StreamId| id == stream || (self.shared.is_some() && id.account == stream.account);
        self.streams.iter().filter(|(id, _)| is_seen(id)).find_map(|(id, log)| {
            let (number, changes) = log.tasks.iter().find(|(number, _)| task(**number).to_string() == gid.as_str())?;
            Some(self.show(id, *number, *changes))
        })
    }

    /// What a request returns that reads again.
    pub(crate) fn refresh(&self, request: &RefreshRequest, now: DateTime<Utc>) -> ListOutcome {
        let of_account = |account: &AccountName| self.streams.keys().find(|id| id.account == *account).unwrap();
        let (items, next_offset) = match &request.read {
            RefreshRead::One(Listing { of, what: What::Project }) => {
                let id = StreamId::new(request.account.as_str(), of.as_str());
                if !self.streams.contains_key(&id) {
                    return ListOutcome::Denied(Denial::NotFound);
                }
                (vec![item(of.as_str().parse().unwrap(), "project", 0, of)], None)
            }
            RefreshRead::One(listing) => match self.find(of_account(&request.account), &listing.of) {
                Some(found) => (vec![found], None),
                None => return ListOutcome::Denied(Denial::NotFound),
            },
            RefreshRead::Tasks { project, since, offset } => {
                let id = StreamId::new(request.account.as_str(), project.as_str());
                let Some(log) = self.streams.get(&id) else { return ListOutcome::Denied(Denial::NotFound) };
                let items = log.tasks.iter().map(|(number, changes)| self.show(&id, *number, *changes));
                let items: Vec<_> = items.filter(|item| item.modified_at.is_some_and(|at| at >= *since)).collect();
                let from: usize = offset.as_ref().map_or(0, |offset| offset.parse().unwrap());
                let next = (from + 2 < items.len()).then(|| (from + 2).to_string());
                (items.into_iter().skip(from).take(2).collect(), next)
            }
        };
        ListOutcome::Page(ListPage { bytes: 100, items, unidentified: 0, next_offset, received_at: now })
    }

    /// Whether the task lived all the time in any project.
    pub(crate) fn lived(&self, number: u32, from: DateTime<Utc>, to: DateTime<Utc>) -> bool {
        self.streams.values().any(|log| log.lived(number, from, to))
    }
}
