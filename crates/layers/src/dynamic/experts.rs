//! Several convolutions of one shape, mixed for every map.

use striate_tensor::{Result, Tensor};

use super::Convolution;
use crate::util::at_least_one;
use crate::{Conv2dConfig, Init, Parameter, VarBuilder, Visitor};

/// The weights of the experts, and what convolves with their mixtures.
#[derive(Debug)]
pub(super) struct Experts<C = Conv2dConfig> {
    weight: Parameter,
    bias: Option<Parameter>,
    /// Of one expert's weight.
    shape: Vec<usize>,
    conv: C,
}

impl<C: Convolution> Experts<C> {
    /// `weight [count, ...]`, each expert with the shape of the convolution's weight or flattened, and `bias [count, out]`.
    /// Each expert's weight starts as that of a convolution would.
    pub(super) fn build(
        conv: &C,
        (field, count): (&'static str, usize),
        flat: bool,
        bias: Init,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let shape = conv.shape();
        let shape = shape.and_then(|shape| {
            at_least_one("experts", field, count)?;
            Ok(shape)
        });
        let shape = shape.map_err(|e| e.at(vb.path()))?;
        // The product fits: the allocation of the weight checks it.
        let one = shape.iter().fold(1usize, |n, &d| n.saturating_mul(d));
        let all = if flat {
            vec![count, one]
        } else {
            [&[count], &shape[..]].concat()
        };
        let bias = conv
            .has_bias()
            .then(|| vb.parameter("bias", &[count, shape[0]], bias));
        Ok(Self {
            weight: vb.parameter("weight", &all, conv.init().as_for(&shape))?,
            bias: bias.transpose()?,
            shape,
            conv: conv.clone(),
        })
    }

    /// Number of experts.
    pub(super) fn count(&self) -> usize {
        self.weight.shape().first().copied().unwrap_or(0)
    }

    /// The mixed weight of each map, `[N, out, in/groups, ...]`, from factors `[N, E]`.
    pub(super) fn mixed_weight(&self, factors: &Tensor) -> Result<Tensor> {
        let [n, _] = factors.dims_array("experts")?;
        let mixed = factors.mixture(&self.weight.tensor())?;
        mixed.reshape([&[n], &self.shape[..]].concat())
    }

    /// Each map convolved with the mixture of the experts by its factors `[N, E]`, biases likewise.
    pub(super) fn forward(&self, x: &Tensor, factors: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref();
        let bias = bias.map(|bias| factors.mixture(&bias.tensor()));
        let weight = self.mixed_weight(factors)?;
        self.conv.convolve(x, &weight, bias.transpose()?.as_ref())
    }

    pub(super) fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("weight", &self.weight);
        if let Some(bias) = &self.bias {
            v.parameter("bias", bias);
        }
    }
}

impl Experts {
    /// Each image convolved with a weight of its own.
    pub(super) fn convolve(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        self.conv.convolve(x, weight, None)
    }

    /// All images convolved with the only expert.
    pub(super) fn convolve_all(&self, x: &Tensor) -> Result<Tensor> {
        let weight = self.weight.tensor().select(0, 0)?;
        x.conv2d(&weight, None, self.conv.options())
    }
}
