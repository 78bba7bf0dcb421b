//! The gradient of the weights, without rearranging the input.
//!
//! ```text
//! dw[tap][i][o] = sum over pixels p of x[p * stride + tap.offset][i] * dy[p][o]
//! ```
//!
//! A tile of input channels times output channels of one tap stays in registers along a strip of
//! some hundred pixels: each pixel adds an outer product. Strips keep the input and the gradient in
//! the second-level cache while all tiles pass over them.
//!
//! Where the activations outweigh the weights, the pixels are cut into chunks that add up copies of
//! the gradient of their own; the copies are then added in pairs. The cut depends on the shape alone.

use super::backward_weight_ways::Work;
use super::copies::{add_in_pairs, write};
use super::predict::{inside, machine};
use super::taps::{TapWeights, Taps};
use super::{Conv2dGeometry, OP};
use crate::disjoint::DisjointMut;
use crate::error::KernelError;
use crate::far::LINE;
use crate::gemm::microkernel::{Ahead, Aheads, accumulate_outer, zero};
use crate::gemm::panels::{Panel, Panels, tile_runs};
use crate::gemm::tile::{TileKernel, run_tile};
use crate::geometry::element_count;
use crate::parallel::{self, Cut};
use std::ops::Range;
use striate_simd::{Buffer, Level, Simd};

/// Pixels of a strip: enough that adding a tile to memory is cheap beside summing it up.
const STRIP: usize = 256;

/// Input channels that a task takes from a tap at most.
const CHANNELS: usize = 192;

/// Multiply-adds that are worth a task.
const TASK: f64 = 3e6;

/// Tasks to have if the work is large enough.
const TASKS: usize = 16;

/// Computes `dweight` from `x` and `dy`, both channels-last.
pub(super) fn run(
    level: Level,
    g: &Conv2dGeometry,
    x: &[f32],
    dy: &[f32],
    dweight: &mut [f32],
) -> Result<(), KernelError> {
    let taps = Taps::forward(g).flattened();
    if taps.pixels() == 0 {
        dweight.fill(0.0);
        return Ok(());
    }
    let plan = Plan::new(level, &taps);
    let copies = element_count(
        OP,
        "copies of dweight",
        &[plan.chunks.tasks(), plan.copy_len()],
    )?;
    let mut copies = Buffer::recycled(copies)?;
    plan.accumulate(level, x, dy, &mut copies)?;
    add_in_pairs(&mut copies, plan.copy_len());
    TapWeights::unpack(level, &taps, &plan.panels, &copies, dweight);
    Ok(())
}

/// What the computation consists of.
pub(super) fn work(level: Level, g: &Conv2dGeometry) -> Work {
    let taps = Taps::forward(g).flattened();
    if taps.pixels() == 0 {
        return Work::default();
    }
    let Plan {
        panels,
        chunks,
        blocks,
        units,
        ..
    } = Plan::new(level, &taps);
    let (pixels, k_len) = (taps.pixels() as f64, taps.k_len());
    let strips = (chunks.tasks() * chunks.per_task().div_ceil(STRIP)) as f64;
    let sums = (taps.groups * taps.taps.len()) as f64;
    let tiles = (blocks.tasks() * panels.tiles(level, blocks.per_task())) as f64;
    let inside = inside(&taps);
    // Lines whose pixels have no others between them are one run.
    let lines = (pixels / strips / taps.grid[1] as f64).max(1.0);
    let copies = (taps.groups * units.tasks() * taps.columns().div_ceil(level.lanes())) as f64;
    let weights = sums * (k_len * panels.padded_columns()) as f64;
    Work {
        sums: sums * pixels * inside * panels.cycles(level, k_len),
        tiles: sums * strips * tiles,
        runs: sums * strips * tiles * lines * inside,
        rows: sums * strips * (k_len * panels.count()) as f64,
        copied: copies * pixels,
        weights: weights * chunks.tasks() as f64,
        others: machine::LINE * sums * strips * panels.count() as f64 * lines,
    }
}

/// How the work is cut.
struct Plan<'a> {
    taps: &'a Taps,
    panels: Panels,
    /// Pixels of a copy.
    chunks: Cut,
    /// Blocks of input channels of a tap.
    blocks: Cut,
    /// Blocks that are one task, counted through all taps.
    units: Cut,
}

