//! Temporal convolution: a residual network over a sequence that sees the past alone, twice as far each block.
//!
//! ```text
//! block i: y = relu(x' + F(F(x)))       F(x) = dropout(relu(conv(x; w, dilation 2^i, causal)))
//! w = g v / |v| for each output channel; x' is x, or a 1x1 convolution of it where the widths differ
//! ```
//!
//! Paper: Bai, Kolter, Koltun, *An Empirical Evaluation of Generic Convolutional and Recurrent Networks for Sequence
//! Modeling*, 2018, arXiv:1803.01271.
//! Departures: zeros are added on the left alone, where the released code adds them on both sides and cuts the right
//! off; so a kernel of one works too, for which that code cuts everything off.
//! Parameters of a block from `I` to `O` channels: `O*I*k + O*O*k + 4*O`, and `O*I + O` where the widths differ.

use std::sync::Arc;

use striate_tensor::autograd::{no_grad, scope};
use striate_tensor::{Conv1dOptions, Error, Result, Tensor};

use crate::util::{at_least_one, invalid};
use crate::{Conv1d, Conv1dConfig, Dropout, Init, Layer, Module, Parameter, VarBuilder, Visitor};

/// How to build a [`Tcn`].
#[derive(Clone, Debug)]
pub struct TcnConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output of each block.
    pub channels: Vec<usize>,
    /// Length of the kernels.
    pub kernel: usize,
    /// Probability with which an element is dropped behind each convolution.
    pub dropout: f64,
}

impl TcnConfig {
    /// The released code's: kernels of 2, dropout 0.2.
    #[must_use]
    pub fn new(in_channels: usize, channels: impl Into<Vec<usize>>) -> Self {
        Self {
            in_channels,
            channels: channels.into(),
            kernel: 2,
            dropout: 0.2,
        }
    }

    /// Sets the length of the kernels.
    #[must_use]
    pub fn kernel(mut self, kernel: usize) -> Self {
        self.kernel = kernel;
        self
    }

    /// Sets the dropout.
    #[must_use]
    pub fn dropout(mut self, p: f64) -> Self {
        self.dropout = p;
        self
    }

    /// Inputs that an output depends on: `1 + 2 (k - 1) (2^blocks - 1)`, or the largest number there is.
    #[must_use]
    pub fn receptive_field(&self) -> usize {
        let blocks = u32::try_from(self.channels.len()).unwrap_or(u32::MAX);
        let dilations = 2usize.checked_pow(blocks).map(|sum| sum - 1);
        dilations
            .and_then(|sum| sum.checked_mul(2))
            .and_then(|sum| sum.checked_mul(self.kernel.saturating_sub(1)))
            .map_or(usize::MAX, |reach| reach.saturating_add(1))
    }

    /// Builds the module: in `network.i`, `conv1` and `conv2` with `weight_g`, `weight_v` and `bias`, and
    /// `downsample` where the widths differ.
    ///
    /// # Errors
    /// There are no blocks, a number is 0, the dropout is no probability, or the blocks reach further than can be
    /// counted.
    pub fn build(&self, vb: &VarBuilder) -> Result<Tcn> {
        const LAYER: &str = "Tcn";
        let check = || {
            at_least_one(LAYER, "in_channels", self.in_channels)?;
            at_least_one(LAYER, "kernel", self.kernel)?;
            if self.channels.is_empty() || self.channels.contains(&0) {
                let rule = "there must be a block, and every width must be at least 1";
                return Err(invalid(LAYER, "channels", &self.channels, rule));
            }
            if self.receptive_field() == usize::MAX {
                let rule = "so many blocks reach further than can be counted";
                return Err(invalid(LAYER, "channels", self.channels.len(), rule));
            }
            Ok(())
        };
        check().map_err(|e| e.at(vb.path()))?;
        let inputs = [&[self.in_channels][..], &self.channels].concat();
        let blocks = inputs.iter().zip(&self.channels).enumerate();
        let blocks = blocks.map(|(i, (&input, &output))| {
            let vb = vb / "network" / i;
            let conv =
                |input, name| Causal::build([input, output, self.kernel], 1 << i, &(&vb / name));
            let down = Conv1dConfig::new(input, output, 1).init(Init::Normal { std: 0.01 });
            Ok::<_, Error>(Block {
                convs: [conv(input, "conv1")?, conv(output, "conv2")?],
                downsample: (input != output)
                    .then(|| down.build(&(&vb / "downsample")))
                    .transpose()?,
                dropout: Dropout::new(self.dropout, &vb)?,
            })
        });
        Ok(Tcn {
            path: Arc::clone(vb.path()),
            blocks: blocks.collect::<Result<_>>()?,
        })
    }
}

