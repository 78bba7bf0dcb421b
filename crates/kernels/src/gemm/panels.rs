//! How columns are cut into panels, and which tile serves a panel.

use super::tile::{MAX_VECTORS, TALLEST, heights};
use std::ops::Range;
use striate_simd::Level;

/// The columns of a right operand, cut into panels of a few whole vectors whose widths differ by at
/// most one vector: 5 vectors become 3 + 2 and not 4 + 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panels {
    columns: usize,
    lanes: usize,
    count: usize,
}

/// One panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Panel {
    /// Its width.
    pub(crate) vectors: usize,
    /// The vectors before it.
    pub(crate) first_vector: usize,
    /// The columns it computes: the last panel may have fewer than its vectors hold.
    pub(crate) columns: Range<usize>,
}

impl Panels {
    /// The cut of `columns` that `rows` rows are computed fastest with.
    pub(crate) fn choose(level: Level, rows: usize, columns: usize) -> Self {
        let lanes = level.lanes();
        let vectors = columns.div_ceil(lanes).max(1);
        let widest = (1..=MAX_VECTORS)
            .rev()
            .find(|&v| !heights(level.name(), v).is_empty())
            .unwrap_or(1);
        let cost = |count: usize| {
            let (width, wider) = (vectors / count, vectors % count);
            let cost = |v| tile_cost(level, rows, v);
            wider as f64 * cost(width + 1) + (count - wider) as f64 * cost(width)
        };
        // Narrower panels read the left operand more often, so they must win to be taken.
        let fewest = vectors.div_ceil(widest);
        let most = vectors.min(2 * fewest);
        let count = (fewest..=most)
            .map(|count| (count, cost(count) * (1.0 + 0.01 * (count - fewest) as f64)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map_or(1, |(count, _)| count);
        Self {
            columns,
            lanes,
            count,
        }
    }

    /// The same columns in panels of at most `vectors` vectors.
    pub(crate) fn narrowed(self, vectors: usize) -> Self {
        let total = self.padded_columns() / self.lanes;
        Self {
            count: self.count.max(total.div_ceil(vectors.max(1))),
            ..self
        }
    }

    /// The number of panels.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The number of columns, without padding.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Elements of one row of all panels, padding included.
    pub(crate) fn padded_columns(&self) -> usize {
        self.columns.div_ceil(self.lanes).max(1) * self.lanes
    }

    /// The panel `index < count`.
    pub(crate) fn panel(&self, index: usize) -> Panel {
        let total = self.padded_columns() / self.lanes;
        let (width, wider) = (total / self.count, total % self.count);
        let first_vector = index * width + index.min(wider);
        let vectors = width + usize::from(index < wider);
        let end = (first_vector + vectors) * self.lanes;
        Panel {
            vectors,
            first_vector,
            columns: first_vector * self.lanes..end.min(self.columns),
        }
    }

    /// The widths of the panels in vectors, with the number of panels that have each.
    fn widths(&self) -> [(usize, usize); 2] {
        let total = self.padded_columns() / self.lanes;
        let (width, wider) = (total / self.count, total % self.count);
        [(width + 1, wider), (width, self.count - wider)]
    }

    /// Cycles in which `rows` rows of all panels are computed, per term of the reduction.
    pub(crate) fn cycles(&self, level: Level, rows: usize) -> f64 {
        let widths = self.widths().into_iter().filter(|&(_, count)| count > 0);
        widths
            .map(|(vectors, count)| count as f64 * tile_cost(level, rows, vectors))
            .sum()
    }

    /// The tiles in which `rows` rows of all panels are computed.
    pub(crate) fn tiles(&self, level: Level, rows: usize) -> usize {
        let tiles = |vectors: usize| -> usize {
            tile_runs(level, rows, vectors)
                .map(|(height, run)| run.len() / height)
                .sum()
        };
        let widths = self.widths().into_iter().filter(|&(_, count)| count > 0);
        widths.map(|(vectors, count)| count * tiles(vectors)).sum()
    }

    /// Where the rows of a panel lie in a packed operand of `k_len` rows: every panel is dense.
    pub(crate) fn packed_range(&self, panel: &Panel, k_len: usize) -> Range<usize> {
        let start = panel.first_vector * self.lanes * k_len;
        start..start + panel.vectors * self.lanes * k_len
    }

    /// All of them.
    pub(crate) fn all(&self) -> Range<usize> {
        0..self.count
    }

    /// Where the rows of the first of some panels lie in a packed operand of `k_len` rows.
    pub(crate) fn start(&self, held: &Range<usize>, k_len: usize) -> usize {
        self.packed_range(&self.panel(held.start), k_len).start
    }

    /// Elements of a packed operand of `k_len` rows that has some of the panels.
    pub(crate) fn held_len(&self, held: &Range<usize>, k_len: usize) -> usize {
        let lens = held
            .clone()
            .map(|index| self.packed_range(&self.panel(index), k_len).len());
        lens.sum()
    }

    /// The columns of some neighbouring panels.
    pub(crate) fn columns_of(&self, held: &Range<usize>) -> Range<usize> {
        match held.end.checked_sub(1) {
            Some(last) if !held.is_empty() => {
                self.panel(held.start).columns.start..self.panel(last).columns.end
            }
            _ => 0..0,
        }
    }
}

/// `rows` rows of a panel of `vectors` vectors, cut into runs of tiles of one height each. What is chosen for some rows
/// suits as many others: the iterator can be cloned.
pub(crate) fn tile_runs(
    level: Level,
    rows: usize,
    vectors: usize,
) -> impl Iterator<Item = (usize, Range<usize>)> + Clone {
    let mut height = best_height(level, rows, vectors).0;
    let mut start = 0;
    std::iter::from_fn(move || {
        if start == rows {
            return None;
        }
        if rows - start < height {
            height = below(level, rows - start, vectors);
        }
        let first = start;
        start = rows - (rows - start) % height;
        Some((height, first..start))
    })
}

/// As [`tile_runs`], but what whole tiles leave is the end of one more, which computes some rows once more: the
/// lowest that holds it.
pub(crate) fn covering_runs(
    level: Level,
    rows: usize,
    vectors: usize,
) -> impl Iterator<Item = (usize, Range<usize>)> {
    let heights = heights(level.name(), vectors);
    let holding = |rest: usize| heights.iter().rev().find(|&&height| height >= rest);
    let last = |height: usize| match rows % height {
        0 => None,
        rest => holding(rest).copied(),
    };
    let step = |height: usize| step(level, height, vectors);
    let cost = |height: usize| rows / height * step(height) + last(height).map_or(0, step);
    let fitting = heights.iter().filter(|&&height| height <= rows);
    let height = fitting.copied().min_by_key(|&height| cost(height));
    let height = height.unwrap_or(1);
    let whole = rows - rows % height;
    let last = last(height).map(|height| (height, rows - height..rows));
    let whole = (whole > 0).then_some((height, 0..whole));
    whole.into_iter().chain(last)
}

/// The tallest tile of at most `rows > 0` rows.
fn below(level: Level, rows: usize, vectors: usize) -> usize {
    heights(level.name(), vectors)
        .iter()
        .copied()
        .find(|&height| height <= rows)
        .unwrap_or(1)
}

/// Cycles per term of the reduction that `rows` rows of a panel take.
pub(crate) fn tile_cost(level: Level, rows: usize, vectors: usize) -> f64 {
    best_height(level, rows, vectors).1 as f64 / PARTS as f64
}

/// The height of tile with which most of a panel is computed best, and the cost of the panel per term of the
/// reduction. Every task asks for it, so it is counted in whole numbers.
fn best_height(level: Level, rows: usize, vectors: usize) -> (usize, usize) {
    let heights = heights(level.name(), vectors);
    let step = |height: usize| step(level, height, vectors);
    // What is left is computed by the tallest tiles that fit.
    let mut rest = [0; TALLEST];
    for (i, &height) in heights.iter().enumerate().rev() {
        let cost = step(height);
        let taller = i.checked_sub(1).map_or(height, |i| heights[i]);
        for rows in height..taller {
            rest[rows] = rest[rows - height] + cost;
        }
    }
    let cost = |&height: &usize| (height, rows / height * step(height) + rest[rows % height]);
    let costs = heights.iter().map(cost);
    costs.min_by_key(|&(_, cost)| cost).unwrap_or((1, 0))
}

/// Parts of a cycle in which costs are counted.
const PARTS: usize = 14;

/// Parts of cycles per term of the reduction that a tile takes: whichever is slowest of two multiply-adds a cycle, each
/// of them taking four; two loads a cycle; and the panel's row, which comes from the second-level cache at 28 bytes a cycle.
fn step(level: Level, height: usize, vectors: usize) -> usize {
    let bytes = 4 * level.lanes();
    (height * vectors * PARTS / 2)
        .max(4 * PARTS)
        .max((height + vectors) * PARTS / 2)
        .max(vectors * bytes * PARTS / 28)
}

/// A fixed division of a product into tasks: blocks of rows times runs of panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    rows: usize,
    blocks: usize,
    /// Rows of a tile, of which blocks are made.
    height: usize,
    panels: usize,
    block_panels: usize,
}

/// Multiply-adds that are worth a task: some tens of microseconds on the fastest level.
const TASK: f64 = 3e6;

/// Multiply-adds of a task that has but one other beside it, which is waiting.
const HALF: f64 = 1.2e6;

/// Reading the panels from afar, as a number of rows computed with them.
const PANELS: f64 = 8.0;

/// The fewest rows of a block that is one of several, about, so that the panels are reused often enough. The heights of
/// the best tiles divide it.
pub(crate) const BLOCK_ROWS: usize = 168;

/// Blocks that are enough: larger products have up to twice as many rows in a block, and blocks of all panels.
const BLOCKS: usize = 32;

/// Most elements of the left operand that a block reads: half of a second-level cache of 1 MB.
const BLOCK_ELEMENTS: usize = 1 << 17;

impl Grid {
    /// Cuts `rows` rows times the `panels`, each element of the product being a sum of `k_len`
    /// products.
    ///
    /// Blocks are whole tiles, equal but for one tile, and even in number, so that two threads end together. A block
    /// is cut into runs of panels only where each of them is worth a task: threads that write parts of the same
    /// rows fetch lines that are about to be written by the other.
    pub(crate) fn new(level: Level, rows: usize, panels: &Panels, k_len: usize) -> Self {
        let row_cost = k_len as f64 * panels.padded_columns() as f64;
        let most = (BLOCK_ELEMENTS / k_len.max(1)).max(BLOCK_ROWS);
        let least = (rows / BLOCKS).clamp(BLOCK_ROWS, (2 * BLOCK_ROWS).min(most));
        let worthwhile = ((TASK / row_cost.max(1.0)) as usize).clamp(least, most);
        let blocks = match rows.div_ceil(worthwhile) {
            0 => 0,
            1 if rows >= BLOCK_ROWS && rows as f64 * row_cost >= 2.0 * HALF => 2,
            1 => 1,
            blocks => blocks.next_multiple_of(2),
        };
        let block_rows = rows.div_ceil(blocks.max(1));
        // Of many rows, not of these: a lower tile may leave no tail, but is slower.
        let height = best_height(level, BLOCK_ROWS, panels.panel(0).vectors).0;
        // Few rows wait for the panels.
        let block_cost = (block_rows as f64 + PANELS) * row_cost;
        let runs = match blocks {
            0 | 1 => (block_cost / HALF) as usize,
            2..BLOCKS => (block_rows as f64 * row_cost / TASK) as usize,
            _ => 1,
        };
        Self {
            rows,
            blocks,
            height,
            panels: panels.count(),
            block_panels: panels.count().div_ceil(runs.max(1)),
        }
    }

    fn panel_blocks(&self) -> usize {
        self.panels.div_ceil(self.block_panels)
    }

    /// The number of tasks.
    pub(crate) fn tasks(&self) -> usize {
        self.blocks * self.panel_blocks()
    }

    /// The rows and the panels of a task.
    pub(crate) fn task(&self, index: usize) -> (Range<usize>, Range<usize>) {
        let block = index / self.panel_blocks();
        let panel = index % self.panel_blocks() * self.block_panels;
        let tiles = self.rows.div_ceil(self.height);
        let edge = |block: usize| (block * tiles / self.blocks * self.height).min(self.rows);
        (
            edge(block)..edge(block + 1),
            panel..(panel + self.block_panels).min(self.panels),
        )
    }
}
