//! One mutable slice, written by several threads in places that do not meet.
//!
//! Contiguous pieces need nothing of this: [`parallel::for_each_chunk`](crate::parallel::for_each_chunk) hands them out.
//! [`DisjointMut`] is for pieces that interleave, such as the columns of a matrix. It hands out a range or a tile at
//! run time and remembers what it has handed out until the piece is dropped; asking for an element twice at the same time
//! is a bug in the caller's cut and panics before anything is written. The record is a lock and a scan over as many
//! entries as there are threads at work, which is nothing beside a task.
#![expect(
    unsafe_code,
    reason = "pieces of one slice, kept apart by a record of those in use"
)]

use crate::array::Slices;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Range};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A slice seen as rows of `row_len` elements, of which rectangles can be borrowed mutably at the same time as long as
/// they do not overlap. A row may be made of cells, such as the pixels of a line, of which the same columns can be borrowed.
#[derive(Debug)]
pub struct DisjointMut<'a, T> {
    data: *mut T,
    len: usize,
    row_len: usize,
    cell_len: usize,
    in_use: Mutex<Vec<Rectangle>>,
    slice: PhantomData<&'a mut [T]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rectangle {
    rows: Range<usize>,
    cells: Range<usize>,
    /// Of each cell.
    columns: Range<usize>,
}

impl Rectangle {
    fn meets(&self, other: &Self) -> bool {
        let meet = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
        meet(&self.rows, &other.rows)
            && meet(&self.cells, &other.cells)
            && meet(&self.columns, &other.columns)
    }
}

// SAFETY: a `DisjointMut` is a `&mut [T]` that is given out in pieces; sending it sends the `T`s.
unsafe impl<T: Send> Send for DisjointMut<'_, T> {}
// SAFETY: sharing it allows other threads to borrow pieces mutably, each piece by one thread at a time, as the record in
// `in_use` ensures under its lock: that needs `T: Send`. A borrowed piece can itself be shared, which needs `T: Sync`.
unsafe impl<T: Send + Sync> Sync for DisjointMut<'_, T> {}

impl<'a, T> DisjointMut<'a, T> {
    /// The slice as one row: for ranges.
    pub fn new(data: &'a mut [T]) -> Self {
        let len = data.len();
        Self::rows(data, len)
    }

    /// The slice as rows of `row_len` elements: for tiles. The last row may be shorter.
    pub fn rows(data: &'a mut [T], row_len: usize) -> Self {
        Self::cells(data, row_len, row_len)
    }

    /// The slice as rows of `row_len` elements, each of which is made of cells of `cell_len`: for blocks.
    pub fn cells(data: &'a mut [T], row_len: usize, cell_len: usize) -> Self {
        Self {
            data: data.as_mut_ptr(),
            len: data.len(),
            row_len: row_len.max(1),
            cell_len: cell_len.clamp(1, row_len.max(1)),
            in_use: Mutex::new(Vec::new()),
            slice: PhantomData,
        }
    }

