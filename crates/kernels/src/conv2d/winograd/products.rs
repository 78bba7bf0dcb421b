//! The products of all points of a block of tiles.
//!
//! Where the second-level cache holds the points of the tiles, a panel of one point after another is multiplied with all
//! of them. Points of more tiles come from further away, and so do the weights: one point at a time, and of it so many
//! terms of the sums that the tiles stay near, is multiplied with all panels. So weights and tiles arrive once, and what
//! comes next arrives meanwhile.

use super::forward::SECOND_LEVEL;
use crate::disjoint::DisjointMut;
use crate::epilogue::Epilogue;
use crate::gemm::block::{Batch, Block, Next};
use crate::gemm::panels::Panels;
use crate::gemm::store::Store;
use crate::gemm::tile::MAX_VECTORS;
use crate::parallel::{self, Cut};
use std::ops::Range;
use striate_simd::Level;

/// Elements of the tiles and of two panels that are near at a time: a little more than half of a second-level cache of
/// 2 MB.
const ELEMENTS: usize = 288 << 10;

/// The fewest terms of a piece of a sum: adding it to memory must stay cheap beside computing it.
const TERMS: usize = 128;

/// Pieces of a number of terms are a multiple of this: a line of memory.
const MULTIPLE: usize = 16;

/// How the products of a block of tiles are cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Products {
    level: Level,
    points: usize,
    tiles: usize,
    k_len: usize,
    /// Whether the tiles come from beyond the second-level cache.
    far: bool,
    /// The pieces of a sum.
    pub(super) terms: Cut,
    /// The number of tasks, about.
    parts: usize,
}

impl Products {
    /// The cut for so many points and tiles and sums of so many terms.
    pub(super) fn new(level: Level, [points, tiles, k_len]: [usize; 3], parts: usize) -> Self {
        let far = points * tiles * k_len > SECOND_LEVEL;
        let rows = tiles + 2 * MAX_VECTORS * level.lanes();
        let most = (ELEMENTS / rows).max(TERMS);
        let pieces = if far { k_len.div_ceil(most) } else { 1 };
        let terms = k_len.div_ceil(pieces.max(1)).next_multiple_of(MULTIPLE);
        Self {
            level,
            points,
            tiles,
            k_len,
            far,
            terms: Cut::every(k_len, terms),
            parts: parts.max(1),
        }
    }

    /// Writes the products of `inputs`, `[piece of the terms][point][tile][term]`, with the packed `weights` to
    /// `sums`, `[point][tile][column]`. The weights have the panels `held`, and only their columns are computed.
    pub(super) fn run(
        &self,
        inputs: &[f32],
        weights: &[f32],
        (panels, held): (&Panels, &Range<usize>),
        sums: &mut [f32],
    ) {
        let pass = Pass {
            cut: self,
            panels,
            held,
            inputs,
            weights,
            sums: DisjointMut::rows(sums, panels.padded_columns()),
        };
        if self.far {
            pass.point_by_point();
        } else {
            pass.panel_by_panel();
        }
    }
}

/// The products with their operands.
struct Pass<'a> {
    cut: &'a Products,
    panels: &'a Panels,
    /// The panels are counted from the first that the weights have.
    held: &'a Range<usize>,
    inputs: &'a [f32],
    weights: &'a [f32],
    sums: DisjointMut<'a, f32>,
}

