//! Selective-kernel convolution: branches of several kernel sizes, and for every channel a softmax
//! over the branches that chooses between them.
//!
//! ```text
//! U_m = relu(bn(conv_m(x)))                      m = 0 .. M-1
//! z   = relu(bn(W mean_hw(U_0 + ... + U_M-1)))   d = max(C/r, L) numbers
//! a   = softmax over m of A_m z                  for every channel separately
//! y   = sum over m of a_m * U_m
//! ```
//!
//! Paper: Li, Wang, Hu, Yang, *Selective Kernel Networks*, CVPR 2019, arXiv:1903.06586.
//! Departures: none; a branch of "kernel 5" is a 3x3 with dilation 2, as in the paper
//! ([`Kernels::Dilated`]), or a true 5x5 ([`Kernels::Plain`]).
//! Parameters with 3x3 branches: `M(9*C*C/G + 2C) + C*d + 2d + M*C*d`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::select::{fuse, select};
use crate::util::{at_least_one, invalid};
use crate::{
    Activation, BatchNorm2d, BatchNormConfig, Conv2d, Conv2dConfig, ConvNormAct, ConvNormActConfig,
    Init, Layer, Module, Pair, VarBuilder, Visitor, conv_norm_act,
};

/// The kernels of the branches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kernels {
    /// 3x3 with dilation 1, 2, 3, ...: the paper's.
    Dilated,
    /// 3x3, 5x5, 7x7, ...
    Plain,
    /// Of each branch the kernel size, which must be odd, and the dilation.
    Custom(Vec<(usize, usize)>),
}

/// How the weights of an [`SkConv`] start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkInit {
    /// As PyTorch starts its layers.
    PyTorch,
    /// As the authors' networks in Caffe: normal, with standard deviation `sqrt(2 / fan_in)` in the branches and 0.01 in
    /// both maps; biases 0.
    Prototxt,
}

/// How to build an [`SkConv`].
#[derive(Clone, Debug)]
pub struct SkConvConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Number of branches, the paper's `M`. [`Kernels::Custom`] must have as many.
    pub branches: usize,
    /// Their kernels.
    pub kernels: Kernels,
    /// Groups of every branch's convolution, the paper's `G`.
    pub groups: usize,
    /// The paper's `r`.
    pub reduction: usize,
    /// Least width of the bottleneck, the paper's `L`.
    pub min_dim: usize,
    /// Stride of the branches.
    pub stride: Pair,
    /// Whether a batch norm follows the first map.
    pub fc_bn: bool,
    /// Whether a ReLU follows the first map.
    pub fc_act: bool,
    /// Whether both maps have biases.
    pub fc_bias: bool,
    /// Whether the branches' convolutions have biases.
    pub conv_bias: bool,
    /// Whether the input channels are divided among the branches (timm's variant).
    pub split_input: bool,
    /// How the weights start.
    pub init: SkInit,
}

