//! From registers to memory.

use super::microkernel::Sums;
use crate::disjoint::TileMut;
use crate::epilogue::{Activation, Epilogue};
use std::ops::Range;
use striate_simd::Simd;

/// How the sums of one panel are stored: the part of an [`Epilogue`] that concerns its columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Store<'a> {
    bias: Option<&'a [f32]>,
    residual: Option<Residual<'a>>,
    activation: Activation,
    /// Whether the old contents are added.
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
            bias: epilogue.bias.map(|bias| &bias[columns.clone()]),
            residual: epilogue.residual.map(residual),
            activation: epilogue.activation,
            add,
        }
    }

    /// Stores row `i` of the sums as row `rows[i]` of `out`.
    #[inline(always)]
    pub(crate) fn run<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        mut acc: Sums<S, MR, NV>,
        out: &mut TileMut<'_, f32>,
        rows: [usize; MR],
    ) {
        let columns = out.row_len();
        if let Some(bias) = self.bias {
            let bias: [S::F32; NV] = std::array::from_fn(
                #[inline(always)]
                |j| vector(s, bias, j),
            );
            for i in 0..MR {
                for j in 0..NV {
                    acc[i][j] = s.add(acc[i][j], bias[j]);
                }
            }
        }
        if let Some(residual) = self.residual {
            for i in 0..MR {
                let row = &residual.data[rows[i] * residual.stride..][..columns];
                for j in 0..NV {
                    acc[i][j] = s.add(acc[i][j], vector(s, row, j));
                }
            }
        }
        if self.add {
            for i in 0..MR {
                let row = out.row(rows[i]);
                for j in 0..NV {
                    acc[i][j] = s.add(acc[i][j], vector(s, row, j));
                }
            }
        }
        if self.activation == Activation::Relu {
            let zero = s.splat(0.0);
            for i in 0..MR {
                for j in 0..NV {
                    acc[i][j] = s.max(zero, acc[i][j]);
                }
            }
        }
        for i in 0..MR {
            let row = out.row(rows[i]);
            for j in 0..NV {
                if (j + 1) * S::LANES <= columns {
                    s.store(acc[i][j], &mut row[j * S::LANES..]);
                } else if j * S::LANES < columns {
                    s.store_partial(acc[i][j], &mut row[j * S::LANES..]);
                }
            }
        }
    }
}

/// The `j`-th vector of `row`, with zeros beyond its end.
#[inline(always)]
fn vector<S: Simd>(s: S, row: &[f32], j: usize) -> S::F32 {
    if (j + 1) * S::LANES <= row.len() {
        s.load(&row[j * S::LANES..])
    } else {
        s.load_partial(row.get(j * S::LANES..).unwrap_or_default())
    }
}
