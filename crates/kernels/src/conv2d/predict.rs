//! How long each algorithm is predicted to take: what the choice between them rests on.
//!
//! A cycle is the time in which a core does two multiply-adds of whole vectors, which is all that a
//! convolution would take if nothing else had to be done. To it come the parts of tiles that are
//! computed in vain, what a tile costs beside its sums, and the copies that some algorithms make.
//! Predictions are pure functions of the geometry and the level, for one thread.

use super::lanes::Lanes;
use super::padded;
use super::taps::Taps;
use super::winograd::{self, Weights};
use super::{Algorithm, Conv2dGeometry, few_channels, few_outputs};
use crate::accuracy::{Accuracy, Policy};
use crate::dwconv::{self, Counts, Direction};
use crate::gemm::panels::{BLOCK_ROWS, Panels};
use crate::geometry::Layout;
use striate_simd::Level;

/// What a core needs, in cycles, for what is no multiply-add: measured on a core with two units of 512
/// bits and a second-level cache of 2 MB. What the figures weigh against each other differs little
/// between machines.
pub(super) mod machine {
    use striate_simd::Level;

    /// What the sums of a tile take beyond their multiply-adds: tiles of fewer registers hide less.
    pub(in crate::conv2d) fn sums(level: Level) -> f64 {
        if level.lanes() < 16 { 1.09 } else { 1.03 }
    }
    /// A tile: finding its place and clearing its sums; and a run of neighbouring taps in it.
    pub(in crate::conv2d) const TILE: f64 = 20.0;
    pub(super) const RUN: f64 = 6.0;
    /// Storing a row of a tile of lanes, or of the points of tiles.
    pub(in crate::conv2d) const ROW: f64 = 6.0;
    /// Entering a panel, and finding and storing a row of a tile: of a matrix product, of a direct convolution in
    /// place, and of one of few channels.
    pub(super) const PRODUCT: [f64; 2] = [200.0, 1.5];
    pub(super) const DIRECT: [f64; 2] = [250.0, 13.0];
    pub(super) const FEW: [f64; 2] = [450.0, 3.5];
    /// A row of a tile of a direct convolution through copies: addresses of rows take registers, and tall tiles have many.
    pub(in crate::conv2d) fn padded_row(level: Level) -> f64 {
        if level.lanes() < 16 { 13.0 } else { 28.0 }
    }
    /// Preparing a direct convolution, and one of few channels; a group of a direct one in place, and through copies.
    pub(super) const PREPARE: [f64; 2] = [1300.0, 2000.0];
    pub(super) const GROUP: [f64; 2] = [5500.0, 1100.0];
    /// A row of a tile at the edge of the image, for each tap.
    pub(super) const EDGE_ROW: f64 = 19.0;
    /// Copying a vector of a line, or the channels of a group of a pixel; or an element to the line of its channel,
    /// from one and from between others.
    pub(super) const COPY_VECTOR: f64 = 2.6;
    pub(in crate::conv2d) const COPY_GROUP: f64 = 9.0;
    pub(in crate::conv2d) const COPY_ELEMENT: [f64; 2] = [0.3, 0.95];
    /// Transposing an element of an image.
    pub(in crate::conv2d) const TRANSPOSE: f64 = 0.75;
    /// Arranging a weight.
    pub(in crate::conv2d) const PACK: f64 = 0.7;
    /// Preparing a depthwise convolution or a gradient of it; with a vector of channels, a pixel that is stored, a chain of
    /// taps and a multiply-add; a run of pixels of a line; and putting a weight of a gradient in order.
    pub(super) const DEPTHWISE: [f64; 5] = [3000.0, 3.5, 10.7, 0.5, 330.0];
    pub(super) const DEPTHWISE_WEIGHT: f64 = 2.0;
    /// A pixel and a tap of it where the channels do not fill a vector.
    pub(super) const DEPTHWISE_NARROW: [f64; 2] = [40.0, 5.3];
    /// With channels on lanes: a step of a tile, for what it loads and multiplies; a turn of a wheel of
    /// outputs; copying a vector of a line of inputs, and for each vector that is searched if its channels lie apart; and
    /// the line itself.
    pub(in crate::conv2d) const LANES_STEP: f64 = 1.25;
    pub(in crate::conv2d) const LANES_TURN: f64 = 1.5;
    pub(in crate::conv2d) const LANES_COPY: [f64; 2] = [3.5, 2.5];
    pub(in crate::conv2d) const LANES_LINE: f64 = 70.0;

