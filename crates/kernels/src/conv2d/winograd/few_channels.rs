//! Images of few channels in tiles, with a stride of one or two.
//!
//! A stride of two leaves four images, one for each remainder of the coordinates, which are read without a stride by the
//! taps of that remainder. In points their sums are one: seven by seven taps of three channels are four by four taps of twelve
//! terms, with 121 multiplications of a channel for nine outputs in the place of 441. So few terms are no matrix product;
//! the points of some tiles go through all steps in the first-level cache.

use super::few_channels_tiles::{Comb, Phases, Source, TILES, few_registers, inputs, products};
use super::outputs::{Corner, SIDE, ask, outputs};
use super::planes::{Scratch, transform_weights_to_six};
use super::transform::{SixPoints, Transform};
use crate::conv2d::Conv2dGeometry;
use crate::conv2d::algorithm::FULL;
use crate::disjoint::{DisjointMut, TileMut};
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::far::is_asked_for;
use crate::gemm::store::Store;
use crate::geometry::Layout;
use crate::parallel::{self, Cut};
use std::ops::Range;
use striate_simd::{Buffer, Level, Simd, dispatch};

/// Points of a tile.
const POINTS: usize = SIDE * SIDE;

/// Terms that are no longer few: points of tiles leave the first-level cache.
const TERMS: usize = 17;

/// Lines of tiles of a band at most: bands read some lines of each other.
const LINES: usize = 4;

/// Cycles that are worth a task.
const TASK: f64 = 60e3;

/// Cycles of a pass; of copying a pixel of a channel; of a vector of tiles and a term in it; and, with a vector of output
/// channels, of an output and of a product of a point.
const PASS: f64 = 500.0;
const PIXEL: f64 = 0.75;
const TERM: f64 = 180.0;
const OUTPUT: f64 = 6.0;
const PRODUCT: f64 = 0.5;

/// How much longer it takes with sixteen registers: half as many sums share what is read.
const FEW_REGISTERS: f64 = 2.0;

/// A convolution of few channels in tiles.
#[derive(Debug)]
pub(in crate::conv2d) struct FewChannels<'a> {
    g: &'a Conv2dGeometry,
    phases: Phases,
    /// Tiles of an image, down and across.
    tiles: [usize; 2],
    /// The lines of tiles, cut into bands.
    bands: Cut,
}

impl<'a> FewChannels<'a> {
    /// If tiles can compute it.
    pub(in crate::conv2d) fn new(g: &'a Conv2dGeometry, input: Layout) -> Option<Self> {
        let ([kernel, width], [stride, across]) = (g.kernel(), g.stride());
        let simple = kernel == width && stride == across && g.dilation() == [1; 2];
        let phases = Phases {
            kernel,
            stride,
            channels: g.in_channels(),
        };
        let fits = simple
            && g.groups() == 1
            // One vector of outputs would have the transforms of the inputs to itself.
            && g.out_channels() > FULL
            && (input == Layout::Nchw || g.in_channels() == 1)
            && (1..=2).contains(&stride)
            && (3..=4).contains(&phases.taps())
            && phases.terms() < TERMS;
        fits.then(|| {
            let tiles = g.out_size().map(|pixels| pixels.div_ceil(phases.outputs()));
            let bands = tiles[0].div_ceil(LINES).max(1);
            Self {
                g,
                phases,
                tiles,
                bands: Cut::every(tiles[0], tiles[0].div_ceil(bands)),
            }
        })
    }

    /// The cycles it is predicted to take.
    pub(in crate::conv2d) fn cycles(&self, level: Level) -> f64 {
        let lines = (self.g.batch() * self.tiles[0]) as f64;
        let bands = (self.g.batch() * self.bands.tasks()) as f64;
        PASS + bands * PIXEL * self.comb().len() as f64 + lines * self.line_cycles(level)
    }

    /// Those of a line of tiles.
    fn line_cycles(&self, level: Level) -> f64 {
        let (phases, lanes) = (&self.phases, level.lanes());
        let strips = self.tiles[1].div_ceil(TILES);
        let terms = (strips * TILES / lanes * phases.terms()) as f64;
        let points: usize = (0..phases.stride).map(|phase| phases.points(phase)).sum();
        let products = (points * points * phases.channels) as f64;
        let outputs = phases.outputs().pow(2) as f64;
        let vectors = self.tiles[1].next_multiple_of(4) * self.g.out_channels().div_ceil(lanes);
        let tiles = (OUTPUT * outputs + PRODUCT * products) * vectors as f64;
        let part = if few_registers(lanes) {
            FEW_REGISTERS
        } else {
            1.0
        };
        part * (TERM * terms + tiles)
    }

