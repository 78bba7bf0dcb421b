//! Dense weights in the order of panels and back, in squares that are transposed in registers.
//!
//! Neighbouring rows of a square are far apart in memory on one side: they are fetched ahead.

use super::taps::{Dense, Reduce, Tap, Taps};
use crate::copy::transpose_square;
use crate::gemm::panels::Panel;
use std::ops::Range;
use striate_simd::{Level, Simd, dispatch};

/// The most lanes of a level.
const LANES: usize = 16;

/// Of so few taps a weight at a time is fetched: a square has all that are neighbours in memory.
const FEW: usize = 4;

/// Arranges the terms `terms` of one panel of one group of dense weights as `[tap][k][columns of the panel]`, with
/// zeros beyond the last column.
pub(super) fn pack_panel(
    level: Level,
    taps: &Taps,
    Dense { reduce, weight }: Dense<'_>,
    group: usize,
    panel: &Panel,
    terms: &Range<usize>,
    packed: &mut [f32],
) {
    let (k_len, columns) = (taps.k_len(), taps.columns());
    let kernel = weight.len() / (taps.groups * k_len * columns);
    let width = packed.len() / (taps.taps.len() * terms.len()).max(1);
    let source = &weight[group * k_len * columns * kernel..];
    match reduce {
        Reduce::Inputs => {
            let source = &source[(panel.columns.start * k_len + terms.start) * kernel..];
            let shape = [terms.len(), panel.columns.len(), kernel];
            dispatch!(level, s => pack_by_inputs(s, shape, (source, k_len * kernel), packed));
        }
        Reduce::Outputs => {
            let source = &source[terms.start * columns * kernel..];
            let shape = [terms.len(), columns, kernel];
            dispatch!(level, s => pack_by_outputs(s, shape, &taps.taps, panel, source, packed));
        }
    }
    for row in packed.chunks_exact_mut(width.max(1)) {
        row[panel.columns.len()..].fill(0.0);
    }
}

/// The inverse of packing for the forward pass: writes a panel `[tap][k][columns]` as dense `[columns, k, tap]`
/// weights.
pub(super) fn unpack_panel(level: Level, shape: [usize; 2], packed: &[f32], weight: &mut [f32]) {
    dispatch!(level, s => unpack_by_inputs(s, shape, packed, weight));
}

/// The rows `[tap][k]` of a panel in the order `[k][tap]` of dense weights.
#[inline(always)]
fn rows_in_order(k_len: usize, kernel: usize) -> impl Iterator<Item = usize> {
    (0..k_len).flat_map(move |k| (0..kernel).map(move |tap| tap * k_len + k))
}

/// Arranges dense `[columns, k, tap]` weights, whose columns are `stride` elements apart, as `[tap][k][columns]`.
#[inline(always)]
fn pack_by_inputs<S: Simd>(
    s: S,
    [k_len, columns, kernel]: [usize; 3],
    (source, stride): (&[f32], usize),
    packed: &mut [f32],
) {
    let rows = k_len * kernel;
    let width = packed.len() / rows.max(1);
    let mut order = rows_in_order(k_len, kernel);
    let (mut square, mut places) = ([0.0; LANES * LANES], [0; LANES]);
    for r0 in (0..rows).step_by(S::LANES) {
        let places = &mut places[..S::LANES.min(rows - r0)];
        for (place, row) in places.iter_mut().zip(order.by_ref()) {
            *place = row * width;
        }
        for c0 in (0..columns).step_by(S::LANES) {
            let filled = S::LANES.min(columns - c0);
            let from = &source[c0 * stride + r0..];
            for i in 0..filled {
                s.prefetch(from, i * stride + 2 * S::LANES);
            }
            let to = (&mut square[..], S::LANES);
            transpose_square(s, (from, stride), to, [filled, places.len()]);
            for (place, line) in places.iter().zip(square.chunks_exact(S::LANES)) {
                copy_lanes(s, &line[..filled], &mut packed[place + c0..]);
            }
        }
    }
}

