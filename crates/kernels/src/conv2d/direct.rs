//! Convolution without rearranging the input, on channels-last data.
//!
//! A tile of output pixels, consecutive in the order (image, row, column), times a panel of output
//! channels stays in registers through all taps and all input channels. Its rows are read in place:
//!
//! - where every tap of every pixel lies inside the image, they are a constant distance apart, and
//!   taps that are neighbours in memory are read as one;
//! - elsewhere each row has a pointer of its own per tap, to a row of zeros outside the image, and
//!   taps outside for the whole tile are skipped.
//!
//! Where that is cheap beside the sums, bands of rows are first copied with their padding, so that all
//! pixels are of the first kind and tiles end where rows do.
//!
//! Sums are taken in the order (tap, channel), whatever the tile.

use super::padded::Bands;
use super::taps::{Reduce, TapWeights, Taps, pack_panel};
use crate::disjoint::{DisjointMut, TileMut};
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::gemm::microkernel::{Sums, accumulate_rows, accumulate_strided, zero};
use crate::gemm::panels::{Grid, Panel, Panels, tile_runs};
use crate::gemm::store::Store;
use crate::gemm::tile::{TileKernel, run_tile};
use crate::parallel;
use std::ops::Range;
use striate_simd::{Buffer, Level, Simd};

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
    if let Some(bands) = Bands::new(taps, weights.panels.padded_columns()) {
        return run_bands(level, &bands, weights, x, epilogue, y);
    }
    let zeros = Buffer::zeroed(taps.k_len())?;
    let plan = Plan::new(taps, x, &zeros);
    let panels = &weights.panels;
    let rows = taps.taps.len() * taps.k_len();
    let row_elements = taps.in_channels * taps.stride[0] * taps.stride[1];
    let grid = Grid::new(taps.pixels(), panels, rows, row_elements);
    let group_len = panels.padded_columns() * rows;
    let y = DisjointMut::rows(y, taps.out_channels);
    parallel::for_each(taps.groups * grid.tasks(), |task| {
        let group = task / grid.tasks();
        let (pixels, panel_range) = grid.task(task % grid.tasks());
        for panel in panel_range.map(|index| panels.panel(index)) {
            let packed = &weights.data[group * group_len..][panels.packed_range(&panel, rows)];
            run_panel(level, &plan, (group, &panel), packed, &pixels, epilogue, &y);
        }
    });
    Ok(())
}

/// The most output pixels for which every panel of weights is arranged just before its only use.
pub(super) const FEW_PIXELS: usize = 400;

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
    let zeros = Buffer::zeroed(taps.k_len())?;
    let plan = Plan::new(taps, x, &zeros);
    let panels = Panels::choose(level, taps.pixels(), taps.columns());
    let rows = taps.taps.len() * taps.k_len();
    let pixels = 0..taps.pixels();
    if pixels.is_empty() {
        return Ok(());
    }
    let y = DisjointMut::rows(y, taps.out_channels);
    parallel::try_for_each(taps.groups * panels.count(), |task| {
        let (group, panel) = (task / panels.count(), panels.panel(task % panels.count()));
        let mut packed = Buffer::recycled(panels.packed_range(&panel, rows).len())?;
        pack_panel(taps, reduce, weight, group, &panel, &mut packed);
        run_panel(
            level,
            &plan,
            (group, &panel),
            &packed,
            &pixels,
            epilogue,
            &y,
        );
        Ok(())
    })
}

