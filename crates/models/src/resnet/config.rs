//! How to build a residual network.

use std::ops::RangeInclusive;

use striate_layers::{BlurPoolConfig, Dropout, GlobalAvgPool, Place, Sequential, VarBuilder, util};
use striate_tensor::Result;

use super::block::BlockPlan;
use super::stem::{Stem, StemPool};
use crate::{ConvPlugin, Network, NetworkBuilder, Plugin};

/// What a block's branch is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3, 1x1, the last with four times as many channels.
    Bottleneck,
}

impl Block {
    /// How many times more channels a stage gives than its 3x3 convolutions have.
    #[must_use]
    pub fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

/// Where the shape changes, how the shortcut follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// A strided convolution of this size and a batch norm; 1x1 where there is no stride.
    Conv(usize),
    /// A 2x2 mean, then a 1x1 convolution and a batch norm (ResNet-D).
    AvgPool,
    /// A blur, then a 1x1 convolution and a batch norm ([`AntiAlias::Adobe`]).
    Blur,
}

/// Blurs that stride instead of convolutions.
///
/// Paper: Zhang, *Making Convolutional Networks Shift-Invariant Again*, ICML 2019, arXiv:1904.11486.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AntiAlias {
    /// timm's `resnetblur`: three taps, a layer `aa`; shortcuts stride as they did.
    Timm,
    /// The authors' networks: so many taps, inside the convolution behind (`conv3.0.filt`), and in shortcuts.
    Adobe(usize),
}

impl AntiAlias {
    pub(super) fn blur(self, channels: usize) -> BlurPoolConfig {
        BlurPoolConfig::new(channels).filt_size(match self {
            Self::Timm => 3,
            Self::Adobe(taps) => taps,
        })
    }
}

/// Whose names the parts have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// torchvision's and timm's: `conv1`, `bn1`, `layer1.0.conv1`, `fc`.
    Torchvision,
    /// As above, but every convolution of a block holds its norm: `layer1.0.conv1.{conv,bn}` (timm's SKNets).
    Nested,
    /// Cadene's and timm's `legacy` networks: `layer0.conv1`, `last_linear`.
    Legacy,
    /// timm's networks of listed blocks: `stem.conv1.conv`, `stages.0.0.conv2_kxk.bn`, `head.fc`.
    Byob,
}

/// Which convolutions of a block another stands in for: one with its own norm for the 3x3 alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convs {
    /// The 3x3: of a basic block the first.
    Spatial,
    /// All of the branch.
    Branch,
    /// All of the branch, and the projection of the shortcut.
    All,
}

/// A plug-in and where it stands.
#[derive(Clone, Debug)]
pub struct Plugged {
    /// The stages.
    pub stages: Stages,
    /// In each how many-th block of a stage: 2 for the second, the fourth, ...
    pub every: usize,
    /// Where in the block.
    pub place: Place,
    /// What.
    pub plugin: Plugin,
}

impl Plugged {
    /// Whether it stands in that block, counted from 0, of that stage.
    pub(super) fn is_in(&self, stage: usize, block: usize) -> bool {
        self.stages.contains(stage) && (block + 1).is_multiple_of(self.every)
    }
}

/// Which stages something applies to, 1 to 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stages(RangeInclusive<usize>);

impl Stages {
    /// Every stage.
    pub const ALL: Self = Self(1..=4);

    pub(super) fn contains(&self, stage: usize) -> bool {
        self.0.contains(&stage)
    }
}

impl From<RangeInclusive<usize>> for Stages {
    fn from(stages: RangeInclusive<usize>) -> Self {
        Self(stages)
    }
}

