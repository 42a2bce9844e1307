//! An append-only table of cells with stable indices, shared without a lock.
//!
//! Role: hand out cells, in chunks, so that a worker fills neighbouring cells of its own and two
//! workers seldom write to one cache line or to the common counter.
//!
//! Invariants: a cell never moves, so an index handed out once stays valid until [`Arena::reset`],
//! which needs exclusive access; no index is handed out twice in a block. Cells that were reserved
//! and never used have no versions and no base value; their key means nothing.

use crate::sync::{
    OnceLock,
    atomic::{AtomicU32, Ordering},
};
use std::ops::Range;

/// Cells in the first segment; each further segment doubles the table.
const FIRST: usize = 256;
/// Segments: enough for 2^32 cells.
const SEGMENTS: usize = 25;

/// Cells that a worker reserves at once. The segments are multiples of it.
const CHUNK: u32 = 16;

/// A worker's reserved cells.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    next: u32,
    end: u32,
}

impl Cursor {
    /// Notes that a cell is in use, where it is the next one.
    pub(crate) const fn used(&mut self, id: u32) {
        if self.next == id && self.next < self.end {
            self.next += 1;
        }
    }
}

pub(crate) struct Arena<T> {
    segments: [OnceLock<Box<[T]>>; SEGMENTS],
    len: AtomicU32,
}

impl<T: Default> Arena<T> {
    pub(crate) fn new() -> Self {
        Self { segments: std::array::from_fn(|_| OnceLock::new()), len: AtomicU32::new(0) }
    }

    /// The next cell of the cursor, the same one until it is used; its content is a default one,
    /// or what `reset` left in it.
    pub(crate) fn next(&self, cursor: &mut Cursor) -> (u32, &T) {
        if cursor.next == cursor.end {
            cursor.next = self.len.fetch_add(CHUNK, Ordering::Relaxed);
            cursor.end = cursor.next + CHUNK;
        }
        (cursor.next, self.get(cursor.next))
    }

    pub(crate) fn get(&self, id: u32) -> &T {
        let (segment, offset) = Self::place(id);
        match self.segments[segment].get() {
            Some(cells) => &cells[offset],
            None => &self.grow(segment)[offset],
        }
    }

    /// The cells with these indices, as far as they were handed out.
    pub(crate) fn cells(&self, range: Range<usize>) -> impl Iterator<Item = (u32, &T)> {
        let end = self.len().min(u32::try_from(range.end).unwrap_or(u32::MAX));
        (range.start as u32..end).map(|id| (id, self.get(id)))
    }

    #[cold]
    fn grow(&self, segment: usize) -> &[T] {
        let size = if segment == 0 { FIRST } else { FIRST << (segment - 1) };
        self.segments[segment].get_or_init(|| (0..size).map(|_| T::default()).collect())
    }

    pub(crate) fn len(&self) -> u32 {
        self.len.load(Ordering::Relaxed)
    }

    /// Forgets all indices. Gives the cells that were in use, in pieces of up to `most`: the caller
    /// clears them.
    pub(crate) fn reset(&mut self, most: usize) -> impl Iterator<Item = &mut [T]> {
        let mut left = self.len.swap(0, Ordering::Relaxed) as usize;
        let segments = self.segments.iter_mut().map_while(OnceLock::get_mut);
        segments.flat_map(move |cells| {
            let used = left.min(cells.len());
            left -= used;
            cells[..used].chunks_mut(most)
        })
    }

    const fn place(id: u32) -> (usize, usize) {
        let id = id as usize;
        if id < FIRST {
            return (0, id);
        }
        let segment = (id / FIRST).ilog2() as usize + 1;
        (segment, id - (FIRST << (segment - 1)))
    }
}