/// Computes some pixels of one panel of one group.
fn run_panel(
    level: Level,
    plan: &Plan<'_>,
    (group, panel): (usize, &Panel),
    weights: &[f32],
    pixels: &Range<usize>,
    epilogue: &Epilogue<'_>,
    y: &DisjointMut<'_, f32>,
) {
    let taps = plan.taps;
    let out_pixel = |pixel: usize| taps.out_pixel(taps.coordinates(pixel));
    let out_rows = out_pixel(pixels.start)..out_pixel(pixels.end - 1) + 1;
    let first = group * taps.columns();
    let columns = first + panel.columns.start..first + panel.columns.end;
    let block = Block {
        plan,
        channel: group * taps.k_len(),
        weights,
        width: weights.len() / (taps.taps.len() * taps.k_len()).max(1),
        store: Store::new(epilogue, false, out_rows.start, &columns, taps.out_channels),
        first_row: out_rows.start,
    };
    let mut out = y.tile(out_rows, columns);
    block.run_on_tiles(level, panel.vectors, std::slice::from_ref(pixels), &mut out);
    epilogue.observe(level, &mut out);
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
    let (group_len, columns) = (panels.padded_columns() * rows, taps.columns());
    let panel_cut = bands.panels_per_task(panels.count());
    let y = DisjointMut::rows(y, taps.out_channels);
    let tasks = taps.groups * bands.tasks.tasks() * panel_cut.tasks();
    parallel::try_for_each(tasks, |task| {
        let (panel_task, task) = (task % panel_cut.tasks(), task / panel_cut.tasks());
        let (task, group) = (task % bands.tasks.tasks(), task / bands.tasks.tasks());
        let mut copy = Buffer::recycled(bands.copy_len())?;
        for band in bands.tasks.range(task).map(|index| bands.band(index)) {
            bands.fill(&band, group, x, &mut copy);
            let local = bands.taps_of(&band);
            let plan = Plan::new(&local, &copy, &[]);
            let width = local.grid[1];
            let lines: Vec<_> = (0..band.rows.len())
                .map(|y| y * width..(y + 1) * width)
                .collect();
            let out_rows = bands.out_rows(&band);
            for panel in panel_cut.range(panel_task).map(|index| panels.panel(index)) {
                let first = group * columns;
                let columns = first + panel.columns.start..first + panel.columns.end;
                let packed = panels.packed_range(&panel, rows);
                let block = Block {
                    plan: &plan,
                    channel: 0,
                    weights: &weights.data[group * group_len..][packed.clone()],
                    width: packed.len() / rows.max(1),
                    store: Store::new(epilogue, false, out_rows.start, &columns, taps.out_channels),
                    first_row: local.out_pixel([0; 3]),
                };
                let mut out = y.tile(out_rows.clone(), columns);
                block.run_on_tiles(level, panel.vectors, &lines, &mut out);
                epilogue.observe(level, &mut out);
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
    /// The rows and the columns of the grid whose taps all lie inside the image.
    interior: [Range<usize>; 2],
    /// The taps of an interior pixel, merged where they are neighbours in memory.
    runs: Vec<Run>,
    /// Whether the output's pixels are those of the grid.
    dense: bool,
}

/// Elements that are consecutive in the input and whose weights are consecutive too.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The first element, relative to the first channel of the pixel `p * stride`.
    offset: isize,
    /// The first row of the packed panel.
    row: usize,
    len: usize,
}

impl<'a> Plan<'a> {
    fn new(taps: &'a Taps, x: &'a [f32], zeros: &'a [f32]) -> Self {
        let interior = [0, 1].map(|axis| {
            let offsets = || taps.taps.iter().map(|tap| tap.offset[axis]);
            let before = offsets().min().unwrap_or(0).min(0).unsigned_abs();
            let after = offsets().max().unwrap_or(0).max(0).unsigned_abs();
            let first = before.div_ceil(taps.stride[axis]);
            let last = taps.in_size[axis]
                .checked_sub(after + 1)
                .map(|i| i / taps.stride[axis]);
            first..last.map_or(0, |last| (last + 1).min(taps.grid[axis]))
        });
        Self {
            zeros,
            interior,
            runs: Self::runs(taps),
            dense: taps.out_step == [1, 1] && taps.out_size == taps.grid,
            taps,
            x,
        }
    }

    fn runs(taps: &Taps) -> Vec<Run> {
        let (k_len, channels) = (taps.k_len(), taps.in_channels as isize);
        let mut runs: Vec<Run> = Vec::with_capacity(taps.taps.len());
        for (t, tap) in taps.taps.iter().enumerate() {
            let pixel = tap.offset[0] * taps.in_size[1] as isize + tap.offset[1];
            let run = Run {
                offset: pixel * channels,
                row: t * k_len,
                len: k_len,
            };
            match runs.last_mut() {
                Some(last) if last.offset + last.len as isize == run.offset => last.len += k_len,
                _ => runs.push(run),
            }
        }
        runs
    }

    /// Whether the `count` pixels from `[_, y, x]` on are in one row and in the interior.
    #[inline(always)]
    fn is_interior(&self, [_, y, x]: [usize; 3], count: usize) -> bool {
        let [rows, columns] = &self.interior;
        rows.contains(&y) && x >= columns.start && x + count <= columns.end
    }
}

/// Some pixels of one panel of one group.
struct Block<'a> {
    plan: &'a Plan<'a>,
    /// The first input channel.
    channel: usize,
    weights: &'a [f32],
    /// Elements of a row of `weights`.
    width: usize,
    store: Store<'a>,
    /// The output pixel that is row 0 of the output tile.
    first_row: usize,
}

impl Block<'_> {
    /// Computes `lines` of equally many consecutive pixels each.
    fn run_on_tiles(
        &self,
        level: Level,
        vectors: usize,
        lines: &[Range<usize>],
        out: &mut TileMut<'_, f32>,
    ) {
        let len = lines.first().map_or(0, Range::len);
        for (height, run) in tile_runs(level, len, vectors) {
            let pixels = Pixels {
                block: self,
                lines,
                run,
                out,
            };
            run_tile(level, height, vectors, pixels);
        }
    }

    /// The sums of pixels in one row whose taps all lie inside the image.
    #[inline(always)]
    fn interior<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        acc: &mut Sums<S, MR, NV>,
        [n, y, x]: [usize; 3],
    ) {
        let taps = self.plan.taps;
        let [h, w] = taps.in_size;
        let pixel = (n * h + y * taps.stride[0]) * w + x * taps.stride[1];
        let base = pixel * taps.in_channels + self.channel;
        let row_stride = taps.stride[1] * taps.in_channels;
        for run in &self.plan.runs {
            let a = &self.plan.x[base.wrapping_add_signed(run.offset)..];
            let b = &self.weights[run.row * self.width..];
            accumulate_strided(s, acc, a, row_stride, run.len, b);
        }
    }

    /// The sums of any pixels.
    #[inline(always)]
    fn edge<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        acc: &mut Sums<S, MR, NV>,
        pixels: [[usize; 3]; MR],
    ) {
        let taps = self.plan.taps;
        let [h, w] = taps.in_size;
        let k_len = taps.k_len();
        for (t, tap) in taps.taps.iter().enumerate() {
            let mut any_inside = false;
            let rows = std::array::from_fn(
                #[inline(always)]
                |i| {
                    let [n, y, x] = pixels[i];
                    let iy = (y * taps.stride[0]).wrapping_add_signed(tap.offset[0]);
                    let ix = (x * taps.stride[1]).wrapping_add_signed(tap.offset[1]);
                    if iy >= h || ix >= w {
                        return self.plan.zeros;
                    }
                    any_inside = true;
                    let start = ((n * h + iy) * w + ix) * taps.in_channels + self.channel;
                    &self.plan.x[start..start + k_len]
                },
            );
            if any_inside {
                accumulate_rows(s, acc, rows, k_len, &self.weights[t * k_len * self.width..]);
            }
        }
    }
}