impl SkConvConfig {
    /// The paper's: SK[2, 32, 16] with dilated kernels and `L = 32`.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            branches: 2,
            kernels: Kernels::Dilated,
            groups: 32,
            reduction: 16,
            min_dim: 32,
            stride: 1.into(),
            fc_bn: true,
            fc_act: true,
            fc_bias: false,
            conv_bias: false,
            split_input: false,
            init: SkInit::PyTorch,
        }
    }

    /// Sets the number of branches.
    #[must_use]
    pub fn branches(mut self, branches: usize) -> Self {
        self.branches = branches;
        self
    }

    /// Sets the kernels.
    #[must_use]
    pub fn kernels(mut self, kernels: Kernels) -> Self {
        if let Kernels::Custom(list) = &kernels {
            self.branches = list.len();
        }
        self.kernels = kernels;
        self
    }

    /// Sets the groups of the branches.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Sets the reduction.
    #[must_use]
    pub fn reduction(mut self, reduction: usize) -> Self {
        self.reduction = reduction;
        self
    }

    /// Sets the least width of the bottleneck.
    #[must_use]
    pub fn min_dim(mut self, min_dim: usize) -> Self {
        self.min_dim = min_dim;
        self
    }

    /// Sets the stride of the branches.
    #[must_use]
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.stride = stride.into();
        self
    }

    /// Adds or leaves out the batch norm and the ReLU after the first map.
    #[must_use]
    pub fn fc_bn_act(mut self, bn: bool, act: bool) -> Self {
        (self.fc_bn, self.fc_act) = (bn, act);
        self
    }

    /// Adds or leaves out the biases of the maps.
    #[must_use]
    pub fn fc_bias(mut self, bias: bool) -> Self {
        self.fc_bias = bias;
        self
    }

    /// Adds or leaves out the biases of the branches.
    #[must_use]
    pub fn conv_bias(mut self, bias: bool) -> Self {
        self.conv_bias = bias;
        self
    }

    /// Divides the input channels among the branches, or gives every branch all of them.
    #[must_use]
    pub fn split_input(mut self, split: bool) -> Self {
        self.split_input = split;
        self
    }

    /// Sets how the weights start.
    #[must_use]
    pub fn init(mut self, init: SkInit) -> Self {
        self.init = init;
        self
    }

    /// A convolution whose weights start as `init` says, with that deviation for the authors' start.
    fn start(&self, conv: Conv2dConfig, std: f64) -> Conv2dConfig {
        match self.init {
            SkInit::PyTorch => conv,
            SkInit::Prototxt => conv.init(Init::Normal { std }).bias_init(Init::ZEROS),
        }
    }

    /// Kernel size and dilation of each branch.
    fn shapes(&self) -> Result<Vec<(usize, usize)>> {
        const LAYER: &str = "SkConv";
        at_least_one(LAYER, "branches", self.branches)?;
        at_least_one(LAYER, "reduction", self.reduction)?;
        at_least_one(LAYER, "min_dim", self.min_dim)?;
        if self.branches > 64 {
            return Err(invalid(
                LAYER,
                "branches",
                self.branches,
                "it must be at most 64",
            ));
        }
        if self.split_input && !self.in_channels.is_multiple_of(self.branches) {
            let rule = format!(
                "with split_input it must be a multiple of the {} branches",
                self.branches
            );
            return Err(invalid(LAYER, "in_channels", self.in_channels, rule));
        }
        let shapes = match &self.kernels {
            Kernels::Dilated => (1..=self.branches).map(|d| (3, d)).collect(),
            Kernels::Plain => (1..=self.branches).map(|m| (2 * m + 1, 1)).collect(),
            Kernels::Custom(list) => list.clone(),
        };
        if shapes.len() != self.branches {
            let rule = format!(
                "there must be one kernel for each of the {} branches",
                self.branches
            );
            return Err(invalid(LAYER, "kernels", &self.kernels, rule));
        }
        if shapes.iter().any(|&(k, d)| k % 2 == 0 || k < 3 || d == 0) {
            let rule = "kernels must be odd and at least 3, and dilations at least 1, so that all branches \
                        have the same output size";
            return Err(invalid(LAYER, "kernels", &self.kernels, rule));
        }
        Ok(shapes)
    }

    /// Builds the module under the names of timm's `SelectiveKernel`: `paths.m.{conv,bn}` and
    /// `attn.{fc_reduce,bn,fc_select}`.
    ///
    /// # Errors
    /// A number is 0, a kernel even or smaller than 3, or the channels are no multiple of the
    /// groups, or of the branches when these divide the input.
    pub fn build(&self, vb: &VarBuilder) -> Result<SkConv> {
        let shapes = self.shapes().map_err(|e| e.at(vb.path()))?;
        let out = self.out_channels;
        let into = if self.split_input {
            self.in_channels / self.branches
        } else {
            self.in_channels
        };
        let path = |m: usize, &(kernel, dilation): &(usize, usize)| {
            let conv = Conv2dConfig::new(into, out, kernel)
                .stride(self.stride)
                .dilation(dilation)
                .same_padding()
                .groups(self.groups);
            let fan_in = (into / self.groups.max(1) * kernel * kernel).max(1);
            let conv = self.start(conv, (2.0 / fan_in as f64).sqrt());
            let path = ConvNormActConfig::new(conv).conv_bias(self.conv_bias);
            path.build(&(vb / "paths" / m))
        };
        let paths = shapes.iter().enumerate().map(|(m, shape)| path(m, shape));
        let attn = vb / "attn";
        let width = (out / self.reduction).max(self.min_dim);
        let selected = out.checked_mul(self.branches);
        let selected =
            selected.ok_or_else(|| invalid("SkConv", "out_channels", out, "it must fit"))?;
        let fc = |i, o, name| {
            let fc = Conv2dConfig::new(i, o, 1).bias(self.fc_bias);
            self.start(fc, 0.01).build(&(&attn / name))
        };
        let bn = self
            .fc_bn
            .then(|| BatchNormConfig::new(width).build_2d(&(&attn / "bn")));
        Ok(SkConv {
            path: Arc::clone(vb.path()),
            split_input: self.split_input,
            paths: paths.collect::<Result<_>>()?,
            attn: Attention {
                fc_reduce: fc(out, width, "fc_reduce")?,
                bn: bn.transpose()?,
                act: if self.fc_act {
                    Activation::Relu
                } else {
                    Activation::Identity
                },
                fc_select: fc(width, selected, "fc_select")?,
            },
        })
    }
}

