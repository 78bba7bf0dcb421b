//! The steps of tiles of one vector of channels, which is a group or several.
//!
//! Of a group, the points of several tiles lie in the first-level cache, as `[row][tile][column][lane]`: all of one row
//! and column are multiplied with the same few vectors of weights, which stay in registers. The weights of several are so few
//! that they lie in that cache themselves, and a row of points stays in registers from its transform to that back.

use super::outputs::SIDE;
use super::transform::{Points, SixPoints, Transform};
use crate::array::array;
use std::ops::Range;
use striate_simd::Simd;

/// Outputs of a tile along either axis.
pub(super) const OUTPUTS: usize = 4;

/// The pixels that some neighbouring tiles read, of one vector of channels.
#[derive(Debug)]
pub(super) struct Window<'a> {
    /// From the first pixel on that lies inside the image.
    pub(super) data: &'a [f32],
    /// Elements from one row to the next, and from one pixel.
    pub(super) steps: [usize; 2],
    /// Elements from a pixel to what is asked for when it is read.
    pub(super) ahead: usize,
    /// The rows and columns that lie inside the image. All others are zeros.
    pub(super) inside: [Range<usize>; 2],
}

impl<'a> Window<'a> {
    /// The row of pixels inside the image that is nearest to row `i`.
    #[inline(always)]
    fn row(&self, lanes: usize, i: usize) -> &'a [f32] {
        let [height, width] = &self.inside;
        let above = i.clamp(height.start, height.end - 1) - height.start;
        let len = (width.len() - 1) * self.steps[1] + lanes;
        &self.data[above * self.steps[0]..][..len]
    }
}

/// Which of some tiles a step is about.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The tiles whose points there are.
    pub(super) count: usize,
    /// Some neighbours of them.
    pub(super) tiles: Range<usize>,
}

impl Place {
    /// The points of a row of the tiles.
    #[inline(always)]
    fn row(&self, lanes: usize, row: usize) -> Range<usize> {
        let start = (row * self.count + self.tiles.start) * SIDE * lanes;
        start..start + self.tiles.len() * SIDE * lanes
    }
}

/// The points of neighbouring tiles. Neighbours share two columns, which are transformed once, to `columns`.
#[inline(never)]
pub(super) fn inputs<S: Simd>(
    s: S,
    window: &Window<'_>,
    columns: &mut [f32],
    place: &Place,
    points: &mut [f32],
) {
    s.vectorize(
        #[inline(always)]
        || {
            let side = SIDE * S::LANES;
            let width = place.tiles.len() * OUTPUTS + SIDE - OUTPUTS;
            let columns = &mut columns[..width * side];
            transform_columns(s, window, columns);
            for i in 0..SIDE {
                let row = &mut points[place.row(S::LANES, i)];
                for (tile, row) in row.chunks_exact_mut(side).enumerate() {
                    let columns = &columns[tile * OUTPUTS * side..][..SIDE * side];
                    let transformed = SixPoints::input(
                        s,
                        array(
                            #[inline(always)]
                            |j| s.load(&columns[j * side + i * S::LANES..]),
                        ),
                    );
                    for j in 0..SIDE {
                        s.store(transformed[j], &mut row[j * S::LANES..]);
                    }
                }
            }
        },
    );
}

/// The transforms of the columns that some neighbouring tiles read, to `columns`, each `SIDE` vectors.
#[inline(never)]
pub(super) fn input_columns<S: Simd>(s: S, window: &Window<'_>, columns: &mut [f32]) {
    s.vectorize(
        #[inline(always)]
        || transform_columns(s, window, columns),
    );
}

/// As [`input_columns`].
#[inline(always)]
fn transform_columns<S: Simd>(s: S, window: &Window<'_>, columns: &mut [f32]) {
    let side = SIDE * S::LANES;
    let [height, width] = &window.inside;
    if height.is_empty() || width.is_empty() {
        columns.fill(0.0);
        return;
    }
    let (columns, after) = columns.split_at_mut(width.end * side);
    let (before, columns) = columns.split_at_mut(width.start * side);
    before.fill(0.0);
    after.fill(0.0);
    let rows: [&[f32]; SIDE] = array(
        #[inline(always)]
        |i| window.row(S::LANES, i),
    );
    let inside: [bool; SIDE] = array(
        #[inline(always)]
        |i| height.contains(&i),
    );
    let (step, ahead) = (window.steps[1], window.ahead);
    for (j, column) in columns.chunks_exact_mut(side).enumerate() {
        let pixels = array(
            #[inline(always)]
            |i| {
                if i >= SIDE - OUTPUTS {
                    s.prefetch(rows[i], j * step + ahead);
                }
                if inside[i] {
                    s.load(&rows[i][j * step..])
                } else {
                    s.splat(0.0)
                }
            },
        );
        let transformed = SixPoints::input(s, pixels);
        for i in 0..SIDE {
            s.store(transformed[i], &mut column[i * S::LANES..]);
        }
    }
}

