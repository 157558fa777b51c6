//! A list on its way to its end, and what becomes of it when it can't be read.

use super::{Crawl, Place};
use crate::ids::StreamId;
use crate::outcome::list::{Listing, What};
use crate::outcome::poll::Denial;
use std::time::Duration;

/// A list that is read, or an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The list or the object.
    pub listing: Listing,
    /// Where in it; `None` at its beginning.
    pub offset: Option<String>,
    /// Not to be asked for before.
    pub due: Duration,
    /// It is asked for by the stream's own account: the account for crawls doesn't see it.
    pub by_own: bool,
    /// How often this owner has tried it in vain while Asana answered otherwise.
    tries: u32,
    /// Pages since its beginning.
    pages: u32,
    /// How many there were when its offset expired.
    furthest: u32,
    /// How often this owner read it again from its beginning and came no further.
    restarts: u32,
    /// How Asana refused the stream's resource as another type of resource.
    refused_as: Option<Denial>,
}

/// What couldn't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Which list, or object.
    pub listing: Listing,
    /// Why, in the words of the metrics.
    pub reason: String,
}

/// What becomes of a list that couldn't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is tried again, at once or later; other lists go first.
    Retried(Listing),
    /// The stream's resource isn't of this type: it is asked for as the next.
    AskedAs(Listing),
    /// It is read in parts.
    Split(Listing),
    /// It is left out: it is named at the crawl's end, and tried again on its own.
    LeftOut(LeftOut),
    /// What it is of was there a moment ago, and is gone.
    Gone(Listing),
}

/// Number of times that a list or an object is tried while Asana answers otherwise. With the delays between, this takes
/// about half a minute.
pub const MOST_TRIES: u32 = 6;
/// Number of times that a list is read again from its beginning without coming further than before.
const MOST_RESTARTS: u32 = 3;

impl Reading {
    /// From its beginning.
    #[must_use]
    pub fn new(listing: Listing) -> Self {
        Self {
            listing,
            offset: None,
            due: Duration::ZERO,
            by_own: false,
            tries: 0,
            pages: 0,
            furthest: 0,
            restarts: 0,
            refused_as: None,
        }
    }

    pub(crate) fn at(self, offset: Option<String>) -> Self {
        Self { offset, ..self }
    }

    pub(super) fn turn(&mut self, offset: String) {
        self.offset = Some(offset);
        self.pages += 1;
        self.tries = 0;
    }

    /// How many pages of it were read, and how often it was read again from its beginning without coming further.
    #[must_use]
    pub fn progress(&self) -> (u32, u32) {
        (self.pages, self.restarts)
    }
}

impl Crawl {
    /// From the list's beginning again: its offset expired. That isn't held against a list that came further than
    /// before.
    pub fn restart_list(&mut self) -> Option<Fate> {
        let Place::Reading(reading) = &mut self.place else { return None };
        let came_further = reading.pages > reading.furthest;
        reading.restarts = if came_further { 0 } else { reading.restarts + 1 };
        reading.furthest = reading.furthest.max(reading.pages);
        (reading.offset, reading.pages) = (None, 0);
        let (listing, restarts) = (reading.listing.clone(), reading.restarts);
        if restarts > MOST_RESTARTS {
            return Some(self.leave_out(listing, "offset_expired"));
        }
        Some(Fate::Retried(listing))
    }

    /// Asana gives no more of this list: it is read in parts, where it has some.
    pub fn cut_off(&mut self) -> Option<Fate> {
        let Place::Reading(reading) = &self.place else { return None };
        let listing = reading.listing.clone();
        let what = if listing.what == What::Tasks {
            What::SectionsToSplit
        } else if listing.what == What::WorkspaceProjects {
            // A project may have no team.
            self.incomplete_types.insert("project".to_owned());
            What::TeamsToSplit
        } else {
            return Some(self.leave_out(listing, "cut_off"));
        };
        self.queue.push_back([Listing { of: listing.of.clone(), what }].into());
        self.next_listing();
        Some(Fate::Split(listing))
    }

    /// No usable answer. The list is tried again when it is `due`, and those that wait go first. It `counts` if Asana
    /// has answered otherwise since it was tried last.
    pub fn failed(&mut self, reason: &str, counts: bool, due: Duration) -> Option<Fate> {
        let Place::Reading(reading) = &mut self.place else { return None };
        reading.tries += u32::from(counts);
        let (listing, tries) = (reading.listing.clone(), reading.tries);
        if tries >= MOST_TRIES {
            return Some(self.leave_out(listing, reason));
        }
        let put_off = Reading { due, ..reading.clone() };
        self.deferred.push_back(put_off);
        self.next_listing();
        Some(Fate::Retried(listing))
    }

    /// How often what is read now was tried in vain.
    #[must_use]
    pub fn tries(&self) -> u32 {
        match &self.place {
            Place::Reading(reading) => reading.tries,
            Place::Sweeping => 0,
        }
    }

    /// The stream's own account asks for what is read now. Whether another one did before.
    pub fn ask_by_own(&mut self) -> bool {
        let Place::Reading(reading) = &mut self.place else { return false };
        !std::mem::replace(&mut reading.by_own, true)
    }

    /// Asana refuses what is read now.
    pub fn refused(&mut self, stream: &StreamId, denial: Denial) -> Option<Fate> {
        let Place::Reading(reading) = &mut self.place else { return None };
        let missing = matches!(denial, Denial::NotFound | Denial::BadRequest | Denial::Forbidden);
        if reading.listing.of == stream.resource && missing {
            // A refusal of what it is tells more than that it isn't another thing.
            let refused_as = reading.refused_as.or_else(|| Some(denial).filter(|it| *it != Denial::NotFound));
            let next = [(What::Project, What::Task), (What::Task, What::Goal)];
            let next = next.into_iter().find(|(what, _)| *what == reading.listing.what);
            if let Some((_, what)) = next {
                let listing = Listing { of: stream.resource.clone(), what };
                let by_own = reading.by_own;
                *reading = Reading { by_own, refused_as, ..Reading::new(listing.clone()) };
                return Some(Fate::AskedAs(listing));
            }
            if let (What::Goal, Some(denial)) = (reading.listing.what, refused_as) {
                let listing = Listing { of: stream.resource.clone(), what: What::Project };
                return Some(self.leave_out(listing, denial.label()));
            }
        }
        let listing = reading.listing.clone();
        if denial == Denial::NotFound {
            self.next_listing();
            return Some(Fate::Gone(listing));
        }
        Some(self.leave_out(listing, denial.label()))
    }

    fn leave_out(&mut self, listing: Listing, reason: &str) -> Fate {
        let left_out = LeftOut { listing, reason: reason.to_owned() };
        self.note_left_out(left_out.clone());
        self.next_listing();
        Fate::LeftOut(left_out)
    }

    /// This couldn't be read.
    pub fn note_left_out(&mut self, left_out: LeftOut) {
        self.incomplete_types.insert(left_out.listing.what.resource_type().to_owned());
        self.left_out.push(left_out);
    }
}
