//! From registers to memory.

use super::microkernel::Sums;
use crate::array::array;
use crate::disjoint::TileMut;
use crate::elementwise::{Unary, assign};
use crate::epilogue::Epilogue;
use std::ops::Range;
use striate_simd::Simd;

/// How the sums of one panel are stored: the part of an [`Epilogue`] that concerns its columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Store<'a> {
    scale: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
    residual: Option<Residual<'a>>,
    /// What a sum is at least. The maximum with it keeps NaN.
    floor: f32,
    /// What is applied to the sums once they are stored.
    late: Option<Unary>,
    /// Whether the old contents are added to the sums.
    add: bool,
}

/// The residual of a panel: row `i` starts at `i * stride`.
#[derive(Clone, Copy, Debug)]
struct Residual<'a> {
    data: &'a [f32],
    stride: usize,
}

impl<'a> Store<'a> {
    /// The steps for the columns `columns` of the rows from `first_row` of an output whose rows have
    /// `row_len` elements.
    pub(crate) fn new(
        epilogue: &Epilogue<'a>,
        add: bool,
        first_row: usize,
        columns: &Range<usize>,
        row_len: usize,
    ) -> Self {
        let residual = |data: &'a [f32]| Residual {
            data: &data[first_row * row_len + columns.start..],
            stride: row_len,
        };
        Self {
            scale: epilogue.scale.map(|scale| &scale[columns.clone()]),
            bias: epilogue.bias.map(|bias| &bias[columns.clone()]),
            residual: epilogue.residual.map(residual),
            floor: epilogue.activation.floor(),
            late: epilogue.activation.late(),
            add,
        }
    }

    /// Stores row `i` of the sums as row `rows[i]` of `out`.
    #[inline(always)]
    pub(crate) fn run<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        acc: &Sums<S, MR, NV>,
        out: &mut TileMut<'_, f32>,
        rows: [usize; MR],
    ) {
        let width = NV * S::LANES;
        let simple = self.residual.is_none() && self.late.is_none() && !self.add;
        if out.row_len() != width || !simple {
            // A copy, so that the sums themselves need no place in memory.
            let copy = *acc;
            return self.run_any(s, copy.as_flattened(), out, &rows);
        }
        let scale = vectors::<S, NV>(s, self.scale, 1.0);
        let bias = vectors::<S, NV>(s, self.bias, 0.0);
        let floor = s.splat(self.floor);
        for i in 0..MR {
            let row = &mut out.row(rows[i])[..width];
            for j in 0..NV {
                let sum = s.max(floor, s.mul_add(acc[i][j], scale[j], bias[j]));
                s.store(sum, &mut row[j * S::LANES..]);
            }
        }
    }

    /// As [`run`](Self::run), with any steps and for the last columns, once for all tiles of a level.
    #[inline(never)]
    fn run_any<S: Simd>(&self, s: S, acc: &[S::F32], out: &mut TileMut<'_, f32>, rows: &[usize]) {
        s.vectorize(
            #[inline(always)]
            || {
                for (acc, &row) in acc.chunks_exact(acc.len() / rows.len()).zip(rows) {
                    let out = out.row(row);
                    self.run_row(s, acc, row, out);
                    if let Some(function) = self.late {
                        assign(s, function, out);
                    }
                }
            },
        );
    }

    #[inline(always)]
    fn run_row<S: Simd>(&self, s: S, acc: &[S::F32], row: usize, out: &mut [f32]) {
        let residual = self.residual.map(
            #[inline(always)]
            |residual| &residual.data[row * residual.stride..][..out.len()],
        );
        for (j, (&sum, out)) in acc.iter().zip(out.chunks_mut(S::LANES)).enumerate() {
            let mut sum = sum;
            if self.add {
                sum = s.add(sum, s.load_partial(out));
            }
            if let Some(scale) = self.scale {
                sum = s.mul(sum, s.load_partial(&scale[j * S::LANES..]));
            }
            for term in [self.bias, residual].into_iter().flatten() {
                sum = s.add(sum, s.load_partial(&term[j * S::LANES..]));
            }
            s.store_partial(s.max(s.splat(self.floor), sum), out);
        }
    }
}

/// The numbers of `NV` vectors of channels; `default` for all, if there are none.
#[inline(always)]
fn vectors<S: Simd, const NV: usize>(s: S, numbers: Option<&[f32]>, default: f32) -> [S::F32; NV] {
    array(
        #[inline(always)]
        |j| {
            numbers.map_or(
                s.splat(default),
                #[inline(always)]
                |numbers| s.load(&numbers[j * S::LANES..]),
            )
        },
    )
}
