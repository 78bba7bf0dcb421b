//! Convolution of small groups and its weight gradient, on [`Lanes`].

use super::copies::add_in_pairs;
use super::lanes::{Lanes, Strip};
use super::ring::Ring;
use super::taps::Taps;
use crate::array::array;
use crate::disjoint::{DisjointMut, TileMut};
use crate::epilogue::Epilogue;
use crate::error::KernelError;
use crate::gemm::lanewise::{Operand, Pair, Terms, Whole, accumulate_lanes, accumulate_terms};
use crate::gemm::microkernel::{Sums, zero};
use crate::gemm::store::Store;
use crate::gemm::tile::{TileKernel, Tiles, run_tile};
use crate::parallel::{self, Cut};
use std::ops::Range;
use striate_simd::{Buffer, Level, Simd};

/// Multiply-adds that are worth a task.
const TASK: usize = 2_000_000;

/// Rows of the output that are computed by one task at most.
const ROWS: usize = 16;

/// Computes the output pixels of the plan's phases, with the weights of each.
pub(super) fn forward(
    level: Level,
    plan: &Lanes<'_>,
    weights: &[&[f32]],
    x: &[f32],
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) -> Result<(), KernelError> {
    let taps = plan.taps;
    let height = plan.height(level);
    let strips = plan.strips(height);
    let (layouts, turns) = (plan.layouts(), plan.turns());
    let sums = |strip: &Strip| {
        let sum = |(index, phase)| Sum {
            taps: phase,
            terms: plan.terms(phase, strip),
            weights: weights[index],
        };
        plan.present().map(sum).collect::<Vec<_>>()
    };
    let sums: Vec<_> = strips.iter().map(sums).collect();
    let bands = Bands::new(plan);
    // Blocks are innermost: neighbours share the lines of cache of an input pixel.
    let units = bands.count * plan.blocks();
    let block_len: usize = plan.present().map(|(_, phase)| plan.block_len(phase)).sum();
    let cost = bands.rows.per_task() * plan.grid[1] * block_len;
    let cut = Cut::every(units, TASK / cost.max(1));
    let y = DisjointMut::rows(y, taps.out_channels);
    parallel::try_for_each(cut.tasks(), |task| {
        let mut ring = plan.ring(&strips)?;
        for unit in cut.range(task) {
            let (band, block) = (unit / plan.blocks(), unit % plan.blocks());
            let (image, rows) = bands.band(band);
            let out_rows = bands.outputs(taps, image, &rows);
            let columns = plan.outputs(block);
            let store = Store::new(epilogue, false, out_rows.start, &columns, taps.out_channels);
            let first_row = out_rows.start;
            let mut out = y.tile(out_rows, columns);
            for (strip, sums) in strips.iter().zip(&sums) {
                let kernel = Forward {
                    image,
                    rows: rows.clone(),
                    strip,
                    ring: Ring::new(
                        plan,
                        &layouts,
                        bands.image(x, image),
                        block,
                        strip,
                        &mut ring,
                    ),
                    sums,
                    block,
                    blocks: plan.blocks(),
                    turns: &turns,
                    store,
                    first_row,
                    out: &mut out,
                };
                if plan.pairs {
                    run_tile(level, height, plan.wheel, Pairs(kernel));
                } else {
                    run_tile(level, height, plan.wheel, kernel);
                }
            }
            epilogue.observe(level, &mut out);
        }
        Ok(())
    })
}

/// The sum over the taps of one phase, for a strip.
struct Sum<'a> {
    taps: &'a Taps,
    /// The terms of a pixel, for each row of the ring that may come first.
    terms: Vec<Terms>,
    /// The weights of all blocks.
    weights: &'a [f32],
}

/// The rows of all images, cut into bands of one image each.
struct Bands {
    rows: Cut,
    count: usize,
    image_len: usize,
}

impl Bands {
    fn new(plan: &Lanes<'_>) -> Self {
        let (taps, height) = (plan.taps, plan.grid[0]);
        let bands = height.div_ceil(ROWS).max(1);
        let rows = Cut::every(height, height.div_ceil(bands));
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

    /// The output pixels among which are those of some rows.
    fn outputs(&self, taps: &Taps, image: usize, rows: &Range<usize>) -> Range<usize> {
        let [height, width] = taps.out_size;
        let [start, end] = [rows.start, rows.end].map(|row| {
            let row = (row * taps.out_step[0]).min(height);
            (image * height + row) * width
        });
        start..end
    }

    fn image<'a>(&self, x: &'a [f32], image: usize) -> &'a [f32] {
        &x[image * self.image_len..][..self.image_len]
    }
}