    /// The copies of a band.
    fn comb(&self) -> Comb {
        let step = self.phases.step();
        Comb {
            channels: self.phases.channels,
            lines: (self.bands.per_task().max(1) - 1) * step + self.phases.reach(),
            step,
            // The last pixels of a tile stand before the first of the next.
            tiles: self.tiles[1].next_multiple_of(TILES) + 1,
        }
    }

    /// Elements of the weights of a vector of output channels.
    fn vector_len(&self, level: Level) -> usize {
        POINTS * self.phases.terms() * level.lanes()
    }

    /// Arranges the points of the weights, `[vector][row][term][column][channel]`.
    pub(in crate::conv2d) fn pack(
        &self,
        level: Level,
        weight: &[f32],
    ) -> Result<Buffer<f32>, KernelError> {
        let (phases, lanes, outputs) = (&self.phases, level.lanes(), self.g.out_channels());
        let (terms, taps) = (phases.terms(), phases.taps());
        let line = terms * lanes;
        let mut packed = Buffer::recycled(outputs.div_ceil(lanes) * self.vector_len(level))?;
        let mut by_tap = Buffer::zeroed(taps * taps * line)?;
        let mut points = Buffer::recycled(POINTS * line)?;
        let mut scratch = Scratch::new()?;
        for (vector, packed) in packed.chunks_exact_mut(self.vector_len(level)).enumerate() {
            for (at, to) in by_tap.iter_mut().enumerate() {
                let (tap, term) = (at / line, at % line / lanes);
                let output = vector * lanes + at % lanes;
                let (phase, channel) = (term / phases.channels, term % phases.channels);
                let y = phases.stride * (tap / taps) + phase % phases.stride;
                let x = phases.stride * (tap % taps) + phase / phases.stride;
                let kernel = phases.kernel;
                let inside = y < kernel && x < kernel && output < outputs;
                let place = ((output * phases.channels + channel) * kernel + y) * kernel + x;
                *to = if inside { weight[place] } else { 0.0 };
            }
            let mut lines: Vec<_> = points.chunks_exact_mut(line).collect();
            transform_weights_to_six(level, taps, &by_tap, &mut lines, &mut scratch);
            for (at, to) in packed.chunks_exact_mut(lanes).enumerate() {
                let (row, term, column) = (at / SIDE / terms, at / SIDE % terms, at % SIDE);
                let from = (row * SIDE + column) * line + term * lanes;
                to.copy_from_slice(&points[from..from + lanes]);
            }
        }
        Ok(packed)
    }

    /// Computes `y` from `x`.
    pub(in crate::conv2d) fn run(
        &self,
        level: Level,
        weights: &[f32],
        x: &[f32],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        let (g, bands, lanes) = (self.g, &self.bands, level.lanes());
        let channels = g.out_channels();
        let [out_height, out_width] = g.out_size();
        let (comb, terms, outputs) = (self.comb(), self.phases.terms(), self.phases.outputs());
        let cost = self.line_cycles(level) * bands.per_task() as f64;
        let cut = Cut::every(g.batch() * bands.tasks(), (TASK / cost.max(1.0)) as usize);
        let vectors = Cut::every(channels, lanes);
        let y = DisjointMut::rows(y, channels);
        parallel::try_for_each(cut.tasks(), |task| {
            let mut copy = Buffer::recycled(comb.len())?;
            let mut padded = Buffer::recycled(comb.line_len())?;
            let mut points = Buffer::recycled(POINTS * terms * TILES)?;
            let mut columns = Buffer::recycled((TILES * outputs * SIDE).max(POINTS) * lanes)?;
            for unit in cut.range(task) {
                let (image, lines) = (unit / bands.tasks(), bands.range(unit % bands.tasks()));
                let source = self.source(x, image, lines.start);
                dispatch!(level, s => comb.fill(s, &source, &mut padded, &mut copy));
                let line = |tiles: usize| image * out_height + (tiles * outputs).min(out_height);
                let pixels = line(lines.start) * out_width..line(lines.end) * out_width;
                let part = |vector: usize| {
                    let part = vectors.range(vector);
                    let store = Store::new(epilogue, false, pixels.start, &part, channels);
                    (store, y.tile(pixels.clone(), part))
                };
                let mut parts: Vec<_> = (0..vectors.tasks()).map(part).collect();
                let band = Band {
                    pass: self,
                    comb,
                    lines,
                    copy: &copy,
                    weights,
                };
                let buffers = [&mut columns[..], &mut points[..]];
                dispatch!(level, s => match self.phases.taps() {
                    3 => band.run::<_, 3, 4>(s, buffers, &mut parts),
                    _ => band.run::<_, 4, 3>(s, buffers, &mut parts),
                });
                for (_, part) in &mut parts {
                    epilogue.observe(level, part);
                }
            }
            Ok(())
        })
    }

