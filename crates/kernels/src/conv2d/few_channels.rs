//! Convolution of images with few channels, [in place](super::in_place) or through [`Bands`], and its weight
//! gradient through those.

use super::Conv2dGeometry;
use super::backward_weight_ways::Work;
use super::band::{Band, Bands};
use super::copies::{add_in_pairs, write};
use super::in_place::{Area, InPlace};
use super::predict::machine;
use super::taps::{TapWeights, Taps};
use crate::array::array;
use crate::disjoint::{DisjointMut, TileMut};
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::gemm::Matrix;
use crate::gemm::microkernel::{Offsets, accumulate_gathered, accumulate_indexed, zero};
use crate::gemm::pack::pack_b;
use crate::gemm::panels::{Panel, Panels, covering_runs, tile_cost, tile_runs};
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

/// Channels that are no longer few.
const FEW: usize = 33;

/// Finding a row of a tile of the gradient, as a part of beginning a run of pixels.
const GATHERED: f64 = 0.2;

/// A convolution of few channels.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    g: &'a Conv2dGeometry,
    input: Layout,
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
            input,
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

    /// What the gradient of the weights consists of.
    pub(super) fn gradient_work(&self, level: Level) -> Work {
        let (g, k_len) = (self.g, self.offsets.len());
        let panels = Panels::choose(level, k_len, g.out_channels());
        let bands = self.bands() as f64;
        let [pixels, lines] = [
            g.batch() * g.out_size()[0] * g.out_size()[1],
            g.batch() * g.out_size()[0],
        ]
        .map(|count| count as f64);
        let tiles = panels.tiles(level, k_len) as f64;
        let whole = g.out_channels() == panels.padded_columns();
        let rows = (k_len * panels.count()) as f64;
        let element = match self.input {
            Layout::Nchw => machine::COPY_ELEMENT[0],
            Layout::Nhwc => machine::COPY_ELEMENT[1],
        };
        Work {
            sums: pixels * panels.cycles(level, k_len),
            tiles: bands * tiles,
            runs: lines * (tiles + GATHERED * rows),
            rows: bands * rows,
            copied: if whole { 0.0 } else { pixels },
            weights: (COPIES.min(self.bands()) * k_len * panels.padded_columns()) as f64,
            others: element * self.copied() as f64 + machine::WEIGHT_ALONE * g.weight_len() as f64,
        }
    }

    /// How the forward pass reads the input in place, where that is faster than copies.
    fn in_place(&self) -> Option<InPlace> {
        let of_image = self.copied() / self.g.batch().max(1);
        InPlace::new(&Taps::forward(self.g), self.input, of_image)
    }
}

/// Whether the channels are few.
pub(super) fn accepts(g: &Conv2dGeometry) -> bool {
    g.groups() == 1 && g.in_channels() < FEW
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
        held: panels.all(),
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
    let Plan {
        g, bands, offsets, ..
    } = plan;
    let [height, width] = g.out_size();
    let y = DisjointMut::rows(y, g.out_channels());
    let panels = &weights.panels;
    let pass = Pass {
        level,
        panels,
        epilogue,
        y: &y,
    };
    if let Some(plan) = plan.in_place() {
        let weights = plan.weights(panels, &weights.data)?;
        parallel::for_each(g.batch() * plan.tasks(), |task| {
            let (image, lines) = plan.lines(task);
            let line = |y: usize| (image * height + y) * width;
            let pixels = line(lines.start)..line(lines.end);
            let areas = plan.areas_of(&lines, &weights);
            pass.run(pixels, &x[image * plan.image()..], &areas);
        });
        return Ok(());
    }
    let cost = bands.pixels() * offsets.len() * panels.padded_columns();
    let tasks = Cut::every(bands.count(), TASK / cost.max(1));
    parallel::try_for_each(tasks.tasks(), |task| {
        let mut copy = Buffer::recycled(bands.copy_len())?;
        for band in tasks.range(task).map(|index| bands.band(index)) {
            bands.fill(level, &band, x, &mut copy);
            let area = Area {
                offsets,
                weights: &weights.data,
                start: 0,
                steps: [bands.place([1, 0]), bands.place([0, 1])],
                out_start: 0,
                out_steps: [width, 1],
                size: [band.rows.len(), band.columns.len()],
            };
            pass.run(pixels(g, &band), &copy, &[area]);
        }
        Ok(())
    })
}

/// What all tasks of a forward pass share.
struct Pass<'a> {
    level: Level,
    panels: &'a Panels,
    epilogue: &'a Epilogue<'a>,
    y: &'a DisjointMut<'a, f32>,
}

