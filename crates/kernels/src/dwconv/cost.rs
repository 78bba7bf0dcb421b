//! What a pass over an output consists of, for predictions of its time.

use super::axis::{Axis, Pitch, Run};
use super::bands::{Bands, WORTH};
use super::gather::tile_width;
use super::neighbours::holds_two;
use super::strips::Strips;
use crate::conv2d::Conv2dGeometry;

/// How often each part of a pass is done, with one vector of channels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    /// Pixels of the output.
    pub(crate) pixels: f64,
    /// Chains of taps, each time that a tile uses one for one line of the source.
    pub(crate) chains: f64,
    /// Multiply-adds.
    pub(crate) products: f64,
    /// Runs of pixels of lines of the output, whose sources are found once for all vectors of channels.
    pub(crate) runs: f64,
}

/// What is gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The output, from the input.
    Forward,
    /// The gradient of the input, from that of the output.
    Backward,
}

/// A pass with vectors of `lanes` lanes, which the channels fill.
pub(crate) fn counts(lanes: usize, g: &Conv2dGeometry, direction: Direction) -> Counts {
    let axes = match direction {
        Direction::Forward => Axis::forward(g),
        Direction::Backward => Axis::backward(g),
    };
    let bands = Bands::new(axes, g.batch(), g.in_channels(), 1);
    if let Some(strips) = Strips::new(&bands, lanes) {
        let vectors = (g.batch() * g.in_channels().div_ceil(lanes)) as f64;
        let [rows, columns] = [axes[0].source_len(), axes[1].out_len()];
        let (lines, tiles) = (axes[0].out_len(), columns.div_ceil(strips.width));
        return Counts {
            pixels: vectors * (lines * columns) as f64,
            // What a row of the source gives is added once.
            chains: vectors * (rows * tiles) as f64,
            products: vectors * (g.taps() * lines * tiles * strips.width) as f64,
            runs: 0.0,
        };
    }
    let tiles = |run: &Run| {
        let width = tile_width(lanes, run.lengths()[0], run.count);
        [(width, run.count.div_ceil(width)), (0, 0), (0, 0)]
    };
    count(lanes, g, axes, tiles)
}

/// The gradient of the weights, with the pixels of the output's gradient in the place of the output's.
pub(crate) fn weight_counts(lanes: usize, g: &Conv2dGeometry) -> Counts {
    let tiles = |run: &Run| {
        // As wide as registers hold.
        let widths = if lanes == 8 { [4, 1, 1] } else { [7, 4, 1] };
        let mut left = run.count;
        widths.map(|width| {
            let count = left / width;
            left %= width;
            (width, count)
        })
    };
    count(lanes, g, Axis::forward(g), tiles)
}

/// A pass that cuts a run into tiles of some widths, of each so many.
fn count(
    lanes: usize,
    g: &Conv2dGeometry,
    [rows, columns]: [Axis; 2],
    tiles: impl Fn(&Run) -> [(usize, usize); 3],
) -> Counts {
    let pitch = Pitch { source: 1, tap: 1 };
    let vectors = (g.batch() * g.out_channels().div_ceil(lanes)) as f64;
    let column_runs = columns.runs(WORTH, pitch);
    let mut counts = Counts::default();
    for row in rows.runs(2, pitch) {
        // Lines of the source, each counted for every line that gathers from it; and those that both lines of a pair
        // gather from, the second by the tap behind that of the first.
        let inside = |&(_, start): &(usize, isize)| row.inside(start, rows.source_len()) as f64;
        let follows = |&&(_, start): &&(usize, isize)| {
            let before = start - row.source_step as isize;
            row.taps.iter().any(|&(_, start)| start == before)
        };
        let gathered: f64 = row.taps.iter().map(inside).sum();
        let pairs = |tap| (inside(tap) / 2.0).ceil();
        let shared: f64 = row.taps.iter().filter(follows).map(pairs).sum();
        for run in &column_runs {
            counts.pixels += vectors * (row.count * run.count) as f64;
            counts.runs += (g.batch() * row.count) as f64;
            for (width, count) in tiles(run) {
                let passes = [gathered, shared].map(|lines| vectors * lines * count as f64);
                counts.gather(lanes, run, width, passes);
            }
        }
    }
    counts
}

impl Counts {
    /// Tiles of a run, `width` pixels wide, which gather from so many lines, of which pairs of lines share some.
    fn gather(&mut self, lanes: usize, run: &Run, width: usize, [gathered, shared]: [f64; 2]) {
        for chain in &run.chains {
            let passes = if holds_two(lanes, chain.len) {
                gathered - shared
            } else {
                gathered
            };
            self.chains += passes;
            self.products += gathered * (chain.len * width) as f64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(size: usize, kernel: usize, lanes: usize) -> Counts {
        let ([size, kernel], ones) = ([size, kernel].map(|n| [n; 2]), [1; 2]);
        let g = Conv2dGeometry::new(1, 32, size, 32, kernel, ones, [kernel[0] / 2; 4], ones, 32);
        counts(lanes, &g.unwrap(), Direction::Forward)
    }

    #[test]
    fn strips_read_each_row_once() {
        let expected = Counts {
            pixels: 2.0 * 64.0,
            chains: 2.0 * 2.0 * 8.0,
            products: 2.0 * 64.0 * 9.0,
            runs: 0.0,
        };
        assert_eq!(count(8, 3, 16), expected);
    }

    #[test]
    fn pairs_of_lines_share_chains() {
        // Two vectors; each of 14 lines gathers from five, but the outer ones from four and three. Of the 12 to 14 lines
        // from which they gather by one of the first four taps, each second is shared.
        let Counts {
            pixels,
            chains,
            products,
            runs,
        } = count(14, 5, 16);
        let (gathered, shared, tiles) = (64.0, 27.0, 2.0);
        assert_eq!(pixels, 2.0 * 196.0);
        assert_eq!(chains, 2.0 * tiles * (gathered - shared));
        assert_eq!(products, 2.0 * tiles * gathered * 35.0);
        assert_eq!(runs, 14.0);
    }

    #[test]
    fn few_registers_hold_one_line_of_long_chains() {
        assert_eq!(count(14, 3, 8).chains, 4.0 * 4.0 * (40.0 - 14.0));
        assert_eq!(count(14, 5, 8).chains, 4.0 * 7.0 * 64.0);
    }
}
