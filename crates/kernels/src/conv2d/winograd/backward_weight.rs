//! The gradient of the weights.
//!
//! ```text
//! dU[p] = sum over tiles of (B^T x B)[p]^T * (A dy A^T)[p],    dw = G^T dU G
//! ```
//!
//! Where the second-level cache holds `dU`, the tiles are cut into chunks that add up copies of it of their
//! own, block after block; the copies are then added in pairs. Of larger weights a block at a time is summed
//! over all tiles and transformed while it is in that cache: see [`by_blocks`](super::weight_blocks). The
//! cuts depend on the shape alone.

use super::Size;
use super::planes::{Scratch, transform_weight_gradients};
use super::tiles::{Pixels, Tiles};
use super::weight_blocks::{TILE_ELEMENTS, by_blocks};
use super::weight_points::{Pass, Points};
use crate::conv2d::OP;
use crate::conv2d::backward_weight_ways::Work;
use crate::conv2d::copies::add_in_pairs;
use crate::conv2d::predict::machine;
use crate::conv2d::taps::{Reduce, TapWeights, Taps};
use crate::disjoint::DisjointMut;
use crate::error::KernelError;
use crate::gemm::panels::Panels;
use crate::geometry::element_count;
use crate::parallel::{self, Cut};
use std::ops::Range;
use striate_simd::{Buffer, Level};

/// Elements of the points of a block, in the second-level cache.
const BLOCK_ELEMENTS: usize = 160 << 10;

/// Points of weights that fit there as well.
const SECOND_LEVEL: usize = 192 << 10;

/// Tiles of a block: enough that adding a product to memory is cheap beside computing it.
const TILES: Range<usize> = 16..64;

/// Chunks to have if the work is large enough; fewer are cut further.
const TASKS: usize = 8;

/// Multiply-adds that are worth a task.
const TASK: usize = 3_000_000;

/// Computes the gradient of the weights from its input and the gradient of its output, both channels-last: of the taps of
/// each of some sums over one index of the dense weights. Without pixels all of `dweight` is cleared.
pub(in crate::conv2d) fn backward_weight(
    level: Level,
    sums: &[(&Taps, Size)],
    reduce: Reduce,
    x: &[f32],
    dy: &[f32],
    dweight: &mut [f32],
) -> Result<(), KernelError> {
    let channels = sums
        .iter()
        .map(|(taps, _)| taps.k_len().max(taps.columns()));
    let zeros = Buffer::zeroed(channels.max().unwrap_or(0))?;
    let pixels = |data, size, channels| Pixels {
        data,
        size,
        channels,
        zeros: &zeros,
    };
    let passes = sums.iter().map(|&(taps, size)| Pass {
        level,
        size,
        taps,
        tiles: Tiles::of(taps, size),
        panels: Panels::choose(level, taps.k_len(), taps.columns()),
        x: pixels(x, taps.in_size, taps.in_channels),
        dy: pixels(dy, taps.out_size, taps.out_channels),
    });
    let passes: Vec<Pass<'_>> = passes.collect();
    if passes.iter().any(|pass| pass.tiles.len() == 0) {
        dweight.fill(0.0);
        return Ok(());
    }
    let mut by_tap = passes
        .iter()
        .map(room)
        .collect::<Result<Vec<_>, KernelError>>()?;
    let pieces = DisjointMut::new(&mut by_tap);
    let compute = |i: usize| sum(&passes[i], &mut pieces.range(i..i + 1)[0]);
    if passes.iter().any(Pass::is_far) {
        // One after the other: each needs much memory.
        (0..passes.len()).try_for_each(compute)?;
    } else {
        parallel::try_for_each(passes.len(), compute)?;
    }
    drop(pieces);
    for (Pass { taps, panels, .. }, by_tap) in passes.iter().zip(&by_tap) {
        match reduce {
            Reduce::Inputs => TapWeights::unpack(level, taps, panels, by_tap, dweight),
            Reduce::Outputs => TapWeights::unpack_by_outputs(taps, panels, by_tap, dweight),
        }
    }
    Ok(())
}

/// Room for the gradients of the taps.
fn room(pass: &Pass<'_>) -> Result<Buffer<f32>, KernelError> {
    let group_rows = pass.taps.taps.len() * pass.taps.k_len();
    let len = [pass.taps.groups, pass.panels.padded_columns(), group_rows];
    Ok(Buffer::recycled(element_count(
        OP,
        "dweight by tap",
        &len,
    )?)?)
}

/// Computes the gradients of the taps of all groups, `[group][panel][tap][input channel][channel of the panel]`.
fn sum(pass: &Pass<'_>, by_tap: &mut [f32]) -> Result<(), KernelError> {
    if pass.is_far() {
        by_blocks(pass, by_tap)
    } else {
        by_copies(pass, by_tap)
    }
}

impl Pass<'_> {
    /// Whether the points of the weights of a group are more than the second-level cache holds.
    fn is_far(&self) -> bool {
        self.group_len() > SECOND_LEVEL
    }
}

