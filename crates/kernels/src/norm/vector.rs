//! The reducing passes of batch and group normalisation, for `f32` on vectors; [`apply`](super::apply) has the writing ones.
//!
//! Every pass works on numbers per image and channel, `[N * C]`. In channels-last data a vector holds channels, and a task
//! takes a block of positions of one image; in channels-first data it holds positions of one channel. Batch normalisation
//! of channels-last data sees all images as one: see [`merged`].
//!
//! | pass | reads | writes |
//! |---|---|---|
//! | [`moments`] | `x` | mean and sum of squared deviations |
//! | [`gradient_sums`] | `x`, `dy` | `sum(dy)`, `sum(dy * (x - mean))` |

use super::columns::{Block, fold_block};
use super::{NormGeometry, Upstream};
use crate::disjoint::DisjointMut;
use crate::geometry::Layout;
use crate::lanes::fold;
use crate::parallel::{Cut, for_each};
use std::ops::Range;
use striate_simd::{Level, Simd, dispatch};

/// Elements that one block of a reduction aims at: a level 2 cache holds them.
const BLOCK: usize = 1 << 15;

/// Numbers per image and channel that a pass computes.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    /// Of [`moments`] the mean, of [`gradient_sums`] `sum(dy)`.
    pub(super) first: Vec<f64>,
    /// Of [`moments`] the sum of squared deviations, of [`gradient_sums`] `sum(dy * (x - mean))`.
    pub(super) second: Vec<f64>,
}

/// The same array with all images as one, where the layout allows it.
pub(super) fn merged(g: &NormGeometry) -> NormGeometry {
    let mut all = *g;
    if g.spatial() == 1 {
        all.layout = Layout::Nhwc;
    }
    if all.layout == Layout::Nhwc {
        all.spatial *= all.batch;
        all.batch = 1;
    }
    all
}

/// The blocks that the positions of an image are reduced in.
fn blocks(g: &NormGeometry) -> Cut {
    match g.layout() {
        Layout::Nhwc => Cut::every(g.spatial(), (BLOCK / g.channels().max(1)).clamp(64, 1024)),
        Layout::Nchw => Cut::every(g.spatial(), BLOCK),
    }
}

/// Runs `f(image, block, positions, cells)` for every block of every image, where `cells` are the `A * C` numbers that
/// the block computes, and returns all of them.
fn for_each_block(
    g: &NormGeometry,
    per_channel: usize,
    f: impl Fn(usize, Range<usize>, &mut [f64]) + Sync + Send,
) -> Vec<f64> {
    let blocks = blocks(g);
    let cells_len = per_channel * g.channels();
    let total = g.batch() * blocks.tasks();
    let mut cells = vec![0.0; total * cells_len];
    // Blocks may be too small to be worth a task each.
    let group = Cut::new(total, blocks.per_task().min(g.spatial()) * g.channels());
    let shared = DisjointMut::rows(&mut cells, cells_len);
    for_each(group.tasks(), |task| {
        let range = group.range(task);
        let mut tile = shared.tile(range.clone(), 0..cells_len);
        for (row, block) in range.enumerate() {
            let positions = blocks.range(block % blocks.tasks());
            f(block / blocks.tasks(), positions, tile.row(row));
        }
    });
    drop(shared);
    cells
}

/// The elements of a block of image `n`: of all channels in channels-last data.
fn rows<'a>(g: &NormGeometry, x: &'a [f32], n: usize, positions: &Range<usize>) -> &'a [f32] {
    let start = (n * g.spatial() + positions.start) * g.channels();
    &x[start..start + positions.len() * g.channels()]
}

/// The elements of a block of channel `c` of image `n`, which are contiguous in channels-first data.
fn run<'a>(
    g: &NormGeometry,
    x: &'a [f32],
    n: usize,
    c: usize,
    positions: &Range<usize>,
) -> &'a [f32] {
    let start = (n * g.channels() + c) * g.spatial();
    &x[start + positions.start..start + positions.end]
}

