//! Convolution of images with few channels, and its weight gradient, through [`Bands`].

use super::Conv2dGeometry;
use super::band::{Band, Bands};
use super::copies::{add_in_pairs, write};
use super::taps::{TapWeights, Taps};
use crate::array::array;
use crate::disjoint::{DisjointMut, TileMut};
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::gemm::Matrix;
use crate::gemm::microkernel::{Offsets, accumulate_gathered, accumulate_indexed, zero};
use crate::gemm::pack::pack_b;
use crate::gemm::panels::{Panel, Panels, tile_cost, tile_runs};
use crate::gemm::store::Store;
use crate::gemm::tile::{TileKernel, run_tile};
use crate::geometry::Layout;
use crate::parallel::{self, Cut};
use std::ops::Range;
use striate_simd::{Buffer, Level, Simd};

/// Multiply-adds that are worth a task.
const TASK: usize = 3_000_000;

/// Copies of the weight gradient at most.
const COPIES: usize = 16;

/// Output pixels of a band, at most: bands read some lines of each other.
const PIXELS: usize = 4096;

/// A convolution of few channels.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    g: &'a Conv2dGeometry,
    bands: Bands,
    /// What the terms of the reduction read, in the weights' own order.
    offsets: Offsets,
}

impl<'a> Plan<'a> {
    /// The plan, if the kernel is small enough; the size of the image does not matter.
    pub(super) fn new(g: &'a Conv2dGeometry, input: Layout) -> Option<Self> {
        let taps = Taps::forward(g);
        let pixel = g.in_channels() * g.taps() * g.out_channels();
        let pixels = (TASK / pixel.max(1)).clamp(512, PIXELS);
        let bands = Bands::new(std::slice::from_ref(&taps), input, pixels)?;
        Some(Self {
            g,
            offsets: bands.offsets(0..g.in_channels(), &taps.taps),
            bands,
        })
    }

    /// Bands of the output.
    pub(super) fn bands(&self) -> usize {
        self.bands.count()
    }

    /// Elements of the copies of all bands.
    pub(super) fn copied(&self) -> usize {
        self.bands.count() * self.bands.copy_len()
    }
}

/// The panels that suit the lines of the output.
pub(super) fn panels(level: Level, g: &Conv2dGeometry) -> Panels {
    Panels::choose(level, g.out_size()[1], g.out_channels())
}

/// Arranges the weights as the rows of a right operand.
pub(super) fn pack(
    level: Level,
    g: &Conv2dGeometry,
    weight: &[f32],
) -> Result<TapWeights, KernelError> {
    let k_len = g.in_channels() * g.taps();
    let panels = panels(level, g);
    let columns = Matrix::new(weight, g.out_channels(), k_len)?.transposed();
    Ok(TapWeights {
        data: pack_b(columns, &panels)?,
        panels,
    })
}

/// The pixels of a band among all output pixels, from the first to behind the last.
fn pixels(g: &Conv2dGeometry, band: &Band) -> Range<usize> {
    let [oh, ow] = g.out_size();
    let line = |y: usize| (band.image * oh + y) * ow;
    line(band.rows.start) + band.columns.start..line(band.rows.end - 1) + band.columns.end
}

/// Computes `y` from `x`.
pub(super) fn forward(
    level: Level,
    plan: &Plan<'_>,
    weights: &TapWeights,
    x: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    let Plan { g, bands, offsets } = plan;
    let (panels, channels) = (&weights.panels, g.out_channels());
    let k_len = offsets.len();
    let cost = bands.pixels() * k_len * panels.padded_columns();
    let tasks = Cut::every(bands.count(), TASK / cost.max(1));
    let y = DisjointMut::rows(y, channels);
    parallel::try_for_each(tasks.tasks(), |task| {
        let mut copy = Buffer::recycled(bands.copy_len())?;
        for band in tasks.range(task).map(|index| bands.band(index)) {
            bands.fill(level, &band, x, &mut copy);
            for panel in (0..panels.count()).map(|index| panels.panel(index)) {
                let pixels = pixels(g, &band);
                let lines = Lines {
                    bands,
                    offsets,
                    copy: &copy,
                    weights: &weights.data[panels.packed_range(&panel, k_len)],
                    store: Store::new(epilogue, false, pixels.start, &panel.columns, channels),
                    count: band.rows.len(),
                    columns: 0..band.columns.len(),
                    line_stride: g.out_size()[1],
                    x_stride: g.stride()[1],
                };
                let mut out = y.tile(pixels, panel.columns.clone());
                lines.run_on_tiles(level, panel.vectors, &mut out);
                epilogue.observe(level, &mut out);
            }
        }
        Ok(())
    })
}