impl Pass<'_> {
    /// Computes the outputs `pixels`, which are those of `areas`.
    fn run(&self, pixels: Range<usize>, x: &[f32], areas: &[Area<'_>]) {
        let panels = self.panels;
        for panel in (0..panels.count()).map(|index| panels.panel(index)) {
            let (columns, channels) = (panel.columns.clone(), panels.columns());
            let mut out = self.y.tile(pixels.clone(), columns.clone());
            for area in areas {
                let area = area.clone().turned(self.level, panel.vectors);
                let lines = Lines {
                    x: &x[area.start..],
                    area: &area,
                    weights: &area.weights[panels.packed_range(&panel, area.offsets.len())],
                    store: Store::new(self.epilogue, false, pixels.start, &columns, channels),
                };
                for (height, columns) in covering_runs(self.level, area.size[1], panel.vectors) {
                    let out = &mut out;
                    let forward = Forward {
                        lines,
                        columns,
                        out,
                    };
                    run_tile(self.level, height, panel.vectors, forward);
                }
            }
            self.epilogue.observe(self.level, &mut out);
        }
    }
}

/// The lines of an area, for one panel.
#[derive(Clone, Copy)]
struct Lines<'a> {
    x: &'a [f32],
    area: &'a Area<'a>,
    weights: &'a [f32],
    store: Store<'a>,
}

impl Lines<'_> {
    /// One tile or two, the first pixel of which is `[y, x]`.
    #[inline(always)]
    fn tiles<S: Simd, const MR: usize, const NV: usize, const T: usize>(
        &self,
        s: S,
        [y, x]: [usize; 2],
        out: &mut TileMut<'_, f32>,
    ) {
        let Area {
            offsets,
            steps: [down, across],
            out_start,
            out_steps,
            ..
        } = *self.area;
        let mut acc = [zero::<S, MR, NV>(s); T];
        let a = &self.x[y * down + x * across..];
        // Neighbours need one address for all.
        if across == 1 {
            accumulate_indexed(s, &mut acc, a, 1, offsets, self.weights);
        } else {
            accumulate_indexed(s, &mut acc, a, across, offsets, self.weights);
        }
        let first = out_start + y * out_steps[0] + x * out_steps[1];
        self.store.run_apart(s, &acc[0], out, first, out_steps[1]);
        // A loop would keep the sums in memory.
        if const { T == 2 } {
            let second = first + MR * out_steps[1];
            self.store
                .run_apart(s, &acc[T - 1], out, second, out_steps[1]);
        }
    }
}

/// Lines of which some columns make up whole tiles.
struct Forward<'a, 'o, 'y> {
    lines: Lines<'a>,
    columns: Range<usize>,
    out: &'o mut TileMut<'y, f32>,
}

impl TileKernel for Forward<'_, '_, '_> {
    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        let Self {
            lines,
            columns,
            out,
        } = self;
        for y in 0..lines.area.size[0] {
            let mut x = columns.start;
            // Where rows need no address each there are registers for two tiles.
            if const { S::LANES == 16 && NV == 1 && MR >= 8 } && lines.area.steps[1] == 1 {
                while columns.end - x >= 2 * MR {
                    lines.tiles::<S, MR, NV, 2>(s, [y, x], out);
                    x += 2 * MR;
                }
            }
            for x in (x..columns.end).step_by(MR) {
                lines.tiles::<S, MR, NV, 1>(s, [y, x], out);
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
    let Plan {
        g, bands, offsets, ..
    } = plan;
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

    fn geometries() -> [Conv2dGeometry; 9] {
        let padded = |n, c, size, o, kernel, stride, pad| {
            Conv2dGeometry::new(n, c, size, o, kernel, stride, pad, [1, 1], 1).unwrap()
        };
        let g = |n, c, size, o, kernel, stride| padded(n, c, size, o, kernel, stride, [1; 4]);
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
            // Images that are read in place, some of them by several tasks.
            g(2, 3, [170, 180], 16, [3, 3], [1, 1]),
            padded(1, 3, [180, 190], 20, [7, 5], [2, 2], [3, 2, 0, 4]),
            padded(2, 1, [120, 110], 8, [4, 4], [4, 3], [0; 4]),
        ]
    }

    #[test]
    fn large_images_are_read_in_place() {
        let count = |layout| {
            let plans = geometries().map(|g| Plan::new(&g, layout).unwrap().in_place().is_some());
            plans.into_iter().filter(|&in_place| in_place).count()
        };
        // One channel is the same in either layout.
        assert_eq!([Layout::Nchw, Layout::Nhwc].map(count), [3, 1]);
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
