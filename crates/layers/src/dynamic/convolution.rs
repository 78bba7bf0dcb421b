//! The convolutions that experts are mixed to: of sequences, images and volumes.

use std::fmt::Debug;

use striate_tensor::{Conv2dOptions, Result, Tensor};

use crate::{Conv1dConfig, Conv2dConfig, Conv3dConfig, Init};

/// A convolution that dynamic convolution can mix experts to: [`Conv1dConfig`], [`Conv2dConfig`] or [`Conv3dConfig`].
pub trait Convolution: Clone + Debug + Send + Sync {
    /// Dimensions of its maps.
    const DIMS: usize;

    /// Channels of the input.
    fn in_channels(&self) -> usize;

    /// Whether it has a bias.
    fn has_bias(&self) -> bool;

    /// Where its weight starts.
    fn init(&self) -> Init;

    /// The shape of its weight, `[out, in/groups, ...]`.
    ///
    /// # Errors
    /// A size is 0, or the channels are no multiple of the groups.
    fn shape(&self) -> Result<Vec<usize>>;

    /// Convolves every map with a weight, and perhaps a bias, of its own.
    ///
    /// # Shapes
    /// `x [N, in, ...]`, `weight [N, out, in/groups, ...]`, `bias [N, out]`.
    ///
    /// # Errors
    /// The shapes do not fit, or memory is out.
    fn convolve(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor>;
}

impl Convolution for Conv1dConfig {
    const DIMS: usize = 1;

    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn has_bias(&self) -> bool {
        self.bias
    }

    fn init(&self) -> Init {
        self.init
    }

    fn shape(&self) -> Result<Vec<usize>> {
        Ok(self.weight_shape()?.to_vec())
    }

    /// As images of one row.
    fn convolve(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let [start, end] = self.padding.0;
        let options = Conv2dOptions::default()
            .stride([1, self.stride])
            .padding([0, 0, start, end])
            .dilation([1, self.dilation])
            .groups(self.groups);
        let y = x.unsqueeze(2)?;
        y.conv2d_per_sample(&weight.unsqueeze(3)?, bias, options)?
            .squeeze(2)
    }
}

impl Convolution for Conv2dConfig {
    const DIMS: usize = 2;

    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn has_bias(&self) -> bool {
        self.bias
    }

    fn init(&self) -> Init {
        self.init
    }

    fn shape(&self) -> Result<Vec<usize>> {
        Ok(self.weight_shape()?.to_vec())
    }

    fn convolve(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        x.conv2d_per_sample(weight, bias, self.options())
    }
}

impl Convolution for Conv3dConfig {
    const DIMS: usize = 3;

    fn in_channels(&self) -> usize {
        self.in_channels
    }

    fn has_bias(&self) -> bool {
        self.bias
    }

    fn init(&self) -> Init {
        self.init
    }

    fn shape(&self) -> Result<Vec<usize>> {
        Ok(self.weight_shape()?.to_vec())
    }

    /// One volume after the other.
    fn convolve(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let volumes = x.shape().first().copied().unwrap_or(0);
        if volumes == 0 {
            // An empty batch takes any weight to its shape.
            let weight = Tensor::zeros(&weight.shape()[1..], weight.dtype())?;
            return x.conv3d(&weight, None, self.options);
        }
        let one = |i: usize| {
            let bias = bias.map(|bias| bias.select(0, i)).transpose()?;
            x.narrow(0, i, 1)?
                .conv3d(&weight.select(0, i)?, bias.as_ref(), self.options)
        };
        let all = (0..volumes).map(one).collect::<Result<Vec<_>>>()?;
        Tensor::cat(&all.iter().collect::<Vec<_>>(), 0)
    }
}