/// A causal convolution whose weights have a length and a direction for each output channel.
#[derive(Debug)]
struct Causal {
    path: Arc<str>,
    length: Parameter,
    direction: Parameter,
    bias: Parameter,
    options: Conv1dOptions,
}

impl Causal {
    fn build([i, o, k]: [usize; 3], dilation: usize, vb: &VarBuilder) -> Result<Self> {
        let shape = [o, i, k];
        let direction = vb.parameter("weight_v", &shape, Init::KaimingUniform)?;
        // The weights start as the direction.
        let lengths = no_grad(|| norms(&direction.tensor()))?;
        Ok(Self {
            path: Arc::clone(vb.path()),
            length: vb.parameter_from("weight_g", &lengths)?,
            direction,
            bias: vb.parameter("bias", &[o], Init::bias_of(&shape))?,
            options: Conv1dOptions::default()
                .padding([(k - 1) * dilation, 0])
                .dilation(dilation),
        })
    }
}

/// The length of the weights of each output channel, `[O, 1, 1]`.
fn norms(weight: &Tensor) -> Result<Tensor> {
    weight.square()?.sum(&[1, 2], true)?.sqrt()
}

impl Layer for Causal {
    fn visit(&self, v: &mut dyn Visitor) {
        v.parameter("bias", &self.bias);
        v.parameter("weight_g", &self.length);
        v.parameter("weight_v", &self.direction);
    }
}

impl Module for Causal {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let direction = self.direction.tensor();
            let factor = self.length.tensor().div(&norms(&direction)?)?;
            let weight = direction.mul(&factor)?;
            x.conv1d(&weight, Some(&self.bias.tensor()), self.options)
        })
    }
}

#[derive(Debug)]
struct Block {
    convs: [Causal; 2],
    downsample: Option<Conv1d>,
    dropout: Dropout,
}

impl Layer for Block {
    fn visit(&self, v: &mut dyn Visitor) {
        let [first, second] = &self.convs;
        v.child("conv1", first);
        v.child("conv2", second);
        if let Some(downsample) = &self.downsample {
            v.child("downsample", downsample);
        }
        v.child("dropout", &self.dropout);
    }
}

impl Module for Block {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.convs.iter().try_fold(x.clone(), |x, conv| {
            self.dropout.forward(&conv.forward(&x)?.relu()?)
        })?;
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(x)?,
            None => x.clone(),
        };
        y.add(&shortcut)?.relu()
    }
}

/// The temporal convolutional network.
#[derive(Debug)]
pub struct Tcn {
    path: Arc<str>,
    blocks: Vec<Block>,
}

impl Layer for Tcn {
    fn visit(&self, v: &mut dyn Visitor) {
        for (i, block) in self.blocks.iter().enumerate() {
            v.child(&format!("network.{i}"), block);
        }
    }
}

impl Module for Tcn {
    /// # Shapes
    /// `[N, in, L] -> [N, out, L]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let mut blocks = self.blocks.iter();
            blocks.try_fold(x.clone(), |x, block| block.forward(&x))
        })
    }
}

/// How other implementations name the same weights.
pub mod tcn_key_maps {
    use crate::KeyMap;

    /// The released code, which has every convolution twice: once more in the `net` of its block.
    #[must_use]
    pub fn locuslab() -> KeyMap {
        KeyMap::new().drop("network.*.net")
    }

    /// The released code with PyTorch's parametrizations, which took the place of its weight norm.
    #[must_use]
    pub fn parametrizations() -> KeyMap {
        locuslab()
            .rename("parametrizations.weight.original0", "weight_g")
            .rename("parametrizations.weight.original1", "weight_v")
    }
}