    /// Adding a vector of sums of a gradient to memory.
    pub(in crate::conv2d) const LANES_SUM: f64 = 1.5;
    /// Putting a weight of a gradient in order.
    pub(in crate::conv2d) const LANES_WEIGHT: f64 = 5.5;

    /// Of a gradient of weights: a tile of sums, a run of pixels in it, adding a row of it to memory, copying a vector of
    /// pixels, and putting a weight in order.
    pub(in crate::conv2d) const OUTER: [f64; 5] = [45.0, 4.0, 1.0, 12.0, 0.65];
    /// Finding a line of pixels for a tap, and beginning its runs; and putting a weight in order alone.
    pub(in crate::conv2d) const LINE: f64 = 110.0;
    pub(in crate::conv2d) const WEIGHT_ALONE: f64 = 1.0;
    /// Preparing a gradient of weights.
    pub(in crate::conv2d) const GRADIENT: f64 = 8000.0;
    /// Entering the product of a point of a block of tiles; and a point of a tile, for a vector of channels and for all.
    pub(in crate::conv2d) const POINTS: f64 = 500.0;
    pub(in crate::conv2d) const POINT: [f64; 2] = [6.5, 40.0];

    /// An element of the input or the output that the second-level cache does not hold: read and written in order, or
    /// by a few channels of all pixels at a time.
    pub(super) const TRAFFIC: [f64; 2] = [0.14, 0.30];
    /// Elements that the second-level cache holds beside others.
    pub(in crate::conv2d) const SECOND_LEVEL: f64 = 350e3;
    /// Reading a weight that it does not hold, for each block of pixels; and one of a panel that does not
    /// fit, for each tile.
    pub(super) const WEIGHT: f64 = 0.45;
    pub(super) const WEIGHT_OF_TILE: f64 = 0.025;
}

/// A way to compute a convolution, and the cycles it is predicted to take on one thread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate<A = Algorithm> {
    /// The way.
    pub algorithm: A,
    /// In times in which a core does two multiply-adds of whole vectors.
    pub cycles: f64,
}

/// All algorithms that accept a convolution whose input has layout `input` and that `policy` allows,
/// with weights that are packed once and used many times; in the order of
/// [`implementations`](super::implementations).
pub fn candidates(policy: impl Into<Policy>, g: &Conv2dGeometry, input: Layout) -> Vec<Candidate> {
    predictions(policy.into(), g, input, Weights::Kept).collect()
}

/// As [`candidates`], for weights that are kept or not.
pub(crate) fn predictions(
    Policy { level, accuracy }: Policy,
    g: &Conv2dGeometry,
    input: Layout,
    weights: Weights,
) -> impl Iterator<Item = Candidate> {
    let allowed = move |algorithm: &Algorithm| accuracy == Accuracy::Fast || !algorithm.is_tiled();
    super::implementations()
        .iter()
        .copied()
        .filter(allowed)
        .filter(move |algorithm| algorithm.accepts(g, input, level))
        .map(move |algorithm| Candidate {
            algorithm,
            cycles: predict(algorithm, g, input, level, weights),
        })
}

/// The fastest of the candidates. A gain of accuracy is worth a little time: those that `tiled` tells of are less
/// accurate.
pub(super) fn fastest<A: Copy>(
    candidates: impl Iterator<Item = Candidate<A>>,
    tiled: impl Fn(A) -> bool,
) -> Option<A> {
    let cost = |candidate: &Candidate<A>| {
        if tiled(candidate.algorithm) {
            winograd::MARGIN * candidate.cycles
        } else {
            candidate.cycles
        }
    };
    candidates
        .min_by(|a, b| cost(a).total_cmp(&cost(b)))
        .map(|candidate| candidate.algorithm)
}