    /// Borrows the columns `columns` of the rows `rows`: of rows of several cells, of the first.
    ///
    /// # Panics
    /// If the tile is not inside the slice or overlaps a piece that is still borrowed.
    pub fn tile(&self, rows: Range<usize>, columns: Range<usize>) -> TileMut<'_, T> {
        self.block(rows, 0..1, columns)
    }

    /// Borrows the columns `columns` of the cells `cells` of the rows `rows`.
    ///
    /// # Panics
    /// If the block is not inside the slice or overlaps a piece that is still borrowed.
    pub fn block(
        &self,
        rows: Range<usize>,
        cells: Range<usize>,
        columns: Range<usize>,
    ) -> TileMut<'_, T> {
        let ranges = [&rows, &cells, &columns];
        let empty = ranges.iter().any(|range| range.start >= range.end);
        if !empty {
            let in_row = (cells.end - 1)
                .checked_mul(self.cell_len)
                .and_then(|c| c.checked_add(columns.end));
            let last = (rows.end - 1)
                .checked_mul(self.row_len)
                .and_then(|r| r.checked_add(in_row?));
            assert!(
                columns.end <= self.cell_len && in_row.is_some_and(|end| end <= self.row_len),
                "tile: columns {columns:?} of cells {cells:?} leave the row"
            );
            assert!(
                last.is_some_and(|l| l <= self.len),
                "tile: rows {rows:?} leave the slice"
            );
        }
        let place = Rectangle {
            rows,
            cells,
            columns,
        };
        if empty {
            // Nothing to keep apart.
            return TileMut { owner: self, place };
        }
        let mut in_use = self.lock();
        let taken = in_use.iter().find(|r| r.meets(&place)).cloned();
        if let Some(taken) = taken {
            drop(in_use);
            panic!("two tasks borrow the same elements: {place:?} and {taken:?}");
        }
        in_use.push(place.clone());
        drop(in_use);
        TileMut { owner: self, place }
    }

    /// Borrows the elements `range` of a slice made with [`new`](Self::new).
    ///
    /// # Panics
    /// If the range is not inside the slice or overlaps a piece that is still borrowed.
    pub fn range(&self, range: Range<usize>) -> RangeMut<'_, T> {
        RangeMut {
            tile: self.tile(0..1, range),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Rectangle>> {
        // The list is whole at every point where a holder of the lock could panic.
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A borrowed rectangle of a [`DisjointMut`].
#[derive(Debug)]
pub struct TileMut<'d, T> {
    owner: &'d DisjointMut<'d, T>,
    place: Rectangle,
}

impl<T> TileMut<'_, T> {
    /// The number of rows.
    pub fn row_count(&self) -> usize {
        self.place.rows.len()
    }

    /// The row and the column of the whole where the tile starts.
    pub(crate) fn start(&self) -> [usize; 2] {
        [self.place.rows.start, self.place.columns.start]
    }

    /// The number of columns.
    pub fn row_len(&self) -> usize {
        self.place.columns.len()
    }

    /// The distance between the starts of two rows, in elements.
    pub fn row_stride(&self) -> usize {
        self.owner.row_len
    }

    /// The elements of the whole.
    pub(crate) fn whole_len(&self) -> usize {
        self.owner.len
    }

    /// The number of cells of a row.
    pub fn cell_count(&self) -> usize {
        self.place.cells.len()
    }

    /// The `i`-th row of the tile: of its first cell.
    ///
    /// # Panics
    /// If the tile has no such row.
    pub fn row(&mut self, i: usize) -> &mut [T] {
        self.cell(i, 0)
    }

    /// The elements of cell number `cell` of row `i`.
    ///
    /// # Panics
    /// If the tile has no such cell.
    pub fn cell(&mut self, i: usize, cell: usize) -> &mut [T] {
        assert!(
            i < self.row_count() && cell < self.cell_count(),
            "the tile has {} rows of {} cells, not {i} + 1 of {cell} + 1",
            self.row_count(),
            self.cell_count()
        );
        if self.row_len() == 0 {
            return &mut [];
        }
        let start = i * self.owner.row_len + cell * self.owner.cell_len;
        let start = self.as_mut_ptr().wrapping_add(start);
        // SAFETY: the elements are inside the slice, which is borrowed mutably for the owner's life, and the record
        // of pieces in use keeps every other piece apart from this rectangle until it is dropped; within it,
        // `&mut self` allows one row at a time.
        unsafe { std::slice::from_raw_parts_mut(start, self.place.columns.len()) }
    }

    /// Calls `f` with the number of each of the rows `rows` among them, and its elements.
    ///
    /// # Panics
    /// If the tile does not have them.
    #[inline(always)]
    pub(crate) fn each_row<const N: usize>(
        &mut self,
        rows: [usize; N],
        mut f: impl FnMut(usize, &mut [T]),
    ) {
        let count = self.row_count();
        let mut inside = true;
        for i in 0..N {
            inside &= rows[i] < count;
        }
        assert!(inside, "the tile does not have the rows");
        let (start, row_len) = (self.as_mut_ptr(), self.row_len());
        if row_len == 0 {
            return;
        }
        for i in 0..N {
            let start = start.wrapping_add(rows[i] * self.owner.row_len);
            // SAFETY: as in `row`, one row at a time.
            f(i, unsafe { std::slice::from_raw_parts_mut(start, row_len) });
        }
    }

    /// Calls `f(i, row)` for `N` rows, `step` apart, from number `first` on. A tile of no columns has no rows.
    ///
    /// # Panics
    /// If the tile does not have them or they are one row.
    #[inline(always)]
    pub(crate) fn each_row_apart<const N: usize>(
        &mut self,
        first: usize,
        step: usize,
        mut f: impl FnMut(usize, &mut [T]),
    ) {
        let last = step.checked_mul(N - 1).and_then(|l| l.checked_add(first));
        assert!(
            step > 0 && last.is_some_and(|last| last < self.row_count()),
            "the tile does not have the rows"
        );
        let (start, row_len) = (self.as_mut_ptr(), self.row_len());
        if row_len == 0 {
            return;
        }
        let stride = self.owner.row_len;
        let mut start = start.wrapping_add(first * stride);
        for i in 0..N {
            // SAFETY: as in `row`, one row at a time.
            f(i, unsafe { std::slice::from_raw_parts_mut(start, row_len) });
            start = start.wrapping_add(step * stride);
        }
    }

    /// The columns `columns` of the `N` rows from number `first` on.
    ///
    /// # Panics
    /// If the tile does not have them.
    #[inline(always)]
    pub(crate) fn row_array<const N: usize>(
        &mut self,
        first: usize,
        columns: Range<usize>,
    ) -> Slices<'_, T, N> {
        assert!(
            N <= self.row_count() && first <= self.row_count() - N,
            "the tile has {} rows, not {first} + {N}",
            self.row_count()
        );
        assert!(
            columns.start <= columns.end && columns.end <= self.row_len(),
            "the tile has {} columns, not {columns:?}",
            self.row_len()
        );
        let start = self.as_mut_ptr().wrapping_add(columns.start);
        let row_len = self.owner.row_len;
        Slices::new(
            #[inline(always)]
            |i| {
                if columns.is_empty() {
                    return &mut [][..];
                }
                let start = start.wrapping_add((first + i) * row_len);
                // SAFETY: as in `row`, for a part of each row; the rows do not overlap, since none
                // is longer than their distance.
                unsafe { std::slice::from_raw_parts_mut(start, columns.len()) }
            },
        )
    }

    /// The columns `columns` of `count <= N` cells, `step` apart, of row `i` from number `first` on; the other
    /// slices are empty.
    ///
    /// # Panics
    /// If the tile does not have them or they are one cell.
    #[inline(always)]
    pub(crate) fn cell_array<const N: usize>(
        &mut self,
        i: usize,
        [first, step]: [usize; 2],
        count: usize,
        columns: Range<usize>,
    ) -> Slices<'_, T, N> {
        let last = count
            .checked_sub(1)
            .and_then(|steps| steps.checked_mul(step)?.checked_add(first));
        assert!(
            i < self.row_count()
                && step > 0
                && count <= N
                && last.is_none_or(|last| last < self.cell_count()),
            "the tile has {} rows of {} cells, not {i} + 1 of {first} + {count} * {step}",
            self.row_count(),
            self.cell_count()
        );
        assert!(
            columns.start <= columns.end && columns.end <= self.row_len(),
            "the tile has {} columns, not {columns:?}",
            self.row_len()
        );
        let start = i * self.owner.row_len + first * self.owner.cell_len + columns.start;
        let start = self.as_mut_ptr().wrapping_add(start);
        let distance = step * self.owner.cell_len;
        Slices::new(
            #[inline(always)]
            |j| {
                if j >= count || columns.is_empty() {
                    return &mut [][..];
                }
                // SAFETY: as in `cell`, for a part of each cell; the parts do not overlap, since none is longer
                // than a cell.
                unsafe {
                    std::slice::from_raw_parts_mut(start.wrapping_add(j * distance), columns.len())
                }
            },
        )
    }

    /// A pointer to the first element; row `i` starts `i * row_stride()` elements further. Only the tile's elements may be
    /// touched through it, and only while the tile lives.
    pub fn as_mut_ptr(&mut self) -> *mut T {
        let cell = self.place.rows.start * self.owner.row_len
            + self.place.cells.start * self.owner.cell_len;
        self.owner
            .data
            .wrapping_add(cell + self.place.columns.start)
    }
}

