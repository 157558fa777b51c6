//! A step of a crawl: what the driver does, and what it returns.

use crate::crawl::known::{self, Absent, AbsentFrom, Mark, Shortfall};
use crate::ids::{AccountName, Gid, StreamId};
use crate::outcome::list::{ListOutcome, Listing, What};

/// One step of a stream's crawl.
#[derive(Clone, Debug, PartialEq)]
pub struct CrawlStep {
    /// Says which step an answer is to.
    pub number: u64,
    /// The stream.
    pub stream: StreamId,
    /// What the driver does.
    pub step: Step,
}

/// What a step of a crawl does.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Asks whether the index knows all that was published of the stream, up to this record.
    Compare(Mark),
    /// Reads a page, and looks its items up in the index.
    List {
        /// The account whose credential reads it.
        account: AccountName,
        /// The list.
        listing: Listing,
        /// The page's offset; `None`: the list's beginning.
        offset: Option<String>,
        /// Largest number of items.
        limit: u8,
    },
    /// Asks the index for lists that came short.
    Weigh {
        /// The crawl, as the index calls it.
        crawl: u64,
        /// By more resources than this.
        least: u32,
        /// And by more than this, in percent of what was known.
        percent: u32,
    },
    /// Asks the index for what it knows and the crawl didn't see.
    Sweep {
        /// What is missing from which crawl.
        from: AbsentFrom,
        /// Behind this one, in the index' order.
        after: Option<Gid>,
    },
    /// Reads one object alone, by the stream's own credential, and looks up what it is a part of.
    Ask(Listing),
    /// Asks the index for what lies in something that is gone.
    Below {
        /// The resource that is gone.
        of: Gid,
        /// By these lists.
        lists: &'static [What],
        /// The crawl, as the index calls it.
        crawl: u64,
    },
}

impl Step {
    /// By whose credential Asana is asked, if it is.
    pub(super) fn payer<'a>(&'a self, stream: &'a StreamId) -> Option<&'a AccountName> {
        match self {
            Self::List { account, .. } => Some(account),
            Self::Ask(_) => Some(&stream.account),
            Self::Compare(_) | Self::Weigh { .. } | Self::Sweep { .. } | Self::Below { .. } => None,
        }
    }
}

/// What the index returned.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup<T> {
    /// The index has failed: nothing is known.
    Failed,
    /// What it found.
    Found(T),
}

impl<T: Default> Lookup<T> {
    /// What it found; nothing if it has failed.
    pub(super) fn found(self) -> T {
        match self {
            Self::Failed => T::default(),
            Self::Found(found) => found,
        }
    }
}

impl<T, E> From<Result<T, E>> for Lookup<T> {
    fn from(result: Result<T, E>) -> Self {
        result.map_or(Self::Failed, Self::Found)
    }
}

/// What a step returned.
#[derive(Clone, Debug, PartialEq)]
pub enum CrawlAnswer {
    /// To [`Step::Compare`].
    Compare(bool),
    /// To [`Step::List`], with what the index knows of each item of a page. It isn't asked if there is no page.
    List(ListOutcome, Lookup<Vec<Option<known::Entry>>>),
    /// To [`Step::Weigh`].
    Weigh(Lookup<Vec<Shortfall>>),
    /// To [`Step::Sweep`]; empty where there is no more.
    Sweep(Lookup<Vec<Absent>>),
    /// To [`Step::Ask`], with what the index knows of what the object is a part of.
    Ask(ListOutcome, Option<known::Entry>),
    /// To [`Step::Below`]; empty where there is no more.
    Below(Lookup<Vec<(Gid, known::Entry)>>),
}

impl CrawlAnswer {
    /// A list that gave no page, so that there is nothing to look up.
    #[must_use]
    pub fn without_page(outcome: ListOutcome) -> Self {
        Self::List(outcome, Lookup::Found(Vec::new()))
    }

    /// Whether the index was needed and has failed.
    pub(super) fn lacks_index(&self) -> bool {
        match self {
            Self::List(outcome, known) => matches!((outcome, known), (ListOutcome::Page(_), Lookup::Failed)),
            Self::Weigh(known) => *known == Lookup::Failed,
            Self::Sweep(known) => *known == Lookup::Failed,
            Self::Below(known) => *known == Lookup::Failed,
            Self::Compare(_) | Self::Ask(..) => false,
        }
    }
}