fn predict(
    algorithm: Algorithm,
    g: &Conv2dGeometry,
    input: Layout,
    level: Level,
    weights: Weights,
) -> f64 {
    let pack = pack(g.weight_len(), weights);
    // The others read channels-first images through a copy.
    let copy = match (algorithm, input) {
        (Algorithm::FewChannels | Algorithm::FewOutputs | Algorithm::WinogradFewChannels, _)
        | (_, Layout::Nhwc) => 0.0,
        (_, Layout::Nchw) => machine::TRANSPOSE * g.x_len() as f64,
    };
    let tiled = algorithm.tile().is_some();
    let apart = algorithm == Algorithm::Grouped || tiled && has_narrow_groups(g, level);
    let traffic = traffic(g, apart);
    let taps = Taps::forward(g);
    let run = match algorithm {
        Algorithm::Depthwise => depthwise(g, level, Direction::Forward),
        Algorithm::FewOutputs => {
            let phases = std::slice::from_ref(&taps);
            let plan = few_outputs::Plan::new(phases, input);
            plan.map_or(f64::INFINITY, |plan| plan.cycles(level))
        }
        Algorithm::FewChannels => few_channels(g, input, level),
        Algorithm::Grouped => {
            let lanes = Lanes::new(level, std::slice::from_ref(&taps));
            lanes.map_or(f64::INFINITY, |lanes| lanes.cycles(level))
        }
        Algorithm::Pointwise => product(&taps.flattened(), level, machine::PRODUCT),
        Algorithm::Direct => direct(&taps.flattened(), level),
        Algorithm::WinogradFewChannels => {
            let plan = winograd::FewChannels::new(g, input);
            plan.map_or(f64::INFINITY, |plan| plan.cycles(level))
        }
        Algorithm::Winograd4x4
        | Algorithm::Winograd3x3
        | Algorithm::Winograd2x2
        | Algorithm::Winograd2of2 => {
            let problem = winograd::Problem::forward(g).zip(algorithm.tile());
            let cycles = problem.map(|(problem, size)| problem.cycles(level, size, weights));
            return copy + traffic + cycles.unwrap_or(f64::INFINITY);
        }
    };
    pack + copy + traffic + run
}

/// Arranging `count` weights, if they are arranged for one use.
pub(super) fn pack(count: usize, weights: Weights) -> f64 {
    match weights {
        Weights::Fresh => machine::PACK * count as f64,
        Weights::Kept => 0.0,
    }
}

/// Whether a group has so few channels that its tiles read a line of the caches of every pixel, or two.
pub(super) fn has_narrow_groups(g: &Conv2dGeometry, level: Level) -> bool {
    g.groups() > 1 && g.group_in_channels() <= level.lanes()
}

/// Reading and writing both images, in order or a few channels of all pixels at a time.
pub(super) fn traffic(g: &Conv2dGeometry, apart: bool) -> f64 {
    let elements = (g.x_len() + g.y_len()) as f64;
    if elements > machine::SECOND_LEVEL {
        machine::TRAFFIC[usize::from(apart)] * elements
    } else {
        0.0
    }
}

/// A depthwise convolution or its data gradient.
pub(super) fn depthwise(g: &Conv2dGeometry, level: Level, direction: Direction) -> f64 {
    if g.out_channels() < level.lanes() {
        let [pixel, tap] = machine::DEPTHWISE_NARROW;
        let [written, read] = match direction {
            Direction::Forward => [g.y_len(), g.x_len()],
            Direction::Backward => [g.x_len(), g.y_len()],
        };
        // Each pixel of the smaller image meets all taps.
        let taps = (written.min(read) * g.taps()) as f64;
        return (pixel * written as f64 + tap * taps) / g.out_channels() as f64;
    }
    depthwise_cycles(&dwconv::counts(level.lanes(), g, direction))
}

