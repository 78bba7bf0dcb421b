//! When fewer multiplications are less time.
//!
//! All costs are in units of one multiply-add of one lane, which is what a direct convolution is made
//! of. The constants are those of a core with 1 MB of second-level cache; what they weigh against each
//! other differs little between machines.

use super::Size;
use super::forward::{SECOND_LEVEL, block_of};
use super::tiles::tap_distance;
use crate::conv2d::Conv2dGeometry;
use crate::conv2d::taps::Taps;
use striate_simd::Level;

/// Products run at this part of the rate of a direct convolution, whose sums stay in registers longer.
const RATE: f64 = 0.9;

/// Cost of a point of a weight that comes from the third-level cache or from memory, on sixteen lanes.
const FROM_CACHE: f64 = 10.0;
const FROM_MEMORY: f64 = 20.0;

/// Points that a third-level cache holds.
const THIRD_LEVEL: f64 = 6e6;

/// Cost of arranging a weight.
const PACK: f64 = 45.0;

/// What a prediction must win by.
const MARGIN: f64 = 1.15;

/// The fewest channels for which the transforms are worth their loops.
const CHANNELS: usize = 24;

/// Products of fewer rows take as long as those of this many.
const ROWS: f64 = 12.0;

/// Whether the transformed weights are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    /// They are kept and used many times.
    Kept,
    /// They are transformed for this one use.
    Fresh,
}

/// What the time of a convolution of few taps depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::conv2d) struct Problem {
    /// Taps along either axis.
    side: usize,
    batch: usize,
    /// Output pixels.
    size: [usize; 2],
    dilation: [usize; 2],
    groups: usize,
    /// Channels of a group.
    inputs: usize,
    outputs: usize,
}

impl Problem {
    /// The forward pass of a convolution, and the gradient of its weights, if tiles can compute them.
    pub(in crate::conv2d) fn forward(g: &Conv2dGeometry) -> Option<Self> {
        (g.kernel() == [3, 3]).then(|| Self::of(&Taps::forward(g)))?
    }

    /// The sums over some taps, if tiles can compute them.
    pub(in crate::conv2d) fn of(taps: &Taps) -> Option<Self> {
        let side = match taps.taps.len() {
            4 => 2,
            9 => 3,
            _ => return None,
        };
        let dilation = tap_distance(taps, side);
        let first = taps.taps[0].offset;
        let regular = taps.taps.iter().enumerate().all(|(at, tap)| {
            let steps = [at / side, at % side];
            (0..2).all(|axis| {
                first[axis].checked_add_unsigned(steps[axis] * dilation[axis])
                    == Some(tap.offset[axis])
            })
        });
        (regular && taps.stride == [1, 1]).then(|| Self {
            side,
            batch: taps.batch,
            size: taps.grid,
            dilation,
            groups: taps.groups,
            inputs: taps.k_len(),
            outputs: taps.columns(),
        })
    }

    /// The tile that is predicted to be faster than the direct way, if there is one.
    pub(in crate::conv2d) fn choose(&self, level: Level, weights: Weights) -> Option<Size> {
        if self.inputs.min(self.outputs) < CHANNELS {
            return None;
        }
        let cost = |size| self.tiled(level, size, weights);
        let [large, small] = self.sizes();
        let size = if cost(large) <= cost(small) {
            large
        } else {
            small
        };
        (cost(size) * MARGIN < self.direct(level, weights)).then_some(size)
    }

    /// The tiles that can compute it.
    fn sizes(&self) -> [Size; 2] {
        if self.side == 2 {
            [Size::Five, Size::Three]
        } else {
            [Size::Four, Size::Two]
        }
    }

    fn taps(&self) -> f64 {
        (self.side * self.side) as f64
    }

    fn pairs(&self) -> f64 {
        (self.groups * self.inputs) as f64 * self.outputs as f64
    }

    /// How many times the outputs' channels grow to fill whole vectors.
    fn padded_outputs(&self, level: Level) -> f64 {
        self.outputs.next_multiple_of(level.lanes()) as f64 / self.outputs as f64
    }

    fn direct(&self, level: Level, weights: Weights) -> f64 {
        let pixels = self.batch as f64 * self.size[0] as f64 * self.size[1] as f64;
        let pack = if weights == Weights::Fresh { PACK } else { 0.0 };
        self.taps() * self.pairs() * (pixels * self.padded_outputs(level) + pack)
    }

