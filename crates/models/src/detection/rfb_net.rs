//! RFBNet: SSD on VGG-16 with receptive field blocks.
//!
//! Paper: Liu, Huang, Wang, *Receptive Field Block Net for Accurate and Fast Object Detection*, ECCV 2018,
//! arXiv:1711.07767. Departures: none from the released code.

use std::sync::Arc;

use striate_layers::{
    Activation, Conv2d, Conv2dConfig, ConvNormActConfig, Init, Layer, MaxPool2d, Module, Rfb,
    RfbConfig, RfbSConfig, VarBuilder, Visitor,
};
use striate_tensor::autograd::scope;
use striate_tensor::{Error, PoolOptions, Result, Tensor};

use crate::{Network, NetworkBuilder};

/// The images that the network is for, which decide how far it goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RfbNetSize {
    /// 300x300: six maps, from 38x38 to 1x1.
    Small,
    /// 512x512: seven maps, from 64x64 to 1x1.
    Large,
}

impl RfbNetSize {
    /// Boxes at every place of each map.
    fn boxes(self) -> &'static [usize] {
        match self {
            Self::Small => &[6, 6, 6, 6, 4, 4],
            Self::Large => &[6, 6, 6, 6, 6, 4, 4],
        }
    }
}

/// How to build an [`RfbNet`].
#[derive(Clone, Debug)]
pub struct RfbNetConfig {
    /// Channels of the images.
    pub in_channels: usize,
    /// Number of classes, the background among them.
    pub classes: usize,
    /// The images it is for.
    pub size: RfbNetSize,
}

impl RfbNetConfig {
    /// For 300x300 images of Pascal VOC: 21 classes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            in_channels: 3,
            classes: 21,
            size: RfbNetSize::Small,
        }
    }

    /// Sets the channels of the images.
    #[must_use]
    pub fn in_channels(mut self, channels: usize) -> Self {
        self.in_channels = channels;
        self
    }

    /// Sets the number of classes, the background among them.
    #[must_use]
    pub fn classes(mut self, classes: usize) -> Self {
        self.classes = classes;
        self
    }

    /// Sets the images it is for.
    #[must_use]
    pub fn size(mut self, size: RfbNetSize) -> Self {
        self.size = size;
        self
    }

    /// Builds the network under the authors' names: `base`, `Norm`, `extras`, `loc`, `conf`.
    ///
    /// # Errors
    /// A number is 0.
    pub fn build(&self, vb: &VarBuilder) -> Result<RfbNet> {
        let extras = self.extras(&(vb / "extras"))?;
        let sources = extras.iter().filter_map(|extra| extra.source);
        let channels: Vec<usize> = [512].into_iter().chain(sources).collect();
        let heads = channels.iter().zip(self.size.boxes()).enumerate();
        let head = |(i, (&from, &boxes)): (usize, (&usize, &usize))| {
            let conv = |name: &str, numbers: usize| {
                Conv2dConfig::new(from, boxes.saturating_mul(numbers), 3)
                    .padding(1)
                    .init(Init::KaimingNormal)
                    .bias_init(Init::ZEROS)
                    .build(&(vb / name / i))
            };
            Ok([conv("loc", 4)?, conv("conf", self.classes)?])
        };
        Ok(RfbNet {
            path: Arc::clone(vb.path()),
            base: self.base(&(vb / "base"))?,
            norm: RfbSConfig::new(512, 512).scale(1.0).build(&(vb / "Norm"))?,
            extras,
            heads: heads.map(head).collect::<Result<_>>()?,
            classes: self.classes,
        })
    }

    /// VGG-16 to its fourth stage, then on to two convolutions in the place of its first linear layers.
    fn base(&self, vb: &VarBuilder) -> Result<Network> {
        const STAGES: [&[usize]; 5] = [&[64; 2], &[128; 2], &[256; 3], &[512; 3], &[512; 3]];
        let (mut net, mut from, mut at) = (NetworkBuilder::new(vb), self.in_channels, 0);
        let conv = |net: NetworkBuilder, conv: Conv2dConfig, at: usize| -> Result<_> {
            let conv = conv.init(Init::KaimingNormal).bias_init(Init::ZEROS);
            let net = net.push(at.to_string(), conv.build(&(vb / at))?);
            Ok(net.push("", Activation::Relu))
        };
        for (stage, widths) in STAGES.into_iter().enumerate() {
            if stage > 0 {
                let pool = PoolOptions::new(2).stride(2).ceil_mode(stage == 3);
                net = net.push("", MaxPool2d::new(pool));
                at += 1;
            }
            for &to in widths {
                net = conv(net, Conv2dConfig::new(from, to, 3).padding(1), at)?;
                (from, at) = (to, at + 2);
            }
            if stage == 3 {
                net = net.end_stage("conv4_3", from);
            }
        }
        let pool = MaxPool2d::new(PoolOptions::new(3).stride(1).padding(1));
        let net = net.push("", pool);
        let wide = Conv2dConfig::new(from, 1024, 3).dilation(6).same_padding();
        let net = conv(net, wide, at + 1)?;
        let net = conv(net, Conv2dConfig::new(1024, 1024, 1), at + 3)?;
        Ok(net.end_stage("conv7", 1024).finish())
    }

    /// The layers behind the base.
    fn extras(&self, vb: &VarBuilder) -> Result<Vec<Extra>> {
        let mut extras: Vec<Extra> = Vec::new();
        let block = |extras: &mut Vec<Extra>, from, to, stride, visual| -> Result<()> {
            let block = RfbConfig::new(from, to)
                .stride(stride)
                .scale(1.0)
                .visual(visual)
                .build(&(vb / extras.len()))?;
            extras.push(Extra::new(block, Some(to)));
            Ok(())
        };
        block(&mut extras, 1024, 1024, 1, 2)?;
        block(&mut extras, 1024, 512, 2, 2)?;
        block(&mut extras, 512, 256, 2, 2)?;
        let (narrow, small) = (
            Conv2dConfig::new(256, 128, 1),
            Conv2dConfig::new(128, 256, 3),
        );
        let convs = match self.size {
            RfbNetSize::Small => vec![narrow.clone(), small.clone(), narrow, small],
            RfbNetSize::Large => {
                block(&mut extras, 256, 256, 2, 1)?;
                block(&mut extras, 256, 256, 2, 1)?;
                vec![narrow, Conv2dConfig::new(128, 256, 4).padding(1)]
            }
        };
        for conv in convs {
            let source = (conv.out_channels == 256).then_some(256);
            let conv = ConvNormActConfig::new(conv.init(Init::KaimingNormal)).momentum(0.01);
            let conv = conv.build(&(vb / extras.len()))?;
            extras.push(Extra::new(conv, source));
        }
        Ok(extras)
    }
}