impl<T> Drop for TileMut<'_, T> {
    fn drop(&mut self) {
        let mut in_use = self.owner.lock();
        if let Some(i) = in_use.iter().position(|r| *r == self.place) {
            in_use.swap_remove(i);
        }
    }
}

/// A borrowed range of a [`DisjointMut`].
#[derive(Debug)]
pub struct RangeMut<'d, T> {
    tile: TileMut<'d, T>,
}

impl<T> Deref for RangeMut<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let columns = &self.tile.place.columns;
        if columns.is_empty() {
            return &[];
        }
        // SAFETY: `tile` checked that the range lies inside the slice.
        let start = unsafe { self.tile.owner.data.add(columns.start) };
        // SAFETY: as in `TileMut::row`; `&self` allows reading only.
        unsafe { std::slice::from_raw_parts(start, columns.len()) }
    }
}

impl<T> DerefMut for RangeMut<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        if self.tile.row_count() == 0 {
            &mut []
        } else {
            self.tile.row(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel;

    #[test]
    fn columns_are_written_in_parallel() {
        let mut data = vec![0; 6 * 10];
        let columns = DisjointMut::rows(&mut data, 10);
        parallel::for_each(5, |i| {
            let mut tile = columns.tile(1..5, 2 * i..2 * i + 2);
            for r in 0..tile.row_count() {
                tile.row(r).fill(i + 1);
            }
        });
        drop(columns);
        for (at, &v) in data.iter().enumerate() {
            let expected = if (1..5).contains(&(at / 10)) {
                at % 10 / 2 + 1
            } else {
                0
            };
            assert_eq!(v, expected, "element {at}");
        }
    }

    #[test]
    fn parts_of_several_rows_are_borrowed_at_once() {
        let mut data = [0; 16];
        let all = DisjointMut::rows(&mut data, 4);
        let mut tile = all.tile(1..4, 1..4);
        let mut rows = tile.row_array::<2>(1, 1..3);
        rows.get(0).fill(2);
        rows.get(1).fill(3);
        tile.row_array::<0>(3, 0..3);
        let mut empty = tile.row_array::<3>(0, 2..2);
        assert!((0..3).all(|i| empty.get(i).is_empty()));
        drop(tile);
        drop(all);
        assert_eq!(data[8..], [0, 0, 2, 2, 0, 0, 3, 3]);
    }

    #[test]
    fn rows_apart_are_borrowed_at_once() {
        let mut data = [0; 15];
        let rows = DisjointMut::rows(&mut data, 3);
        let mut tile = rows.tile(0..5, 1..2);
        tile.each_row_apart::<2>(1, 2, |i, row| row.fill(i + 1));
        drop(tile);
        drop(rows);
        assert_eq!(data, [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
    }

    #[test]
    fn any_rows_are_borrowed_one_after_the_other() {
        let mut data = [0; 12];
        let rows = DisjointMut::rows(&mut data, 3);
        let mut tile = rows.tile(1..4, 1..3);
        tile.each_row([2, 0, 2], |i, row| row.iter_mut().for_each(|x| *x += i + 1));
        drop(tile);
        drop(rows);
        assert_eq!(data, [0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 4, 4]);
    }

    #[test]
    #[should_panic(expected = "the tile does not have the rows")]
    fn any_rows_beyond_the_tile_are_caught() {
        let mut data = [0; 12];
        let rows = DisjointMut::rows(&mut data, 3);
        rows.tile(1..4, 1..3).each_row([0, 3, 1], |_, _| ());
    }

    #[test]
    fn columns_of_cells_are_written_in_parallel() {
        let (row_len, cell_len) = (12, 4);
        let mut data = vec![0; 5 * row_len];
        let all = DisjointMut::cells(&mut data, row_len, cell_len);
        parallel::for_each(cell_len, |column| {
            let mut block = all.block(1..4, 1..3, column..column + 1);
            assert_eq!(
                [block.row_count(), block.cell_count(), block.row_len()],
                [3, 2, 1]
            );
            for row in 0..3 {
                let mut cells = block.cell_array::<3>(row, [0, 1], 2, 0..1);
                (0..2).for_each(|cell| cells.get(cell)[0] = column + 1);
                assert!(cells.get(2).is_empty());
                block.cell(row, 1)[0] += 10;
            }
        });
        drop(all);
        for (at, &v) in data.iter().enumerate() {
            let (row, cell, column) = (at / row_len, at % row_len / cell_len, at % cell_len);
            let inside = (1..4).contains(&row) && cell > 0;
            let expected = if inside {
                column + 1 + (cell - 1) * 10
            } else {
                0
            };
            assert_eq!(v, expected, "element {at}");
        }
    }

    #[test]
    #[should_panic(expected = "the tile has 2 rows of 2 cells, not 0 + 1 of 0 + 2 * 2")]
    fn cells_beyond_the_tile_are_caught() {
        let mut data = [0; 12];
        let all = DisjointMut::cells(&mut data, 6, 2);
        let _cells = all
            .block(0..2, 1..3, 0..1)
            .cell_array::<2>(0, [0, 2], 2, 0..1);
    }

    #[test]
    #[should_panic(expected = "two tasks borrow the same elements")]
    fn blocks_that_overlap_are_caught() {
        let mut data = [0; 12];
        let all = DisjointMut::cells(&mut data, 6, 2);
        let _first = all.block(0..2, 0..2, 0..1);
        let _second = all.block(1..2, 1..3, 0..2);
    }

    #[test]
    #[should_panic(expected = "the tile does not have the rows")]
    fn rows_apart_beyond_the_tile_are_caught() {
        let mut data = [0; 12];
        let rows = DisjointMut::rows(&mut data, 3);
        rows.tile(1..4, 1..3).each_row_apart::<2>(1, 2, |_, _| ());
    }

    #[test]
    #[should_panic(expected = "the tile has 3 rows, not 2 + 2")]
    fn rows_beyond_the_tile_are_caught() {
        let mut data = [0; 12];
        let rows = DisjointMut::rows(&mut data, 3);
        let _rows = rows.tile(1..4, 1..3).row_array::<2>(2, 0..1);
    }

    #[test]
    #[should_panic(expected = "the tile has 2 columns, not 1..3")]
    fn columns_beyond_the_tile_are_caught() {
        let mut data = [0; 12];
        let rows = DisjointMut::rows(&mut data, 3);
        let _rows = rows.tile(1..4, 1..3).row_array::<2>(0, 1..3);
    }

    #[test]
    fn a_piece_can_be_borrowed_again_after_it_is_dropped() {
        let mut data = [1, 2, 3];
        let d = DisjointMut::new(&mut data);
        d.range(0..2)[1] = 7;
        assert_eq!(*d.range(1..3), [7, 3]);
        assert!(d.range(2..2).is_empty() && d.range(9..9).is_empty());
    }

    #[test]
    #[should_panic(expected = "two tasks borrow the same elements")]
    fn overlap_is_caught() {
        let mut data = [0; 8];
        let d = DisjointMut::new(&mut data);
        let _first = d.range(0..4);
        let _second = d.range(3..5);
    }

    #[test]
    #[should_panic(expected = "leave the slice")]
    fn a_tile_outside_is_caught() {
        let mut data = [0; 8];
        let d = DisjointMut::rows(&mut data, 4);
        let _tile = d.tile(1..3, 0..4);
    }
}
