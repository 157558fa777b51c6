//! Objects that refer to each other by index and are never removed.

use std::{
    fmt,
    marker::PhantomData,
    ops::{Index, IndexMut},
};

/// The index of a `T` in its arena.
pub(crate) struct Id<T> {
    index: usize,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> Id<T> {
    /// The order of creation, from 0.
    pub(crate) fn number(self) -> usize {
        self.index
    }
}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}

impl<T> Eq for Id<T> {}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.index)
    }
}

/// All objects of one kind, in the order of their creation.
#[derive(Debug)]
pub(crate) struct Arena<T>(Vec<T>);

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Arena<T> {
    pub(crate) fn push(&mut self, item: T) -> Id<T> {
        let index = self.0.len();
        self.0.push(item);
        Self::id(index)
    }

    fn id(index: usize) -> Id<T> {
        Id { index, of: PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        let numbered = self.0.iter().enumerate();
        numbered.map(|(index, item)| (Self::id(index), item))
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = Id<T>> + use<T> {
        (0..self.0.len()).map(Self::id)
    }

    /// The object with this number modulo the number of objects; `None` if there is none.
    pub(crate) fn nth(&self, number: usize) -> Option<Id<T>> {
        number.checked_rem(self.0.len()).map(Self::id)
    }
}

impl<T> Index<Id<T>> for Arena<T> {
    type Output = T;

    #[expect(clippy::indexing_slicing, reason = "ids come from `push`, and nothing is ever removed")]
    fn index(&self, id: Id<T>) -> &T {
        &self.0[id.index]
    }
}

impl<T> IndexMut<Id<T>> for Arena<T> {
    #[expect(clippy::indexing_slicing, reason = "ids come from `push`, and nothing is ever removed")]
    fn index_mut(&mut self, id: Id<T>) -> &mut T {
        &mut self.0[id.index]
    }
}
