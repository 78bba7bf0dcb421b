//! The networks that people have weights from.

use striate_layers::{
    ContextFusion, GlobalContextConfig, NonLocalConfig, Place, SkConvConfig, SplitAttentionConfig,
};

use super::{AntiAlias, Block, Convs, Dialect, ResNetConfig, Shortcut, Stages, Stem, StemPool};
use crate::{ConvPlugin, Plugin};

const DEPTHS_18: [usize; 4] = [2, 2, 2, 2];
const DEPTHS_34: [usize; 4] = [3, 4, 6, 3];
const DEPTHS_101: [usize; 4] = [3, 4, 23, 3];
const DEPTHS_152: [usize; 4] = [3, 8, 36, 3];

/// Selective kernels as timm splits the input among the branches.
fn split_kernels(reduction: usize, min_dim: usize) -> ConvPlugin {
    ConvPlugin::normalized(move |conv, vb| {
        SkConvConfig::new(conv.in_channels, conv.out_channels)
            .groups(conv.groups)
            .stride(conv.stride)
            .reduction(reduction)
            .min_dim(min_dim)
            .split_input(true)
            .build(vb)
    })
}

/// SK[2, 32, 16], the paper's.
fn selective_kernels() -> ConvPlugin {
    ConvPlugin::normalized(|conv, vb| {
        SkConvConfig::new(conv.in_channels, conv.out_channels)
            .groups(conv.groups)
            .stride(conv.stride)
            .build(vb)
    })
}

impl ResNetConfig {
    /// ResNet-18 of torchvision.
    #[must_use]
    pub fn resnet18() -> Self {
        Self::new(Block::Basic, DEPTHS_18)
    }

    /// ResNet-34 of torchvision.
    #[must_use]
    pub fn resnet34() -> Self {
        Self::new(Block::Basic, DEPTHS_34)
    }

    /// ResNet-50 of torchvision.
    #[must_use]
    pub fn resnet50() -> Self {
        Self::new(Block::Bottleneck, DEPTHS_34)
    }

    /// ResNet-101 of torchvision.
    #[must_use]
    pub fn resnet101() -> Self {
        Self::new(Block::Bottleneck, DEPTHS_101)
    }

    /// ResNet-152 of torchvision.
    #[must_use]
    pub fn resnet152() -> Self {
        Self::new(Block::Bottleneck, DEPTHS_152)
    }

    /// Caffe's network: the stride in the first 1x1 convolution, the stem's pooling rounded up.
    #[must_use]
    pub fn caffe(mut self) -> Self {
        self.stride_in_first = true;
        self.stem_pool = StemPool::Ceil;
        self
    }

    /// timm's `d`: a stem of three 3x3 convolutions, shortcuts that pool.
    #[must_use]
    pub fn d(self) -> Self {
        self.stem(Stem::Deep([32, 32, 64]))
            .shortcut(Shortcut::AvgPool)
    }

    /// Squeeze-and-excitation in every block, as timm's `seresnet`.
    #[must_use]
    pub fn se(self) -> Self {
        self.attention(Stages::ALL, Plugin::se_timm())
    }

    /// Squeeze-and-excitation under the names of Cadene's networks, with Caffe's pooling.
    #[must_use]
    pub fn legacy_se(mut self) -> Self {
        self.relu_before_attention = self.block == Block::Basic;
        self.attention(Stages::ALL, Plugin::se(16).named("se_module"))
            .stem_pool(StemPool::Ceil)
            .dialect(Dialect::Legacy)
    }

    /// The authors' SENet-154, under Cadene's names.
    #[must_use]
    pub fn senet154() -> Self {
        let mut config = Self::new(Block::Bottleneck, DEPTHS_152)
            .cardinality(64, 4)
            .stem(Stem::Deep([64, 64, 128]))
            .shortcut(Shortcut::Conv(3))
            .legacy_se();
        config.reduce_first = 2;
        config.dropout = 0.2;
        config
    }

    /// SENet-154 as timm has it: under torchvision's names, the stem's pooling padded.
    #[must_use]
    pub fn senet154_timm() -> Self {
        let mut config = Self::new(Block::Bottleneck, DEPTHS_152)
            .cardinality(64, 4)
            .stem(Stem::Deep([64, 64, 128]))
            .shortcut(Shortcut::Conv(3))
            .se();
        config.reduce_first = 2;
        config
    }

