//! Convolution without rearranging the input, on channels-last data.
//!
//! A tile of output pixels times a panel of output channels stays in registers through all taps and
//! all input channels, and reads its rows in place:
//!
//! - The pixels of a block are cut into areas at which the same taps lie inside the image, so that what
//!   lies in the padding costs nothing, and taps that are neighbours in memory are read as one.
//! - Panels that the second-level cache does not hold are used piece by piece, by all pixels of a block;
//!   the sums of a piece are added to those before it. Meanwhile the next piece is fetched.
//!
//! Where that is cheap beside the sums, bands of rows are first copied with their padding, so that all
//! pixels have all taps.
//!
//! The order of a sum depends on the shape alone.

use super::areas::{Area, Cut as Areas, Line, Run};
use super::pack::pack_panel;
use super::padded::Bands;
use super::taps::{Dense, Reduce, TapWeights, Taps};
use crate::array::array;
use crate::disjoint::{DisjointMut, TileMut};
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::gemm::microkernel::{Ahead, accumulate_rows, accumulate_strided, zero};
use crate::gemm::panels::{Panel, Panels, tile_runs};
use crate::gemm::store::Store;
use crate::gemm::tile::{TileKernel, run_tile};
use crate::parallel::{self, Cut};
use std::ops::Range;
use striate_simd::{Buffer, Level, Simd};

/// Multiply-adds that are worth a task.
const TASK: usize = 3_000_000;

/// The fewest pixels of a block, so that the panels are reused often enough; most heights of tiles
/// divide it.
const PIXELS: usize = 336;

/// Most elements of the input that a block reads if its tasks need not be larger: half of a
/// second-level cache of 1 MB.
const ELEMENTS: usize = 1 << 17;

/// Elements of a piece of a panel, of which the second-level cache holds two.
const PIECE: usize = 3 << 15;

/// The most output pixels for which every panel of weights is arranged just before its only use.
pub(super) const FEW_PIXELS: usize = 400;

/// Computes the output pixels of `taps`.
pub(super) fn run(
    level: Level,
    taps: &Taps,
    weights: &TapWeights,
    x: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    if taps.pixels() == 0 {
        return Ok(());
    }
    let panels = &weights.panels;
    if let Some(bands) = Bands::new(taps, panels.padded_columns()) {
        return run_bands(level, &bands, weights, x, epilogue, y);
    }
    let zeros = Buffer::zeroed(taps.k_len())?;
    let (plan, panel_cut) = Plan::new(level, taps, panels, x, &zeros);
    let rows = taps.taps.len() * taps.k_len();
    let (blocks, runs) = (plan.blocks(), panel_cut.tasks());
    let y = DisjointMut::rows(y, taps.out_channels);
    parallel::for_each(taps.groups * blocks * runs, |task| {
        let (group, block) = (task / runs / blocks, task / runs % blocks);
        let block = Block::new(&plan, group, plan.block(block));
        for panel in weights.held_of(panel_cut.range(task % runs)) {
            let start = weights.start(group, &panel, rows);
            block.run(level, &panel, &weights.data[start..], epilogue, &y);
        }
    });
    Ok(())
}

/// Computes the output pixels of `taps` with dense weights that are used once.
pub(super) fn run_once(
    level: Level,
    taps: &Taps,
    reduce: Reduce,
    weight: &[f32],
    x: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    if taps.pixels() > FEW_PIXELS || Bands::new(taps, taps.columns()).is_some() {
        let weights = TapWeights::pack(level, taps, reduce, weight)?;
        return run(level, taps, &weights, x, epilogue, y);
    }
    if taps.pixels() == 0 {
        return Ok(());
    }
    let zeros = Buffer::zeroed(taps.k_len())?;
    let panels = Panels::choose(level, taps.pixels(), taps.columns());
    let areas = Areas::choose(
        level,
        taps,
        taps.batch * taps.grid[0],
        panels.panel(0).vectors,
    );
    let plan = Plan::one_block(areas, taps, x, &zeros);
    let rows = taps.taps.len() * taps.k_len();
    let y = DisjointMut::rows(y, taps.out_channels);
    parallel::try_for_each(taps.groups * panels.count(), |task| {
        let (group, panel) = (task / panels.count(), panels.panel(task % panels.count()));
        let mut packed = Buffer::recycled(panels.packed_range(&panel, rows).len())?;
        let dense = Dense { reduce, weight };
        let terms = 0..taps.k_len();
        pack_panel(level, taps, dense, group, &panel, &terms, &mut packed);
        Block::new(&plan, group, plan.block(0)).run(level, &panel, &packed, epilogue, &y);
        Ok(())
    })
}

