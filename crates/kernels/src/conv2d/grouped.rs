//! Convolution of small groups and its weight gradient, on channels spread over [`Lanes`].

use super::copies::add_in_pairs;
use super::lanes::{Lanes, Ring, Run, Strip};
use crate::disjoint::{DisjointMut, TileMut};
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::gemm::microkernel::{accumulate_lanes, accumulate_window, zero};
use crate::gemm::store::Store;
use crate::gemm::tile::{TileKernel, heights, run_tile};
use crate::parallel::{self, Cut};
use std::ops::Range;
use striate_simd::{Buffer, Level, Simd};

/// Multiply-adds that are worth a task.
const TASK: usize = 3_000_000;

/// Rows of the output that are computed by one task at most.
const ROWS: usize = 16;

/// Computes the output pixels of the plan's taps.
pub(super) fn forward(
    level: Level,
    plan: &Lanes<'_>,
    weights: &[f32],
    x: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    let taps = plan.taps;
    let strips = plan.tile_strips(level);
    let bands = Bands::new(plan);
    // Blocks are innermost: neighbours share the lines of cache of an input pixel.
    let units = bands.count * plan.blocks();
    let cost = bands.rows.per_task() * taps.grid[1] * plan.block_len();
    let cut = Cut::every(units, TASK / cost.max(1));
    let y = DisjointMut::rows(y, taps.out_channels);
    parallel::try_for_each(cut.tasks(), |task| {
        let mut ring = plan.ring(&strips)?;
        for unit in cut.range(task) {
            let (band, block) = (unit / plan.blocks(), unit % plan.blocks());
            let (image, rows) = bands.band(band);
            let out_rows = taps.out_pixel([image, rows.start, 0])
                ..taps.out_pixel([image, rows.end - 1, taps.grid[1] - 1]) + 1;
            let columns = plan.outputs(block);
            let store = Store::new(epilogue, false, out_rows.start, &columns, taps.out_channels);
            let first_row = out_rows.start;
            let mut out = y.tile(out_rows, columns);
            for strip in &strips {
                let kernel = Forward {
                    plan,
                    image,
                    rows: rows.clone(),
                    strip,
                    ring: Ring::new(
                        plan,
                        bands.image(x, image),
                        block,
                        &strip.columns,
                        &mut ring,
                    ),
                    weights: &weights[block * plan.block_len()..][..plan.block_len()],
                    store,
                    first_row,
                    out: &mut out,
                };
                run_tile(level, strip.height, 1, kernel);
            }
        }
        Ok(())
    })
}

/// The rows of all images, cut into bands of one image each.
struct Bands {
    rows: Cut,
    count: usize,
    image_len: usize,
}

impl Bands {
    fn new(plan: &Lanes<'_>) -> Self {
        let taps = plan.taps;
        let bands = taps.grid[0].div_ceil(ROWS);
        let rows = Cut::every(taps.grid[0], taps.grid[0].div_ceil(bands));
        Self {
            count: taps.batch * rows.tasks(),
            rows,
            image_len: taps.in_size[0] * taps.in_size[1] * taps.in_channels,
        }
    }

    /// The image and the rows of a band.
    fn band(&self, index: usize) -> (usize, Range<usize>) {
        (
            index / self.rows.tasks(),
            self.rows.range(index % self.rows.tasks()),
        )
    }

    fn image<'a>(&self, x: &'a [f32], image: usize) -> &'a [f32] {
        &x[image * self.image_len..][..self.image_len]
    }
}

/// A strip of one block.
struct Forward<'a, 'o, 'y> {
    plan: &'a Lanes<'a>,
    image: usize,
    rows: Range<usize>,
    strip: &'a Strip,
    ring: Ring<'a, 'o>,
    weights: &'a [f32],
    store: Store<'a>,
    /// The output pixel that is row 0 of the output tile.
    first_row: usize,
    out: &'o mut TileMut<'y, f32>,
}

impl TileKernel for Forward<'_, '_, '_> {
    const VECTORS: usize = 1;

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(mut self, s: S) {
        let (taps, k_len) = (self.plan.taps, self.plan.taps.k_len());
        let pixel_step = taps.stride[1] * self.plan.pixel_len();
        let pixels = std::array::from_fn(
            #[inline(always)]
            |i| i * pixel_step,
        );
        for y in self.rows {
            self.ring.advance(s, y);
            for x in (0..self.strip.columns.len()).step_by(MR) {
                let mut acc = [s.splat(0.0); MR];
                for run in &self.plan.runs {
                    let weights = &self.weights[run.tap * k_len * S::LANES..];
                    let inputs = self.ring.at(x, run);
                    match (run.count, taps.stride[1]) {
                        (3, 1) => {
                            accumulate_window::<S, MR, 1>(s, &mut acc, inputs, k_len, weights);
                        }
                        (3, 2) => {
                            accumulate_window::<S, MR, 2>(s, &mut acc, inputs, k_len, weights);
                        }
                        _ => {
                            let terms = run.count * k_len;
                            accumulate_lanes(s, &mut acc, inputs, pixels, S::LANES, terms, weights);
                        }
                    }
                }
                let first = taps.out_pixel([self.image, y, self.strip.columns.start + x]);
                let rows = std::array::from_fn(
                    #[inline(always)]
                    |i| first + i * taps.out_step[1] - self.first_row,
                );
                let mut sums = zero::<S, MR, NV>(s);
                for i in 0..MR {
                    sums[i][0] = acc[i];
                }
                self.store.run(s, &sums, self.out, rows);
            }
        }
    }
}

