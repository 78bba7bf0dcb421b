//! Weights in the order the kernels read them.

use super::algorithm::{Algorithm, choose};
use super::arrangement::{Arrangement, Attributes};
use super::lanes::Lanes;
use super::taps::{Dense, Reduce, TapWeights, Taps};
use super::{
    Conv2dGeometry, OP, channels_last, direct, few_channels, few_outputs, gated, grouped, winograd,
};
use crate::accuracy::Policy;
use crate::dwconv;
use crate::epilogue::Epilogue;
use crate::error::{KernelError, check_len};
use crate::gemm::Write;
use crate::gemm::block::Product;
use crate::gemm::panels::Panels;
use crate::geometry::{GeometryError, Layout};
use crate::moments::TileMoments;
use std::ops::Range;
use striate_simd::{Buffer, Level};

/// The weights of a convolution, arranged once for a level and an input layout, used many times.
///
/// They serve every geometry with the same weights, stride, padding, dilation and groups: the batch
/// and the image size may differ from those they were packed for, where they were tuned. Those of
/// [`Algorithm::Winograd2of2`] serve the images that it accepts.
#[derive(Debug)]
pub struct PackedWeights {
    arrangement: Arrangement,
    form: Form,
}

/// The rule that an algorithm breaks which does not accept a convolution.
const DECLINES: &str = "it declines this convolution";

/// The order of the weights.
#[derive(Debug)]
enum Form {
    /// Rows of the right operand of a product, in panels of output channels.
    Panels(TapWeights),
    /// A weight for each tap and channel.
    Depthwise(Buffer<f32>),
    /// For each output channel a weight for each input channel and tap.
    Rows(Buffer<f32>),
    /// A lane of a vector for each output channel of a block of groups.
    Lanes(Buffer<f32>),
    /// The points of the weights of few channels.
    Points(Buffer<f32>),
}

impl PackedWeights {
    /// Packs `weight`, dense `[out_channels, in_channels / groups, kernel_h, kernel_w]`, for inputs
    /// of layout `input`, in the arrangement that is [chosen](Arrangement::choose).
    ///
    /// # Errors
    /// If the slice has another length or memory runs out.
    pub fn new(
        policy: impl Into<Policy>,
        g: &Conv2dGeometry,
        input: Layout,
        weight: &[f32],
    ) -> Result<Self, KernelError> {
        let Policy { level, accuracy } = policy.into();
        let algorithm = choose(g, input, level, accuracy);
        Self::with_algorithm(level, g, input, weight, algorithm)
    }

    /// As [`new`](Self::new), for any algorithm that [accepts](Algorithm::accepts) the convolution, be it
    /// the fastest or not.
    ///
    /// # Errors
    /// If the algorithm declines, the slice has another length or memory runs out.
    pub fn with_algorithm(
        level: Level,
        g: &Conv2dGeometry,
        input: Layout,
        weight: &[f32],
        algorithm: Algorithm,
    ) -> Result<Self, KernelError> {
        check_len(OP, "weight", weight.len(), g.weight_len())?;
        if !algorithm.accepts(g, input, level) {
            return Err(GeometryError::new(OP, "algorithm", algorithm.family(), DECLINES).into());
        }
        let taps = Taps::forward(g);
        let lanes = Lanes::new(level, std::slice::from_ref(&taps));
        let form = match (algorithm, lanes) {
            (Algorithm::Depthwise, _) => Form::Depthwise(dwconv::pack(g, weight)?),
            (Algorithm::FewOutputs, _) => {
                Form::Rows(few_outputs::pack(&taps, Reduce::Inputs, weight)?)
            }
            (Algorithm::FewChannels, _) => Form::Panels(few_channels::pack(level, g, weight)?),
            (Algorithm::WinogradFewChannels, _) => {
                let declined = || GeometryError::new(OP, "algorithm", algorithm.family(), DECLINES);
                let plan = winograd::FewChannels::new(g, input).ok_or_else(declined)?;
                Form::Points(plan.pack(level, weight)?)
            }
            (Algorithm::Grouped, Some(lanes)) => {
                Form::Lanes(lanes.pack(&taps, Reduce::Inputs, weight)?)
            }
            _ => {
                let taps = taps.flattened();
                Form::Panels(match algorithm.tile() {
                    Some(size) => winograd::pack(level, size, &taps, Reduce::Inputs, weight)?,
                    None => TapWeights::pack(level, &taps, Reduce::Inputs, weight)?,
                })
            }
        };
        Ok(Self {
            arrangement: Arrangement::of(level, g, input, algorithm),
            form,
        })
    }