impl Default for RfbNetConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// A layer behind the base.
#[derive(Debug)]
struct Extra {
    layer: Box<dyn Module>,
    /// Its channels if a head reads it.
    source: Option<usize>,
}

impl Extra {
    fn new(layer: impl Module + 'static, source: Option<usize>) -> Self {
        Self {
            layer: Box::new(layer),
            source,
        }
    }
}

/// A detector's network: for every default box where it moves to and what it holds.
#[derive(Debug)]
pub struct RfbNet {
    path: Arc<str>,
    base: Network,
    norm: Rfb,
    extras: Vec<Extra>,
    heads: Vec<[Conv2d; 2]>,
    classes: usize,
}

impl RfbNet {
    /// The maps that the heads read, the finest first.
    ///
    /// # Errors
    /// The image does not fit the network, or a map vanishes.
    pub fn features(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        scope(&self.path, || {
            let maps = self.base.features(x)?;
            let [fine, last] = &maps[..] else {
                return Err(Error::msg("RfbNet: the base gives two maps"));
            };
            let (mut maps, mut x) = (vec![self.norm.forward(fine)?], last.clone());
            for extra in &self.extras {
                x = extra.layer.forward(&x)?;
                if extra.source.is_some() {
                    maps.push(x.clone());
                }
            }
            Ok(maps)
        })
    }

    /// Offsets and scores of all boxes: map by map, row by row, the boxes of a place together.
    ///
    /// # Shapes
    /// `[N, in, H, W]` to `[N, boxes, 4]` and `[N, boxes, classes]`; 11620 boxes for 300x300.
    ///
    /// # Errors
    /// As [`RfbNet::features`].
    pub fn forward(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let maps = self.features(x)?;
        scope(&self.path, || {
            let gather = |which: usize, numbers: usize| {
                let read = |(map, head): (&Tensor, &[Conv2d; 2])| {
                    let y = head[which].forward(map)?.permute(&[0, 2, 3, 1])?;
                    let n = y.shape()[0];
                    let boxes = y.shape()[1..].iter().product::<usize>() / numbers;
                    y.reshape([n, boxes, numbers])
                };
                let all = maps.iter().zip(&self.heads).map(read);
                let all = all.collect::<Result<Vec<_>>>()?;
                Tensor::cat(&all.iter().collect::<Vec<_>>(), 1)
            };
            Ok((gather(0, 4)?, gather(1, self.classes)?))
        })
    }
}

impl Layer for RfbNet {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("base", &self.base);
        v.child("Norm", &self.norm);
        for (i, extra) in self.extras.iter().enumerate() {
            v.child(&format!("extras.{i}"), &extra.layer);
        }
        for (which, name) in ["loc", "conf"].into_iter().enumerate() {
            for (i, head) in self.heads.iter().enumerate() {
                v.child(&format!("{name}.{i}"), &head[which]);
            }
        }
    }
}
