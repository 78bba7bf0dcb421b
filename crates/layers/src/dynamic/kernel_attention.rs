//! The attention over experts of dynamic convolution: a perceptron on the means, a softmax with a temperature.

use striate_tensor::{Error, Result, Tensor};

use super::Temperature;
use crate::probe::{self, ProbeKind};
use crate::util::{at_least_one, invalid};
use crate::{Init, Layer, Parameter, VarBuilder, Visitor};

/// How wide the perceptron is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Width {
    /// Its share of the channels.
    pub(super) ratio: f64,
    /// Whether one is added, as in the first released code.
    pub(super) plus_one: bool,
}

impl Width {
    /// Of `channels`, which for an image of 3 is the number of experts.
    fn of(self, channels: usize, experts: usize) -> Result<usize> {
        const LAYER: &str = "DynamicConv";
        at_least_one(LAYER, "in_channels", channels)?;
        at_least_one(LAYER, "kernel_num", experts)?;
        if channels == 3 {
            return Ok(experts);
        }
        let width = channels as f64 * self.ratio;
        let rule = "its product with the channels must be a positive number that fits";
        // Up to 2^52 every whole number is exact.
        if !(0.0..4.5e15).contains(&width) {
            return Err(invalid(LAYER, "ratio", self.ratio, rule));
        }
        match width as usize + usize::from(self.plus_one) {
            0 => Err(invalid(
                LAYER,
                "ratio",
                self.ratio,
                "the width must be at least 1",
            )),
            width => Ok(width),
        }
    }
}

/// `softmax((fc2 relu(fc1 mean(x))) / temperature)`
#[derive(Debug)]
pub(super) struct KernelAttention {
    fc1: Parameter,
    fc2: Parameter,
    bias: Option<Parameter>,
    temperature: Temperature,
}

impl KernelAttention {
    /// `fc1.weight [width, channels, 1, ...]`, `fc2.weight [experts, width, 1, ...]` with as many 1 as maps have
    /// dimensions, and `fc2.bias [experts]`.
    pub(super) fn build(
        channels: usize,
        experts: usize,
        width: Width,
        dims: usize,
        temperature: &Temperature,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let width = width.of(channels, experts);
        let width = width.map_err(|e: Error| e.at(vb.path()))?;
        let weight = |o: usize, i: usize, name| {
            let shape = [vec![o, i], vec![1; dims]].concat();
            (vb / name).parameter("weight", &shape, Init::KaimingNormal)
        };
        // The code for volumes has no bias.
        let bias = (dims < 3).then(|| (vb / "fc2").parameter("bias", &[experts], Init::ZEROS));
        Ok(Self {
            fc1: weight(width, channels, "fc1")?,
            fc2: weight(experts, width, "fc2")?,
            bias: bias.transpose()?,
            temperature: temperature.clone(),
        })
    }

    /// The factor of each expert for each map of `[N, C, ...]`, `[N, E]`. Emitted for the layer at `path`.
    pub(super) fn forward(&self, path: &std::sync::Arc<str>, x: &Tensor) -> Result<Tensor> {
        let matrix = |p: &Parameter| {
            let weight = p.tensor();
            let shape = [weight.shape()[0], weight.shape()[1]];
            weight.reshape(shape)
        };
        let places: Vec<usize> = (2..x.rank()).collect();
        let z = x
            .mean(&places, false)?
            .linear(&matrix(&self.fc1)?, None)?
            .relu()?;
        let bias = self.bias.as_ref().map(Parameter::tensor);
        let logits = z.linear(&matrix(&self.fc2)?, bias.as_ref())?;
        let factors = logits
            .mul_scalar(1.0 / self.temperature.get())?
            .softmax(1)?;
        probe::emit(path, ProbeKind::ExpertWeights, &factors);
        Ok(factors)
    }
}

/// A linear map as it is named.
struct Fc<'a> {
    weight: &'a Parameter,
    bias: Option<&'a Parameter>,
}

impl std::fmt::Debug for Fc<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.weight.fmt(f)
    }
}

impl Layer for Fc<'_> {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weight", self.weight);
        if let Some(bias) = self.bias {
            v.parameter("bias", bias);
        }
    }
}

impl Layer for KernelAttention {
    fn visit(&self, v: &mut dyn Visitor) {
        let (weight, bias) = (&self.fc1, None);
        v.child("fc1", &Fc { weight, bias });
        let (weight, bias) = (&self.fc2, self.bias.as_ref());
        v.child("fc2", &Fc { weight, bias });
    }
}