/// The products of all points, in place. Pairs of channels are multiplied with the weights of every output and of its
/// neighbour, the lane that `swap` tells, as the bits of integers. A point has `N` vectors of weights.
#[inline(never)]
pub(super) fn products<S: Simd, const N: usize>(
    s: S,
    points: &mut [f32],
    weights: &[f32],
    swap: &[f32],
) {
    s.vectorize(
        #[inline(always)]
        || {
            let swap = s.bits(s.load(swap));
            let (side, row_len) = (SIDE * S::LANES, points.len() / SIDE);
            let weights = weights.chunks_exact(SIDE * N * S::LANES);
            for (row, weights) in points.chunks_exact_mut(row_len).zip(weights) {
                for (j, weights) in weights.chunks_exact(N * S::LANES).enumerate() {
                    let weights = array(
                        #[inline(always)]
                        |i| s.load(&weights[i * S::LANES..]),
                    );
                    let mut rest = &mut row[..];
                    // As many at a time as there are registers for.
                    if S::LANES == 16 {
                        let mut fours = rest.chunks_exact_mut(4 * side);
                        for tiles in &mut fours {
                            multiply::<S, N, 4>(s, &weights, swap, &mut tiles[j * S::LANES..]);
                        }
                        rest = fours.into_remainder();
                    }
                    for tile in rest.chunks_exact_mut(side) {
                        multiply::<S, N, 1>(s, &weights, swap, &mut tile[j * S::LANES..]);
                    }
                }
            }
        },
    );
}

/// Multiplies `T` vectors, `SIDE` apart, in place.
#[inline(always)]
fn multiply<S: Simd, const N: usize, const T: usize>(
    s: S,
    weights: &[S::F32; N],
    swap: S::I32,
    points: &mut [f32],
) {
    let points = &mut points[..((T - 1) * SIDE + 1) * S::LANES];
    let mut sums = [[s.splat(0.0); 2]; T];
    for i in 0..N / 2 {
        for t in 0..T {
            let at = t * SIDE * S::LANES + 2 * i;
            let pair = s.splat_pair([points[at], points[at + 1]]);
            sums[t][0] = s.mul_add(pair, weights[2 * i], sums[t][0]);
            sums[t][1] = s.mul_add(pair, weights[2 * i + 1], sums[t][1]);
        }
    }
    for t in 0..T {
        let sum = s.add(sums[t][0], s.permute(sums[t][1], swap));
        s.store(sum, &mut points[t * SIDE * S::LANES..]);
    }
}

/// The rows of a tile, whose columns are transformed: transformed, multiplied and transformed back, to `scratch`, as
/// [`outputs`](super::outputs::outputs) takes them. Groups of `N` channels share the vector. Their `P` pairs of channels are multiplied with the
/// weights of every output and of its neighbour; `permutations` has the lanes of the neighbours and of the pairs, as the bits
/// of integers.
#[inline(never)]
pub(super) fn shared_rows<S: Simd, const N: usize, const P: usize>(
    s: S,
    columns: &[f32],
    weights: &[f32],
    permutations: &[f32],
    scratch: &mut [f32],
) {
    s.vectorize(
        #[inline(always)]
        || {
            let side = SIDE * S::LANES;
            let (columns, scratch) = (&columns[..SIDE * side], &mut scratch[..OUTPUTS * side]);
            let permutations = &permutations[..(1 + P) * S::LANES];
            let neighbours = s.bits(s.load(permutations));
            let pairs: [S::I32; P] = array(
                #[inline(always)]
                |i| s.bits(s.load(&permutations[(1 + i) * S::LANES..])),
            );
            let weights = weights.chunks_exact(SIDE * N * S::LANES);
            for (i, weights) in (0..SIDE).zip(weights) {
                let points = SixPoints::input(
                    s,
                    array(
                        #[inline(always)]
                        |j| s.load(&columns[j * side + i * S::LANES..]),
                    ),
                );
                let mut sums = [s.splat(0.0); SIDE];
                for j in 0..SIDE {
                    let weights = &weights[j * N * S::LANES..][..N * S::LANES];
                    let pair = s.permute(points[j], pairs[0]);
                    let mut own = s.mul(pair, s.load(weights));
                    let mut others = s.mul(pair, s.load(&weights[S::LANES..]));
                    for p in 1..P {
                        let pair = s.permute(points[j], pairs[p]);
                        own = s.mul_add(pair, s.load(&weights[2 * p * S::LANES..]), own);
                        others =
                            s.mul_add(pair, s.load(&weights[(2 * p + 1) * S::LANES..]), others);
                    }
                    sums[j] = s.add(own, s.permute(others, neighbours));
                }
                let row: [S::F32; OUTPUTS] = SixPoints::output(s, sums);
                for x in 0..OUTPUTS {
                    s.store(row[x], &mut scratch[(x * SIDE + i) * S::LANES..]);
                }
            }
        },
    );
}

/// Transforms the rows of a tile back, to `scratch`.
#[inline(never)]
pub(super) fn output_rows<S: Simd>(s: S, points: &[f32], scratch: &mut [f32], place: &Place) {
    s.vectorize(
        #[inline(always)]
        || {
            for i in 0..SIDE {
                let row = &points[place.row(S::LANES, i)][..SIDE * S::LANES];
                let row: [S::F32; OUTPUTS] = SixPoints::output(
                    s,
                    array(
                        #[inline(always)]
                        |j| s.load(&row[j * S::LANES..]),
                    ),
                );
                for x in 0..OUTPUTS {
                    s.store(row[x], &mut scratch[(x * SIDE + i) * S::LANES..]);
                }
            }
        },
    );
}