/// Mean and sum of squared deviations of every channel of every image; zero of no elements.
///
/// A block takes its own mean and the deviations from it, while it is in the cache; blocks are merged in `f64` by the rule of
/// Chan, Golub and LeVeque: numbers far from zero lose nothing.
pub(super) fn moments(level: Level, g: &NormGeometry, x: &[f32]) -> Sums {
    let channels = g.channels();
    let cells = for_each_block(g, 2, |n, positions, cells| match g.layout() {
        Layout::Nhwc => {
            let block = Block {
                channels,
                rows: positions.len(),
            };
            dispatch!(level, s => block_moments(s, block, rows(g, x, n, &positions), cells));
        }
        Layout::Nchw => {
            let (means, deviations) = cells.split_at_mut(channels);
            for c in 0..channels {
                let run = run(g, x, n, c, &positions);
                (means[c], deviations[c]) = dispatch!(level, s => run_moments(s, run));
            }
        }
    });
    let mut total = Sums::zero(g);
    let blocks = blocks(g);
    for n in 0..g.batch() {
        let here = n * channels..(n + 1) * channels;
        let (mean, squares) = (&mut total.first[here.clone()], &mut total.second[here]);
        let mut count = 0.0;
        for b in 0..blocks.tasks() {
            let cells = &cells[(n * blocks.tasks() + b) * 2 * channels..][..2 * channels];
            let (block_mean, block_squares) = cells.split_at(channels);
            let added = blocks.range(b).len() as f64;
            let share = added / (count + added);
            let cross = count * share;
            for c in 0..channels {
                let distance = block_mean[c] - mean[c];
                mean[c] += distance * share;
                squares[c] += block_squares[c] + distance * distance * cross;
            }
            count += added;
        }
    }
    total
}

#[inline(always)]
fn block_moments<S: Simd>(s: S, block: Block, x: &[f32], cells: &mut [f64]) {
    let (means, squares) = cells.split_at_mut(block.channels);
    let count = block.rows as f64;
    // Sums, turned into means in single precision: what they miss is seen in the deviations.
    let mut rounded = vec![0.0; block.channels];
    fold_block(
        s,
        block,
        [x],
        [],
        #[inline(always)]
        |[sum], [x], []| [s.add(sum, x)],
        |c, [sum]| {
            rounded[c] = sum / block.rows as f32;
        },
    );
    fold_block(
        s,
        block,
        [x],
        [&rounded],
        #[inline(always)]
        |[sum, squares], [x], [mean]| {
            let d = s.sub(x, mean);
            [s.add(sum, d), s.mul_add(d, d, squares)]
        },
        |c, [sum, sum_of_squares]| {
            means[c] = f64::from(sum);
            squares[c] = f64::from(sum_of_squares);
        },
    );
    for c in 0..block.channels {
        let off = means[c] / count;
        means[c] = f64::from(rounded[c]) + off;
        squares[c] = (squares[c] - off * off * count).max(0.0);
    }
}

/// Mean and sum of squared deviations of contiguous elements.
#[inline(always)]
pub(super) fn run_moments<S: Simd>(s: S, x: &[f32]) -> (f64, f64) {
    let count = x.len() as f64;
    let sum = sum_of(
        s,
        [x],
        #[inline(always)]
        |[x]| x,
    );
    let rounded = (sum / count) as f32;
    let mean = s.splat(rounded);
    let off = sum_of(
        s,
        [x],
        #[inline(always)]
        |[x]| s.sub(x, mean),
    ) / count;
    let squares = fold(
        s,
        [x],
        0.0,
        #[inline(always)]
        |acc, [x]| {
            let d = s.sub(x, mean);
            s.mul_add(d, d, acc)
        },
        #[inline(always)]
        |a, b| s.add(a, b),
    );
    let squares = f64::from(s.sum(squares)) - off * off * count;
    // A maximum would turn NaN into zero.
    (
        f64::from(rounded) + off,
        if squares < 0.0 { 0.0 } else { squares },
    )
}

/// The sum of `f` over the elements.
#[inline(always)]
pub(super) fn sum_of<S: Simd, const K: usize>(
    s: S,
    x: [&[f32]; K],
    f: impl Fn([S::F32; K]) -> S::F32,
) -> f64 {
    let sum = fold(
        s,
        x,
        0.0,
        #[inline(always)]
        |acc, x| s.add(acc, f(x)),
        #[inline(always)]
        |a, b| s.add(a, b),
    );
    f64::from(s.sum(sum))
}

impl Sums {
    fn zero(g: &NormGeometry) -> Self {
        let len = g.batch() * g.channels();
        Self {
            first: vec![0.0; len],
            second: vec![0.0; len],
        }
    }
}

