//! Which dimensions of which array are reduced.

use crate::geometry::GeometryError;
use crate::nest::{Loop, LoopNest, row_major};

/// One or two arrays of one logical shape, some of whose dimensions are reduced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReduceGeometry {
    /// Loops over the output, and the first and second operand at the kept dimensions.
    pub(super) kept: LoopNest<3>,
    /// Loops over the operands at the reduced dimensions.
    pub(super) reduced: LoopNest<2>,
    reduced_dims: usize,
}

impl ReduceGeometry {
    /// Reduction of the dimensions `axes` of an array of `shape` with `strides`.
    ///
    /// # Errors
    /// If an axis is out of range or named twice, the strides are not as many as the dimensions, or an offset does
    /// not fit the address space.
    pub fn new(shape: &[usize], strides: &[usize], axes: &[usize]) -> Result<Self, GeometryError> {
        Self::pair(shape, strides, strides, axes)
    }

    /// Reduction of two arrays of one shape.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn pair(
        shape: &[usize],
        a_strides: &[usize],
        b_strides: &[usize],
        axes: &[usize],
    ) -> Result<Self, GeometryError> {
        let op = "reduce";
        // The whole array must be addressable, not only either part of it.
        LoopNest::new(op, shape, [a_strides, b_strides])?;
        let mut reduces = vec![false; shape.len()];
        for &axis in axes {
            let seen = reduces.get_mut(axis).map(|r| std::mem::replace(r, true));
            if seen != Some(false) {
                let rule = format!("each must be one of {} dimensions, once", shape.len());
                return Err(GeometryError::new(op, "axes", format!("{axes:?}"), rule));
            }
        }
        let pick = |values: &[usize], reduced: bool| -> Vec<usize> {
            let chosen = values.iter().zip(&reduces).filter(|&(_, &r)| r == reduced);
            chosen.map(|(&v, _)| v).collect()
        };
        let part = |reduced| [shape, a_strides, b_strides].map(|values| pick(values, reduced));
        let [kept_shape, kept_a, kept_b] = part(false);
        let [reduced_shape, reduced_a, reduced_b] = part(true);
        let out = row_major(&kept_shape);
        Ok(Self {
            kept: LoopNest::new(op, &kept_shape, [&out, &kept_a, &kept_b])?,
            reduced: LoopNest::new(op, &reduced_shape, [&reduced_a, &reduced_b])?,
            reduced_dims: axes.len(),
        })
    }

    /// The number of elements of the output.
    pub fn output_len(&self) -> usize {
        self.kept.len()
    }

    /// The number of elements that become one.
    pub fn reduced_len(&self) -> usize {
        self.reduced.len()
    }

    /// The same reduction with an array of the output's shape and strides as the second operand.
    pub(super) fn with_outputs_as_second(&self) -> Self {
        let kept = self.kept.with_strides(2, |l| l.strides[0]);
        let reduced = self.reduced.with_strides(1, |_| 0);
        Self {
            kept,
            reduced,
            reduced_dims: self.reduced_dims,
        }
    }

    /// The loops over all dimensions of the first operand, with the output as second array, repeated where it is
    /// reduced.
    pub(super) fn whole(&self) -> LoopNest<2> {
        let kept = self.kept.loops().iter();
        let kept = kept.map(|l| Loop {
            size: l.size,
            strides: [l.strides[1], l.strides[0]],
        });
        let reduced = self.reduced.loops().iter();
        let reduced = reduced.map(|l| Loop {
            size: l.size,
            strides: [l.strides[0], 0],
        });
        LoopNest::of(
            kept.chain(reduced).collect(),
            self.kept.len() * self.reduced.len(),
        )
    }

    pub(super) fn reduced_dims(&self) -> usize {
        self.reduced_dims
    }

    /// The length that operand `k` must have.
    pub(super) fn reach(&self, k: usize) -> usize {
        if self.kept.is_empty() || self.reduced.is_empty() {
            return 0;
        }
        self.kept.extent(k + 1) + self.reduced.extent(k) - 1
    }
}
