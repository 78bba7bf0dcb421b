//! The block of mobile networks: widen, filter each channel, narrow.

use striate_layers::{
    Activation, BatchNormConfig, Conv2dConfig, Gate, Init, Layer, Module, Place, Sequential, Slot,
    SqueezeExciteConfig, VarBuilder, Visitor, make_divisible,
};
use striate_tensor::{PadMode, Result, Tensor};

use crate::residual::{Residual, Skip, fill};
use crate::{ConvPlugin, Plugin};

/// Whose names the parts of a block have, and whose distributions its weights start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// torchvision's MobileNetV2: `conv.0.0`, `conv.0.1`, ..., `conv.2`, `conv.3`.
    V2,
    /// torchvision's MobileNetV3: `block.0.0`, `block.0.1`, ...
    V3,
    /// timm's: `conv_pw`, `bn1`, `conv_dw`, `bn2`, `se`, `conv_pwl`, `bn3`.
    Timm,
}

/// What the blocks of a network share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style<'a> {
    pub(super) dialect: Dialect,
    /// Of the batch norms: what is added to the variance, and the momentum.
    pub(super) norm: [f64; 2],
    /// Whether strided convolutions pad as in TensorFlow: more at the end.
    pub(super) tensorflow: bool,
    /// What stands in for the convolutions of the blocks: for the depthwise alone if it has its own norm.
    pub(super) conv: Option<&'a ConvPlugin>,
    /// What stands in the slots of the blocks.
    pub(super) plugins: &'a [(Place, Plugin)],
}

impl<'a> Style<'a> {
    /// Batch norms as PyTorch's, symmetric padding, plain convolutions and empty slots.
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            norm: [1e-5, 0.1],
            tensorflow: false,
            conv: None,
            plugins: &[],
        }
    }

    /// Sets what stands in for the convolutions, and in the slots.
    pub(super) fn plugged(
        mut self,
        conv: Option<&'a ConvPlugin>,
        plugins: &'a [(Place, Plugin)],
    ) -> Self {
        (self.conv, self.plugins) = (conv, plugins);
        self
    }

    pub(super) fn batch_norm(&self, channels: usize) -> BatchNormConfig {
        let [eps, momentum] = self.norm;
        BatchNormConfig::new(channels).eps(eps).momentum(momentum)
    }

    /// A convolution that starts as in the implementation whose names it has.
    pub(super) fn init(&self, conv: Conv2dConfig) -> Conv2dConfig {
        let init = match self.dialect {
            Dialect::V2 | Dialect::V3 => Init::KaimingNormal,
            // Of the outputs that one input reaches: those of its group.
            Dialect::Timm => {
                let [kh, kw] = conv.kernel.0;
                let fan_out =
                    (kh * kw) as f64 * conv.out_channels as f64 / conv.groups.max(1) as f64;
                let std = (2.0 / fan_out.max(1.0)).sqrt();
                Init::Normal { std }
            }
        };
        conv.bias(false).init(init).bias_init(Init::ZEROS)
    }

    /// Appends a convolution, its batch norm and its activation.
    pub(super) fn push(
        &self,
        layers: Sequential,
        conv: Conv2dConfig,
        [conv_name, norm_name]: [String; 2],
        act: Activation,
        vb: &VarBuilder,
    ) -> Result<Sequential> {
        let mut conv = self.init(conv.same_padding());
        let mut layers = layers;
        if let Some(pad) = self.padding(&conv) {
            layers = layers.push_named("", pad);
            conv = conv.padding(0);
        }
        let norm = self.batch_norm(conv.out_channels);
        let conv_vb = vb / &conv_name;
        let layers = match self.conv {
            Some(plugin) if plugin.is_normalized() && conv.groups > 1 => {
                return Ok(layers.push_named(conv_name, plugin.build(&conv, &conv_vb)?));
            }
            Some(plugin) if !plugin.is_normalized() => {
                layers.push_named(conv_name, plugin.build(&conv, &conv_vb)?)
            }
            _ => layers.push_named(conv_name, conv.build(&conv_vb)?),
        };
        let layers = layers.push_named(&norm_name, norm.build_2d(&(vb / &norm_name))?);
        Ok(match act {
            // The sum of the block may then be part of the convolution's store.
            Activation::Identity => layers,
            act => layers.push_named("", act),
        })
    }

    /// What pads instead of this convolution.
    pub(super) fn padding(&self, conv: &Conv2dConfig) -> Option<PadSame> {
        let strided = conv.stride.0 != [1, 1];
        (self.tensorflow && strided).then_some(PadSame {
            kernel: conv.kernel.0,
            stride: conv.stride.0,
        })
    }
}

/// Zeros around a map so that a strided convolution gives `ceil(size / stride)`, the odd one at the end, as in
/// TensorFlow.
#[derive(Clone, Copy, Debug)]
pub(super) struct PadSame {
    kernel: [usize; 2],
    stride: [usize; 2],
}

impl Layer for PadSame {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for PadSame {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [_, _, h, w] = x.dims4()?;
        let sides = |i: usize, size: usize| {
            let (kernel, stride) = (self.kernel[i], self.stride[i]);
            let covered = size.div_ceil(stride).saturating_sub(1) * stride + kernel;
            let zeros = covered.saturating_sub(size);
            [zeros / 2, zeros - zeros / 2]
        };
        let ([top, bottom], [left, right]) = (sides(0, h), sides(1, w));
        x.pad2d([top, bottom, left, right], PadMode::Zeros)
    }
}