impl<'a> Plan<'a> {
    fn new(level: Level, taps: &'a Taps) -> Self {
        let (pixels, k_len) = (taps.pixels(), taps.k_len());
        let panels = Panels::choose(level, k_len, taps.columns());
        let block_count = k_len.div_ceil(CHANNELS);
        let blocks = Cut::every(
            k_len,
            k_len.div_ceil(block_count).next_multiple_of(24).min(k_len),
        );
        let units = taps.taps.len() * blocks.tasks();

        let rows = (taps.taps.len() * k_len) as f64;
        let copy = taps.groups as f64 * rows * panels.padded_columns() as f64;
        let activations = pixels as f64 * (taps.in_channels + taps.out_channels) as f64;
        let work = copy * pixels as f64;
        // Writing and reading the copies must stay cheap beside reading the activations once.
        let chunks = (activations / (2.0 * copy))
            .min(work / TASK)
            .min((pixels / STRIP) as f64);
        let chunks = (chunks as usize).clamp(1, TASKS);
        let chunks = Cut::every(pixels, pixels.div_ceil(chunks).next_multiple_of(STRIP));

        let unit_work = work / (chunks.tasks() * taps.groups * panels.count() * units) as f64;
        let others = chunks.tasks() * taps.groups * panels.count();
        let worthwhile = (TASK / unit_work).ceil().min(units as f64) as usize;
        let per_task = units.div_ceil(TASKS.div_ceil(others)).max(worthwhile);
        Self {
            taps,
            panels,
            chunks,
            blocks,
            units: Cut::every(units, per_task),
        }
    }

    /// Elements of a copy of the gradient.
    fn copy_len(&self) -> usize {
        self.taps.groups * self.group_len()
    }

    fn group_len(&self) -> usize {
        self.panels.padded_columns() * self.taps.taps.len() * self.taps.k_len()
    }

    fn accumulate(
        &self,
        level: Level,
        x: &[f32],
        dy: &[f32],
        copies: &mut [f32],
    ) -> Result<(), KernelError> {
        let (panels, units) = (self.panels.count(), self.units.tasks());
        let tasks = self.chunks.tasks() * self.taps.groups * panels * units;
        let copies = DisjointMut::new(copies);
        parallel::try_for_each(tasks, |task| {
            let [chunk, group, panel, units] = [
                task / units / panels / self.taps.groups,
                task / units / panels % self.taps.groups,
                task / units % panels,
                task % units,
            ];
            let panel = self.panels.panel(panel);
            let task = Task {
                plan: self,
                x,
                dy,
                group,
                panel,
                units: self.units.range(units),
            };
            task.run(
                level,
                self.chunks.range(chunk),
                &copies,
                chunk * self.copy_len(),
            )
        })
    }
}

/// Some taps and input channels of one panel of output channels.
struct Task<'a> {
    plan: &'a Plan<'a>,
    x: &'a [f32],
    dy: &'a [f32],
    group: usize,
    panel: Panel,
    units: Range<usize>,
}

/// Pixels that are consecutive in the input, `stride` apart, and in the gradient.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// The first channel of the first input pixel.
    pub(crate) x: usize,
    /// The first pixel of the gradient, counted from the start of the strip.
    pub(crate) dy: usize,
    pub(crate) len: usize,
}

