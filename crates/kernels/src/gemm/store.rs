//! From registers to memory.

use super::microkernel::Sums;
use super::tile::MAX_VECTORS;
use crate::array::array;
use crate::disjoint::TileMut;
use crate::elementwise::{Unary, assign, hard_swish};
use crate::epilogue::{Bounds, Clamp, Epilogue};
use crate::far::LINE;
use std::ops::Range;
use striate_simd::Simd;

/// How the sums of one panel are stored: the part of an [`Epilogue`] that concerns its columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Store<'a> {
    scale: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
    residual: Option<Residual<'a>>,
    bounds: Bounds,
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

impl<'a> Residual<'a> {
    #[inline(always)]
    fn row(&self, i: usize) -> &'a [f32] {
        &self.data[i * self.stride..]
    }
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
            bounds: epilogue.activation.bounds(),
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
        let cut_off = out.row_len() != NV * S::LANES;
        if cut_off || self.add || self.late.is_some() {
            // A copy, so that the sums themselves need no place in memory.
            let copy = *acc;
            return self.run_elsewhere(s, &copy, out, &rows);
        }
        let steps = Steps::<S, NV>::new(s, self);
        if let Some(residual) = self.residual {
            return out.each_row(
                rows,
                #[inline(always)]
                |i, row| steps.run_onto(s, &acc[i], residual.row(rows[i]), row),
            );
        }
        out.each_row(
            rows,
            #[inline(always)]
            |i, row| steps.run(s, &acc[i], row),
        );
    }

    /// Fetches what [`run`](Self::run) will read beside the sums, `width` elements of each row: it was written
    /// long ago.
    #[inline(always)]
    pub(crate) fn fetch<S: Simd, const MR: usize>(
        &self,
        s: S,
        width: usize,
        rows: impl Fn(usize) -> usize,
    ) {
        if let Some(residual) = self.residual {
            for i in 0..MR {
                let row = rows(i) * residual.stride;
                for j in (0..width).step_by(LINE) {
                    s.prefetch(residual.data, row + j);
                }
            }
        }
    }

    /// As [`run`](Self::run), for every `step`-th row from `first` on.
    #[inline(always)]
    pub(crate) fn run_apart<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        acc: &Sums<S, MR, NV>,
        out: &mut TileMut<'_, f32>,
        first: usize,
        step: usize,
    ) {
        if !self.suits_steps(out, NV * S::LANES) {
            let copy = *acc;
            let rows: [usize; MR] = array(
                #[inline(always)]
                |i| first + i * step,
            );
            return self.run_elsewhere(s, &copy, out, &rows);
        }
        let steps = Steps::<S, NV>::new(s, self);
        out.each_row_apart::<MR>(
            first,
            step,
            #[inline(always)]
            |i, row| steps.run(s, &acc[i], row),
        );
    }

    /// Whether [`Steps`] are all there is to do, with rows of `width` elements.
    #[inline(always)]
    pub(crate) fn suits_steps(&self, out: &TileMut<'_, f32>, width: usize) -> bool {
        out.row_len() == width && self.is_simple()
    }

    /// Whether the sums are scaled, shifted and bounded, and no more.
    #[inline(always)]
    fn is_simple(&self) -> bool {
        self.residual.is_none() && self.late.is_none() && !self.add
    }

    /// Whether the sums are added to the old contents, and no more: all but the last piece of a sum in pieces.
    #[inline(always)]
    fn only_adds(&self) -> bool {
        let operands = [self.scale, self.bias];
        self.add
            && operands.iter().all(Option::is_none)
            && self.residual.is_none()
            && self.late.is_none()
            && self.bounds == Bounds::NONE
    }

    /// As [`run`](Self::run), with any steps: once for all tiles of as many vectors.
    #[inline(never)]
    fn run_elsewhere<S: Simd, const NV: usize>(
        &self,
        s: S,
        acc: &[[S::F32; NV]],
        out: &mut TileMut<'_, f32>,
        rows: &[usize],
    ) {
        let vectors = out.row_len().div_ceil(S::LANES);
        match self.late {
            None if vectors == NV && !self.add => self.run_rows(s, acc, out, rows, nothing::<S>),
            Some(Unary::HardSwish) if vectors == NV && !self.add => {
                self.run_rows(s, acc, out, rows, hard_swish::<S>);
            }
            _ => self.run_any(s, acc.as_flattened(), out, rows),
        }
    }

    /// Stores rows, whose last vector may be cut off, with a `function` behind all other steps.
    #[inline(always)]
    fn run_rows<S: Simd, const NV: usize>(
        &self,
        s: S,
        acc: &[[S::F32; NV]],
        out: &mut TileMut<'_, f32>,
        rows: &[usize],
        function: impl Fn(S, S::F32) -> S::F32,
    ) {
        s.vectorize(
            #[inline(always)]
            || {
                let steps = Steps::<S, NV>::cut_off(s, self, out.row_len());
                for (i, &row) in rows.iter().enumerate() {
                    let residual = self.residual.map(
                        #[inline(always)]
                        |residual| residual.row(row),
                    );
                    steps.run_cut_off(s, &acc[i], residual, &function, out.row(row));
                }
            },
        );
    }

    /// As [`run`](Self::run), with any steps and for the last columns, once for all tiles of a level.
    #[inline(never)]
    pub(crate) fn run_any<S: Simd>(
        &self,
        s: S,
        acc: &[S::F32],
        out: &mut TileMut<'_, f32>,
        rows: &[usize],
    ) {
        s.vectorize(
            #[inline(always)]
            || {
                // Iterators over vectors would be functions without the features of the level.
                let vectors = acc.len() / rows.len();
                for (i, &row) in rows.iter().enumerate() {
                    let (out, acc) = (out.row(row), &acc[i * vectors..][..vectors]);
                    if self.only_adds() && out.len() == vectors * S::LANES {
                        for (j, out) in out.chunks_exact_mut(S::LANES).enumerate() {
                            s.store(s.add(acc[j], s.load(out)), out);
                        }
                        continue;
                    }
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
            |residual| &residual.row(row)[..out.len()],
        );
        let clamp = self.bounds.in_registers(s);
        for (j, out) in out.chunks_mut(S::LANES).enumerate() {
            let mut sum = acc[j];
            if self.add {
                sum = s.add(sum, s.load_partial(out));
            }
            if let Some(scale) = self.scale {
                sum = s.mul(sum, s.load_partial(&scale[j * S::LANES..]));
            }
            for term in [self.bias, residual].into_iter().flatten() {
                sum = s.add(sum, s.load_partial(&term[j * S::LANES..]));
            }
            s.store_partial(clamp.run(s, sum), out);
        }
    }
}

/// The steps of whole rows of `NV` vectors, if they are [simple](Store::is_simple).
pub(crate) struct Steps<S: Simd, const NV: usize> {
    scale: [S::F32; NV],
    bias: [S::F32; NV],
    clamp: Clamp<S>,
}

impl<S: Simd, const NV: usize> Steps<S, NV> {
    /// The steps of a panel.
    #[inline(always)]
    pub(crate) fn new(s: S, store: &Store<'_>) -> Self {
        Self {
            scale: vectors::<S, NV>(s, store.scale.unwrap_or(&ONES)),
            bias: vectors::<S, NV>(s, store.bias.unwrap_or(&ZEROS)),
            clamp: store.bounds.in_registers(s),
        }
    }

    /// The steps of a panel of `len` columns, whose last vector may be cut off.
    #[inline(always)]
    fn cut_off(s: S, store: &Store<'_>, len: usize) -> Self {
        let numbers = |numbers: Option<&[f32]>, default: f32| {
            array(
                #[inline(always)]
                |j| match numbers {
                    Some(numbers) => load_cut_off(s, numbers, j * S::LANES, len),
                    None => s.splat(default),
                },
            )
        };
        Self {
            scale: numbers(store.scale, 1.0),
            bias: numbers(store.bias, 0.0),
            clamp: store.bounds.in_registers(s),
        }
    }

    /// Stores a row whose last vector may be cut off, to which `residual` is added before the activation.
    #[inline(always)]
    fn run_cut_off(
        &self,
        s: S,
        acc: &[S::F32; NV],
        residual: Option<&[f32]>,
        function: &impl Fn(S, S::F32) -> S::F32,
        row: &mut [f32],
    ) {
        for j in 0..NV {
            let at = j * S::LANES;
            let mut sum = s.mul_add(acc[j], self.scale[j], self.bias[j]);
            if let Some(residual) = residual {
                sum = s.add(sum, load_cut_off(s, residual, at, row.len()));
            }
            let sum = function(s, self.clamp.run(s, sum));
            if at + S::LANES <= row.len() {
                s.store(sum, &mut row[at..]);
            } else {
                s.store_partial(sum, &mut row[at..]);
            }
        }
    }

    /// Stores a row.
    #[inline(always)]
    pub(crate) fn run(&self, s: S, acc: &[S::F32; NV], row: &mut [f32]) {
        let row = &mut row[..NV * S::LANES];
        for j in 0..NV {
            let sum = s.mul_add(acc[j], self.scale[j], self.bias[j]);
            s.store(self.clamp.run(s, sum), &mut row[j * S::LANES..]);
        }
    }

    /// Stores a row, to which `residual` is added before the activation.
    #[inline(always)]
    fn run_onto(&self, s: S, acc: &[S::F32; NV], residual: &[f32], row: &mut [f32]) {
        let row = &mut row[..NV * S::LANES];
        let residual = &residual[..NV * S::LANES];
        for j in 0..NV {
            let sum = s.mul_add(acc[j], self.scale[j], self.bias[j]);
            let sum = s.add(sum, s.load(&residual[j * S::LANES..]));
            s.store(self.clamp.run(s, sum), &mut row[j * S::LANES..]);
        }
    }
}

/// What stands for a scale and a bias that there are not, for as many channels as a tile has at most.
static ONES: [f32; MAX_VECTORS * 16] = [1.0; MAX_VECTORS * 16];
static ZEROS: [f32; MAX_VECTORS * 16] = [0.0; MAX_VECTORS * 16];

/// The vector at `at` of `len` elements.
#[inline(always)]
fn load_cut_off<S: Simd>(s: S, from: &[f32], at: usize, len: usize) -> S::F32 {
    if at + S::LANES <= len {
        s.load(&from[at..])
    } else {
        s.load_partial(&from[at..len])
    }
}

/// The function where there is none.
#[inline(always)]
fn nothing<S: Simd>(_: S, sum: S::F32) -> S::F32 {
    sum
}

/// The numbers of `NV` vectors of channels.
#[inline(always)]
fn vectors<S: Simd, const NV: usize>(s: S, numbers: &[f32]) -> [S::F32; NV] {
    let numbers = &numbers[..NV * S::LANES];
    array(
        #[inline(always)]
        |j| s.load(&numbers[j * S::LANES..]),
    )
}