/// The lines of a band, for one panel.
#[derive(Clone)]
struct Lines<'a> {
    bands: &'a Bands,
    offsets: &'a Offsets,
    copy: &'a [f32],
    weights: &'a [f32],
    store: Store<'a>,
    count: usize,
    columns: Range<usize>,
    /// Pixels between two lines of the output.
    line_stride: usize,
    x_stride: usize,
}

impl Lines<'_> {
    fn run_on_tiles(self, level: Level, vectors: usize, out: &mut TileMut<'_, f32>) {
        for (height, columns) in tile_runs(level, self.columns.len(), vectors) {
            let lines = Self {
                columns,
                ..self.clone()
            };
            run_tile(level, height, vectors, Forward { lines, out });
        }
    }

    /// One tile or two, the first pixel of which is `[y, x]`.
    #[inline(always)]
    fn tiles<S: Simd, const MR: usize, const NV: usize, const T: usize>(
        &self,
        s: S,
        [y, x]: [usize; 2],
        out: &mut TileMut<'_, f32>,
    ) {
        let mut acc = [zero::<S, MR, NV>(s); T];
        let a = &self.copy[self.bands.place([y, x])..];
        // Neighbours need one address for all.
        if self.x_stride == 1 {
            accumulate_indexed(s, &mut acc, a, 1, self.offsets, self.weights);
        } else {
            accumulate_indexed(s, &mut acc, a, self.x_stride, self.offsets, self.weights);
        }
        let first = y * self.line_stride + x;
        self.store.run_apart(s, &acc[0], out, first, 1);
        // A loop would keep the sums in memory.
        if const { T == 2 } {
            self.store.run_apart(s, &acc[T - 1], out, first + MR, 1);
        }
    }
}

/// Lines whose columns make up whole tiles.
struct Forward<'a, 'o, 'y> {
    lines: Lines<'a>,
    out: &'o mut TileMut<'y, f32>,
}

impl TileKernel for Forward<'_, '_, '_> {
    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        let lines = &self.lines;
        for y in 0..lines.count {
            let mut x = lines.columns.start;
            // Where rows need no address each there are registers for two tiles.
            if const { S::LANES == 16 && NV == 1 && MR >= 8 } && lines.x_stride == 1 {
                while lines.columns.end - x >= 2 * MR {
                    lines.tiles::<S, MR, NV, 2>(s, [y, x], self.out);
                    x += 2 * MR;
                }
            }
            for x in (x..lines.columns.end).step_by(MR) {
                lines.tiles::<S, MR, NV, 1>(s, [y, x], self.out);
            }
        }
    }
}