    fn tiled(&self, level: Level, size: Size, weights: Weights) -> f64 {
        let across = |axis: usize| {
            let phase = self.size[axis].div_ceil(self.dilation[axis]);
            phase.div_ceil(size.outputs()) as f64
        };
        let phases =
            (self.dilation[0].min(self.size[0]) * self.dilation[1].min(self.size[1])) as f64;
        let tiles = self.batch as f64 * across(0) * across(1);
        let block = (block_of(size, self.inputs, self.outputs) as f64).min(tiles.max(1.0));
        let points = size.points() as f64;

        // Each block reads all weights.
        let kept = points * self.pairs();
        let lane = level.lanes() as f64 / 16.0;
        let arrival = lane
            * match kept {
                k if k <= SECOND_LEVEL as f64 => 0.0,
                k if k <= THIRD_LEVEL => FROM_CACHE,
                _ => FROM_MEMORY,
            };
        let passes = tiles.max(ROWS) / RATE + (tiles / block).ceil() * arrival;
        let product = passes * kept * self.padded_outputs(level);
        // Each line of a transform is read and written, some ten cycles a vector.
        let lines = match size {
            Size::Two => 12.0,
            Size::Three => 13.0,
            Size::Four => 22.0,
            Size::Five => 23.0,
        };
        let transform = tiles * lines * 10.0 * (self.groups * (self.inputs + self.outputs)) as f64;
        let pack = match weights {
            Weights::Kept => 0.0,
            Weights::Fresh => self.taps() * self.pairs() * PACK + kept * arrival,
        };
        phases * (product + transform) + pack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(batch: usize, channels: usize, size: usize, weights: Weights) -> Option<Size> {
        let g = Conv2dGeometry::new(
            batch, channels, [size; 2], channels, [3; 2], [1; 2], [1; 4], [1; 2], 1,
        );
        let problem = Problem::forward(&g.unwrap()).unwrap();
        problem.choose(Level::detect(), weights)
    }

    #[test]
    fn many_pixels_are_tiled() {
        for (batch, channels, size) in [
            (1, 64, 56),
            (1, 128, 28),
            (1, 256, 14),
            (8, 64, 56),
            (8, 512, 7),
            (64, 32, 16),
        ] {
            let size = chosen(batch, channels, size, Weights::Kept);
            assert_eq!(size, Some(Size::Four), "{channels} channels");
        }
    }

    #[test]
    fn few_channels_and_few_pixels_are_not() {
        for (batch, channels, size) in [(1, 16, 100), (1, 512, 3), (1, 64, 1)] {
            assert_eq!(
                chosen(batch, channels, size, Weights::Fresh),
                None,
                "{channels} channels"
            );
        }
    }

    #[test]
    fn weights_that_are_transformed_for_one_use_cost_more() {
        for channels in [16, 64, 256, 512] {
            for size in 1..40 {
                let fresh = chosen(1, channels, size, Weights::Fresh);
                let kept = chosen(1, channels, size, Weights::Kept);
                assert!(
                    kept.is_some() || fresh.is_none(),
                    "{channels} channels, {size} pixels"
                );
            }
        }
    }

    #[test]
    fn a_stride_leaves_few_taps() {
        let problem = |kernel: usize, stride: usize| {
            let pad = (kernel - 1) / 2;
            let g = Conv2dGeometry::new(
                1,
                64,
                [56; 2],
                64,
                [kernel; 2],
                [stride; 2],
                [pad; 4],
                [1; 2],
                1,
            );
            let phases = crate::conv2d::backward_input::phases(&g.unwrap());
            let sides = phases.iter().map(|taps| Some(Problem::of(taps)?.side));
            sides.collect::<Vec<_>>()
        };
        assert_eq!(problem(4, 2), [Some(2); 4]);
        assert_eq!(problem(6, 2), [Some(3); 4]);
        assert_eq!(problem(3, 1), [Some(3)]);
        assert_eq!(problem(3, 2).iter().flatten().collect::<Vec<_>>(), [&2]);
    }

    #[test]
    fn only_three_by_three_with_stride_one_is_tiled() {
        for (kernel, stride) in [(3, 2), (5, 1), (1, 1)] {
            let g = Conv2dGeometry::new(
                1,
                64,
                [56; 2],
                64,
                [kernel; 2],
                [stride; 2],
                [0; 4],
                [1; 2],
                1,
            );
            assert_eq!(Problem::forward(&g.unwrap()), None);
        }
    }
}