    /// SKNet of such depths, as in the paper: ResNeXt 32x4d with SK[2, 32, 16], Caffe's pooling.
    #[must_use]
    pub fn sknet(depths: [usize; 4]) -> Self {
        Self::skresnext(depths).stem_pool(StemPool::Ceil)
    }

    /// SKNet as timm has it: the stem's pooling padded.
    #[must_use]
    pub fn skresnext(depths: [usize; 4]) -> Self {
        Self::new(Block::Bottleneck, depths)
            .cardinality(32, 4)
            .conv3x3(Stages::ALL, selective_kernels())
            .dialect(Dialect::Nested)
    }

    /// Selective kernels that share the input, as timm's `skresnet`.
    #[must_use]
    pub fn sk(self) -> Self {
        let kernels = match self.block {
            Block::Basic => split_kernels(8, 16),
            Block::Bottleneck => split_kernels(16, 8),
        };
        self.conv3x3(Stages::ALL, kernels).dialect(Dialect::Nested)
    }

    /// ResNeSt of such depths, as timm's `resnest50d`: two splits in every 3x3 convolution.
    #[must_use]
    pub fn resnest(depths: [usize; 4], stem: Stem) -> Self {
        let split = ConvPlugin::normalized(|conv, vb| {
            SplitAttentionConfig::new(conv.in_channels, conv.out_channels)
                .stride(conv.stride)
                .build(vb)
        });
        let mut config = Self::new(Block::Bottleneck, depths)
            .stem(stem)
            .shortcut(Shortcut::AvgPool)
            .conv3x3(Stages::ALL, split);
        config.avg_down = true;
        config
    }

    /// CBAM in every block, behind its last batch norm.
    #[must_use]
    pub fn cbam(self) -> Self {
        self.attention(Stages::ALL, Plugin::cbam())
    }

    /// The bottleneck attention module behind each of the first three stages.
    #[must_use]
    pub fn bam(self) -> Self {
        self.plugin(1..=3, Place::Stage, Plugin::bam())
    }

    /// timm's blurs instead of strides.
    #[must_use]
    pub fn blur(self) -> Self {
        self.anti_alias(AntiAlias::Timm)
    }

    /// timm's `gcresnet50t`: a stem of three convolutions that strides twice, and the global context, added, behind
    /// every 3x3 convolution.
    ///
    /// Paper: Cao et al., *GCNet*, ICCVW 2019, arXiv:1904.11492.
    #[must_use]
    pub fn gcresnet50t() -> Self {
        let context = Plugin::new("attn", |c, vb| {
            let context = GlobalContextConfig::timm(c).fusion(ContextFusion::Add);
            context.build(vb)
        });
        Self::resnet50()
            .stem(Stem::Deep([24, 32, 64]))
            .stem_pool(StemPool::Strided)
            .dialect(Dialect::Byob)
            .plugin(Stages::ALL, Place::Conv3x3, context)
    }

    /// Five non-local blocks, as in the paper: behind every second block of stages 2 and 3, with sub-sampling.
    ///
    /// Paper: Wang, Girshick, Gupta, He, *Non-local Neural Networks*, CVPR 2018, arXiv:1711.07971.
    #[must_use]
    pub fn non_local(self) -> Self {
        let block = Plugin::new("nl", |c, vb| {
            NonLocalConfig::new(2, c).sub_sample(true).build(vb)
        });
        self.plugin_every(2, 2..=3, Place::Post, block)
    }

    /// Deformable 3x3 convolutions in stages 2 to 4, which the papers call conv3 to conv5; `modulated` for the second
    /// version.
    #[must_use]
    pub fn deformable(self, modulated: bool) -> Self {
        self.conv3x3(2..=4, ConvPlugin::deformable(modulated))
    }

    /// Omni-dimensional dynamic convolutions with so many experts in all branches.
    #[must_use]
    pub fn od_conv(self, experts: usize) -> Self {
        self.conv(Stages::ALL, Convs::Branch, ConvPlugin::od_conv(experts))
    }

    /// Dynamic convolutions with so many experts in all blocks, the projections too.
    #[must_use]
    pub fn dynamic_conv(self, experts: usize) -> Self {
        self.conv(Stages::ALL, Convs::All, ConvPlugin::dynamic_conv(experts))
    }
}
