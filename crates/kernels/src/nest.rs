//! Loops over several strided arrays of one logical shape, reduced to as few and as long loops as their strides allow.
//!
//! A [`LoopNest`] drops dimensions of size one, orders the others by the strides of the first array (usually the one
//! that is written, so that it is written in physical order) and merges neighbours that every array walks without a
//! break. `[N, C, H, W] * [N, C, 1, 1]` in channels-last order becomes the loops `N, HW, C` with strides `HWC, C, 1` and
//! `C, 0, 1`.
//!
//! The *position* of an element is its number in that order. Tasks are ranges of positions; inside one, the elements
//! come as [`Tile`]s: rows of consecutive innermost elements, as many rows as the next loop allows.

use crate::geometry::{GeometryError, element_count};
use crate::parallel::{Cut, for_each_chunk};
use std::ops::Range;

/// One loop: its length and, for each array, the distance between two of its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loop<const K: usize> {
    /// Number of steps.
    pub size: usize,
    /// Step of each array in elements.
    pub strides: [usize; K],
}

/// Nested loops over `K` arrays, outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopNest<const K: usize> {
    loops: Vec<Loop<K>>,
    len: usize,
}

/// A rectangle of elements: `rows` steps of the second innermost loop by `columns` steps of the innermost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile<const K: usize> {
    /// Offset of the first element in each array.
    pub offsets: [usize; K],
    /// Number of rows; one unless `columns` is the whole innermost loop.
    pub rows: usize,
    /// Number of elements of a row.
    pub columns: usize,
}

impl<const K: usize> LoopNest<K> {
    /// The loops over arrays of shape `shape` with the given strides; `op` is the name that errors carry.
    ///
    /// # Errors
    /// If the strides are not as many as the dimensions, or an offset does not fit the address space.
    pub fn new(
        op: &'static str,
        shape: &[usize],
        strides: [&[usize]; K],
    ) -> Result<Self, GeometryError> {
        let len = element_count(op, "shape", shape)?;
        for s in strides {
            if s.len() != shape.len() {
                let rule = format!("a shape of {} dimensions needs as many", shape.len());
                return Err(GeometryError::new(op, "strides", format!("{s:?}"), rule));
            }
            let reach = shape
                .iter()
                .zip(s)
                .try_fold(0_usize, |reach, (&size, &stride)| {
                    size.saturating_sub(1)
                        .checked_mul(stride)
                        .and_then(|r| r.checked_add(reach))
                });
            if reach.is_none_or(|r| r >= isize::MAX as usize) {
                let rule = "the last element's offset must fit the address space";
                return Err(GeometryError::new(op, "strides", format!("{s:?}"), rule));
            }
        }
        let loops = (0..shape.len())
            .filter(|&d| shape[d] != 1 && len > 0)
            .map(|d| Loop {
                size: shape[d],
                strides: strides.map(|s| s[d]),
            });
        Ok(Self::of(loops.collect(), len))
    }

    /// The given loops over `len` elements, in the best order.
    pub(crate) fn of(mut loops: Vec<Loop<K>>, len: usize) -> Self {
        // Stable: where all strides agree, the given order stands.
        loops.sort_by_key(|l| std::cmp::Reverse(l.strides));
        let mut merged: Vec<Loop<K>> = Vec::with_capacity(loops.len());
        for inner in loops {
            match merged.last_mut() {
                Some(outer) if continues(outer, &inner) => {
                    *outer = Loop {
                        size: outer.size * inner.size,
                        strides: inner.strides,
                    };
                }
                _ => merged.push(inner),
            }
        }
        Self { loops: merged, len }
    }

