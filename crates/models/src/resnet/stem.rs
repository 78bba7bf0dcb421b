//! What comes before the stages.

use striate_layers::{
    Activation, BatchNormConfig, Conv2dConfig, Init, MaxBlurPoolConfig, MaxPool2d, Sequential,
    VarBuilder,
};
use striate_tensor::{PoolOptions, Result};

use super::config::{AntiAlias, Dialect, ResNetConfig};
use crate::NetworkBuilder;

/// The first convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stem {
    /// 7x7 with stride 2 to 64 channels.
    Conv7,
    /// Three 3x3 to these channels, the first with stride 2 (ResNet-C, D, S and T).
    Deep([usize; 3]),
}

/// The pooling behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StemPool {
    /// 3x3 with stride 2 and padding 1, as in torchvision.
    Padded,
    /// 3x3 with stride 2 and no padding, rounded up, as in Caffe.
    Ceil,
    /// None: the last convolution of the stem strides.
    Strided,
}

impl ResNetConfig {
    /// Channels that the stem gives.
    pub(super) fn stem_channels(&self) -> usize {
        match self.stem {
            Stem::Conv7 => 64,
            Stem::Deep([_, _, c]) => c,
        }
    }

    pub(super) fn push_stem(&self, net: NetworkBuilder, vb: &VarBuilder) -> Result<NetworkBuilder> {
        let conv = |i, o, kernel: usize, stride: usize, name: &str| {
            Conv2dConfig::new(i, o, kernel)
                .stride(stride)
                .same_padding()
                .bias(false)
                .init(Init::KaimingNormal)
                .build(&(vb / name))
        };
        let norm = |c, name: &str| BatchNormConfig::new(c).build_2d(&(vb / name));
        let mut layers = Sequential::new();
        let mut convs: Vec<[usize; 4]> = match self.stem {
            Stem::Conv7 => vec![[self.in_channels, 64, 7, 2]],
            Stem::Deep([a, b, c]) => {
                vec![[self.in_channels, a, 3, 2], [a, b, 3, 1], [b, c, 3, 1]]
            }
        };
        let count = convs.len();
        if let (StemPool::Strided, Some(last)) = (self.stem_pool, convs.last_mut()) {
            last[3] *= 2;
        }
        for (i, [from, to, kernel, stride]) in convs.into_iter().enumerate() {
            let (conv_name, norm_name) = match self.dialect {
                Dialect::Legacy => (
                    format!("layer0.conv{}", i + 1),
                    format!("layer0.bn{}", i + 1),
                ),
                Dialect::Byob => (
                    format!("stem.conv{}.conv", i + 1),
                    format!("stem.conv{}.bn", i + 1),
                ),
                _ if count == 1 => ("conv1".to_owned(), "bn1".to_owned()),
                _ if i + 1 == count => (format!("conv1.{}", 3 * i), "bn1".to_owned()),
                _ => (format!("conv1.{}", 3 * i), format!("conv1.{}", 3 * i + 1)),
            };
            layers = layers
                .push_named(&conv_name, conv(from, to, kernel, stride, &conv_name)?)
                .push_named(&norm_name, norm(to, &norm_name)?)
                .push_named("", Activation::Relu);
        }
        let net = net.push("", layers).end_stage("stem", self.stem_channels());
        if let Some(how) = self.anti_alias {
            let blur = how.blur(self.stem_channels());
            let (kernel, padding) = if how == AntiAlias::Timm {
                (3, 1)
            } else {
                (2, 0)
            };
            let pool = MaxBlurPoolConfig::new(blur.channels)
                .window(kernel, padding)
                .blur(blur);
            return Ok(net.push("maxpool", pool.build(&(vb / "maxpool"))?));
        }
        let pool = PoolOptions::new(3).stride(2);
        let pool = match self.stem_pool {
            StemPool::Padded => pool.padding(1),
            StemPool::Ceil => pool.ceil_mode(true),
            StemPool::Strided => return Ok(net),
        };
        Ok(net.push("", MaxPool2d::new(pool)))
    }
}
