//! Depthwise over-parameterised convolution: the kernel is a product of two weights while it trains, and one ordinary
//! kernel afterwards.
//!
//! `y = conv(x, K)`, `K[o, i, m] = sum over s of (D[i, m, s] + D0[i, m, s]) W[o, i, s]`
//!
//! with `m` a tap of the kernel and `D0` a fixed identity: `D` starts at 0, so that the layer starts as the convolution
//! with the weight `W`.
//!
//! Paper: Cao, Li, Sun, et al., *DO-Conv: Depthwise Over-parameterized Convolutional Layer*, IEEE TIP 2022,
//! arXiv:2006.12030. Departures: fewer than `kh*kw` numbers `s` are refused, where the released code has an empty `D0`.
//! Parameters: `out*(in/groups)*S + in*kh*kw*S`, and `out` with a bias; `S = kh*kw` by default. 1x1 kernels have no `D`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor, no_grad};

use crate::util::invalid;
use crate::{
    Buffer, Conv2d, Conv2dConfig, Init, Layer, Module, Parameter, StateDict, VarBuilder, Visitor,
};

/// How to build a [`DoConv2d`].
#[derive(Clone, Debug)]
pub struct DoConv2dConfig {
    /// The convolution it folds to.
    pub conv: Conv2dConfig,
    /// Length of the sums that make the kernel; by default the number of taps.
    pub d_mul: Option<usize>,
}

impl DoConv2dConfig {
    /// Sums as long as there are taps.
    #[must_use]
    pub fn new(conv: Conv2dConfig) -> Self {
        Self { conv, d_mul: None }
    }

    /// Sets the length of the sums.
    #[must_use]
    pub fn d_mul(mut self, d_mul: usize) -> Self {
        self.d_mul = Some(d_mul);
        self
    }

    /// Shape of the kernel, and the length of the sums.
    fn shape(&self) -> Result<([usize; 4], usize)> {
        let shape = self.conv.weight_shape()?;
        let taps = shape[2].checked_mul(shape[3]);
        let taps = taps.ok_or_else(|| invalid("DoConv2d", "kernel", shape, "it must fit"))?;
        let d_mul = match self.d_mul {
            Some(d_mul) if taps > 1 => d_mul,
            _ => taps,
        };
        if d_mul < taps {
            let rule = format!("it must be at least the {taps} taps of the kernel");
            return Err(invalid("DoConv2d", "d_mul", d_mul, rule));
        }
        Ok((shape, d_mul))
    }

    /// Builds the layer under the released code's names: `W [out, in/groups, S]`, for more than one tap
    /// `D [in, taps, S]` and the fixed `d_diag`, and with a bias `bias [out]`.
    ///
    /// # Errors
    /// A size is 0, the channels are no multiple of the groups, or the sums are shorter than the kernel.
    pub fn build(&self, vb: &VarBuilder) -> Result<DoConv2d> {
        let (shape, d_mul) = self.shape().map_err(|e| e.at(vb.path()))?;
        let [out, per_group, kh, kw] = shape;
        let taps = kh * kw;
        let w = [out, per_group, d_mul];
        let bias = self.conv.bias;
        let bias = bias.then(|| vb.parameter("bias", &[out], Init::bias_of(&w)));
        let depthwise = || -> Result<_> {
            let shape = [self.conv.in_channels, taps, d_mul];
            let d = vb.parameter("D", &shape, Init::ZEROS)?;
            let fixed = Buffer::new(&identities(shape)?.to_dtype(d.dtype())?);
            Ok((d, fixed))
        };
        Ok(DoConv2d {
            path: Arc::clone(vb.path()),
            config: self.conv.clone(),
            shape,
            w: vb.parameter("W", &w, Init::KaimingUniform)?,
            d: (taps > 1).then(depthwise).transpose()?,
            bias: bias.transpose()?,
        })
    }
}

/// For each input channel identities side by side, as many as there is room for, and zeros.
fn identities([channels, taps, d_mul]: [usize; 3]) -> Result<Tensor> {
    let mut one = vec![0f32; taps * d_mul];
    for s in 0..d_mul / taps * taps {
        one[s % taps * d_mul + s] = 1.0;
    }
    let one = Tensor::from_vec(one, [1, taps, d_mul])?;
    one.expand([channels, taps, d_mul])?.contiguous()
}

/// The over-parameterised convolution.
#[derive(Debug)]
pub struct DoConv2d {
    path: Arc<str>,
    config: Conv2dConfig,
    shape: [usize; 4],
    w: Parameter,
    /// `D` and the fixed identity.
    d: Option<(Parameter, Buffer)>,
    bias: Option<Parameter>,
}

impl DoConv2d {
    /// The kernel that the weights make, `[out, in/groups, kh, kw]`.
    ///
    /// With more than one group and fewer than channels, row `i` of `D` goes with the weights that come `i`-th in memory,
    /// as in the released code, whose weights this loads.
    ///
    /// # Errors
    /// Memory is out.
    pub fn kernel(&self) -> Result<Tensor> {
        let w = self.w.tensor();
        let Some((d, fixed)) = &self.d else {
            return w.reshape(self.shape);
        };
        let d = d.tensor().add(&fixed.tensor())?;
        let [channels, _, d_mul] = d.dims_array("DoConv2d")?;
        let rows = w.numel() / (channels * d_mul);
        let w = w.reshape([rows, channels, d_mul])?.permute(&[1, 0, 2])?;
        let kernel = w.matmul(&d.transpose(1, 2)?)?.permute(&[1, 0, 2])?;
        kernel.reshape(self.shape)
    }

    /// The convolution with the kernel made once: the same function, and as fast as one.
    ///
    /// # Errors
    /// Memory is out.
    pub fn fold(&self) -> Result<Conv2d> {
        let mut dict = StateDict::new();
        dict.insert("weight", no_grad(|| self.kernel())?.contiguous()?);
        if let Some(bias) = &self.bias {
            dict.insert("bias", bias.tensor().detach());
        }
        let vb = VarBuilder::from_state_dict(dict).dtype(self.w.dtype());
        self.config.build(&vb)
    }
}

impl Layer for DoConv2d {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("W", &self.w);
        if let Some((d, fixed)) = &self.d {
            v.parameter("D", d);
            v.buffer("d_diag", fixed);
        }
        if let Some(bias) = &self.bias {
            v.parameter("bias", bias);
        }
    }
}

impl Module for DoConv2d {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, H', W']`, sizes as of the convolution.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let bias = self.bias.as_ref().map(Parameter::tensor);
            x.conv2d(&self.kernel()?, bias.as_ref(), self.config.options())
        })
    }
}

/// How other implementations name the same weights.
pub mod doconv_key_maps {
    use striate_tensor::{Result, Tensor};

    use crate::KeyMap;

    /// From an ordinary convolution: its weight becomes `W`. `D` stays at 0, so that the layer computes the same (load
    /// with [`Loading::Lenient`](crate::Loading::Lenient)).
    #[must_use]
    pub fn from_conv2d() -> KeyMap {
        KeyMap::new()
            .transform("weight", taps_last)
            .rename("weight", "W")
    }

    fn taps_last(weight: &Tensor) -> Result<Tensor> {
        weight.flatten(2, weight.rank().saturating_sub(1).max(2))
    }
}
