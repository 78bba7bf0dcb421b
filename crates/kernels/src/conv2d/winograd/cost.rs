//! When fewer multiplications are less time.
//!
//! All costs are in units of one multiply-add of one lane, which is what a direct convolution is made
//! of. The constants are those of a core with 1 MB of second-level cache; what they weigh against each
//! other differs little between machines.

use super::Size;
use super::forward::{SECOND_LEVEL, block_of};
use crate::conv2d::Conv2dGeometry;
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

/// What the time of a convolution of three by three taps depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::conv2d) struct Problem {
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
    /// The forward pass, and the gradient of the weights, if tiles can compute them.
    pub(in crate::conv2d) fn forward(g: &Conv2dGeometry) -> Option<Self> {
        (g.kernel() == [3, 3] && g.stride() == [1, 1]).then(|| Self {
            batch: g.batch(),
            size: g.out_size(),
            dilation: g.dilation(),
            groups: g.groups(),
            inputs: g.group_in_channels(),
            outputs: g.group_out_channels(),
        })
    }

    /// The gradient of the input, if tiles can compute it.
    pub(in crate::conv2d) fn backward(g: &Conv2dGeometry) -> Option<Self> {
        let forward = Self::forward(g)?;
        Some(Self {
            size: g.in_size(),
            inputs: forward.outputs,
            outputs: forward.inputs,
            ..forward
        })
    }

    /// The tile that is predicted to be faster than the direct way, if there is one.
    pub(in crate::conv2d) fn choose(&self, level: Level, weights: Weights) -> Option<Size> {
        if self.inputs.min(self.outputs) < CHANNELS {
            return None;
        }
        let cost = |size| self.tiled(level, size, weights);
        let (four, two) = (cost(Size::Four), cost(Size::Two));
        let (best, size) = if four <= two {
            (four, Size::Four)
        } else {
            (two, Size::Two)
        };
        (best * MARGIN < self.direct(level, weights)).then_some(size)
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
        9.0 * self.pairs() * (pixels * self.padded_outputs(level) + pack)
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
            Size::Four => 22.0,
        };
        let transform = tiles * lines * 10.0 * (self.groups * (self.inputs + self.outputs)) as f64;
        let pack = match weights {
            Weights::Kept => 0.0,
            Weights::Fresh => 9.0 * self.pairs() * PACK + kept * arrival,
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