/// A kernel whose vectors of inputs are pairs of the ring.
struct Pairs<K>(K);

/// A strip of one block.
struct Forward<'a, 'o, 'y> {
    image: usize,
    rows: Range<usize>,
    strip: &'a Strip,
    ring: Ring<'a, 'o>,
    sums: &'a [Sum<'a>],
    block: usize,
    blocks: usize,
    turns: &'a [f32],
    store: Store<'a>,
    /// The output pixel that is row 0 of the output tile.
    first_row: usize,
    out: &'o mut TileMut<'y, f32>,
}

impl TileKernel for Forward<'_, '_, '_> {
    const TILES: Tiles = Tiles::Neighbours;

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        self.run_with::<Whole, S, MR, NV>(s);
    }
}

impl TileKernel for Pairs<Forward<'_, '_, '_>> {
    const VECTORS: [usize; 2] = [2; 2];
    const TILES: Tiles = Tiles::Neighbours;

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        self.0.run_with::<Pair, S, MR, NV>(s);
    }
}

impl Forward<'_, '_, '_> {
    #[inline(always)]
    fn run_with<O: Operand, S: Simd, const MR: usize, const NV: usize>(mut self, s: S) {
        let strip = &self.strip.columns;
        for y in self.rows.clone() {
            let start = self.ring.advance(s, y);
            for sum in self.sums {
                let (taps, terms) = (sum.taps, &sum.terms[start]);
                if y >= taps.grid[0] {
                    continue;
                }
                let block_len = sum.weights.len() / self.blocks;
                let weights = &sum.weights[self.block * block_len..][..block_len];
                let first = taps.out_pixel([self.image, y, strip.start]) - self.first_row;
                let columns = strip.end.min(taps.grid[1]) - strip.start;
                let step = taps.out_step;
                let below = y + 1 < self.rows.end.min(taps.grid[0]);
                for x in (0..columns).step_by(MR) {
                    // The last tile may begin within the one before.
                    let x = x.min(columns - MR);
                    let row = first + x * step[1];
                    if below {
                        // What is written next arrives meanwhile.
                        self.out.each_row_apart::<MR>(
                            row + taps.out_size[1] * step[0],
                            step[1],
                            #[inline(always)]
                            |_, row| s.prefetch(row, 0),
                        );
                    }
                    let mut acc = zero::<S, MR, NV>(s);
                    let inputs = &self.ring.rows()[x * S::LANES..];
                    accumulate_terms::<O, _, _, _>(s, &mut acc, inputs, terms, weights);
                    let sums = turn_back(s, &acc, self.turns);
                    self.store.run_apart(s, &sums, self.out, row, step[1]);
                }
            }
        }
    }
}