impl Pass<'_> {
    /// Tasks of some panels and, if there are too few, of a run of points.
    fn panel_by_panel(&self) {
        let Products { points, parts, .. } = *self.cut;
        let count = self.held.len();
        let runs = Cut::every(points, points.div_ceil(parts.div_ceil(count)));
        let panels = Cut::every(count, count.div_ceil(parts));
        parallel::for_each(panels.tasks() * runs.tasks(), |task| {
            let run = runs.range(task % runs.tasks());
            for panel in panels.range(task / runs.tasks()) {
                let behind = &self.weights[self.row(panel, run.end, 0)..];
                self.block(&run, 0, panel, Next::Panel(behind));
            }
        });
    }

    /// Tasks of some panels, counted through all points. Many small tasks end together.
    fn point_by_point(&self) {
        let count = self.held.len();
        let all = self.cut.points * count;
        let tasks = Cut::every(all, all / (2 * self.cut.parts));
        parallel::for_each(tasks.tasks(), |task| {
            let mut rest = tasks.range(task);
            while !rest.is_empty() {
                let point = rest.start / count;
                let end = rest.end.min((point + 1) * count);
                self.point(point, rest.start - point * count..end - point * count);
                rest.start = end;
            }
        });
    }

    /// The products of some panels of a point, piece after piece of the terms.
    fn point(&self, point: usize, panels: Range<usize>) {
        let (count, pieces) = (self.held.len(), self.cut.terms.tasks());
        for piece in 0..pieces {
            // The last ones may be for another task.
            let (later, first) = if piece + 1 < pieces {
                ((point, piece + 1), panels.start)
            } else {
                ((point + panels.end / count, 0), panels.end % count)
            };
            let tiles = self.tiles(point + (piece + 1) / pieces, (piece + 1) % pieces);
            let shares = Cut::every(tiles.len(), tiles.len().div_ceil(panels.len()));
            for panel in panels.clone() {
                let next = if panel + 1 < panels.end {
                    self.weights(panel + 1, point, piece)
                } else {
                    self.weights(first, later.0, later.1)
                };
                let share = &tiles[shares.range(panel - panels.start)];
                self.block(
                    &(point..point + 1),
                    piece,
                    panel,
                    Next::Pieces([next, share]),
                );
            }
        }
    }

    /// The products of some points with one panel, over one piece of the terms.
    fn block(&self, run: &Range<usize>, piece: usize, panel: usize, next: Next<'_>) {
        let Products {
            level,
            points,
            tiles,
            k_len,
            terms,
            ..
        } = *self.cut;
        let terms = terms.range(piece);
        let start = self.row(panel, run.start, terms.start);
        let panel = self.panels.panel(self.held.start + panel);
        let first = panel.first_vector * level.lanes();
        let columns = first..first + panel.vectors * level.lanes();
        let a_step = tiles * terms.len();
        let block = Block {
            a: &self.inputs[tiles * points * terms.start + run.start * a_step..],
            a_stride: terms.len(),
            k_len: terms.len(),
            b: &self.weights[start..],
            next,
            store: Store::new(
                &Epilogue::NONE,
                piece > 0,
                0,
                &columns,
                self.panels.padded_columns(),
            ),
            rows: 0..tiles,
            batch: Batch {
                count: run.len(),
                a_step,
                b_step: k_len * columns.len(),
                out_step: tiles,
            },
        };
        let mut out = self.sums.tile(run.start * tiles..run.end * tiles, columns);
        block.run_on_tiles(level, panel.vectors, &mut out);
    }

    /// Where the weights of a term of a point begin in a panel.
    fn row(&self, panel: usize, point: usize, term: usize) -> usize {
        let Products {
            level,
            points,
            k_len,
            ..
        } = *self.cut;
        let panel = self.panels.panel(self.held.start + panel);
        let packed = self.panels.packed_range(&panel, points * k_len);
        let first = self.panels.start(self.held, points * k_len);
        packed.start - first + (point * k_len + term) * panel.vectors * level.lanes()
    }

    /// The weights of a piece of the terms of a point in a panel; behind the last point, none.
    fn weights(&self, panel: usize, point: usize, piece: usize) -> &[f32] {
        if point == self.cut.points {
            return &[];
        }
        let terms = self.cut.terms.range(piece);
        &self.weights[self.row(panel, point, terms.start)..self.row(panel, point, terms.end)]
    }

    /// A piece of the terms of a point of all tiles; behind the last point, none.
    fn tiles(&self, point: usize, piece: usize) -> &[f32] {
        let Products {
            points,
            tiles,
            terms,
            ..
        } = *self.cut;
        if point == points {
            return &[];
        }
        let terms = terms.range(piece);
        let start = tiles * (points * terms.start + point * terms.len());
        &self.inputs[start..start + tiles * terms.len()]
    }
}
