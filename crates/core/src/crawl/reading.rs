//! The reading of one list to its end, and what happens if it can't be read.

use super::{Crawl, Place};
use crate::ids::StreamId;
use crate::outcome::list::{Listing, What};
use crate::outcome::poll::Denial;
use std::time::Duration;

/// A list that is being read, or an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The list or object to read.
    pub listing: Listing,
    /// The offset of the next page; `None` at the beginning.
    pub offset: Option<String>,
    /// The time before which it isn't requested again.
    pub due: Duration,
    /// Whether the stream's own account requests it, because the account for crawls can't access it.
    pub by_own: bool,
    /// The number of this owner's failed tries while Asana answered other requests.
    tries: u32,
    /// The number of pages since the beginning of the list.
    pages: u32,
    /// The number of pages that were read when the offset expired.
    furthest: u32,
    /// The number of this owner's restarts without progress.
    restarts: u32,
    /// How Asana refused the stream's resource when it was requested as another type of resource.
    refused_as: Option<Denial>,
}

/// A list or object that couldn't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The list or object that couldn't be read.
    pub listing: Listing,
    /// The reason, as in the metrics.
    pub reason: String,
}

/// What happens to a list that couldn't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is retried, at once or later. Other lists go first.
    Retried(Listing),
    /// The stream's resource isn't of this type, and is requested as the next one.
    AskedAs(Listing),
    /// It is read in parts.
    Split(Listing),
    /// It is left out: it is listed at the crawl's end, and retried on its own.
    LeftOut(LeftOut),
    /// The resource that it belongs to was deleted during the crawl.
    Gone(Listing),
}

/// The maximum number of tries of a list or object while Asana answers other requests. With the delays between them,
/// this takes about half a minute.
pub const MOST_TRIES: u32 = 6;
/// The maximum number of restarts of a list without progress.
const MOST_RESTARTS: u32 = 3;

impl Reading {
    /// A reading from the beginning of the list.
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

    /// The number of pages that were read, and the number of restarts without progress.
    #[must_use]
    pub fn progress(&self) -> (u32, u32) {
        (self.pages, self.restarts)
    }
}

impl Crawl {
    /// Starts the list again, because its offset expired. A restart doesn't count if the list came further than before.
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

    /// Asana returns no more of this list. It is read in parts, if it has any.
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

    /// Notes that there was no usable answer. The list is retried when it is `due`, and waiting ones go first. It
    /// `counts` if Asana has answered other requests since the last try.
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

    /// The number of failed tries of the current list or object.
    #[must_use]
    pub fn tries(&self) -> u32 {
        match &self.place {
            Place::Reading(reading) => reading.tries,
            Place::Sweeping => 0,
        }
    }

    /// Lets the stream's own account request the current list or object. Returns whether another account did so before.
    pub fn ask_by_own(&mut self) -> bool {
        let Place::Reading(reading) = &mut self.place else { return false };
        !std::mem::replace(&mut reading.by_own, true)
    }

    /// Notes that Asana refuses the current list or object.
    pub fn refused(&mut self, stream: &StreamId, denial: Denial) -> Option<Fate> {
        let Place::Reading(reading) = &mut self.place else { return None };
        let missing = matches!(denial, Denial::NotFound | Denial::BadRequest | Denial::Forbidden);
        if reading.listing.of == stream.resource && missing {
            // A refusal of the right type is more informative than that it isn't of another type.
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

    /// Notes a list or object that couldn't be read.
    pub fn note_left_out(&mut self, left_out: LeftOut) {
        self.incomplete_types.insert(left_out.listing.what.resource_type().to_owned());
        self.left_out.push(left_out);
    }
}