    /// The same loops with other strides for array `k`, which must not be the one that orders them.
    pub(crate) fn with_strides(&self, k: usize, stride: impl Fn(&Loop<K>) -> usize) -> Self {
        let mut nest = self.clone();
        for l in &mut nest.loops {
            l.strides[k] = stride(l);
        }
        nest
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The loops, outermost first: none of size one, none that could be merged with the next.
    pub fn loops(&self) -> &[Loop<K>] {
        &self.loops
    }

    /// The innermost loop.
    pub fn columns(&self) -> Loop<K> {
        self.loops.last().copied().unwrap_or(Loop {
            size: 1,
            strides: [0; K],
        })
    }

    /// The loop around the innermost one.
    pub fn rows(&self) -> Loop<K> {
        let outer = self.loops.len().checked_sub(2).map(|i| self.loops[i]);
        outer.unwrap_or(Loop {
            size: 1,
            strides: [0; K],
        })
    }

    /// The number of elements that array `k` must have.
    pub fn extent(&self, k: usize) -> usize {
        if self.len == 0 {
            return 0;
        }
        1 + self
            .loops
            .iter()
            .map(|l| (l.size - 1) * l.strides[k])
            .sum::<usize>()
    }

    /// Whether array `k` is walked one element after the other, so that positions are its offsets.
    pub fn is_dense(&self, k: usize) -> bool {
        let mut next = 1;
        self.loops.iter().rev().all(|l| {
            let dense = l.strides[k] == next;
            next *= l.size;
            dense
        })
    }

    /// Whether each step of a loop of array `k` passes over everything inside it, so that ranges of the outermost
    /// loop touch disjoint ranges of the array.
    fn is_nested(&self, k: usize) -> bool {
        self.loops
            .windows(2)
            .all(|w| w[0].strides[k] >= w[1].strides[k] * w[1].size)
            && self.loops.last().is_none_or(|l| l.strides[k] > 0)
    }

    /// Runs `f(tile)` over the elements at the positions `range`, in order.
    #[inline(always)]
    pub fn for_each_tile(&self, range: Range<usize>, mut f: impl FnMut(Tile<K>)) {
        let mut position = range.start;
        while position < range.end {
            let tile = self.tile(position..range.end);
            f(tile);
            position += tile.rows * tile.columns;
        }
    }

    /// The largest tile at the start of the positions `range`. Not inlined: kernels are compiled many times, this once.
    #[inline(never)]
    fn tile(&self, range: Range<usize>) -> Tile<K> {
        let (columns, rows) = (self.columns().size, self.rows().size);
        let (column, row) = (range.start % columns, range.start / columns % rows);
        let offsets = self.offsets(range.start);
        if column == 0 && range.len() >= columns {
            Tile {
                offsets,
                rows: (range.len() / columns).min(rows - row),
                columns,
            }
        } else {
            Tile {
                offsets,
                rows: 1,
                columns: range.len().min(columns - column),
            }
        }
    }

    /// The offset of the element at `position` in each array.
    pub fn offsets(&self, position: usize) -> [usize; K] {
        let mut left = position;
        let mut offsets = [0; K];
        for l in self.loops.iter().rev() {
            let step = left % l.size;
            left /= l.size;
            for (offset, stride) in offsets.iter_mut().zip(l.strides) {
                *offset += step * stride;
            }
        }
        offsets
    }

    /// Runs `f(part, origin, positions)` over pieces of array 0, on several threads where its strides allow: `part` is
    /// the piece, whose first element has the offset `origin`, and `positions` are the elements to visit, which all lie in
    /// it. `cost` is the work per element as in [`Cut::new`].
    pub fn for_each_part<T: Send + Sync>(
        &self,
        array: &mut [T],
        cost: usize,
        f: impl Fn(&mut [T], usize, Range<usize>) + Sync + Send,
    ) {
        let array = &mut array[..self.extent(0)];
        if self.is_dense(0) {
            let step = Cut::new(self.len, cost).per_task();
            for_each_chunk(array, step, |i, part| {
                let origin = i * step;
                let end = origin + part.len();
                f(part, origin, origin..end);
            });
        } else if self.is_nested(0)
            && let Some(outer) = self.loops.first()
        {
            let inside = self.len / outer.size;
            let cut = Cut::new(outer.size, inside.saturating_mul(cost));
            let step = cut.per_task().min(outer.size) * outer.strides[0];
            for_each_chunk(array, step, |i, part| {
                let steps = cut.range(i);
                f(part, i * step, steps.start * inside..steps.end * inside);
            });
        } else if self.len > 0 {
            f(array, 0, 0..self.len);
        }
    }
}

/// Whether every array walks `outer` as the continuation of `inner`.
fn continues<const K: usize>(outer: &Loop<K>, inner: &Loop<K>) -> bool {
    (0..K).all(|k| inner.strides[k].checked_mul(inner.size) == Some(outer.strides[k]))
}

/// The strides of a dense array of `shape` whose last dimension is contiguous.
pub fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for d in (1..shape.len()).rev() {
        strides[d - 1] = strides[d] * shape[d].max(1);
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strides_of<const K: usize>(nest: &LoopNest<K>) -> Vec<(usize, [usize; K])> {
        nest.loops().iter().map(|l| (l.size, l.strides)).collect()
    }

    #[test]
    fn a_channel_gate_has_three_loops_in_either_layout() {
        let shape = [2, 3, 4, 5];
        let gate = [3, 1, 0, 0];
        let nhwc = LoopNest::new("mul", &shape, [&[60, 1, 15, 3], &gate]).unwrap();
        assert_eq!(strides_of(&nhwc), [(2, [60, 3]), (20, [3, 0]), (3, [1, 1])]);
        let nchw = LoopNest::new("mul", &shape, [&[60, 20, 5, 1], &gate]).unwrap();
        assert_eq!(strides_of(&nchw), [(6, [20, 1]), (20, [1, 0])]);
    }

    #[test]
    fn dense_arrays_are_one_loop_and_scalars_none() {
        let nest = LoopNest::new("add", &[2, 1, 3], [&[3, 9, 1], &[3, 0, 1]]).unwrap();
        assert_eq!(strides_of(&nest), [(6, [1, 1])]);
        let nest = LoopNest::new("add", &[], [&[], &[]]).unwrap();
        assert_eq!((nest.len(), nest.extent(0), nest.is_dense(0)), (1, 1, true));
        let nest = LoopNest::new("add", &[4, 0], [&[0, 1], &[1, 1]]).unwrap();
        assert_eq!((nest.len(), nest.extent(1), nest.is_dense(0)), (0, 0, true));
    }

    #[test]
    fn tiles_of_any_range_visit_its_elements_in_order() {
        let shape = [2, 3, 4];
        let nest = LoopNest::new("copy", &shape, [&[24, 4, 1], &[1, 2, 7]]).unwrap();
        for start in 0..=24 {
            for end in start..=24 {
                let mut seen = Vec::new();
                nest.for_each_tile(start..end, |t| {
                    let [rows, columns] = [nest.rows().strides, nest.columns().strides];
                    for r in 0..t.rows {
                        for c in 0..t.columns {
                            let at = |k: usize| t.offsets[k] + r * rows[k] + c * columns[k];
                            seen.push([at(0), at(1)]);
                        }
                    }
                });
                let expected: Vec<_> = (start..end).map(|p| nest.offsets(p)).collect();
                assert_eq!(seen, expected, "positions {start}..{end}");
            }
        }
    }

    #[test]
    fn parts_cover_each_element_once() {
        // Dense; with gaps; overlapping.
        for strides in [[12, 4, 1], [100, 8, 2], [1, 1, 1]] {
            let nest = LoopNest::new("copy", &[5, 3, 4], [&strides]).unwrap();
            let mut array = vec![0; nest.extent(0)];
            nest.for_each_part(&mut array, 1 << 14, |part, origin, positions| {
                for p in positions {
                    part[nest.offsets(p)[0] - origin] += 1;
                }
            });
            assert_eq!(array.iter().sum::<i32>(), 60, "strides {strides:?}");
        }
    }

    #[test]
    fn impossible_strides_are_refused() {
        assert!(LoopNest::new("copy", &[2, 2], [&[1]]).is_err());
        assert!(LoopNest::new("copy", &[3, 2], [&[usize::MAX, 1]]).is_err());
        assert!(LoopNest::new("copy", &[usize::MAX, 2], [&[0, 0]]).is_err());
    }
}