/// One block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) in_channels: usize,
    /// Channels of the depthwise convolution; no convolution widens if they are those of the input.
    pub(super) width: usize,
    pub(super) out_channels: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) act: Activation,
    /// Width of the bottleneck of a gate behind the depthwise convolution.
    pub(super) gate: Option<usize>,
    /// Whether the last convolution is linear and the input is added to it where it fits.
    pub(super) residual: bool,
}

impl Block {
    /// A linear bottleneck of kernel 3 and stride 1 with ReLU6.
    pub(super) fn new(in_channels: usize, width: usize, out_channels: usize) -> Self {
        Self {
            in_channels,
            width,
            out_channels,
            kernel: 3,
            stride: 1,
            act: Activation::Relu6,
            gate: None,
            residual: true,
        }
    }

    pub(super) fn widens(&self) -> bool {
        self.width != self.in_channels
    }

    pub(super) fn adds_input(&self) -> bool {
        self.residual && self.stride == 1 && self.in_channels == self.out_channels
    }

    pub(super) fn pointwise(&self) -> [Conv2dConfig; 2] {
        [
            Conv2dConfig::new(self.in_channels, self.width, 1),
            Conv2dConfig::new(self.width, self.out_channels, 1),
        ]
    }

    pub(super) fn depthwise(&self) -> Conv2dConfig {
        Conv2dConfig::new(self.width, self.width, self.kernel)
            .stride(self.stride)
            .groups(self.width)
    }

    /// The gate of this dialect.
    pub(super) fn gate_config(&self, dialect: Dialect, width: usize) -> SqueezeExciteConfig {
        let gate = SqueezeExciteConfig::new(self.width).rd_channels(width);
        match dialect {
            Dialect::V2 | Dialect::V3 => gate.gate(Gate::HardSigmoid),
            Dialect::Timm => gate.act(self.act).names("conv_reduce", "conv_expand"),
        }
    }

    /// Builds the block under the names of the style.
    pub(super) fn build(&self, style: &Style<'_>, vb: &VarBuilder) -> Result<Residual> {
        let names = Names {
            dialect: style.dialect,
            widens: self.widens(),
        };
        let [expand, project] = self.pointwise();
        let (mut branch, mut at) = (Sequential::new(), 0);
        if self.widens() {
            branch = style.push(branch, expand, names.layer(Part::Expand, at), self.act, vb)?;
            at += 1;
        }
        let depthwise = names.layer(Part::Depthwise, at);
        branch = style.push(branch, self.depthwise(), depthwise, self.act, vb)?;
        at += 1;
        if let Some(width) = self.gate {
            let name = names.gate(at);
            let gate = self.gate_config(style.dialect, width);
            branch = branch.push_named(&name, gate.build(&(vb / &name))?);
            at += 1;
        }
        let slot = Slot::new(Place::Conv3x3, self.width, vb);
        for (_, plugin) in style.plugins.iter().filter(|p| p.0 == Place::Conv3x3) {
            fill(&slot, plugin, vb)?;
        }
        branch = branch.push_named("", slot);
        let last_act = if self.residual {
            Activation::Identity
        } else {
            self.act
        };
        let branch = style.push(
            branch,
            project,
            names.layer(Part::Project, at),
            last_act,
            vb,
        )?;
        let skip = if self.adds_input() {
            Skip::Identity
        } else {
            Skip::None
        };
        let channels = [self.in_channels, self.out_channels];
        let block = Residual::new(channels, branch, skip, Activation::Identity, vb);
        for (place, plugin) in style.plugins {
            if let Some(slot) = block.slot(*place) {
                fill(slot, plugin, vb)?;
            }
        }
        Ok(block)
    }
}

#[derive(Clone, Copy)]
enum Part {
    Expand,
    Depthwise,
    Project,
}

/// Names of the parts of a block; a part's place in it counts the gate.
struct Names {
    dialect: Dialect,
    widens: bool,
}

impl Names {
    fn layer(&self, part: Part, at: usize) -> [String; 2] {
        match (self.dialect, part) {
            (Dialect::V2, Part::Project) => [format!("conv.{at}"), format!("conv.{}", at + 1)],
            (Dialect::V2, _) => [format!("conv.{at}.0"), format!("conv.{at}.1")],
            (Dialect::V3, _) => [format!("block.{at}.0"), format!("block.{at}.1")],
            (Dialect::Timm, _) => {
                let before = usize::from(self.widens);
                let (conv, norm) = match part {
                    Part::Expand => ("conv_pw", 1),
                    Part::Depthwise => ("conv_dw", 1 + before),
                    Part::Project if self.widens => ("conv_pwl", 3),
                    Part::Project => ("conv_pw", 2),
                };
                [conv.to_owned(), format!("bn{norm}")]
            }
        }
    }

    fn gate(&self, at: usize) -> String {
        match self.dialect {
            Dialect::V2 | Dialect::V3 => format!("block.{at}"),
            Dialect::Timm => "se".to_owned(),
        }
    }
}

/// Channels scaled by a width, to a multiple of 8 that is not more than a tenth below.
pub(super) fn scaled(channels: usize, width: f64) -> Result<usize> {
    make_divisible(channels as f64 * width, 8, 0.9)
}