/// Computes `dweight` from `x` and `dy`.
pub(super) fn backward_weight(
    level: Level,
    plan: &Plan<'_>,
    x: &[f32],
    dy: &[f32],
    dweight: &mut [f32],
) -> Result<(), KernelError> {
    let Plan { g, bands, offsets } = plan;
    if bands.count() == 0 {
        dweight.fill(0.0);
        return Ok(());
    }
    let k_len = offsets.len();
    let panels = Panels::choose(level, k_len, g.out_channels());
    let copy_len = k_len * panels.padded_columns();
    let worthwhile = TASK / (bands.pixels() * copy_len).max(1);
    let per_task = worthwhile.max(bands.count().div_ceil(COPIES));
    let chunks = Cut::every(bands.count(), per_task);
    let mut copies = Buffer::recycled(chunks.tasks() * copy_len)?;
    let pieces = DisjointMut::new(&mut copies);
    parallel::try_for_each(chunks.tasks(), |task| {
        let mut copy = Buffer::recycled(bands.copy_len())?;
        let mut strip = Buffer::recycled(bands.pixels() * panels.padded_columns())?;
        for (nth, band) in chunks
            .range(task)
            .map(|index| bands.band(index))
            .enumerate()
        {
            bands.fill(level, &band, x, &mut copy);
            for panel in (0..panels.count()).map(|index| panels.panel(index)) {
                let dy = &dy[pixels(g, &band).start * g.out_channels() + panel.columns.start..];
                let width = panel.vectors * level.lanes();
                let whole = panel.columns.len() == width;
                let (dy, steps) = if whole {
                    (dy, [g.out_size()[1], 1].map(|n| n * g.out_channels()))
                } else {
                    pack_gradient(g, &band, &panel, width, dy, &mut strip);
                    (&strip[..], [band.columns.len(), 1].map(|n| n * width))
                };
                let range = panels.packed_range(&panel, k_len);
                let start = task * copy_len;
                let gradient = Gradient {
                    bands,
                    offsets: offsets.as_slice(),
                    copy: &copy,
                    dy,
                    dy_steps: steps,
                    lines: band.rows.len(),
                    columns: band.columns.len(),
                    x_stride: g.stride()[1],
                    add: nth > 0,
                    known: 0,
                };
                let mut out = pieces.range(start + range.start..start + range.end);
                gradient.run_on_tiles(level, panel.vectors, width, &mut out);
            }
        }
        Ok::<(), KernelError>(())
    })?;
    drop(pieces);
    add_in_pairs(&mut copies, copy_len);
    for panel in (0..panels.count()).map(|index| panels.panel(index)) {
        let sums = &copies[panels.packed_range(&panel, k_len)];
        let width = sums.len() / k_len;
        let rows = dweight[panel.columns.start * k_len..].chunks_exact_mut(k_len);
        for (at, row) in rows.take(panel.columns.len()).enumerate() {
            row.iter_mut()
                .enumerate()
                .for_each(|(k, dw)| *dw = sums[k * width + at]);
        }
    }
    Ok(())
}

/// Copies a panel of the gradient of a band, where `dy` begins, to consecutive rows of `width` elements, with
/// zeros beyond the last channel.
fn pack_gradient(
    g: &Conv2dGeometry,
    band: &Band,
    panel: &Panel,
    width: usize,
    dy: &[f32],
    strip: &mut [f32],
) {
    let columns = band.columns.len();
    for (line, strip) in strip
        .chunks_mut(columns * width)
        .take(band.rows.len())
        .enumerate()
    {
        let dy = &dy[line * g.out_size()[1] * g.out_channels()..];
        let pixels = dy.chunks(g.out_channels()).take(columns);
        for (to, from) in strip.chunks_exact_mut(width).zip(pixels) {
            to[..panel.columns.len()].copy_from_slice(&from[..panel.columns.len()]);
            to[panel.columns.len()..].fill(0.0);
        }
    }
}

/// The gradient of one panel of the weights over one band.
#[derive(Clone, Copy)]
struct Gradient<'a> {
    bands: &'a Bands,
    offsets: &'a [usize],
    copy: &'a [f32],
    dy: &'a [f32],
    /// Elements from one line to the next, and from one pixel to the next.
    dy_steps: [usize; 2],
    lines: usize,
    columns: usize,
    x_stride: usize,
    /// Whether the sums are added to the old contents of the output.
    add: bool,
    /// Rows of a tile that other tiles compute.
    known: usize,
}