/// The gradient of depthwise weights.
pub(super) fn depthwise_weights(g: &Conv2dGeometry, level: Level) -> f64 {
    if g.out_channels() < level.lanes() {
        let [pixel, tap] = machine::DEPTHWISE_NARROW;
        return (pixel + tap * g.taps() as f64) * g.y_len() as f64 / g.out_channels() as f64;
    }
    let sums = depthwise_cycles(&dwconv::weight_counts(level.lanes(), g));
    sums + machine::DEPTHWISE_WEIGHT * g.weight_len() as f64
}

fn depthwise_cycles(counts: &Counts) -> f64 {
    let [prepare, pixel, chain, product, run] = machine::DEPTHWISE;
    let Counts {
        pixels,
        chains,
        products,
        runs,
    } = *counts;
    prepare + pixel * pixels + chain * chains + product * products + run * runs
}

fn few_channels(g: &Conv2dGeometry, input: Layout, level: Level) -> f64 {
    let Some(plan) = few_channels::Plan::new(g, input) else {
        return f64::INFINITY;
    };
    let [lines, columns] = [g.batch() * g.out_size()[0], g.out_size()[1]];
    let panels = Panels::choose(level, columns, g.out_channels());
    let terms = (g.in_channels() * g.taps()) as f64;
    let [panel, row] = machine::FEW;
    let line = tiles(&panels, level, columns, terms, 0.0, row);
    let element = match input {
        Layout::Nchw => machine::COPY_ELEMENT[0],
        Layout::Nhwc => machine::COPY_ELEMENT[1],
    };
    let copied = plan.copied() as f64;
    let entries = panel * (plan.bands() * panels.count()) as f64;
    machine::PREPARE[1] + lines as f64 * line + copied * element + entries
}

/// A direct convolution, through copies of bands where it makes them.
pub(super) fn direct(taps: &Taps, level: Level) -> f64 {
    let (k_len, columns) = (taps.k_len() as f64, taps.columns());
    let [in_place, copied] = machine::GROUP;
    if padded::Bands::new(taps, columns).is_none() {
        let sums = product(taps, level, machine::DIRECT);
        return machine::PREPARE[0] + in_place * taps.groups as f64 + sums;
    }
    let [lines, pixels] = [taps.batch * taps.grid[0], taps.grid[1]];
    let panels = Panels::choose(level, pixels, columns);
    let terms = taps.taps.len() as f64 * k_len;
    let line = tiles(
        &panels,
        level,
        pixels,
        terms,
        0.0,
        machine::padded_row(level),
    );
    let pixel = match taps.groups {
        1 => machine::COPY_VECTOR * k_len / level.lanes() as f64,
        _ => machine::COPY_GROUP,
    };
    let copies = (taps.batch * taps.in_size[0] * taps.in_size[1]) as f64 * pixel;
    machine::PREPARE[0] + taps.groups as f64 * (copied + lines as f64 * line + copies)
}

/// Tiles of pixels in their order, whatever lines they are of.
fn product(taps: &Taps, level: Level, [panel, row]: [f64; 2]) -> f64 {
    let (pixels, columns) = (taps.pixels(), taps.columns());
    let panels = Panels::choose(level, pixels, columns);
    let (count, inside) = (taps.taps.len() as f64, inside(taps));
    let rows = count * taps.k_len() as f64;
    let sums = tiles(&panels, level, pixels, rows * inside, count, row);
    let passes = (pixels * panels.count()) as f64;
    let edges = machine::EDGE_ROW * count * passes * (1.0 - inside);

    let width = columns as f64 / panels.count() as f64;
    let weights = taps.groups as f64 * rows * columns as f64;
    let blocks = pixels.div_ceil(BLOCK_ROWS) as f64;
    let mut arrival = 0.0;
    if weights > machine::SECOND_LEVEL {
        arrival += machine::WEIGHT * rows * columns as f64 * blocks;
    }
    if rows * (width + 6.0) > machine::SECOND_LEVEL {
        let tiles = panels.tiles(level, pixels) as f64;
        arrival += machine::WEIGHT_OF_TILE * inside * rows * width * tiles;
    }
    let entries = blocks * panels.count() as f64 * panel;
    taps.groups as f64 * (sums + edges + arrival + entries)
}