/// Computes the gradient of dense `[out, in / groups, kernel]` weights from `x` and `dy`.
pub(super) fn backward_weight(
    level: Level,
    plan: &Lanes<'_>,
    x: &[f32],
    dy: &[f32],
    dweight: &mut [f32],
) -> Result<(), KernelError> {
    let taps = plan.taps;
    let strips = plan.strips(1, 0..taps.grid[1]);
    let widest = strips
        .iter()
        .map(|strip| strip.columns.len())
        .max()
        .unwrap_or(0);
    let height = gradient_height(level, plan);
    let bands = Bands::new(plan);
    if bands.count == 0 {
        dweight.fill(0.0);
        return Ok(());
    }
    let cost = bands.rows.per_task() * taps.grid[1] * plan.block_len();

    let worthwhile = TASK / (cost * plan.blocks()).max(1);
    let chunks = Cut::every(bands.count, worthwhile.max(bands.count.div_ceil(COPIES)));
    let blocks = Cut::every(plan.blocks(), TASK / (cost * chunks.per_task()).max(1));
    let copy_len = plan.blocks() * plan.block_len();
    let mut copies = Buffer::zeroed(chunks.tasks() * copy_len)?;
    let pieces = DisjointMut::new(&mut copies);
    parallel::try_for_each(chunks.tasks() * blocks.tasks(), |task| {
        let (chunk, blocks) = (task / blocks.tasks(), blocks.range(task % blocks.tasks()));
        let mut ring = plan.ring(&strips)?;
        let mut line = Buffer::recycled(widest * level.lanes())?;
        let start = chunk * copy_len;
        let out = start + blocks.start * plan.block_len()..start + blocks.end * plan.block_len();
        let mut out = pieces.range(out);
        for (image, rows) in chunks.range(chunk).map(|index| bands.band(index)) {
            for (block, out) in blocks.clone().zip(out.chunks_exact_mut(plan.block_len())) {
                for strip in &strips {
                    let kernel = Backward {
                        plan,
                        block,
                        image,
                        rows: rows.clone(),
                        columns: strip.columns.clone(),
                        ring: Ring::new(
                            plan,
                            bands.image(x, image),
                            block,
                            &strip.columns,
                            &mut ring,
                        ),
                        dy,
                        line: &mut line,
                        out,
                    };
                    run_tile(level, height, 1, kernel);
                }
            }
        }
        Ok::<(), KernelError>(())
    })?;
    drop(pieces);
    add_in_pairs(&mut copies, copy_len);
    plan.unpack(&copies[..copy_len], dweight);
    Ok(())
}

/// Copies of the weight gradient at most.
const COPIES: usize = 16;

/// How many terms of a row of taps are summed at a time.
fn gradient_height(level: Level, plan: &Lanes<'_>) -> usize {
    let terms = |run: &Run| run.count * plan.taps.k_len();
    let longest = plan.runs.iter().map(terms).max().unwrap_or(1);
    // Eight multiply-adds are in flight at a time, whether or not there is so much to do.
    let cost = |height: usize| longest.div_ceil(height) * height.max(8);
    heights(level.name(), 1)
        .iter()
        .copied()
        .min_by_key(|&height| cost(height))
        .unwrap_or(1)
}

/// The gradient of one block over a strip.
struct Backward<'a, 'o> {
    plan: &'a Lanes<'a>,
    block: usize,
    image: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    ring: Ring<'a, 'o>,
    dy: &'a [f32],
    /// Room for a line of `dy`.
    line: &'o mut [f32],
    out: &'o mut [f32],
}

impl TileKernel for Backward<'_, '_> {
    const VECTORS: usize = 1;

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(mut self, s: S) {
        let (taps, k_len) = (self.plan.taps, self.plan.taps.k_len());
        let step = taps.stride[1] * self.plan.pixel_len();
        let outputs = self.plan.outputs(self.block);
        for y in self.rows {
            self.ring.advance(s, y);
            let first = taps.out_pixel([self.image, y, self.columns.start]);
            let pixels = self.dy[first * taps.out_channels..].chunks(taps.out_channels);
            let line = &mut self.line[..self.columns.len() * S::LANES];
            for (line, pixel) in line.chunks_exact_mut(S::LANES).zip(pixels) {
                s.store(s.load_partial(&pixel[outputs.clone()]), line);
            }
            for run in &self.plan.runs {
                let terms = run.count * k_len;
                let inputs = self.ring.at(0, run);
                let out = &mut self.out[run.tap * k_len * S::LANES..][..terms * S::LANES];
                for (out, first) in out.chunks_mut(MR * S::LANES).zip((0..terms).step_by(MR)) {
                    let mut acc = [s.splat(0.0); MR];
                    // The last sums may be superfluous.
                    let places = std::array::from_fn(
                        #[inline(always)]
                        |i| (first + i).min(terms - 1) * S::LANES,
                    );
                    let columns = self.columns.len();
                    accumulate_lanes(s, &mut acc, inputs, places, step, columns, line);
                    for (out, sum) in out.chunks_exact_mut(S::LANES).zip(acc) {
                        s.store(s.add(s.load(out), sum), out);
                    }
                }
            }
        }
    }
}
