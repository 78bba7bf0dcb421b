//! What receptive-field attentions share: features of every window, and the convolution that joins them.
//!
//! A window of `k x k` pixels becomes `k*k` features a channel. The papers lay them out as `k x k` blocks of a larger map
//! and convolve that with stride `k`. Each output of it is a sum over the features of one block: a 1x1 convolution of the
//! features as channels, with the same weights in the same order. So the larger map is never made.

use striate_tensor::{Conv2dOptions, Result, Tensor};

use crate::util::{at_least_one, invalid};
use crate::{
    Conv2d, Conv2dConfig, ConvNormAct, ConvNormActConfig, Module, Parameter, VarBuilder, Visitor,
};

/// The channels, the window and the stride.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    pub(super) layer: &'static str,
    pub(super) in_channels: usize,
    pub(super) out_channels: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
}

impl Windows {
    /// The number of features, `in_channels * kernel * kernel`.
    pub(super) fn features(&self) -> Result<usize> {
        for (field, value) in [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("stride", self.stride),
        ] {
            at_least_one(self.layer, field, value)?;
        }
        let rule = "it must be odd, so that windows have a middle";
        let kernel = (!self.kernel.is_multiple_of(2)).then_some(self.kernel);
        let kernel = kernel.ok_or_else(|| invalid(self.layer, "kernel", self.kernel, rule))?;
        let features = kernel.checked_mul(kernel);
        features
            .and_then(|taps| taps.checked_mul(self.in_channels))
            .ok_or_else(|| invalid(self.layer, "kernel", kernel, "the features must fit"))
    }
}

/// The features of windows, and their convolution `conv.0`.
#[derive(Debug)]
pub(super) struct ReceptiveField {
    name: &'static str,
    generate: ConvNormAct,
    conv: Conv2d,
    kernel: usize,
}

impl ReceptiveField {
    /// A grouped convolution `name.0` with a batch norm `name.1`, and `conv.0`.
    pub(super) fn build(windows: &Windows, name: &'static str, vb: &VarBuilder) -> Result<Self> {
        let features = windows.features().map_err(|e| e.at(vb.path()))?;
        let &Windows {
            in_channels,
            out_channels,
            kernel,
            stride,
            ..
        } = windows;
        let generate = Conv2dConfig::new(in_channels, features, kernel)
            .stride(stride)
            .padding(kernel / 2)
            .groups(in_channels);
        let generate = ConvNormActConfig::new(generate).names("0", "1");
        let conv = Conv2dConfig::new(in_channels, out_channels, kernel).stride(kernel);
        Ok(Self {
            name,
            generate: generate.build(&(vb / name))?,
            conv: conv.build(&(vb / "conv" / 0))?,
            kernel,
        })
    }

    /// The features of `x`, `[N, C, k, k, H', W']`.
    pub(super) fn features(&self, x: &Tensor) -> Result<Tensor> {
        let features = self.generate.forward(x)?;
        let [n, many, h, w] = features.dims_array("features")?;
        let k = self.kernel;
        features.reshape([n, many / (k * k), k, k, h, w])
    }

    /// The convolution of the larger map that has these features as blocks.
    pub(super) fn convolve(&self, features: &Tensor) -> Result<Tensor> {
        let [n, c, _, _, h, w] = features.dims_array("features")?;
        let weight = self.conv.weight().tensor();
        let [out, _, _, _] = weight.dims_array("conv")?;
        let many = c * self.kernel * self.kernel;
        let bias = self.conv.bias().map(Parameter::tensor);
        features.reshape([n, many, h, w])?.conv2d(
            &weight.reshape([out, many, 1, 1])?,
            bias.as_ref(),
            Conv2dOptions::default(),
        )
    }

    pub(super) fn visit(&self, v: &mut dyn Visitor) {
        v.child(self.name, &self.generate);
        v.child("conv.0", &self.conv);
    }
}

/// A map `[N, M, k, k, H, W]` as `k x k` blocks of a larger one, `[N, M, H*k, W*k]`.
pub(super) fn blocks(x: &Tensor) -> Result<Tensor> {
    let [n, m, k, _, h, w] = x.dims_array("blocks")?;
    let apart = x.permute(&[0, 1, 4, 2, 5, 3])?;
    apart.reshape([n, m, h * k, w * k])
}

/// The inverse of [`blocks`].
pub(super) fn unblocked(x: &Tensor, k: usize) -> Result<Tensor> {
    let [n, m, h, w] = x.dims_array("blocks")?;
    let apart = x.reshape([n, m, h / k, k, w / k, k])?;
    apart.permute(&[0, 1, 3, 5, 2, 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_become_blocks() -> Result<()> {
        let values: Vec<f32> = (0u8..36).map(f32::from).collect();
        let x = Tensor::from_vec(values, [1, 1, 3, 3, 2, 2])?;
        let y = blocks(&x)?;
        let expected: [f32; 36] = [
            0., 4., 8., 1., 5., 9., 12., 16., 20., 13., 17., 21., 24., 28., 32., 25., 29., 33., 2.,
            6., 10., 3., 7., 11., 14., 18., 22., 15., 19., 23., 26., 30., 34., 27., 31., 35.,
        ];
        assert_eq!(y.to_vec::<f32>()?, expected);
        assert_eq!(unblocked(&y, 3)?.to_vec::<f32>()?, x.to_vec::<f32>()?);
        Ok(())
    }
}