    /// The pixels that the tiles of an image from a line on read.
    fn source<'x>(&self, x: &'x [f32], image: usize, line: usize) -> Source<'x> {
        let (g, phases) = (self.g, &self.phases);
        let ([h, w], [top, _, left, _]) = (g.in_size(), g.padding());
        // What only outputs outside the image would see must not reach the others.
        let seen = |axis: usize, pad: usize| {
            let last = phases.stride * (g.out_size()[axis].max(1) - 1) + phases.kernel;
            g.in_size()[axis].min(last.saturating_sub(pad))
        };
        Source {
            data: &x[image * g.in_channels() * h * w..],
            steps: [h * w, w],
            first: (line * phases.step()) as isize - top as isize,
            zeros: left,
            size: [seen(0, top), seen(1, left)],
        }
    }
}

/// Some lines of tiles of an image.
struct Band<'a> {
    pass: &'a FewChannels<'a>,
    comb: Comb,
    lines: Range<usize>,
    copy: &'a [f32],
    weights: &'a [f32],
}

impl Band<'_> {
    /// Stores the outputs, a vector of channels in each of `parts`.
    fn run<S: Simd, const R: usize, const M: usize>(
        &self,
        s: S,
        [columns, points]: [&mut [f32]; 2],
        parts: &mut [(Store<'_>, TileMut<'_, f32>)],
    ) where
        SixPoints: Transform<R, M, SIDE>,
    {
        let FewChannels {
            g, phases, tiles, ..
        } = self.pass;
        let [out_height, out_width] = g.out_size();
        let vector = POINTS * phases.terms() * S::LANES;
        for (at, line) in self.lines.clone().enumerate() {
            for tile in (0..tiles[1]).step_by(TILES) {
                let place = [at * phases.step(), tile];
                inputs(s, phases, &self.comb, self.copy, place, columns, points);
                let count = (tiles[1] - tile).min(TILES);
                let corner = Corner {
                    first: at * M * out_width + tile * M,
                    steps: [out_width, 1],
                    count: [
                        (out_height - line * M).min(M),
                        (out_width - tile * M).min(count * M),
                    ],
                };
                for ((store, part), weights) in
                    parts.iter_mut().zip(self.weights.chunks_exact(vector))
                {
                    if is_asked_for::<S>(part) {
                        ask::<S, M>(s, &corner, part);
                    }
                    products::<S, R, M>(s, phases, points, weights, count, columns);
                    outputs::<S, R, M>(s, columns, &corner, store, part);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv2d::tests::{Problem, exact_forward};
    use crate::conv2d::{Algorithm, PackedWeights};
    use crate::testing::{Random, assert_same_on_threads, worst_error};
    use proptest::prelude::*;
    use proptest::sample::select;
    use striate_simd::test_each_level;

    /// The outputs of this implementation.
    fn forward(level: Level, p: &Problem) -> Vec<f32> {
        let mut y = vec![f32::NAN; p.g.y_len()];
        let algorithm = Algorithm::WinogradFewChannels;
        PackedWeights::with_algorithm(level, &p.g, Layout::Nchw, &p.weight, algorithm)
            .unwrap()
            .forward(&p.g, &p.x, &Epilogue::NONE, &mut y)
            .unwrap();
        y
    }

    /// The outputs that share tiles with one, of all channels.
    fn tile_of(plan: &FewChannels<'_>, pixel: [usize; 2]) -> [Range<usize>; 2] {
        [0, 1].map(|axis| {
            let side = plan.phases.outputs();
            let start = pixel[axis] / side * side;
            start..(start + side).min(plan.g.out_size()[axis])
        })
    }

    /// For each output the largest sum of the magnitudes of the terms of an output of its tile, if all that a channel of the
    /// tile reads were as large as the largest.
    fn worst_magnitudes(p: &Problem) -> Vec<f64> {
        let (g, plan) = (&p.g, FewChannels::new(&p.g, Layout::Nchw).unwrap());
        let ([h, w], [top, _, left, _]) = (g.in_size(), g.padding());
        let ([oh, ow], outputs) = (g.out_size(), g.out_channels());
        let (inputs, taps) = (g.in_channels(), g.taps());
        let magnitude = |x: &f32| f64::from(x.abs());
        let kernels: Vec<f64> = (p.weight.chunks(taps))
            .map(|kernel| kernel.iter().map(magnitude).sum())
            .collect();
        let element = |n: usize, c: usize, y: usize, x: usize| ((n * inputs + c) * h + y) * w + x;
        let largest = |n: usize, c: usize, tile: &[Range<usize>; 2]| {
            let read = |axis: usize, pad: usize| {
                let (stride, reach) = (plan.phases.stride, plan.phases.kernel);
                let first = (tile[axis].start * stride).saturating_sub(pad);
                let end = ((tile[axis].end - 1) * stride + reach).saturating_sub(pad);
                first..end.min(g.in_size()[axis])
            };
            let pixels = read(0, top).flat_map(|y| read(1, left).map(move |x| [y, x]));
            let values = pixels.map(|[y, x]| magnitude(&p.x[element(n, c, y, x)]));
            values.fold(0.0, f64::max)
        };
        let mut scale = Vec::with_capacity(g.y_len());
        for at in 0..g.batch() * oh * ow {
            let tile = tile_of(&plan, [at / ow % oh, at % ow]);
            let largest: Vec<f64> = (0..inputs)
                .map(|c| largest(at / ow / oh, c, &tile))
                .collect();
            scale.extend((0..outputs).map(|o| {
                let kernels = &kernels[o * inputs..][..inputs];
                largest.iter().zip(kernels).map(|(x, w)| x * w).sum::<f64>() + 1e-30
            }));
        }
        scale
    }

    fn geometries() -> impl Strategy<Value = Conv2dGeometry> {
        let stride = || select(vec![1, 2]);
        let side = || select(vec![1, 2, 5, 8, 13, 30]);
        let pads = [0_usize..5, 0..5, 0..5, 0..5];
        let inputs = select(vec![1, 2, 3, 4, 7, 16]);
        let outputs = select(vec![17, 24, 32, 35]);
        let batch = select(vec![0, 1, 1, 2]);
        (
            batch,
            inputs,
            [side(), side()],
            outputs,
            2_usize..9,
            stride(),
            pads,
        )
            .prop_filter_map(
                "a convolution that it accepts",
                |(n, c, size, o, kernel, stride, pads)| {
                    let [kernel, stride] = [kernel, stride].map(|n| [n; 2]);
                    let g =
                        Conv2dGeometry::new(n, c, size, o, kernel, stride, pads, [1; 2], 1).ok()?;
                    FewChannels::new(&g, Layout::Nchw).is_some().then_some(g)
                },
            )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn it_agrees_with_double_precision(g in geometries()) {
            let p = Problem::new(g, Random::normals);
            let [exact, _] = exact_forward(&p, Layout::Nchw);
            let scale = worst_magnitudes(&p);
            for level in Level::available() {
                let worst = worst_error(&forward(level, &p), &exact, |i| scale[i]);
                prop_assert!(worst <= 40.0, "off by {worst} units on {level}");
            }
        }
    }

    fn stem(size: usize) -> Problem {
        let (three, two) = ([3; 4], [2; 2]);
        let g = Conv2dGeometry::new(2, 3, [size; 2], 21, [7; 2], two, three, [1; 2], 1);
        Problem::new(g.unwrap(), Random::normals)
    }

    test_each_level! {
        fn the_number_of_threads_changes_no_bit(level: Level) {
            assert_same_on_threads(|| forward(level, &stem(75)));
        }
    }

    test_each_level! {
        fn not_a_number_stays_in_its_tiles(level: Level) {
            let mut p = stem(32);
            let clean = forward(level, &p);
            // Pixel (13, 20) of the second channel of the first image, seen by the outputs (5..=8, 9..=11).
            p.x[(32 + 13) * 32 + 20] = f32::NAN;
            let y = forward(level, &p);
            let g = p.g;
            let plan = FewChannels::new(&g, Layout::Nchw).unwrap();
            for (i, (y, clean)) in y.into_iter().zip(clean).enumerate() {
                let [row, column] = [i / 21 / 16 % 16, i / 21 % 16];
                let tile = tile_of(&plan, [row, column]);
                let meets = |axis: usize, first: usize, end: usize| {
                    tile[axis].start < end && first < tile[axis].end
                };
                let first = i < 256 * 21;
                if first && (5..9).contains(&row) && (9..12).contains(&column) {
                    assert!(y.is_nan(), "element {i}: {y}");
                } else if !(first && meets(0, 5, 9) && meets(1, 9, 12)) {
                    assert!(y == clean, "element {i}: {y} instead of {clean}");
                }
            }
        }
    }
}