/// The tiles of `rows` rows, with so many terms in a sum, of so many runs of taps; `row` is for each row.
fn tiles(panels: &Panels, level: Level, rows: usize, terms: f64, runs: f64, row: f64) -> f64 {
    let tile = machine::TILE + machine::RUN * runs;
    machine::sums(level) * terms * panels.cycles(level, rows)
        + tile * panels.tiles(level, rows) as f64
        + row * (rows * panels.count()) as f64
}

/// The part of the taps of all pixels that read the image and not its padding.
pub(super) fn inside(taps: &Taps) -> f64 {
    let along = |axis: usize, offset: isize| {
        let (stride, grid) = (taps.stride[axis], taps.grid[axis]);
        let first = offset.min(0).unsigned_abs().div_ceil(stride);
        let pixels = taps.in_size[axis] as isize - offset;
        let end = pixels.max(0).unsigned_abs().div_ceil(stride).min(grid);
        end.saturating_sub(first) as f64 / grid.max(1) as f64
    };
    let of_tap = |offset: [isize; 2]| along(0, offset[0]) * along(1, offset[1]);
    let sum: f64 = taps.taps.iter().map(|tap| of_tap(tap.offset)).sum();
    sum / taps.taps.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(n: usize, c: usize, size: usize, out: usize, kernel: usize) -> Conv2dGeometry {
        let pad = [kernel / 2; 4];
        let (size, kernel) = ([size; 2], [kernel; 2]);
        Conv2dGeometry::new(n, c, size, out, kernel, [1; 2], pad, [1; 2], 1).unwrap()
    }

    #[test]
    fn the_taps_in_the_padding_are_not_counted() {
        // 3 of 3 taps in a row, but 2 at either end of five.
        let share = 13.0_f64 / 15.0;
        let g = square(1, 64, 5, 64, 3);
        assert!((inside(&Taps::forward(&g)) - share * share).abs() < 1e-12);
        let far = Conv2dGeometry::new(1, 8, [5; 2], 8, [3; 2], [1; 2], [9; 4], [9; 2], 1).unwrap();
        assert!((inside(&Taps::forward(&far)) - 1.0 / 9.0).abs() < 1e-12);
    }

    #[test]
    fn every_algorithm_that_accepts_has_a_prediction() {
        for level in Level::available() {
            for g in [
                square(1, 3, 40, 64, 7),
                square(0, 64, 20, 80, 3),
                square(2, 9, 1, 1, 1),
            ] {
                for input in [Layout::Nhwc, Layout::Nchw] {
                    let accepting = super::super::implementations()
                        .iter()
                        .filter(|a| a.accepts(&g, input, level));
                    let candidates = candidates(level, &g, input);
                    assert!(candidates.iter().map(|c| &c.algorithm).eq(accepting));
                    assert!(
                        candidates
                            .iter()
                            .all(|c| c.cycles.is_finite() && c.cycles >= 0.0)
                    );
                }
            }
        }
    }

    #[test]
    fn no_prediction_is_below_the_multiplications() {
        for level in Level::available() {
            let g = square(1, 64, 56, 64, 3);
            let peak = g.multiply_adds() / (2 * level.lanes()) as f64;
            for candidate in candidates(level, &g, Layout::Nhwc) {
                let saved = match candidate.algorithm {
                    Algorithm::Winograd4x4 => 4.0,
                    Algorithm::Winograd3x3 => 3.24,
                    Algorithm::Winograd2x2 => 2.25,
                    _ => 1.1,
                };
                assert!(candidate.cycles * saved > peak, "{candidate:?} of {peak}");
            }
        }
    }

    #[test]
    fn tiles_are_left_out_where_strictness_is_asked_for() {
        let g = square(1, 64, 56, 64, 3);
        let policy = Policy {
            level: Level::detect(),
            accuracy: Accuracy::Strict,
        };
        let strict = candidates(policy, &g, Layout::Nhwc);
        assert!(strict.iter().all(|c| !c.algorithm.is_tiled()));
    }
}