/// Computes the output pixels of `bands`.
fn run_bands(
    level: Level,
    bands: &Bands<'_>,
    weights: &TapWeights,
    x: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    let (taps, panels) = (bands.taps, &weights.panels);
    let rows = taps.taps.len() * taps.k_len();
    let panel_cut = bands.panels_per_task(panels.count());
    let y = DisjointMut::rows(y, taps.out_channels);
    let tasks = taps.groups * bands.tasks.tasks() * panel_cut.tasks();
    parallel::try_for_each(tasks, |task| {
        let (panel_task, task) = (task % panel_cut.tasks(), task / panel_cut.tasks());
        let (task, group) = (task % bands.tasks.tasks(), task / bands.tasks.tasks());
        let mut copy = Buffer::recycled(bands.copy_len())?;
        for band in bands.tasks.range(task).map(|index| bands.band(index)) {
            bands.fill(level, &band, group, x, &mut copy);
            let local = bands.taps_of(&band);
            let plan = Plan::one_block(Areas::one(&local), &local, &copy, &[]);
            let block = Block {
                channel: 0,
                out_rows: bands.out_rows(&band),
                first_row: local.out_pixel([0; 3]),
                out_channel: group * taps.columns(),
                out_channels: taps.out_channels,
                ..Block::new(&plan, 0, plan.block(0))
            };
            for panel in weights.held_of(panel_cut.range(panel_task)) {
                let start = weights.start(group, &panel, rows);
                block.run(level, &panel, &weights.data[start..], epilogue, &y);
            }
        }
        Ok(())
    })
}

/// What all blocks of a convolution share.
struct Plan<'a> {
    taps: &'a Taps,
    x: &'a [f32],
    /// What a tap outside the image reads.
    zeros: &'a [f32],
    areas: Areas,
    /// Lines of a block, counted through all images.
    lines: Cut,
    /// Pixels of a line that are one block, if lines are long.
    columns: Cut,
}

impl<'a> Plan<'a> {
    /// Blocks of pixels, and how many of the `panels` make each worth a task.
    fn new(
        level: Level,
        taps: &'a Taps,
        panels: &Panels,
        x: &'a [f32],
        zeros: &'a [f32],
    ) -> (Self, Cut) {
        let [h, w] = taps.grid;
        let row_cost = taps.taps.len() * taps.k_len() * panels.padded_columns();
        let row_elements = taps.in_channels * taps.stride[0] * taps.stride[1];
        let mut pixels = PIXELS;
        while pixels * row_cost < TASK
            && (pixels + PIXELS) * row_elements <= ELEMENTS
            && pixels < taps.pixels()
        {
            pixels += PIXELS;
        }
        let columns = Cut::every(w, pixels.max(w.min(2 * PIXELS)));
        let lines = Cut::every(taps.batch * h, pixels / w);
        let lines = Cut::every(taps.batch * h, (taps.batch * h).div_ceil(lines.tasks()));
        let cost = (lines.per_task() * w).min(pixels) * row_cost / panels.count();
        let vectors = panels.panel(0).vectors;
        let plan = Self {
            areas: Areas::choose(level, taps, lines.per_task(), vectors),
            lines,
            columns,
            taps,
            x,
            zeros,
        };
        (plan, Cut::every(panels.count(), TASK / cost.max(1)))
    }

    /// All pixels as one block.
    fn one_block(areas: Areas, taps: &'a Taps, x: &'a [f32], zeros: &'a [f32]) -> Self {
        let whole = |len: usize| Cut::every(len, len);
        Self {
            areas,
            lines: whole(taps.batch * taps.grid[0]),
            columns: whole(taps.grid[1]),
            taps,
            x,
            zeros,
        }
    }

    fn blocks(&self) -> usize {
        self.lines.tasks() * self.columns.tasks()
    }

    /// The lines and the columns of a block.
    fn block(&self, index: usize) -> [Range<usize>; 2] {
        let columns = self.columns.tasks();
        [
            self.lines.range(index / columns),
            self.columns.range(index % columns),
        ]
    }
}

/// Some pixels of one group.
struct Block<'a> {
    plan: &'a Plan<'a>,
    areas: Vec<Area>,
    /// The first input channel.
    channel: usize,
    /// The pixels of the output from the first to behind the last.
    out_rows: Range<usize>,
    /// The number that the areas give to the first of them.
    first_row: usize,
    /// The first output channel, and all channels of an output pixel.
    out_channel: usize,
    out_channels: usize,
}

impl<'a> Block<'a> {
    fn new(plan: &'a Plan<'a>, group: usize, [lines, columns]: [Range<usize>; 2]) -> Self {
        let taps = plan.taps;
        let pixel =
            |line: usize, x: usize| taps.out_pixel([line / taps.grid[0], line % taps.grid[0], x]);
        let out_rows = pixel(lines.start, columns.start)..pixel(lines.end - 1, columns.end - 1) + 1;
        Self {
            plan,
            areas: plan.areas.areas(taps, lines, &columns),
            channel: group * taps.k_len(),
            first_row: out_rows.start,
            out_rows,
            out_channel: group * taps.columns(),
            out_channels: taps.out_channels,
        }
    }

    /// The row of the output, from the block's first on, of a pixel of an area.
    #[inline(always)]
    fn out_row(&self, (line, x): (Line, usize)) -> usize {
        line.output + x * self.plan.taps.out_step[1] - self.first_row
    }

