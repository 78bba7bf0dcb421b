//! When fewer multiplications are less time.
//!
//! All costs are in cycles, each of which is time for two multiply-adds of whole vectors; see
//! [`predict`](crate::conv2d::predict).

use super::Size;
use super::forward::{SECOND_LEVEL, block_of};
use super::narrow::Narrow;
use super::tiles::{are_images_of_two, tap_distance};
use crate::conv2d::Conv2dGeometry;
use crate::conv2d::predict::machine;
use crate::conv2d::taps::Taps;
use crate::gemm::panels::Panels;
use striate_simd::Level;

/// Products run at this part of the rate of a direct convolution, whose sums stay in registers longer.
const RATE: f64 = 0.95;

/// Reading a point of a weight that the second-level cache does not hold: the first time, how much more
/// for every million of them, and for every further block.
const ARRIVAL: [f64; 3] = [0.1, 0.025, 0.15];

/// Writing a point of a weight.
const WRITE: f64 = 0.5;

/// What a prediction must win by, being less accurate.
pub(in crate::conv2d) const MARGIN: f64 = 1.08;

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
    /// Whether [`Size::TwoOfImage`] computes it.
    of_two: bool,
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
            of_two: side == 3 && are_images_of_two(taps),
            inputs: taps.k_len(),
            outputs: taps.columns(),
        })
    }

    /// The fastest tile.
    pub(in crate::conv2d) fn fastest(&self, level: Level, weights: Weights) -> Size {
        let cost = |size| self.cycles(level, size, weights);
        let sizes = self.sizes().iter().filter(|&&size| self.accepts(size));
        let faster = |best: Size, &size: &Size| if cost(size) < cost(best) { size } else { best };
        sizes.fold(self.sizes()[0], faster)
    }

    /// Whether a tile for kernels of its side computes it.
    pub(in crate::conv2d) fn accepts(&self, size: Size) -> bool {
        size != Size::TwoOfImage || self.of_two
    }

    /// The tiles for kernels of its side, the largest first.
    pub(in crate::conv2d) fn sizes(&self) -> &'static [Size] {
        if self.side == 2 {
            &[Size::FiveOfTwo, Size::ThreeOfTwo]
        } else {
            &[
                Size::FourOfThree,
                Size::ThreeOfThree,
                Size::TwoOfThree,
                Size::TwoOfImage,
            ]
        }
    }

    fn taps(&self) -> f64 {
        (self.side * self.side) as f64
    }

    fn pairs(&self) -> f64 {
        (self.groups * self.inputs) as f64 * self.outputs as f64
    }

    /// The cycles of tiles of `size`.
    pub(in crate::conv2d) fn cycles(&self, level: Level, size: Size, weights: Weights) -> f64 {
        let channels = [self.inputs, self.outputs];
        if let Some(narrow) = Narrow::new(level, size, self.groups, channels, self.dilation) {
            let [down, across] = self.size.map(|pixels| pixels.div_ceil(size.outputs()));
            return narrow.cycles(self.batch * down * across, self.groups, weights);
        }
        let phases = |axis: usize| self.dilation[axis].min(self.size[axis]);
        let squares = |axis: usize| self.size[axis].div_ceil(self.dilation[axis] * size.outputs());
        let square = (phases(0) * phases(1)).max(1);
        let tiles = self.batch * squares(0) * squares(1) * square;
        let block = block_of(size, [self.inputs, self.outputs], tiles, square).max(1);
        let points = size.points() as f64;

        let panels = Panels::choose(level, block, self.outputs);
        let rows = |count: usize| {
            self.inputs as f64 * panels.cycles(level, count) / RATE
                + machine::TILE * panels.tiles(level, count) as f64
                + machine::ROW * (count * panels.count()) as f64
        };
        let products = (tiles / block) as f64 * rows(block) + rows(tiles % block);

        let vectors = self.inputs.div_ceil(level.lanes()) + self.outputs.div_ceil(level.lanes());
        // For a tile, and for each of its vectors.
        let [fixed, vector] = match size {
            Size::TwoOfImage => [500.0, 45.0],
            Size::TwoOfThree | Size::ThreeOfTwo => [800.0, 80.0],
            Size::ThreeOfThree => [1150.0, 150.0],
            Size::FourOfThree | Size::FiveOfTwo => [1500.0, 250.0],
        };
        let transforms = tiles as f64 * (fixed + vector * vectors as f64);

        let kept = points * self.pairs();
        let first = kept * (ARRIVAL[0] + ARRIVAL[1] * kept / 1e6).min(1.0);
        let arrival = if kept <= SECOND_LEVEL as f64 {
            0.0
        } else {
            let again = tiles.div_ceil(block).saturating_sub(1) as f64;
            first + again * ARRIVAL[2] * kept
        };
        let pack = match weights {
            Weights::Kept => 0.0,
            Weights::Fresh => self.taps() * self.pairs() * machine::PACK + WRITE * kept,
        };
        self.groups as f64 * (points * products + transforms) + arrival + pack
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accuracy::Accuracy;
    use crate::conv2d::algorithm::choose_for;
    use crate::geometry::Layout;

    fn chosen(batch: usize, channels: usize, size: usize, weights: Weights) -> Option<Size> {
        let g = Conv2dGeometry::new(
            batch, channels, [size; 2], channels, [3; 2], [1; 2], [1; 4], [1; 2], 1,
        );
        choose_for(
            &g.unwrap(),
            Layout::Nhwc,
            Level::detect(),
            Accuracy::Fast,
            weights,
        )
        .tile()
    }

    #[test]
    fn many_pixels_are_tiled() {
        for (batch, channels, size) in [
            (1, 64, 56),
            (1, 128, 28),
            (8, 64, 56),
            (8, 512, 7),
            (64, 32, 16),
        ] {
            let size = chosen(batch, channels, size, Weights::Kept);
            assert_eq!(size, Some(Size::FourOfThree), "{channels} channels");
        }
    }

    #[test]
    fn taps_in_the_padding_count_for_neither() {
        let choose = |dilation: usize| {
            let [ones, dilation, kernel] = [1, dilation, 3].map(|n| [n; 2]);
            let pad = [dilation[0]; 4];
            let g = Conv2dGeometry::new(1, 256, [33; 2], 256, kernel, ones, pad, dilation, 1);
            let (g, weights) = (g.unwrap(), Weights::Kept);
            choose_for(&g, Layout::Nhwc, Level::detect(), Accuracy::Fast, weights).tile()
        };
        assert!(choose(1).is_some());
        assert!(choose(2).is_some());
        assert_eq!(choose(18), Some(Size::TwoOfImage));
    }

    #[test]
    fn few_channels_and_few_pixels_are_not() {
        for (batch, channels, size) in [(1, 12, 100), (1, 512, 3), (1, 64, 1)] {
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