impl Gradient<'_> {
    fn run_on_tiles(self, level: Level, vectors: usize, width: usize, out: &mut [f32]) {
        let rows = out.len() / width;
        for (height, run) in tile_runs(level, rows, vectors) {
            self.run(level, [height, vectors], width, run.clone(), 0, out);
            let rest = rows - run.end;
            // Rows computed twice can be cheaper than small tiles.
            if rest > 0 && tile_cost(level, rest, vectors) > tile_cost(level, height, vectors) {
                self.run(
                    level,
                    [height, vectors],
                    width,
                    rows - height..rows,
                    height - rest,
                    out,
                );
                return;
            }
        }
    }

    /// Computes whole tiles of rows, and leaves out the first ones of each.
    fn run(
        self,
        level: Level,
        [height, vectors]: [usize; 2],
        width: usize,
        rows: Range<usize>,
        known: usize,
        out: &mut [f32],
    ) {
        let out = &mut out[rows.start * width..rows.end * width];
        let gradient = Self {
            offsets: &self.offsets[rows],
            known,
            ..self
        };
        run_tile(level, height, vectors, Backward { gradient, out });
    }
}

/// Rows of the gradient that make up whole tiles.
struct Backward<'a, 'o> {
    gradient: Gradient<'a>,
    out: &'o mut [f32],
}

impl TileKernel for Backward<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        let g = self.gradient;
        let width = NV * S::LANES;
        let [line_step, pixel_step] = g.dy_steps;
        let offsets = g.offsets.chunks_exact(MR);
        for (offsets, out) in offsets.zip(self.out.chunks_exact_mut(MR * width)) {
            let offsets = array(
                #[inline(always)]
                |i| offsets[i],
            );
            let mut acc = zero::<S, MR, NV>(s);
            for y in 0..g.lines {
                let a = (&g.copy[g.bands.place([y, 0])..], g.x_stride);
                let dy = (&g.dy[y * line_step..], pixel_step);
                accumulate_gathered(s, &mut acc, a, offsets, g.columns, dy);
            }
            write(s, &acc, g.add, g.known, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Problem, exact_backward_weight, exact_forward};
    use super::*;
    use crate::testing::{Random, assert_close};
    use striate_simd::test_each_level;

    fn geometries() -> [Conv2dGeometry; 6] {
        let g = |n, c, size, o, kernel, stride| {
            Conv2dGeometry::new(n, c, size, o, kernel, stride, [1; 4], [1, 1], 1).unwrap()
        };
        [
            // Tiles in pairs, and terms that two tiles compute.
            g(1, 3, [4, 61], 16, [3, 3], [1, 1]),
            g(2, 1, [5, 43], 8, [3, 3], [1, 1]),
            g(1, 3, [5, 19], 13, [3, 3], [1, 1]),
            g(1, 3, [5, 61], 16, [3, 3], [2, 2]),
            // Some panels are whole.
            g(2, 2, [9, 12], 72, [3, 2], [1, 2]),
            // Several bands.
            g(1, 2, [11, 500], 64, [7, 7], [1, 1]),
        ]
    }

    test_each_level!(
        fn both_passes_agree_with_double_precision(level: Level) {
            for g in geometries() {
                let p = Problem::new(g, Random::normals);
                let weights = pack(level, &g, &p.weight).unwrap();
                for layout in [Layout::Nchw, Layout::Nhwc] {
                    let plan = Plan::new(&g, layout).unwrap();
                    let mut y = vec![f32::NAN; g.y_len()];
                    forward(level, &plan, &weights, &p.x, &Epilogue::NONE, &mut y).unwrap();
                    let mut dw = vec![f32::NAN; g.weight_len()];
                    backward_weight(level, &plan, &p.x, &p.dy, &mut dw).unwrap();
                    let terms = [g.in_channels() * g.taps(), g.y_len() / g.out_channels()];
                    let exact = [exact_forward(&p, layout), exact_backward_weight(&p, layout)];
                    for ((got, [exact, bound]), terms) in [y, dw].iter().zip(&exact).zip(terms) {
                        for (i, &got) in got.iter().enumerate() {
                            let what = || format!("{g:?} on {level}, element {i}");
                            assert_close(got, exact[i], bound[i], terms, what);
                        }
                    }
                }
            }
        }
    );
}
