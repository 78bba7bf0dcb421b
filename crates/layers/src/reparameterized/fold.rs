//! Adding and chaining convolutions as kernels.

use striate_tensor::{Conv2dOptions, DType, PadMode, Result, Tensor, no_grad};

use crate::{Conv2d, Conv2dConfig, StateDict, VarBuilder};

/// The weight `[O, C/g, kh, kw]` and the bias `[O]` of a convolution.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    pub weight: Tensor,
    pub bias: Tensor,
}

impl From<[Tensor; 2]> for Kernel {
    fn from([weight, bias]: [Tensor; 2]) -> Self {
        Self { weight, bias }
    }
}

impl Kernel {
    /// `1` from each channel to itself at the middle of a `k x k` kernel, in groups.
    pub(super) fn identity(channels: usize, groups: usize, k: usize, dtype: DType) -> Result<Self> {
        let of_group = channels / groups.max(1);
        let mut weight = vec![0.0; channels * of_group];
        for c in 0..channels {
            weight[c * of_group + c % of_group] = 1.0;
        }
        let weight = Tensor::from_vec(weight, [channels, of_group, 1, 1])?.to_dtype(dtype)?;
        let bias = Tensor::zeros(channels, dtype)?;
        Self { weight, bias }.widened(k)
    }

    /// The mean of a `k x k` window of each channel, in groups.
    pub(super) fn mean(channels: usize, groups: usize, k: usize, dtype: DType) -> Result<Self> {
        let Self { weight, bias } = Self::identity(channels, groups, 1, dtype)?;
        let [o, i, _, _] = weight.dims4()?;
        let weight = weight
            .expand([o, i, k, k])?
            .mul_scalar(1.0 / (k * k) as f64)?;
        Ok(Self { weight, bias })
    }

    /// With zeros around the kernel, up to `k x k`.
    pub(super) fn widened(self, k: usize) -> Result<Self> {
        let [_, _, kh, kw] = self.weight.dims4()?;
        let [h, w] = [(k - kh) / 2, (k - kw) / 2];
        let weight = self.weight.pad2d([h, h, w, w], PadMode::Zeros)?;
        Ok(Self { weight, ..self })
    }

    /// With each output scaled and shifted: what a batch norm in evaluation does.
    pub(super) fn then_affine(self, [scale, shift]: [Tensor; 2]) -> Result<Self> {
        let by_output = scale.reshape([scale.numel(), 1, 1, 1])?;
        Ok(Self {
            weight: self.weight.mul(&by_output)?,
            bias: self.bias.mul(&scale)?.add(&shift)?,
        })
    }

    /// The sum of both.
    pub(super) fn plus(self, other: &Self) -> Result<Self> {
        Ok(Self {
            weight: self.weight.add(&other.weight)?,
            bias: self.bias.add(&other.bias)?,
        })
    }

    /// This 1x1 convolution, then a larger one. Equal to the two in a row if the border of the map
    /// between them is this one's bias.
    pub(super) fn then(&self, next: &Self, groups: usize) -> Result<Self> {
        // Group by group, the taps of `next` are mixed as this one mixes channels.
        let first = self.weight.chunk(groups, 0)?;
        let second = next.weight.chunk(groups, 0)?;
        let of_inputs = self.bias.chunk(groups, 0)?;
        let mut weights = Vec::with_capacity(groups);
        let mut biases = Vec::with_capacity(groups);
        for ((first, second), bias) in first.iter().zip(&second).zip(&of_inputs) {
            let mix = first.transpose(0, 1)?.contiguous()?;
            weights.push(second.conv2d(&mix, None, Conv2dOptions::default())?);
            let bias = bias.reshape([1, bias.numel(), 1, 1])?;
            biases.push(second.mul(&bias)?.sum(&[1, 2, 3], false)?);
        }
        let joined = |parts: &[Tensor]| Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0);
        Ok(Self {
            weight: joined(&weights)?,
            bias: joined(&biases)?.add(&next.bias)?,
        })
    }

    /// A layer with this kernel, which keeps the size of a map at stride 1.
    pub(super) fn into_conv(self, stride: usize, groups: usize) -> Result<Conv2d> {
        let [o, i, kh, kw] = self.weight.dims4()?;
        let dtype = self.weight.dtype();
        let mut dict = StateDict::new();
        dict.insert("weight", self.weight);
        dict.insert("bias", self.bias);
        Conv2dConfig::new(i * groups, o, [kh, kw])
            .stride(stride)
            .same_padding()
            .groups(groups)
            .build(&VarBuilder::from_state_dict(dict).dtype(dtype))
    }
}

/// Runs `f` without recording: folding is no part of a graph.
pub(super) fn folding(f: impl FnOnce() -> Result<Conv2d>) -> Result<Conv2d> {
    no_grad(f)
}