/// What the computation consists of.
pub(in crate::conv2d) fn gradient_work(level: Level, size: Size, taps: &Taps) -> Work {
    let (k_len, columns, points) = (taps.k_len(), taps.columns(), size.points());
    let panels = Panels::choose(level, k_len, columns);
    let tiles = Tiles::of(taps, size).len();
    let group_len = points * k_len * panels.padded_columns();
    let tile_len = points * (k_len + panels.padded_columns());
    let at_once = if group_len > SECOND_LEVEL {
        TILE_ELEMENTS.max(group_len) / tile_len
    } else {
        (BLOCK_ELEMENTS / tile_len).clamp(TILES.start, TILES.end)
    };
    let blocks = tiles.div_ceil(at_once.max(1)) as f64;
    let vectors = k_len.div_ceil(level.lanes()) + columns.div_ceil(level.lanes());
    let [vector, fixed] = machine::POINT;
    let entered = machine::POINTS * panels.count() as f64;
    let transforms = points as f64 * (fixed + vector * vectors as f64);
    let (groups, products) = (taps.groups as f64, (taps.groups * points) as f64);
    Work {
        sums: products * tiles as f64 * panels.cycles(level, k_len),
        tiles: products * blocks * panels.tiles(level, k_len) as f64,
        runs: products * blocks * panels.tiles(level, k_len) as f64,
        rows: products * blocks * (k_len * panels.count()) as f64,
        copied: 0.0,
        weights: groups * group_len as f64,
        others: groups * tiles as f64 * transforms + products * blocks * entered,
    }
}

/// As [`sum`], from copies of the gradients of the points.
fn by_copies(pass: &Pass<'_>, by_tap: &mut [f32]) -> Result<(), KernelError> {
    let chunks = chunks(pass);
    let groups = pass.taps.groups;
    let copy_len = groups * pass.group_len();
    let copies = element_count(OP, "copies of dweight", &[chunks.tasks(), copy_len])?;
    let mut copies = Buffer::recycled(copies)?;
    let tasks = chunks.tasks() * groups;
    let results = DisjointMut::new(&mut copies);
    parallel::try_for_each(tasks, |task| {
        let start = task * pass.group_len();
        let mut result = results.range(start..start + pass.group_len());
        let chunk = chunks.range(task / groups);
        self::chunk(
            pass,
            chunk,
            task % groups,
            TASKS.div_ceil(tasks),
            &mut result,
        )
    })?;
    drop(results);
    add_in_pairs(&mut copies, copy_len);
    finish(pass, &copies, by_tap)
}

/// The chunks of the tiles.
fn chunks(pass: &Pass<'_>) -> Cut {
    let tiles = pass.tiles.len();
    // Writing and reading the copies must stay cheap beside the points.
    let affordable = tiles * pass.tile_len() / (2 * pass.group_len());
    // Halves of halves: threads end together, and so do pairs.
    let count = (affordable.clamp(1, TASKS) + 1).next_power_of_two() / 2;
    Cut::every(tiles, tiles.div_ceil(count))
}

/// The sum over some tiles, for one group, as `[panel][point][input channel][channel of the panel]`.
fn chunk(
    pass: &Pass<'_>,
    chunk: Range<usize>,
    group: usize,
    parts: usize,
    result: &mut [f32],
) -> Result<(), KernelError> {
    let (points, k_len) = (pass.size.points(), pass.taps.k_len());
    let fitting = (BLOCK_ELEMENTS / pass.tile_len()).clamp(TILES.start, TILES.end);
    let per_block = chunk.len().div_ceil(chunk.len().div_ceil(fitting));
    let parts = parts.min(per_block * pass.group_len() / TASK + 1);
    let panels = Cut::every(pass.panels.count(), pass.panels.count().div_ceil(parts));
    let runs = Cut::every(points, points.div_ceil(parts.div_ceil(pass.panels.count())));
    let mut of_tiles = Points::new(pass, Cut::every(k_len, k_len), per_block)?;
    for first in chunk.clone().step_by(per_block) {
        of_tiles.gather(&(first..(first + per_block).min(chunk.end)), group, parts)?;
        let result = DisjointMut::new(result);
        parallel::for_each(panels.tasks() * runs.tasks(), |task| {
            for panel in panels.range(task / runs.tasks()) {
                let panel = pass.panels.panel(panel);
                let len = k_len * pass.width(&panel);
                let start = pass.panels.packed_range(&panel, points * k_len).start;
                for point in runs.range(task % runs.tasks()) {
                    let start = start + point * len;
                    let mut out = result.range(start..start + len);
                    of_tiles.product(point, &(0..k_len), &panel, first > chunk.start, &mut out);
                }
            }
        });
    }
    Ok(())
}

/// The gradients of the taps from those of the points.
fn finish(pass: &Pass<'_>, points: &[f32], by_tap: &mut [f32]) -> Result<(), KernelError> {
    let (taps, panels) = (pass.taps, &pass.panels);
    let [rows, tap_rows] = [pass.size.points(), taps.taps.len()].map(|lines| lines * taps.k_len());
    let by_group = panels.padded_columns() * tap_rows;
    let pieces = DisjointMut::new(by_tap);
    parallel::try_for_each(taps.groups * panels.count(), |task| {
        let group = task / panels.count();
        let panel = panels.panel(task % panels.count());
        let from = &points[group * pass.group_len()..][panels.packed_range(&panel, rows)];
        let to = panels.packed_range(&panel, tap_rows);
        let start = group * by_group;
        let mut to = pieces.range(start + to.start..start + to.end);
        let len = to.len() / taps.taps.len();
        let mut lines: Vec<_> = to.chunks_exact_mut(len).collect();
        let mut scratch = Scratch::new()?;
        transform_weight_gradients(pass.level, pass.size, from, &mut lines, &mut scratch);
        Ok::<_, KernelError>(())
    })
}
