//! Mixed convolution: splits the channels and gives each part a kernel of its own size.
//!
//! `y = [conv_k1(x_1), conv_k2(x_2), ...]`, depthwise or full within each part
//!
//! Paper: Tan, Le, *MixConv: Mixed Depthwise Convolutional Kernels*, BMVC 2019, arXiv:1907.09595.
//! Departures: none; what does not divide evenly goes to the first part, as in timm.
//! Parameters, depthwise: `sum over parts of k*k*C_part`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use crate::util::{at_least_one, invalid, odd};
use crate::{Conv2d, Conv2dConfig, Layer, Module, VarBuilder, Visitor};

/// How to build a [`MixConv`].
#[derive(Clone, Debug)]
pub struct MixConvConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Size of the kernel of each part, odd.
    pub kernels: Vec<usize>,
    /// Stride.
    pub stride: usize,
    /// Whether each channel has a filter of its own, or the channels of a part mix.
    pub depthwise: bool,
}

impl MixConvConfig {
    /// Depthwise 3x3, 5x5 and 7x7 with stride 1.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            kernels: vec![3, 5, 7],
            stride: 1,
            depthwise: true,
        }
    }

    /// Sets the kernels, one a part.
    #[must_use]
    pub fn kernels(mut self, kernels: impl Into<Vec<usize>>) -> Self {
        self.kernels = kernels.into();
        self
    }

    /// Sets the stride.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Gives each channel a filter of its own, or mixes the channels of a part.
    #[must_use]
    pub fn depthwise(mut self, depthwise: bool) -> Self {
        self.depthwise = depthwise;
        self
    }

    /// Builds the module: `0`, `1`, ... as in timm, without biases.
    ///
    /// # Errors
    /// There is no kernel or an even one, there are fewer channels than kernels, or, depthwise, a
    /// part's outputs are no multiple of its inputs.
    pub fn build(&self, vb: &VarBuilder) -> Result<MixConv> {
        let parts = self.parts().map_err(|e| e.at(vb.path()))?;
        let convs = parts.iter().zip(&self.kernels).enumerate();
        let convs = convs.map(|(i, (&[inputs, outputs], &kernel))| {
            Conv2dConfig::new(inputs, outputs, kernel)
                .stride(self.stride)
                .padding(((self.stride - 1) + (kernel - 1)) / 2)
                .groups(if self.depthwise { inputs } else { 1 })
                .bias(false)
                .build(&(vb / i))
        });
        Ok(MixConv {
            path: Arc::clone(vb.path()),
            convs: convs.collect::<Result<_>>()?,
            sizes: parts.iter().map(|part| part[0]).collect(),
        })
    }

    /// Input and output channels of each part.
    fn parts(&self) -> Result<Vec<[usize; 2]>> {
        const LAYER: &str = "MixConv";
        at_least_one(LAYER, "stride", self.stride)?;
        at_least_one(LAYER, "number of kernels", self.kernels.len())?;
        for &kernel in &self.kernels {
            odd(LAYER, "kernels", kernel)?;
        }
        let count = self.kernels.len();
        let split = |field, channels: usize| {
            if channels < count {
                let rule = format!("there must be one for each of the {count} kernels");
                return Err(invalid(LAYER, field, channels, rule));
            }
            let mut parts = vec![channels / count; count];
            parts[0] += channels % count;
            Ok(parts)
        };
        let inputs = split("in_channels", self.in_channels)?;
        let outputs = split("out_channels", self.out_channels)?;
        let parts: Vec<_> = inputs
            .into_iter()
            .zip(outputs)
            .map(|(i, o)| [i, o])
            .collect();
        if self.depthwise
            && let Some([i, o]) = parts.iter().find(|[i, o]| !o.is_multiple_of(*i))
        {
            let rule = format!("a depthwise part of {i} channels cannot give {o}");
            return Err(invalid(LAYER, "out_channels", self.out_channels, rule));
        }
        Ok(parts)
    }
}

/// Convolutions of several sizes, each of its part of the channels.
#[derive(Debug)]
pub struct MixConv {
    path: Arc<str>,
    convs: Vec<Conv2d>,
    /// Channels of each part of the input.
    sizes: Vec<usize>,
}

impl Layer for MixConv {
    fn visit(&self, v: &mut dyn Visitor) {
        for (i, conv) in self.convs.iter().enumerate() {
            v.child(&i.to_string(), conv);
        }
    }
}

impl Module for MixConv {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            x.dims_array::<4>("MixConv")?;
            let parts = x.split(&self.sizes, 1)?;
            let outputs = self.convs.iter().zip(&parts);
            let outputs: Vec<_> = outputs
                .map(|(conv, part)| conv.forward(part))
                .collect::<Result<_>>()?;
            Tensor::cat(&outputs.iter().collect::<Vec<_>>(), 1)
        })
    }
}