/// Turns the sums of every wheel back and adds them up.
#[inline(always)]
fn turn_back<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    acc: &Sums<S, MR, NV>,
    turns: &[f32],
) -> Sums<S, MR, 1> {
    let mut sums = zero::<S, MR, 1>(s);
    for i in 0..MR {
        sums[i][0] = acc[i][0];
    }
    for j in 1..NV {
        let turn = s.bits(s.load(&turns[(j - 1) * S::LANES..]));
        for i in 0..MR {
            sums[i][0] = s.add(sums[i][0], s.permute(acc[i][j], turn));
        }
    }
    sums
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
    let strips = plan.strips(1);
    let (layouts, turns) = (plan.layouts(), plan.turns());
    let terms: Vec<_> = strips.iter().map(|strip| plan.terms(taps, strip)).collect();
    let widest = strips
        .iter()
        .map(|strip| strip.columns.len())
        .max()
        .unwrap_or(0);
    let height = plan.gradient_height(level);
    let bands = Bands::new(plan);
    if bands.count == 0 {
        dweight.fill(0.0);
        return Ok(());
    }
    let block_len = plan.block_len(taps);
    let cost = bands.rows.per_task() * taps.grid[1] * block_len;

    let worthwhile = TASK / (cost * plan.blocks()).max(1);
    let chunks = Cut::every(bands.count, worthwhile.max(bands.count.div_ceil(COPIES)));
    let blocks = Cut::every(plan.blocks(), TASK / (cost * chunks.per_task()).max(1));
    let copy_len = plan.blocks() * block_len;
    let mut copies = Buffer::zeroed(chunks.tasks() * copy_len)?;
    let pieces = DisjointMut::new(&mut copies);
    parallel::try_for_each(chunks.tasks() * blocks.tasks(), |task| {
        let (chunk, blocks) = (task / blocks.tasks(), blocks.range(task % blocks.tasks()));
        let mut ring = plan.ring(&strips)?;
        let mut line = Buffer::recycled(widest * plan.wheel * level.lanes())?;
        let start = chunk * copy_len;
        let out = start + blocks.start * block_len..start + blocks.end * block_len;
        let mut out = pieces.range(out);
        for (image, rows) in chunks.range(chunk).map(|index| bands.band(index)) {
            for (block, out) in blocks.clone().zip(out.chunks_exact_mut(block_len)) {
                for (strip, terms) in strips.iter().zip(&terms) {
                    let kernel = Backward {
                        plan,
                        block,
                        image,
                        rows: rows.clone(),
                        columns: strip.columns.clone(),
                        ring: Ring::new(
                            plan,
                            &layouts,
                            bands.image(x, image),
                            block,
                            strip,
                            &mut ring,
                        ),
                        terms,
                        turns: &turns,
                        dy,
                        line: &mut line,
                        out,
                    };
                    if plan.pairs {
                        run_tile(level, height, plan.wheel, Pairs(kernel));
                    } else {
                        run_tile(level, height, plan.wheel, kernel);
                    }
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

/// The gradient of one block over a strip.
struct Backward<'a, 'o> {
    plan: &'a Lanes<'a>,
    block: usize,
    image: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    ring: Ring<'a, 'o>,
    terms: &'a [Terms],
    turns: &'a [f32],
    dy: &'a [f32],
    /// Room for a line of `dy`, turned in every way.
    line: &'o mut [f32],
    out: &'o mut [f32],
}

impl TileKernel for Backward<'_, '_> {
    const TILES: Tiles = Tiles::Terms;

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        self.run_with::<Whole, S, MR, NV>(s);
    }
}

impl TileKernel for Pairs<Backward<'_, '_>> {
    const VECTORS: [usize; 2] = [2; 2];
    const TILES: Tiles = Tiles::Terms;

    #[inline(always)]
    fn run<S: Simd, const MR: usize, const NV: usize>(self, s: S) {
        self.0.run_with::<Pair, S, MR, NV>(s);
    }
}

impl Backward<'_, '_> {
    #[inline(always)]
    fn run_with<O: Operand, S: Simd, const MR: usize, const NV: usize>(mut self, s: S) {
        let (plan, taps) = (self.plan, self.plan.taps);
        let columns = self.columns.len();
        let outputs = plan.outputs(self.block);
        for y in self.rows {
            let terms = self.terms[self.ring.advance(s, y)].as_slice();
            let first = taps.out_pixel([self.image, y, self.columns.start]);
            let pixels = self.dy[first * taps.out_channels..].chunks(taps.out_channels);
            let line = &mut self.line[..columns * NV * S::LANES];
            for (line, pixel) in line.chunks_exact_mut(NV * S::LANES).zip(pixels) {
                let grad = s.load_partial(&pixel[outputs.clone()]);
                s.store(grad, line);
                for j in 1..NV {
                    let turn = s.bits(s.load(&self.turns[(NV - j - 1) * S::LANES..]));
                    s.store(s.permute(grad, turn), &mut line[j * S::LANES..]);
                }
            }
            let out = self.out.chunks_mut(MR * NV * S::LANES);
            for (out, terms) in out.zip(terms.chunks(MR)) {
                let mut acc = zero::<S, MR, NV>(s);
                // The last sums may be superfluous.
                let places = array(
                    #[inline(always)]
                    |i| terms[i.min(terms.len() - 1)][0],
                );
                let steps = [S::LANES, NV * S::LANES];
                let rows = self.ring.rows();
                accumulate_lanes::<O, _, _, _>(s, &mut acc, rows, places, steps, columns, line);
                for (out, sum) in out.chunks_exact_mut(S::LANES).zip(acc.as_flattened()) {
                    s.store(s.add(s.load(out), *sum), out);
                }
            }
        }
    }
}
