//! One block: its branch, its shortcut, its slots.

use striate_layers::{
    Activation, AvgPool2d, BatchNormConfig, Conv2dConfig, Identity, Init, Place, Sequential, Slot,
    VarBuilder, util,
};
use striate_tensor::{Divisor, PoolOptions, Result};

use super::config::{AntiAlias, Block, Convs, Dialect, ResNetConfig, Shortcut};
use crate::ConvPlugin;
use crate::residual::{Residual, Skip, fill};

/// Where a block stands and what that makes of it.
pub(super) struct BlockPlan<'a> {
    pub(super) config: &'a ResNetConfig,
    pub(super) stage: usize,
    /// Its place in the stage, from 0.
    pub(super) index: usize,
    pub(super) in_channels: usize,
    pub(super) planes: usize,
    pub(super) stride: usize,
    /// Of the convolution that could have the stride.
    pub(super) dilation: usize,
    /// Of the convolutions behind it.
    pub(super) later_dilation: usize,
}

impl BlockPlan<'_> {
    pub(super) fn build(&self, vb: &VarBuilder) -> Result<Residual> {
        let out = self.planes * self.config.block.expansion();
        let mut branch = match self.config.block {
            Block::Basic => self.basic(vb)?,
            Block::Bottleneck => self.bottleneck(out, vb)?,
        };
        if self.config.relu_before_attention {
            branch = branch.push_named("", Activation::Relu);
        }
        let name = match self.config.dialect {
            Dialect::Byob => "shortcut",
            _ => "downsample",
        };
        let skip = Skip::projected(name, self.shortcut(out, &(vb / name))?);
        let block = Residual::new([self.in_channels, out], branch, skip, Activation::Relu, vb);
        for plugged in &self.config.plugins {
            if plugged.is_in(self.stage, self.index)
                && let Some(slot) = block.slot(plugged.place)
            {
                fill(slot, &plugged.plugin, vb)?;
            }
        }
        Ok(block)
    }

    fn basic(&self, vb: &VarBuilder) -> Result<Sequential> {
        let [i, p] = [self.in_channels, self.planes];
        let blurred = self.blurred();
        let first = self
            .conv(i, p, 3)
            .stride(if blurred { 1 } else { self.stride });
        let first = dilated(first, self.dilation);
        let branch = self.spatial(Sequential::new(), 1, &first, vb)?;
        let branch = self.middle(branch, p, vb)?;
        let second = dilated(self.conv(p, p, 3), self.later_dilation);
        self.plain(branch, 2, &second, blurred, vb)
    }

    fn bottleneck(&self, out: usize, vb: &VarBuilder) -> Result<Sequential> {
        let config = self.config;
        let width = width(self.planes, config.groups, config.base_width)?;
        if config.reduce_first == 0 {
            return Err(util::invalid(
                "ResNet",
                "reduce_first",
                0,
                "it must be at least 1",
            ));
        }
        let first = width / config.reduce_first;
        let [first_stride, stride] = if config.stride_in_first {
            [self.stride, 1]
        } else {
            [1, self.stride]
        };
        let blurred = self.blurred();
        let averaged = config.avg_down && stride > 1;
        let conv1 = self.conv(self.in_channels, first, 1).stride(first_stride);
        let conv2 = self.conv(first, width, 3).groups(config.groups);
        let conv2 =
            dilated(conv2, self.dilation).stride(if blurred || averaged { 1 } else { stride });
        let branch = self
            .plain(Sequential::new(), 1, &conv1, false, vb)?
            .push_named("", Activation::Relu);
        let branch = self.spatial(branch, 2, &conv2, vb)?;
        let mut branch = self.middle(branch, width, vb)?;
        if averaged {
            branch = branch.push_named(
                "",
                AvgPool2d::new(PoolOptions::new(3).stride(stride).padding(1)),
            );
        }
        self.plain(branch, 3, &self.conv(width, out, 1), blurred, vb)
    }

    fn conv(&self, from: usize, to: usize, kernel: usize) -> Conv2dConfig {
        Conv2dConfig::new(from, to, kernel)
            .same_padding()
            .bias(false)
            .init(Init::KaimingNormal)
    }

    /// Whether a blur strides here.
    fn blurred(&self) -> bool {
        self.config.anti_alias.is_some() && self.stride > 1
    }

    /// Names of a convolution and of its norm.
    fn names(&self, i: usize) -> [String; 2] {
        match self.config.dialect {
            Dialect::Nested => [format!("conv{i}.conv"), format!("conv{i}.bn")],
            Dialect::Byob => {
                let conv = match (self.config.block, i) {
                    (Block::Bottleneck, 1 | 3) => format!("conv{i}_1x1"),
                    _ => format!("conv{i}_kxk"),
                };
                [format!("{conv}.conv"), format!("{conv}.bn")]
            }
            Dialect::Torchvision | Dialect::Legacy => [format!("conv{i}"), format!("bn{i}")],
        }
    }

    /// A convolution and its norm, with the authors' blur inside the convolution if it is `blurred`.
    fn plain(
        &self,
        branch: Sequential,
        i: usize,
        conv: &Conv2dConfig,
        blurred: bool,
        vb: &VarBuilder,
    ) -> Result<Sequential> {
        let [mut conv_name, norm_name] = self.names(i);
        let mut branch = branch;
        if let (true, Some(how @ AntiAlias::Adobe(_))) = (blurred, self.config.anti_alias) {
            let blur_name = format!("{conv_name}.0");
            let blur = how
                .blur(conv.in_channels)
                .stride(self.stride)
                .build(&(vb / &blur_name))?;
            branch = branch.push_named(blur_name, blur);
            conv_name += ".1";
        }
        let norm = BatchNormConfig::new(conv.out_channels).build_2d(&(vb / &norm_name))?;
        let conv_vb = vb / &conv_name;
        let branch = match self.plugged(|which| which != Convs::Spatial) {
            Some(plugin) if !plugin.is_normalized() => {
                branch.push_named(&conv_name, plugin.build(conv, &conv_vb)?)
            }
            _ => branch.push_named(&conv_name, conv.build(&conv_vb)?),
        };
        Ok(branch.push_named(&norm_name, norm))
    }

    /// What stands in for convolutions in this stage, of those that `which` takes.
    fn plugged(&self, which: impl Fn(Convs) -> bool) -> Option<&ConvPlugin> {
        let mut convs = self.config.convs.iter().rev();
        let found = convs.find(|(stages, convs, _)| stages.contains(self.stage) && which(*convs));
        found.map(|(_, _, plugin)| plugin)
    }

    /// The convolution that others can stand in for, with its norm and activation.
    fn spatial(
        &self,
        branch: Sequential,
        i: usize,
        conv: &Conv2dConfig,
        vb: &VarBuilder,
    ) -> Result<Sequential> {
        let Some(plugin) = self.plugged(|_| true) else {
            return Ok(self
                .plain(branch, i, conv, false, vb)?
                .push_named("", Activation::Relu));
        };
        if plugin.is_normalized() {
            let name = format!("conv{i}");
            return Ok(branch.push_named(&name, plugin.build(conv, &(vb / &name))?));
        }
        let [name, norm_name] = self.names(i);
        let branch = branch.push_named(&name, plugin.build(conv, &(vb / &name))?);
        let norm = BatchNormConfig::new(conv.out_channels).build_2d(&(vb / &norm_name))?;
        Ok(branch
            .push_named(norm_name, norm)
            .push_named("", Activation::Relu))
    }

    /// What stands behind the first 3x3 convolution: timm's blur and the slot.
    fn middle(&self, branch: Sequential, channels: usize, vb: &VarBuilder) -> Result<Sequential> {
        let slot = Slot::new(Place::Conv3x3, channels, vb);
        for plugged in &self.config.plugins {
            if plugged.place == Place::Conv3x3 && plugged.is_in(self.stage, self.index) {
                fill(&slot, &plugged.plugin, vb)?;
            }
        }
        let branch = branch.push_named("", slot);
        match self.config.anti_alias {
            Some(how @ AntiAlias::Timm) if self.stride > 1 => {
                let blur = how.blur(channels).stride(self.stride);
                Ok(branch.push_named("aa", blur.build(&(vb / "aa"))?))
            }
            _ => Ok(branch),
        }
    }

    fn shortcut(&self, out: usize, vb: &VarBuilder) -> Result<Option<Sequential>> {
        let (from, stride) = (self.in_channels, self.stride);
        if from == out && stride == 1 {
            return Ok(None);
        }
        let moved = |layers: Sequential, conv: Conv2dConfig| {
            let i = layers.len();
            let [conv_name, norm_name] = match self.config.dialect {
                Dialect::Byob => ["conv".to_owned(), "bn".to_owned()],
                _ => [i, i + 1].map(|i| i.to_string()),
            };
            let norm = BatchNormConfig::new(out).build_2d(&(vb / &norm_name))?;
            let conv_vb = vb / &conv_name;
            let layers = match self.plugged(|which| which == Convs::All) {
                Some(plugin) if !plugin.is_normalized() => {
                    layers.push_named(conv_name, plugin.build(&conv, &conv_vb)?)
                }
                _ => layers.push_named(conv_name, conv.build(&conv_vb)?),
            };
            Ok(Some(layers.push_named(norm_name, norm)))
        };
        match self.config.shortcut {
            Shortcut::Conv(kernel) => {
                let kernel = if stride == 1 { 1 } else { kernel };
                moved(
                    Sequential::new(),
                    self.conv(from, out, kernel).stride(stride),
                )
            }
            Shortcut::AvgPool if stride == 1 => {
                moved(Sequential::new().push(Identity), self.conv(from, out, 1))
            }
            Shortcut::AvgPool => {
                let window = PoolOptions::new(2).stride(stride).ceil_mode(true);
                let pool = AvgPool2d::new(window).divisor(Divisor::ExcludePad);
                moved(Sequential::new().push(pool), self.conv(from, out, 1))
            }
            Shortcut::Blur => {
                let mut layers = Sequential::new();
                if let (Some(how), true) = (self.config.anti_alias, stride > 1) {
                    layers = layers.push(how.blur(from).stride(stride).build(&(vb / 0))?);
                }
                moved(layers, self.conv(from, out, 1))
            }
        }
    }
}

fn dilated(conv: Conv2dConfig, dilation: usize) -> Conv2dConfig {
    conv.dilation(dilation).same_padding()
}

/// Channels of a bottleneck's 3x3 convolution.
fn width(planes: usize, groups: usize, base_width: usize) -> Result<usize> {
    let width = planes.checked_mul(base_width).map(|w| w / 64);
    let width = width.and_then(|w| w.checked_mul(groups));
    width.ok_or_else(|| util::invalid("ResNet", "base_width", base_width, "the channels must fit"))
}