/// The selective-kernel convolution. Emits its weights as
/// [`BranchWeights`](crate::probe::ProbeKind::BranchWeights).
#[derive(Debug)]
pub struct SkConv {
    path: Arc<str>,
    split_input: bool,
    paths: Vec<ConvNormAct>,
    attn: Attention,
}

/// From fused means to logits.
#[derive(Debug)]
struct Attention {
    fc_reduce: Conv2d,
    bn: Option<BatchNorm2d>,
    act: Activation,
    fc_select: Conv2d,
}

impl Layer for Attention {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("fc_reduce", &self.fc_reduce);
        if let Some(bn) = &self.bn {
            v.child("bn", bn);
        }
        v.child("fc_select", &self.fc_select);
    }
}

impl Module for Attention {
    fn forward(&self, s: &Tensor) -> Result<Tensor> {
        let z = match &self.bn {
            Some(bn) => conv_norm_act(&self.fc_reduce, bn, self.act, s, None)?,
            None => self.act.forward(&self.fc_reduce.forward(s)?)?,
        };
        self.fc_select.forward(&z)
    }
}

/// The branches, as the child `paths`.
struct Paths<'a>(&'a [ConvNormAct]);

impl std::fmt::Debug for Paths<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Layer for Paths<'_> {
    fn visit(&self, v: &mut dyn Visitor) {
        for (m, path) in self.0.iter().enumerate() {
            v.child(&m.to_string(), path);
        }
    }
}

impl Layer for SkConv {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("paths", &Paths(&self.paths));
        v.child("attn", &self.attn);
    }
}

impl Module for SkConv {
    /// # Shapes
    /// `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [_, c, _, _] = x.dims_array("SkConv")?;
            let part = c / self.paths.len();
            let input = |m: usize| {
                if self.split_input {
                    x.narrow(1, m * part, part)
                } else {
                    Ok(x.clone())
                }
            };
            let branches = self
                .paths
                .iter()
                .enumerate()
                .map(|(m, path)| path.forward(&input(m)?));
            let branches: Vec<Tensor> = branches.collect::<Result<_>>()?;
            let logits = self.attn.forward(&fuse(&branches)?)?;
            select(&self.path, &branches, &logits)
        })
    }
}

/// How other implementations name the same weights.
pub mod sk_key_maps {
    use crate::KeyMap;

    /// Implementations in PyTorch that keep each branch in a `Sequential` and have one linear
    /// layer a branch: `convs.m.0`, `convs.m.1`, `fc`, `fcs.m`.
    #[must_use]
    pub fn sequential() -> KeyMap {
        let branches = KeyMap::new()
            .rename("convs.*.0", "paths.*.conv")
            .rename("convs.*.1", "paths.*.bn");
        branches.then(linears())
    }

    /// `SKAttention` of xmu-xiaoma666's collection: `convs.m.conv`, `convs.m.bn`, `fc`, `fcs.m`.
    #[must_use]
    pub fn xmu() -> KeyMap {
        KeyMap::new().rename("convs.*", "paths.*").then(linears())
    }

    fn linears() -> KeyMap {
        KeyMap::new()
            .concat("fcs.*.weight", "attn.fc_select.weight")
            .concat("fcs.*.bias", "attn.fc_select.bias")
            .rename("fc", "attn.fc_reduce")
    }

    /// The released Caffe models: `conv2_1/3x3g32d2/bn` is `layer1.0.conv2.paths.1.bn`.
    #[must_use]
    pub fn caffe() -> KeyMap {
        KeyMap::new().rename_with(|name| {
            let (place, rest) = name.strip_prefix("conv")?.split_once('/')?;
            let (layer, tensor) = rest.rsplit_once('.')?;
            let part = match layer {
                "B_fc1" => "attn.fc_reduce".to_owned(),
                "B_fc1/bn" => "attn.bn".to_owned(),
                "B_fc2" => "attn.fc_select".to_owned(),
                _ => {
                    let (kernel, part) = match layer.strip_suffix("/bn") {
                        Some(kernel) => (kernel, "bn"),
                        None => (layer, "conv"),
                    };
                    let groups_and_dilation = kernel.strip_prefix("3x3g")?;
                    let dilation = groups_and_dilation
                        .split_once('d')
                        .map_or(Ok(1), |(_, d)| d.parse::<usize>());
                    format!("paths.{}.{part}", dilation.ok()?.checked_sub(1)?)
                }
            };
            let (stage, block) = place.split_once('_')?;
            let stage = stage.parse::<usize>().ok()?.checked_sub(1)?;
            let block = block.parse::<usize>().ok()?.checked_sub(1)?;
            Some(format!("layer{stage}.{block}.conv2.{part}.{tensor}"))
        })
    }
}