impl Task<'_> {
    /// Sums over `pixels` and writes to the copy that starts at `copy` of `copies`.
    fn run(
        &self,
        level: Level,
        pixels: Range<usize>,
        copies: &DisjointMut<'_, f32>,
        copy: usize,
    ) -> Result<(), KernelError> {
        let plan = self.plan;
        let k_len = plan.taps.k_len();
        let packed = plan
            .panels
            .packed_range(&self.panel, plan.taps.taps.len() * k_len);
        let start = copy + self.group * plan.group_len() + packed.start;
        let width = self.panel.vectors * level.lanes();
        let mut strip = Buffer::recycled(STRIP * width)?;
        let mut runs = Vec::new();
        for first in pixels.clone().step_by(STRIP) {
            let strip_pixels = first..(first + STRIP).min(pixels.end);
            self.pack_gradient(strip_pixels.clone(), width, &mut strip);
            let next = strip_pixels.end..(strip_pixels.end + STRIP).min(pixels.end);
            let aheads = self.ahead(level, next);
            let mut next = Aheads::new(&aheads);
            for unit in self.units.clone() {
                let (tap, block) = (unit / plan.blocks.tasks(), unit % plan.blocks.tasks());
                if block == 0 || unit == self.units.start {
                    self.find_runs(tap, strip_pixels.clone(), &mut runs);
                }
                let channels = plan.blocks.range(block);
                let row = start + (tap * k_len + channels.start) * width;
                let mut out = copies.range(row..row + channels.len() * width);
                let block = Block {
                    x: self.x,
                    channel: self.group * k_len + channels.start,
                    x_step: plan.taps.stride[1] * plan.taps.in_channels,
                    runs: &runs,
                    dy: &strip,
                    add: first > pixels.start,
                };
                next = block.run_on_tiles(level, self.panel.vectors, next, &mut out);
            }
        }
        Ok(())
    }

    /// What another strip needs: the panel of the gradient, a line of memory of each pixel and then the next, and the
    /// inputs where the pixels follow one another.
    fn ahead(&self, level: Level, pixels: Range<usize>) -> Vec<Ahead<'_>> {
        let taps = self.plan.taps;
        let lanes = level.lanes();
        let mut all = Vec::with_capacity(1 + self.panel.vectors);
        if pixels.is_empty() {
            return all;
        }
        let first = self.group * taps.columns() + self.panel.columns.start;
        let dy = &self.dy[pixels.start * taps.out_channels..pixels.end * taps.out_channels];
        for line in (0..self.panel.columns.len()).step_by(LINE) {
            all.push(Ahead::new([&dy[first + line..], &[]], taps.out_channels));
        }
        if taps.taps.len() == 1 && taps.stride == [1, 1] && taps.groups == 1 {
            let x = &self.x[pixels.start * taps.in_channels..pixels.end * taps.in_channels];
            all.push(Ahead::new([x, &[]], lanes));
        }
        all
    }

    /// Copies the panel of the gradient: consecutive, and with zeros beyond the last channel.
    fn pack_gradient(&self, pixels: Range<usize>, width: usize, strip: &mut [f32]) {
        let taps = self.plan.taps;
        let columns = self.panel.columns.len();
        let first = self.group * taps.columns() + self.panel.columns.start;
        let rows = self.dy[pixels.start * taps.out_channels..].chunks(taps.out_channels);
        for (to, from) in strip.chunks_exact_mut(width).zip(rows).take(pixels.len()) {
            to[..columns].copy_from_slice(&from[first..first + columns]);
            to[columns..].fill(0.0);
        }
    }

    /// The pixels of a strip at which the tap lies inside the image.
    fn find_runs(&self, tap: usize, pixels: Range<usize>, runs: &mut Vec<Run>) {
        runs.clear();
        let taps = self.plan.taps;
        let tap = taps.taps[tap];
        let ([h, w], width) = (taps.in_size, taps.grid[1]);
        let step = taps.stride[1];
        let before = tap.offset[1].min(0).unsigned_abs().div_ceil(step);
        let inside = (w as isize - tap.offset[1])
            .max(0)
            .unsigned_abs()
            .div_ceil(step);
        let mut line_start = pixels.start;
        while line_start < pixels.end {
            let [n, y, x] = taps.coordinates(line_start);
            let line_end = pixels.end.min(line_start + width - x);
            let iy = (y * taps.stride[0]).wrapping_add_signed(tap.offset[0]);
            let columns = before.max(x)..inside.min(x + line_end - line_start);
            if iy < h && !columns.is_empty() {
                let ix = (columns.start * step).wrapping_add_signed(tap.offset[1]);
                let run = Run {
                    x: ((n * h + iy) * w + ix) * taps.in_channels,
                    dy: line_start + columns.start - x - pixels.start,
                    len: columns.len(),
                };
                match runs.last_mut() {
                    Some(last) if last.is_followed_by(&run, step * taps.in_channels) => {
                        last.len += run.len;
                    }
                    _ => runs.push(run),
                }
            }
            line_start = line_end;
        }
    }
}

impl Run {
    fn is_followed_by(&self, next: &Self, x_step: usize) -> bool {
        self.x + self.len * x_step == next.x && self.dy + self.len == next.dy
    }
}

/// A strip of pixels and the input channels of one tap.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    pub(crate) x: &'a [f32],
    /// The first input channel.
    pub(crate) channel: usize,
    /// The distance between the input pixels of a run.
    pub(crate) x_step: usize,
    pub(crate) runs: &'a [Run],
    pub(crate) dy: &'a [f32],
    /// Whether the sums are added to the old contents of the output.
    pub(crate) add: bool,
}

impl Block<'_> {
    /// Sums up the channels whose rows `out` holds, with the tiles that suit them.
    /// What is left of `next`, which is needed next and comes from further away.
    pub(crate) fn run_on_tiles<'n>(
        self,
        level: Level,
        vectors: usize,
        mut next: Aheads<'n>,
        out: &mut [f32],
    ) -> Aheads<'n> {
        let width = vectors * level.lanes();
        let rows = out.len() / width;
        let steps: usize = self.runs.iter().map(|run| run.len).sum();
        for (height, run) in tile_runs(level, rows, vectors) {
            let out = &mut out[run.start * width..run.end * width];
            let block = Self {
                channel: self.channel + run.start,
                ..self
            };
            run_tile(level, height, vectors, Channels { block, next, out });
            next = next.after(run.len() / height * steps);
        }
        next
    }
}

/// Input channels of a block that make up whole tiles.
struct Channels<'b, 'o> {
    block: Block<'b>,
    next: Aheads<'b>,
    out: &'o mut [f32],
}

impl TileKernel for Channels<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        let block = self.block;
        let width = NV * S::LANES;
        let mut ahead = self.next;
        let asks = !ahead.is_empty();
        let mut channel = block.channel;
        for out in self.out.chunks_exact_mut(MR * width) {
            let mut acc = zero::<S, MR, NV>(s);
            for run in block.runs {
                let (x, dy) = (&block.x[run.x + channel..], &block.dy[run.dy * width..]);
                accumulate_outer(s, &mut acc, x, block.x_step, run.len, dy, ahead.now());
                if asks {
                    ahead = ahead.after(run.len);
                }
            }
            write(s, &acc, block.add, 0, out);
            channel += MR;
        }
    }
}
