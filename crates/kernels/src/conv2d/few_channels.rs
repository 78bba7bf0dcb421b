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
use crate::gemm::panels::{Panel, Panels, tile_runs};
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

/// Output pixels of a band, about.
const PIXELS: usize = 512;

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
        let bands = Bands::new(std::slice::from_ref(&taps), input, PIXELS)?;
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
}

/// Lines whose columns make up whole tiles.
struct Forward<'a, 'o, 'y> {
    lines: Lines<'a>,
    out: &'o mut TileMut<'y, f32>,
}

impl TileKernel for Forward<'_, '_, '_> {
    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        let lines = self.lines;
        for y in 0..lines.count {
            for x in lines.columns.clone().step_by(MR) {
                let mut acc = zero::<S, MR, NV>(s);
                let a = &lines.copy[lines.bands.place([y, x])..];
                let weights = lines.weights;
                accumulate_indexed(s, &mut acc, a, lines.x_stride, lines.offsets, weights);
                let rows = array(
                    #[inline(always)]
                    |i| y * lines.line_stride + x + i,
                );
                lines.store.run(s, &acc, self.out, rows);
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
                let dy = &dy[pixels(g, &band).start * g.out_channels()..];
                let width = pack_gradient(g, &band, &panel, level, dy, &mut strip);
                let range = panels.packed_range(&panel, k_len);
                let start = task * copy_len;
                let gradient = Gradient {
                    bands,
                    offsets: offsets.as_slice(),
                    copy: &copy,
                    dy: &strip,
                    lines: band.rows.len(),
                    columns: band.columns.len(),
                    x_stride: g.stride()[1],
                    add: nth > 0,
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

/// Copies a panel of the gradient of a band, consecutive and with zeros beyond the last channel, and
/// returns the length of a row.
fn pack_gradient(
    g: &Conv2dGeometry,
    band: &Band,
    panel: &Panel,
    level: Level,
    dy: &[f32],
    strip: &mut [f32],
) -> usize {
    let width = panel.vectors * level.lanes();
    let columns = band.columns.len();
    for (line, strip) in strip
        .chunks_mut(columns * width)
        .take(band.rows.len())
        .enumerate()
    {
        let dy = &dy[line * g.out_size()[1] * g.out_channels()..];
        let pixels = dy.chunks(g.out_channels()).take(columns);
        for (to, from) in strip.chunks_exact_mut(width).zip(pixels) {
            to[..panel.columns.len()].copy_from_slice(&from[panel.columns.clone()]);
            to[panel.columns.len()..].fill(0.0);
        }
    }
    width
}

/// The gradient of one panel of the weights over one band.
#[derive(Clone, Copy)]
struct Gradient<'a> {
    bands: &'a Bands,
    offsets: &'a [usize],
    copy: &'a [f32],
    dy: &'a [f32],
    lines: usize,
    columns: usize,
    x_stride: usize,
    /// Whether the sums are added to the old contents of the output.
    add: bool,
}

impl Gradient<'_> {
    fn run_on_tiles(self, level: Level, vectors: usize, width: usize, out: &mut [f32]) {
        let rows = out.len() / width;
        for (height, run) in tile_runs(level, rows, vectors) {
            let out = &mut out[run.start * width..run.end * width];
            let gradient = Self {
                offsets: &self.offsets[run],
                ..self
            };
            run_tile(level, height, vectors, Backward { gradient, out });
        }
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
        let offsets = g.offsets.chunks_exact(MR);
        for (offsets, out) in offsets.zip(self.out.chunks_exact_mut(MR * width)) {
            let offsets = array(
                #[inline(always)]
                |i| offsets[i],
            );
            let mut acc = zero::<S, MR, NV>(s);
            for y in 0..g.lines {
                let a = &g.copy[g.bands.place([y, 0])..];
                let dy = &g.dy[y * g.columns * width..];
                accumulate_gathered(s, &mut acc, a, offsets, g.x_stride, g.columns, dy);
            }
            write(s, &acc, g.add, out);
        }
    }
}