/// Pixels of a block that make up whole tiles.
struct Pixels<'b, 'o, 'y> {
    block: &'b Block<'b>,
    lines: &'b [Range<usize>],
    /// Which pixels of each line.
    run: Range<usize>,
    out: &'o mut TileMut<'y, f32>,
}

impl TileKernel for Pixels<'_, '_, '_> {
    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        let plan = self.block.plan;
        let firsts = self.lines.iter().flat_map(
            #[inline(always)]
            |line| self.run.clone().step_by(MR).map(move |x| line.start + x),
        );
        for first in firsts {
            let mut acc = zero::<S, MR, NV>(s);
            let start = plan.taps.coordinates(first);
            let pixels = consecutive::<MR>(start, plan.taps.grid);
            if plan.is_interior(start, MR) {
                self.block.interior(s, &mut acc, start);
            } else {
                self.block.edge(s, &mut acc, pixels);
            }
            let rows = std::array::from_fn(
                #[inline(always)]
                |i| {
                    let pixel = if plan.dense {
                        first + i
                    } else {
                        plan.taps.out_pixel(pixels[i])
                    };
                    pixel - self.block.first_row
                },
            );
            self.block.store.run(s, &acc, self.out, rows);
        }
    }
}

/// `[image, row, column]` of `MR` pixels, row by row and image by image.
#[inline(always)]
fn consecutive<const MR: usize>(first: [usize; 3], [h, w]: [usize; 2]) -> [[usize; 3]; MR] {
    let mut next = first;
    std::array::from_fn(
        #[inline(always)]
        |_| {
            let pixel = next;
            next[2] += 1;
            if next[2] == w {
                next = [next[0], next[1] + 1, 0];
                if next[1] == h {
                    next = [next[0] + 1, 0, 0];
                }
            }
            pixel
        },
    )
}