/// How to build a residual network of four stages.
///
/// ```
/// use striate_layers::VarBuilder;
/// use striate_models::{Plugin, ResNetConfig, Stages};
///
/// # fn main() -> striate_tensor::Result<()> {
/// let net = ResNetConfig::resnet18()
///     .classes(10)
///     .attention(Stages::ALL, Plugin::se(16))
///     .build(&VarBuilder::seeded(0))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ResNetConfig {
    /// Channels of the images.
    pub in_channels: usize,
    /// Number of classes; 0 for a network that gives features.
    pub classes: usize,
    /// What the blocks are made of.
    pub block: Block,
    /// Blocks of each stage.
    pub depths: [usize; 4],
    /// Groups of the 3x3 convolutions of bottlenecks.
    pub groups: usize,
    /// Width of a group at the first stage: a bottleneck's 3x3 convolution has
    /// `planes * base_width / 64 * groups` channels, `planes` being 64, 128, 256, 512.
    pub base_width: usize,
    /// How many times fewer channels the first convolution of a bottleneck gives.
    pub reduce_first: usize,
    /// What comes before the stages.
    pub stem: Stem,
    /// How the stem halves after its convolutions.
    pub stem_pool: StemPool,
    /// Whether the stride of a bottleneck stands in its first 1x1 convolution (Caffe) instead of the 3x3.
    pub stride_in_first: bool,
    /// How the shortcut follows where the shape changes.
    pub shortcut: Shortcut,
    /// A blur that strides instead of the 3x3 convolutions.
    pub anti_alias: Option<AntiAlias>,
    /// Whether a bottleneck strides by a 3x3 mean behind its 3x3 convolution (ResNeSt).
    pub avg_down: bool,
    /// Stages whose stride is replaced by dilation, for dense prediction: DeepLab has `[false, true, true]`.
    pub dilate: [bool; 3],
    /// Factors of the dilations of the three blocks of stage 4, all of them dilated (DeepLab's multi-grid).
    pub multi_grid: Option<[usize; 3]>,
    /// Whether a ReLU precedes the attention of basic blocks (timm's legacy SE-ResNet-18 and 34).
    pub relu_before_attention: bool,
    /// Dropout before the last layer.
    pub dropout: f64,
    /// Names of the parts.
    pub dialect: Dialect,
    /// What stands in for convolutions, by stage; the last that applies counts.
    pub convs: Vec<(Stages, Convs, ConvPlugin)>,
    /// What stands in the slots of the blocks.
    pub plugins: Vec<Plugged>,
}

impl ResNetConfig {
    /// torchvision's plain network of such blocks for ImageNet.
    #[must_use]
    pub fn new(block: Block, depths: [usize; 4]) -> Self {
        Self {
            in_channels: 3,
            classes: 1000,
            block,
            depths,
            groups: 1,
            base_width: 64,
            reduce_first: 1,
            stem: Stem::Conv7,
            stem_pool: StemPool::Padded,
            stride_in_first: false,
            shortcut: Shortcut::Conv(1),
            anti_alias: None,
            avg_down: false,
            dilate: [false; 3],
            multi_grid: None,
            relu_before_attention: false,
            dropout: 0.0,
            dialect: Dialect::Torchvision,
            convs: Vec::new(),
            plugins: Vec::new(),
        }
    }

    /// Sets the channels of the images.
    #[must_use]
    pub fn in_channels(mut self, channels: usize) -> Self {
        self.in_channels = channels;
        self
    }

    /// Sets the number of classes.
    #[must_use]
    pub fn classes(mut self, classes: usize) -> Self {
        self.classes = classes;
        self
    }

    /// Sets the groups of the 3x3 convolutions and the width of one at the first stage.
    #[must_use]
    pub fn cardinality(mut self, groups: usize, base_width: usize) -> Self {
        (self.groups, self.base_width) = (groups, base_width);
        self
    }

    /// Sets what comes before the stages.
    #[must_use]
    pub fn stem(mut self, stem: Stem) -> Self {
        self.stem = stem;
        self
    }

    /// Sets how the stem halves after its convolutions.
    #[must_use]
    pub fn stem_pool(mut self, pool: StemPool) -> Self {
        self.stem_pool = pool;
        self
    }

    /// Sets how the shortcut follows where the shape changes.
    #[must_use]
    pub fn shortcut(mut self, shortcut: Shortcut) -> Self {
        self.shortcut = shortcut;
        self
    }

    /// Lets blurs stride instead of the 3x3 convolutions and of the stem's pooling.
    #[must_use]
    pub fn anti_alias(mut self, how: AntiAlias) -> Self {
        self.anti_alias = Some(how);
        if let AntiAlias::Adobe(_) = how {
            self.shortcut = Shortcut::Blur;
        }
        self
    }

    /// Replaces the stride of stages 2 to 4 by dilation.
    #[must_use]
    pub fn dilate(mut self, stages: [bool; 3]) -> Self {
        self.dilate = stages;
        self
    }

    /// Sets the factors of the dilations of the blocks of stage 4.
    #[must_use]
    pub fn multi_grid(mut self, factors: [usize; 3]) -> Self {
        self.multi_grid = Some(factors);
        self
    }

    /// Sets the names of the parts.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Puts attention behind the last batch norm of every block of these stages.
    #[must_use]
    pub fn attention(self, stages: impl Into<Stages>, plugin: Plugin) -> Self {
        self.plugin(stages, Place::Standard, plugin)
    }

