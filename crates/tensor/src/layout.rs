//! Where elements lie in memory: shape, strides and offset.
//!
//! Element `(i0, i1, ...)` is at `offset + i0*strides[0] + i1*strides[1] + ...`. Strides are never
//! negative; a stride of 0 repeats elements (broadcasting). Constructors check that every index fits.

use crate::dims::{Dims, MAX_RANK};
use crate::shape::checked_numel;
use crate::{Error, Result};

/// Shape, strides and offset of a tensor in its storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    shape: Dims,
    strides: Dims,
    offset: usize,
}

/// Row-major strides; empty dimensions count as 1 so that strides stay meaningful.
fn row_major_strides(shape: &Dims) -> Option<Dims> {
    let mut strides = *shape;
    let mut step = 1usize;
    for (stride, &dim) in strides.iter_mut().zip(&**shape).rev() {
        *stride = step;
        step = step.checked_mul(dim.max(1))?;
    }
    // Byte offsets of 8-byte elements have to fit as well.
    (step <= isize::MAX as usize / 8).then_some(strides)
}

impl Layout {
    /// Row-major order.
    pub(crate) fn row_major(op: &'static str, shape: &[usize]) -> Result<Self> {
        let fail = |what: &str| Error::shape(op, format!("shape {shape:?} has more {what}"));
        let shape = Dims::of(shape).ok_or_else(|| fail(&format!("dimensions than {MAX_RANK}")))?;
        let strides =
            row_major_strides(&shape).ok_or_else(|| fail("elements than can be addressed"))?;
        Ok(Self {
            shape,
            strides,
            offset: 0,
        })
    }

    /// Channels-last order of an `[N, C, H, W]` shape; row-major for any other rank.
    pub(crate) fn channels_last(op: &'static str, shape: &[usize]) -> Result<Self> {
        let &[n, c, h, w] = shape else {
            return Self::row_major(op, shape);
        };
        let physical = Self::row_major(op, &[n, h, w, c])?;
        Ok(physical.permute(&[0, 3, 1, 2]))
    }

    /// Compact memory for `shape`, its dimensions nested in the order of `like`'s strides.
    ///
    /// `like` must have the rank of `shape`. Ties keep the logical order.
    pub(crate) fn dense_like(op: &'static str, shape: &[usize], like: &Self) -> Result<Self> {
        let mut layout = Self::row_major(op, shape)?;
        let mut step = 1;
        for &dim in like.memory_order().iter().rev() {
            layout.strides[dim] = step;
            step *= shape[dim].max(1);
        }
        Ok(layout)
    }

    /// Dimensions from the outermost in memory to the innermost.
    ///
    /// Dimensions of size 1 and repeated ones have no place of their own: they keep their logical
    /// position relative to their neighbours on the right.
    pub(crate) fn memory_order(&self) -> Dims {
        let mut order = self.shape.map(|dim| dim);
        // Insertion sort: dimensions without a place never move and block nothing.
        for dim in 0..self.rank() {
            if !self.has_place(dim) {
                continue;
            }
            let mut at = dim;
            for probe in (0..dim).rev() {
                let other = order[probe];
                if self.has_place(other) {
                    if self.strides[other] >= self.strides[dim] {
                        break;
                    }
                    at = probe;
                }
            }
            order[at..=dim].rotate_right(1);
        }
        order
    }

    /// Elements with a place of their own in memory.
    fn stored(&self) -> usize {
        let dims = (0..self.rank()).filter(|&dim| self.has_place(dim));
        dims.map(|dim| self.shape[dim]).product()
    }