    /// Packs the weights of some panels of output channels of a single group: panels that are
    /// [separable](Arrangement::separable).
    pub(super) fn of_panels(
        arrangement: Arrangement,
        g: &Conv2dGeometry,
        weight: &[f32],
        (panels, held): (Panels, Range<usize>),
    ) -> Result<Self, KernelError> {
        check_len(OP, "weight", weight.len(), g.weight_len())?;
        let taps = Taps::forward(g).flattened();
        let reduce = Reduce::Inputs;
        let (level, dense) = (arrangement.level, Dense { reduce, weight });
        let weights = match arrangement.algorithm.tile() {
            Some(size) => winograd::pack_held(level, size, &taps, dense, (panels, held))?,
            None => TapWeights::pack_held(level, &taps, dense, held)?,
        };
        Ok(Self {
            arrangement,
            form: Form::Panels(weights),
        })
    }

    /// Computes `y` (NHWC) from `x`, whose layout is the one the weights were packed for.
    ///
    /// # Errors
    /// If a slice does not have the geometry's length, the weights were packed for another
    /// convolution, or memory runs out.
    pub fn forward(
        &self,
        g: &Conv2dGeometry,
        x: &[f32],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        self.check(g, x, epilogue, y)?;
        match (&self.form, self.input()) {
            (Form::Panels(weights), input) if self.algorithm() == Algorithm::FewChannels => {
                let plan = few_channels::Plan::new(g, input).ok_or_else(|| self.mismatch(g))?;
                few_channels::forward(self.level(), &plan, weights, x, epilogue, y)
            }
            (Form::Points(weights), input) => {
                let plan = winograd::FewChannels::new(g, input).ok_or_else(|| self.mismatch(g))?;
                plan.run(self.level(), weights, x, epilogue, y)
            }
            (Form::Rows(weights), input) => {
                let taps = [Taps::forward(g)];
                let plan = few_outputs::Plan::new(&taps, input).ok_or_else(|| self.mismatch(g))?;
                plan.run(self.level(), &[weights], x, epilogue, y)
            }
            (_, Layout::Nhwc) => self.forward_nhwc(g, x, epilogue, y),
            (_, Layout::Nchw) => self.forward_nhwc(g, &channels_last(g, x)?, epilogue, y),
        }
    }