    /// Computes one panel; `weights` begins with it.
    fn run(
        &self,
        level: Level,
        panel: &Panel,
        weights: &[f32],
        epilogue: &Epilogue<'_>,
        y: &DisjointMut<'_, f32>,
    ) {
        let taps = self.plan.taps;
        let (rows, lanes) = (taps.taps.len() * taps.k_len(), level.lanes());
        let width = panel.vectors * lanes;
        let columns = self.out_channel + panel.columns.start..self.out_channel + panel.columns.end;
        let mut out = y.tile(self.out_rows.clone(), columns.clone());
        // At least one, so that pixels without taps are stored.
        let pieces = (rows * width).div_ceil(PIECE).max(1);
        let len = rows.div_ceil(pieces);
        for piece in (0..pieces).map(|i| (i * len).min(rows)..((i + 1) * len).min(rows)) {
            let (here, next) = weights[piece.start * width..].split_at(piece.len() * width);
            let mut ahead = Ahead::new([&next[..here.len().min(next.len())], &[]], lanes);
            for area in &self.areas {
                let (of_area, runs) = (area.rows(), area.within(&piece));
                let first = of_area.start >= piece.start;
                let last = of_area.end <= piece.end;
                // What has no taps at all still has an epilogue.
                if runs.is_empty() && !(of_area.is_empty() && piece.start == 0) {
                    continue;
                }
                let epilogue = if last { epilogue } else { &Epilogue::NONE };
                let (first_row, channels) = (self.out_rows.start, self.out_channels);
                let store = Store::new(epilogue, !first, first_row, &columns, channels);
                let steps: usize = runs.iter().map(|run| run.len).sum();
                for (height, pixels) in tile_runs(level, area.len(), panel.vectors) {
                    let tiles = pixels.len() / height;
                    let tiles_of_area = Tiles {
                        block: self,
                        area,
                        runs: &runs,
                        weights: here,
                        first_weight: piece.start,
                        ahead,
                        store,
                        pixels,
                        out: &mut out,
                    };
                    run_tile(level, height, panel.vectors, tiles_of_area);
                    ahead = ahead.after(tiles * steps);
                }
            }
        }
        epilogue.observe(level, &mut out);
    }
}

/// Pixels of an area that make up whole tiles.
struct Tiles<'b, 'o, 'y> {
    block: &'b Block<'b>,
    area: &'b Area,
    /// The taps.
    runs: &'b [Run],
    /// A piece of the panel, and the row of the panel that is its first.
    weights: &'b [f32],
    first_weight: usize,
    ahead: Ahead<'b>,
    store: Store<'b>,
    /// Which pixels.
    pixels: Range<usize>,
    out: &'o mut TileMut<'y, f32>,
}

impl TileKernel for Tiles<'_, '_, '_> {
    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        let Self { block, area, .. } = self;
        let (taps, x) = (block.plan.taps, block.plan.x);
        let [h, w] = taps.in_size;
        let row_stride = taps.stride[1] * taps.in_channels;
        let mut ahead = self.ahead;
        for first in self.pixels.step_by(MR) {
            let pixels = area.pixels::<MR>(first);
            let starts = array::<_, MR>(
                #[inline(always)]
                |i| {
                    let (line, x) = pixels[i];
                    (line.input + x * taps.stride[1]) * taps.in_channels + block.channel
                },
            );
            let in_one_line =
                pixels[0].0.y == pixels[MR - 1].0.y && pixels[0].0.input == pixels[MR - 1].0.input;
            self.store.fetch::<S, MR>(
                s,
                NV * S::LANES,
                #[inline(always)]
                |i| block.out_row(pixels[i]),
            );
            let mut acc = zero::<S, MR, NV>(s);
            for run in self.runs {
                let b = &self.weights[(run.row - self.first_weight) * NV * S::LANES..];
                if area.whole && in_one_line {
                    let a = &x[starts[0].wrapping_add_signed(run.offset)..];
                    accumulate_strided(s, &mut acc, a, row_stride, run.len, b, ahead);
                } else {
                    let mut any_inside = area.whole;
                    let rows = array(
                        #[inline(always)]
                        |i| {
                            let (line, column) = pixels[i];
                            let y = line.y.wrapping_add_signed(run.pixel[0]);
                            let column =
                                (column * taps.stride[1]).wrapping_add_signed(run.pixel[1]);
                            if !area.whole && (y >= h || column >= w) {
                                return block.plan.zeros;
                            }
                            any_inside = true;
                            &x[starts[i].wrapping_add_signed(run.offset)..]
                        },
                    );
                    if any_inside {
                        accumulate_rows(s, &mut acc, rows, run.len, b, ahead);
                    }
                }
                ahead = ahead.after(run.len);
            }
            let rows = array(
                #[inline(always)]
                |i| block.out_row(pixels[i]),
            );
            self.store.run(s, &acc, self.out, rows);
        }
    }
}