    fn has_place(&self, dim: usize) -> bool {
        self.shape[dim] > 1 && self.strides[dim] > 0
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The sizes, to keep.
    pub(crate) fn dims(&self) -> Dims {
        self.shape
    }

    pub(crate) fn strides(&self) -> &[usize] {
        &self.strides
    }

    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn rank(&self) -> usize {
        self.shape.len()
    }

    pub(crate) fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// Length of the memory from the first element to the last.
    pub(crate) fn span(&self) -> usize {
        if self.numel() == 0 {
            return 0;
        }
        1 + self
            .shape
            .iter()
            .zip(&*self.strides)
            .map(|(&dim, &stride)| (dim - 1) * stride)
            .sum::<usize>()
    }

    /// Row-major without gaps. Strides of dimensions of size 1 do not matter.
    pub(crate) fn is_contiguous(&self) -> bool {
        self.numel() == 0 || self.nests(0..self.rank())
    }

    /// Channels innermost, without gaps, rank 4.
    pub(crate) fn is_channels_last(&self) -> bool {
        self.rank() == 4 && (self.numel() == 0 || self.nests([0, 2, 3, 1]))
    }

    /// Every memory cell between the first and the last element belongs to exactly one element.
    pub(crate) fn is_dense(&self) -> bool {
        self.numel() == 0 || self.nests(self.memory_order().iter().copied())
    }

    /// Whether the dimensions, outermost first, tile memory without gap or overlap.
    fn nests(&self, order: impl IntoIterator<Item = usize, IntoIter: DoubleEndedIterator>) -> bool {
        let mut step = 1;
        for dim in order.into_iter().rev() {
            if self.shape[dim] != 1 {
                if self.strides[dim] != step {
                    return false;
                }
                step *= self.shape[dim];
            }
        }
        true
    }

    /// Equal shape and equal place of every element.
    pub(crate) fn same_order(&self, other: &Self) -> bool {
        self.shape == other.shape
            && (0..self.rank()).all(|d| self.shape[d] == 1 || self.strides[d] == other.strides[d])
    }

    /// Whether the dimensions are nested in memory as those of `other`, a layout of the same rank, in whatever steps.
    pub(crate) fn nests_like(&self, other: &Self) -> bool {
        let order = other.memory_order();
        let placed = order.iter().filter(|&&dim| self.has_place(dim));
        placed
            .map(|&dim| self.strides[dim])
            .is_sorted_by(|outer, inner| outer >= inner)
    }

    /// The same elements under another shape, if strides can express it.
    ///
    /// Dimensions that tile memory are merged into runs; the new dimensions must cut each run exactly.
    pub(crate) fn reshape(&self, shape: &[usize]) -> Option<Self> {
        if checked_numel(shape)? != self.numel() {
            return None;
        }
        let shape = Dims::of(shape)?;
        let mut strides = row_major_strides(&shape)?;
        let offset = self.offset;
        if self.numel() == 0 {
            return Some(Self {
                shape,
                strides,
                offset,
            });
        }
        let mut next = shape.len();
        let mut run = 1;
        let mut run_stride = self.strides.last().copied().unwrap_or(1);
        for dim in (0..self.rank()).rev() {
            run *= self.shape[dim];
            let ends =
                dim == 0 || (self.shape[dim - 1] != 1 && self.strides[dim - 1] != run * run_stride);
            if !ends {
                continue;
            }
            let mut cut = 1;
            while next > 0 && (cut < run || shape[next - 1] == 1) {
                next -= 1;
                strides[next] = cut * run_stride;
                cut *= shape[next];
            }
            if cut != run {
                return None;
            }
            if dim > 0 {
                run_stride = self.strides[dim - 1];
                run = 1;
            }
        }
        // Leading ones, or everything when the old rank is 0.
        for stride in &mut strides[..next] {
            *stride = 1;
        }
        Some(Self {
            shape,
            strides,
            offset,
        })
    }

    /// Dimension `i` of the result is dimension `order[i]`; `order` must be a permutation.
    pub(crate) fn permute(&self, order: &[usize]) -> Self {
        Self {
            shape: self.shape.map(|d| self.shape[order[d]]),
            strides: self.shape.map(|d| self.strides[order[d]]),
            offset: self.offset,
        }
    }

    /// `len` entries of `dim` from `start`; the range must be inside.
    pub(crate) fn narrow(&self, dim: usize, start: usize, len: usize) -> Self {
        let mut layout = self.clone();
        layout.shape[dim] = len;
        if start < self.shape[dim] {
            layout.offset += start * self.strides[dim];
        }
        layout
    }

    /// Repeats dimensions of size 1 (and new leading ones) up to `shape`.
    pub(crate) fn expand(&self, op: &'static str, shape: &[usize]) -> Result<Self> {
        let fail = || {
            let rule = "dimensions are matched from the right and only those of size 1 can grow";
            Error::shape(
                op,
                format!("{:?} cannot expand to {shape:?}: {rule}", self.shape),
            )
        };
        let lead = shape.len().checked_sub(self.rank()).ok_or_else(fail)?;
        // The result must be countable like any other shape.
        let mut layout = Self::row_major(op, shape)?;
        layout.offset = self.offset;
        layout.strides[..lead].fill(0);
        for (dim, (&size, &stride)) in self.shape.iter().zip(&*self.strides).enumerate() {
            let target = shape[lead + dim];
            layout.strides[lead + dim] = match size {
                _ if size == target => stride,
                1 => 0,
                _ => return Err(fail()),
            };
        }
        Ok(layout)
    }
}

/// The shape two operands broadcast to.
///
/// Dimensions are matched from the right; sizes must be equal or one of them 1.
pub(crate) fn broadcast(op: &'static str, a: &[usize], b: &[usize]) -> Result<Dims> {
    let longer = if a.len() >= b.len() { a } else { b };
    let size = |shape: &[usize], dim: usize| match (dim + shape.len()).checked_sub(longer.len()) {
        Some(own) => shape[own],
        None => 1,
    };
    let fits = |dim| size(a, dim) == size(b, dim) || size(a, dim) == 1 || size(b, dim) == 1;
    match Dims::of(longer) {
        Some(dims) if (0..longer.len()).all(fits) => Ok(dims.map(|dim| match size(a, dim) {
            1 => size(b, dim),
            size => size,
        })),
        _ => {
            let rule = "dimensions are matched from the right and must be equal or 1";
            let detail = format!("{a:?} and {b:?} do not broadcast: {rule}");
            Err(Error::shape(op, detail))
        }
    }
}

/// Both operands expanded to their common shape, and a compact layout for the result: that of the
/// operand with more elements, not counting repeated ones, the first if both have equally many.
pub(crate) fn broadcast_layouts(op: &'static str, a: &Layout, b: &Layout) -> Result<[Layout; 3]> {
    let shape = broadcast(op, &a.shape, &b.shape)?;
    let (wide_a, wide_b) = (a.expand(op, &shape)?, b.expand(op, &shape)?);
    let like = if b.stored() > a.stored() {
        &wide_b
    } else {
        &wide_a
    };
    let out = Layout::dense_like(op, &shape, like)?;
    Ok([wide_a, wide_b, out])
}