    /// As [`forward`](Self::forward); also returns the mean and the biased variance of every channel of
    /// `y`, taken while its tiles are in a near cache. NaN if there are no pixels.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_with_statistics(
        &self,
        g: &Conv2dGeometry,
        x: &[f32],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
    ) -> Result<[Vec<f64>; 2], KernelError> {
        let moments = TileMoments::default();
        let mut epilogue = *epilogue;
        epilogue.moments = Some(&moments);
        self.forward(g, x, &epilogue, y)?;
        moments.observe_rest(self.level(), y, g.out_channels());
        Ok(moments.statistics(g.out_channels()))
    }

    /// As [`forward`](Self::forward), of `x` times a number per image and channel, `gate` `[N, C]`:
    /// the gate of a channel attention costs no pass over the image where a convolution follows it.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and if the gate has another length.
    pub fn forward_gated(
        &self,
        g: &Conv2dGeometry,
        x: &[f32],
        gate: &[f32],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        self.check(g, x, epilogue, y)?;
        check_len(OP, "gate", gate.len(), g.batch() * g.in_channels())?;
        match &self.form {
            Form::Panels(weights)
                if self.algorithm() == Algorithm::Pointwise && gated::suits_weights(g) =>
            {
                gated::forward(self.level(), g, weights, (x, gate), epilogue, y)
            }
            _ => {
                let x = gated::inputs(self.level(), g, self.input(), x, gate)?;
                self.forward(g, &x, epilogue, y)
            }
        }
    }

    fn forward_nhwc(
        &self,
        g: &Conv2dGeometry,
        x: &[f32],
        epilogue: &Epilogue<'_>,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        match &self.form {
            Form::Rows(_) | Form::Points(_) => Err(self.mismatch(g)),
            Form::Depthwise(weights) => {
                dwconv::forward(self.level(), g, x, weights, epilogue, y);
                Ok(())
            }
            Form::Panels(weights) if self.algorithm() == Algorithm::Pointwise => {
                let product = Product {
                    rows: y.len() / g.out_channels(),
                    k_len: g.in_channels(),
                    a: x,
                    a_stride: g.in_channels(),
                    b: &weights.data,
                    panels: &weights.panels,
                };
                let (level, width) = (self.level(), g.out_channels());
                product.run_held(&weights.held, level, epilogue, Write::Replace, y, width);
                Ok(())
            }
            Form::Panels(weights) => {
                let taps = Taps::forward(g).flattened();
                match self.algorithm().tile() {
                    Some(size) => winograd::run(self.level(), size, &taps, weights, x, epilogue, y),
                    None => direct::run(self.level(), &taps, weights, x, epilogue, y),
                }
            }
            Form::Lanes(weights) => {
                let taps = [Taps::forward(g)];
                let lanes = Lanes::new(self.level(), &taps).ok_or_else(|| self.mismatch(g))?;
                grouped::forward(self.level(), &lanes, &[weights], x, epilogue, y)
            }
        }
    }

    /// The weights of a depthwise convolution, if this is one, for channels-last inputs.
    pub(super) fn depthwise(&self) -> Option<&[f32]> {
        match &self.form {
            Form::Depthwise(weights) if self.input() == Layout::Nhwc => Some(weights),
            _ => None,
        }
    }

    /// The product with pixels of a pointwise convolution, if this is one, for channels-last inputs.
    pub(super) fn pointwise<'a>(&'a self, g: &Conv2dGeometry, x: &'a [f32]) -> Option<Product<'a>> {
        let Form::Panels(weights) = &self.form else {
            return None;
        };
        let applies = self.algorithm() == Algorithm::Pointwise && self.input() == Layout::Nhwc;
        applies.then(|| Product {
            rows: x.len() / g.in_channels(),
            k_len: g.in_channels(),
            a: x,
            a_stride: g.in_channels(),
            b: &weights.data,
            panels: &weights.panels,
        })
    }

    /// Checks that the weights serve the geometry, and all lengths.
    fn check(
        &self,
        g: &Conv2dGeometry,
        x: &[f32],
        epilogue: &Epilogue<'_>,
        y: &[f32],
    ) -> Result<(), KernelError> {
        self.check_geometry(g)?;
        check_len(OP, "x", x.len(), g.x_len())?;
        check_len(OP, "y", y.len(), g.y_len())?;
        let channels = g.out_channels();
        epilogue.check(OP, y.len() / channels, channels, channels)
    }

    /// Checks that the weights serve the geometry.
    pub(super) fn check_geometry(&self, g: &Conv2dGeometry) -> Result<(), KernelError> {
        if Attributes::of(g) == self.arrangement.attributes {
            Ok(())
        } else {
            Err(self.mismatch(g))
        }
    }

    fn mismatch(&self, g: &Conv2dGeometry) -> KernelError {
        let made_for = &self.arrangement.attributes;
        let rule = format!("the weights were packed for {made_for:?}");
        GeometryError::new(OP, "geometry", format!("{g:?}"), rule).into()
    }

    /// What they were packed for.
    pub fn arrangement(&self) -> &Arrangement {
        &self.arrangement
    }

    /// The level they were packed for.
    pub fn level(&self) -> Level {
        self.arrangement.level
    }

    /// The layout of the input they were packed for.
    pub fn input(&self) -> Layout {
        self.arrangement.input
    }

    /// The algorithm they were packed for.
    pub fn algorithm(&self) -> Algorithm {
        self.arrangement.algorithm
    }

    #[cfg(test)]
    pub(super) fn elements(&self) -> &[f32] {
        match &self.form {
            Form::Panels(weights) => &weights.data,
            Form::Depthwise(weights)
            | Form::Rows(weights)
            | Form::Lanes(weights)
            | Form::Points(weights) => weights,
        }
    }
}