/// Arranges `[tap][k][columns]`, whose lines are whole vectors, as dense `[columns, k, tap]` weights.
#[inline(always)]
fn unpack_by_inputs<S: Simd>(
    s: S,
    [k_len, kernel]: [usize; 2],
    packed: &[f32],
    weight: &mut [f32],
) {
    let rows = k_len * kernel;
    let (width, columns) = (packed.len() / rows.max(1), weight.len() / rows.max(1));
    // The distance to the rows of the next squares.
    let ahead = S::LANES.div_ceil(kernel.max(1)) * width;
    let mut order = rows_in_order(k_len, kernel);
    let (mut square, mut places) = ([0.0; LANES * LANES], [0; LANES]);
    for r0 in (0..rows).step_by(S::LANES) {
        let places = &mut places[..S::LANES.min(rows - r0)];
        for (place, row) in places.iter_mut().zip(order.by_ref()) {
            *place = row * width;
        }
        for c0 in (0..columns).step_by(S::LANES) {
            for (place, line) in places.iter().zip(square.chunks_exact_mut(S::LANES)) {
                s.prefetch(packed, place + c0 + ahead);
                copy_lanes(s, &packed[place + c0..][..S::LANES], line);
            }
            let filled = S::LANES.min(columns - c0);
            let to = &mut weight[c0 * rows + r0..];
            for i in 0..filled {
                s.prefetch(to, i * rows + 2 * S::LANES);
            }
            transpose_square(s, (&square, S::LANES), (to, rows), [places.len(), filled]);
        }
    }
}

/// Arranges dense `[k, columns, tap]` weights as `[tap of the list][k][columns of the panel]`.
#[inline(always)]
fn pack_by_outputs<S: Simd>(
    s: S,
    [k_len, columns, kernel]: [usize; 3],
    taps: &[Tap],
    panel: &Panel,
    source: &[f32],
    packed: &mut [f32],
) {
    let width = packed.len() / (taps.len() * k_len).max(1);
    let count = panel.columns.len();
    let mut square = [0.0; LANES * LANES];
    for first in (0..kernel).step_by(S::LANES) {
        let indices = first..kernel.min(first + S::LANES);
        let taps = (0..).zip(taps);
        let taps = taps.filter(|(_, tap): &(usize, &Tap)| indices.contains(&tap.index));
        let few = taps.clone().count() <= FEW;
        for k in 0..k_len {
            let source = &source[(k * columns + panel.columns.start) * kernel..];
            if few {
                for (t, tap) in taps.clone() {
                    let row = &mut packed[(t * k_len + k) * width..][..count];
                    if kernel == 1 {
                        row.copy_from_slice(&source[..count]);
                        continue;
                    }
                    let weights = source[tap.index..].iter().step_by(kernel);
                    row.iter_mut()
                        .zip(weights)
                        .for_each(|(to, from)| *to = *from);
                }
                continue;
            }
            for c0 in (0..count).step_by(S::LANES) {
                let filled = S::LANES.min(count - c0);
                let from = &source[c0 * kernel + first..];
                for at in (0..filled * kernel).step_by(S::LANES) {
                    s.prefetch(from, columns * kernel + at);
                }
                // What follows the taps may be read with them: whole vectors are faster.
                let whole = filled == S::LANES && from.len() >= (S::LANES - 1) * kernel + S::LANES;
                let len = if whole { S::LANES } else { indices.len() };
                transpose_square(s, (from, kernel), (&mut square, S::LANES), [filled, len]);
                for (t, tap) in taps.clone() {
                    let line = &square[(tap.index - first) * S::LANES..][..filled];
                    copy_lanes(s, line, &mut packed[(t * k_len + k) * width + c0..]);
                }
            }
        }
    }
}

/// Copies at most a vector.
#[inline(always)]
fn copy_lanes<S: Simd>(s: S, from: &[f32], to: &mut [f32]) {
    if from.len() == S::LANES {
        s.store(s.load(from), to);
    } else {
        to[..from.len()].copy_from_slice(from);
    }
}