    /// Puts a plug-in at a place of these stages: [`Place::Stage`] once behind each, others in every block.
    #[must_use]
    pub fn plugin(self, stages: impl Into<Stages>, place: Place, plugin: Plugin) -> Self {
        self.plugin_every(1, stages, place, plugin)
    }

    /// Puts a plug-in at a place of each `every`-th block of these stages.
    #[must_use]
    pub fn plugin_every(
        mut self,
        every: usize,
        stages: impl Into<Stages>,
        place: Place,
        plugin: Plugin,
    ) -> Self {
        let stages = stages.into();
        self.plugins.push(Plugged {
            stages,
            every,
            place,
            plugin,
        });
        self
    }

    /// Lets another convolution stand in for the 3x3 ones of these stages: of basic blocks the first.
    #[must_use]
    pub fn conv3x3(self, stages: impl Into<Stages>, conv: ConvPlugin) -> Self {
        self.conv(stages, Convs::Spatial, conv)
    }

    /// Lets another convolution stand in for these of these stages.
    #[must_use]
    pub fn conv(mut self, stages: impl Into<Stages>, which: Convs, conv: ConvPlugin) -> Self {
        self.convs.push((stages.into(), which, conv));
        self
    }

    /// Channels behind a stage, 1 to 4.
    pub(crate) fn channels(&self, stage: usize) -> usize {
        planes(stage) * self.block.expansion()
    }

    /// Builds the network.
    ///
    /// # Errors
    /// A size is 0, groups do not divide channels, or a plug-in does not fit where it stands.
    pub fn build(&self, vb: &VarBuilder) -> Result<Network> {
        let features = self.trunk(vb)?.push("", GlobalAvgPool);
        let features = features.push("", Dropout::new(self.dropout, vb)?);
        let name = match self.dialect {
            Dialect::Legacy => "last_linear",
            Dialect::Byob => "head.fc",
            Dialect::Torchvision | Dialect::Nested => "fc",
        };
        features.classify(name, self.channels(4), self.classes)
    }

    /// The stem and the stages.
    pub(crate) fn trunk(&self, vb: &VarBuilder) -> Result<NetworkBuilder> {
        if self.depths.contains(&0) {
            let rule = "every stage must have at least one block";
            return Err(util::invalid("ResNet", "depths", self.depths, rule));
        }
        if self.plugins.iter().any(|p| p.every == 0) {
            return Err(util::invalid("ResNet", "every", 0, "it must be at least 1"));
        }
        if let Some(factors) = self.multi_grid.filter(|f| f.contains(&0)) {
            let rule = "every factor must be at least 1";
            return Err(util::invalid("ResNet", "multi_grid", factors, rule));
        }
        let mut net = self.push_stem(NetworkBuilder::new(vb), vb)?;
        let mut channels = self.stem_channels();
        let mut dilation = 1_usize;
        for stage in 1..=4 {
            let before = dilation;
            let mut stride = if stage == 1 { 1 } else { 2 };
            if stage > 1 && self.dilate[stage - 2] {
                (dilation, stride) = (dilation * stride, 1);
            }
            let name = match self.dialect {
                Dialect::Byob => format!("stages.{}", stage - 1),
                _ => format!("layer{stage}"),
            };
            let mut blocks = Sequential::new();
            for i in 0..self.depths[stage - 1] {
                let [here, later] = match self.multi_grid {
                    Some(factors) if stage == 4 => {
                        [dilation.saturating_mul(factors[i % factors.len()]); 2]
                    }
                    _ if i == 0 => [before, dilation],
                    _ => [dilation; 2],
                };
                let plan = BlockPlan {
                    config: self,
                    stage,
                    index: i,
                    in_channels: channels,
                    planes: planes(stage),
                    stride: if i == 0 { stride } else { 1 },
                    dilation: here,
                    later_dilation: later,
                };
                blocks = blocks.push(plan.build(&(vb / &name / i))?);
                channels = self.channels(stage);
            }
            net = net.push(&name, blocks).end_stage(&name, channels);
            for Plugged {
                stages,
                place,
                plugin,
                ..
            } in &self.plugins
            {
                if *place == Place::Stage && stages.contains(stage) {
                    net = net.plug(&format!("{}{stage}", plugin.name()), plugin)?;
                }
            }
        }
        Ok(net)
    }
}

/// Channels of the basic blocks of a stage.
fn planes(stage: usize) -> usize {
    32 << stage
}