/// The gradient of the value, zero where a following `relu` with the value `y` is zero.
#[inline(always)]
fn passed<S: Simd>(s: S, dy: S::F32, y: S::F32) -> S::F32 {
    s.select(s.le(y, s.splat(0.0)), s.splat(0.0), dy)
}

/// `sum(dy)` and `sum(dy * (x - mean))` of every channel of every image, `dy` being zero where the mask is.
pub(super) fn gradient_sums(
    level: Level,
    g: &NormGeometry,
    Upstream { x, dy, mask }: Upstream<'_, f32>,
    mean: &[f32],
) -> Sums {
    let channels = g.channels();
    let cells = for_each_block(g, 2, |n, positions, cells| {
        let mean = &mean[n * channels..][..channels];
        match g.layout() {
            Layout::Nhwc => {
                let block = Block {
                    channels,
                    rows: positions.len(),
                };
                let [x, dy] = [x, dy].map(|a| rows(g, a, n, &positions));
                let mask = mask.map(|m| rows(g, m, n, &positions));
                dispatch!(level, s => block_gradient_sums(s, block, (x, dy, mask), mean, cells));
            }
            Layout::Nchw => {
                let (sums, products) = cells.split_at_mut(channels);
                for c in 0..channels {
                    let [x, dy] = [x, dy].map(|a| run(g, a, n, c, &positions));
                    let mask = mask.map(|m| run(g, m, n, c, &positions));
                    (sums[c], products[c]) =
                        dispatch!(level, s => run_gradient_sums(s, (x, dy, mask), mean[c]));
                }
            }
        }
    });
    let mut total = Sums::zero(g);
    let blocks = blocks(g).tasks();
    for (i, cells) in cells.chunks_exact((2 * channels).max(1)).enumerate() {
        let here = i / blocks * channels;
        let (sums, products) = cells.split_at(channels);
        for c in 0..channels {
            total.first[here + c] += sums[c];
            total.second[here + c] += products[c];
        }
    }
    total
}

/// `x`, `dy` and the value of a following `relu`, if there was one.
type Backward<'a> = (&'a [f32], &'a [f32], Option<&'a [f32]>);

#[inline(always)]
fn block_gradient_sums<S: Simd>(
    s: S,
    block: Block,
    (x, dy, mask): Backward<'_>,
    mean: &[f32],
    cells: &mut [f64],
) {
    let (sums, products) = cells.split_at_mut(block.channels);
    let mut write = |c: usize, [sum, product]: [f32; 2]| {
        sums[c] = f64::from(sum);
        products[c] = f64::from(product);
    };
    macro_rules! step {
        ($sums:ident, $x:ident, $dy:expr, $mean:ident) => {{
            let dy = $dy;
            [
                s.add($sums[0], dy),
                s.mul_add(dy, s.sub($x, $mean), $sums[1]),
            ]
        }};
    }
    match mask {
        None => fold_block(
            s,
            block,
            [x, dy],
            [mean],
            #[inline(always)]
            |sums, [x, dy], [mean]| step!(sums, x, dy, mean),
            &mut write,
        ),
        Some(y) => fold_block(
            s,
            block,
            [x, dy, y],
            [mean],
            #[inline(always)]
            |sums, [x, dy, y], [mean]| step!(sums, x, passed(s, dy, y), mean),
            &mut write,
        ),
    }
}

#[inline(always)]
fn run_gradient_sums<S: Simd>(s: S, (x, dy, mask): Backward<'_>, mean: f32) -> (f64, f64) {
    let mean = s.splat(mean);
    // Without a mask nothing is stopped: one is positive.
    match mask {
        None => (
            sum_of(
                s,
                [dy],
                #[inline(always)]
                |[dy]| dy,
            ),
            sum_of(
                s,
                [x, dy],
                #[inline(always)]
                |[x, dy]| s.mul(dy, s.sub(x, mean)),
            ),
        ),
        Some(y) => (
            sum_of(
                s,
                [dy, y],
                #[inline(always)]
                |[dy, y]| passed(s, dy, y),
            ),
            sum_of(
                s,
                [x, dy, y],
                #[inline(always)]
                |[x, dy, y]| s.mul(passed(s, dy, y), s.sub(x, mean)),
            ),
        ),
    }
}
