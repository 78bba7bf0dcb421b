//! The selective-kernel network of three stages for 32x32 images.
//!
//! Paper: Li, Wang, Hu, Yang, *Selective Kernel Networks*, CVPR 2019, arXiv:1903.06586. This
//! is the small network that goes around with a PyTorch listing of the paper, under its names.
//! Departures from the paper: convolutions have biases, the branches are a 3x3 and a true 5x5
//! (or, as in the paper, a dilated 3x3), the fused vector goes through one linear layer without
//! batch norm or ReLU, and there is no ReLU behind the first convolution or inside a unit.

use std::sync::Arc;

use striate_layers::{
    Activation, BatchNormConfig, Checkpointed, Conv2dConfig, GlobalAvgPool, Layer, Linear,
    LinearConfig, Module, Sequential, VarBuilder, Visitor, fuse, select, util,
};
use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

/// Channels of the first convolution and of the stages.
const WIDTHS: [usize; 4] = [64, 256, 512, 1024];

/// How to build an [`SkNetCifar`].
#[derive(Clone, Debug)]
pub struct SkNetCifarConfig {
    /// Channels of the images.
    pub in_channels: usize,
    /// Number of classes.
    pub classes: usize,
    /// Stride of the first unit of each stage.
    pub strides: [usize; 3],
    /// Whether the second branch is a 3x3 of dilation 2 instead of a 5x5.
    pub dilated: bool,
    /// Branches of every selective-kernel convolution.
    pub branches: usize,
    /// Groups of every branch.
    pub groups: usize,
    /// How many times fewer numbers the fused vector has.
    pub reduction: usize,
    /// Least length of the fused vector.
    pub min_dim: usize,
}

impl SkNetCifarConfig {
    /// Strides 1, 2, 2; two branches, 3x3 and 5x5, of 8 groups; reduction 2, at least 32.
    #[must_use]
    pub fn new(in_channels: usize, classes: usize) -> Self {
        Self {
            in_channels,
            classes,
            strides: [1, 2, 2],
            dilated: false,
            branches: 2,
            groups: 8,
            reduction: 2,
            min_dim: 32,
        }
    }

    /// Sets the stride of each stage.
    #[must_use]
    pub fn strides(mut self, strides: [usize; 3]) -> Self {
        self.strides = strides;
        self
    }

    /// Takes dilated 3x3 branches, or true larger kernels.
    #[must_use]
    pub fn dilated(mut self, dilated: bool) -> Self {
        self.dilated = dilated;
        self
    }

    /// Builds the network: `basic_conv`, `stage_1` to `stage_3`, `classifier`.
    ///
    /// # Errors
    /// A size is 0, or the channels are no multiple of the groups.
    pub fn build(&self, vb: &VarBuilder) -> Result<SkNetCifar> {
        let stem = vb / "basic_conv";
        let classifier =
            LinearConfig::new(WIDTHS[3], self.classes).build(&(vb / "classifier" / 0))?;
        Ok(SkNetCifar {
            path: Arc::clone(vb.path()),
            basic_conv: Sequential::new()
                .push(
                    Conv2dConfig::new(self.in_channels, WIDTHS[0], 3)
                        .padding(1)
                        .build(&(&stem / 0))?,
                )
                .push(BatchNormConfig::new(WIDTHS[0]).build_2d(&(&stem / 1))?),
            stages: [self.stage(0, vb)?, self.stage(1, vb)?, self.stage(2, vb)?],
            classifier: Sequential::new().push(classifier),
        })
    }

    fn stage(&self, k: usize, vb: &VarBuilder) -> Result<Checkpointed<Sequential>> {
        let vb = vb / format!("stage_{}", k + 1);
        let mut stage = Sequential::new();
        for i in 0..3 {
            let first = i == 0;
            let channels = WIDTHS[if first { k } else { k + 1 }];
            let stride = if first { self.strides[k] } else { 1 };
            let unit = self.unit(channels, WIDTHS[k + 1], stride, &(&vb / (2 * i)))?;
            stage = stage.push(unit).push(Activation::Relu);
        }
        Ok(Checkpointed::off(stage))
    }

    fn unit(&self, i: usize, o: usize, stride: usize, vb: &VarBuilder) -> Result<Unit> {
        let (feas, side, mid) = (vb / "feas", vb / "shortcut", o / 2);
        let point = |i, o, stride, vb| Conv2dConfig::new(i, o, 1).stride(stride).build(&vb);
        let norm = |channels, vb| BatchNormConfig::new(channels).build_2d(&vb);
        let shortcut = if i == o && stride == 1 {
            None
        } else {
            Some(
                Sequential::new()
                    .push(point(i, o, stride, &side / 0)?)
                    .push(norm(o, &side / 1)?),
            )
        };
        Ok(Unit {
            path: Arc::clone(vb.path()),
            feas: Sequential::new()
                .push(point(i, mid, 1, &feas / 0)?)
                .push(norm(mid, &feas / 1)?)
                .push(self.sk(mid, stride, &(&feas / 2))?)
                .push(norm(mid, &feas / 3)?)
                .push(point(mid, o, 1, &feas / 4)?)
                .push(norm(o, &feas / 5)?),
            shortcut,
        })
    }

    fn sk(&self, channels: usize, stride: usize, vb: &VarBuilder) -> Result<Sk> {
        if self.branches == 0 || self.reduction == 0 || self.min_dim == 0 {
            let got = [self.branches, self.reduction, self.min_dim];
            let field = "[branches, reduction, min_dim]";
            return Err(
                util::invalid("SkNetCifar", field, got, "all must be at least 1").at(vb.path()),
            );
        }
        let width = (channels / self.reduction).max(self.min_dim);
        let branch = |m: usize| {
            let vb = vb / "convs" / m;
            let (kernel, dilation) = if self.dilated {
                (3, m + 1)
            } else {
                (2 * m + 3, 1)
            };
            let conv = Conv2dConfig::new(channels, channels, kernel)
                .stride(stride)
                .dilation(dilation)
                .same_padding()
                .groups(self.groups);
            let norm = BatchNormConfig::new(channels).build_2d(&(&vb / 1))?;
            Ok(Sequential::new()
                .push(conv.build(&(&vb / 0))?)
                .push(norm)
                .push(Activation::Relu))
        };
        let fcs = |m: usize| LinearConfig::new(width, channels).build(&(vb / "fcs" / m));
        Ok(Sk {
            path: Arc::clone(vb.path()),
            convs: List((0..self.branches).map(branch).collect::<Result<_>>()?),
            fc: LinearConfig::new(channels, width).build(&(vb / "fc"))?,
            fcs: List((0..self.branches).map(fcs).collect::<Result<_>>()?),
        })
    }
}

/// Children that are named by their position.
#[derive(Debug)]
struct List<L>(Vec<L>);

impl<L: Layer> Layer for List<L> {
    fn visit(&self, v: &mut dyn Visitor) {
        for (i, layer) in self.0.iter().enumerate() {
            v.child(&i.to_string(), layer);
        }
    }
}

/// The selective-kernel convolution of this network.
#[derive(Debug)]
struct Sk {
    path: Arc<str>,
    convs: List<Sequential>,
    fc: Linear,
    fcs: List<Linear>,
}

impl Layer for Sk {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("convs", &self.convs);
        v.child("fc", &self.fc);
        v.child("fcs", &self.fcs);
    }
}

impl Module for Sk {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let branches: Vec<Tensor> = self
                .convs
                .0
                .iter()
                .map(|conv| conv.forward(x))
                .collect::<Result<_>>()?;
            let z = self.fc.forward(&fuse(&branches)?.flatten(1, 3)?)?;
            let logits: Vec<Tensor> = self
                .fcs
                .0
                .iter()
                .map(|fc| fc.forward(&z))
                .collect::<Result<_>>()?;
            let logits: Vec<&Tensor> = logits.iter().collect();
            select(&self.path, &branches, &Tensor::stack(&logits, 1)?)
        })
    }
}

/// `shortcut(x) + bn(conv(bn(sk(bn(conv(x))))))`
#[derive(Debug)]
struct Unit {
    path: Arc<str>,
    feas: Sequential,
    shortcut: Option<Sequential>,
}

impl Layer for Unit {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("feas", &self.feas);
        if let Some(shortcut) = &self.shortcut {
            v.child("shortcut", shortcut);
        }
    }
}

impl Module for Unit {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let y = self.feas.forward(x)?;
            match &self.shortcut {
                Some(projection) => y.add(&projection.forward(x)?),
                None => y.add(x),
            }
        })
    }
}

/// The three-stage selective-kernel network.
#[derive(Debug)]
pub struct SkNetCifar {
    path: Arc<str>,
    basic_conv: Sequential,
    stages: [Checkpointed<Sequential>; 3],
    classifier: Sequential,
}

impl Layer for SkNetCifar {
    fn visit(&self, v: &mut dyn Visitor) {
        v.child("basic_conv", &self.basic_conv);
        for (name, stage) in ["stage_1", "stage_2", "stage_3"]
            .into_iter()
            .zip(&self.stages)
        {
            v.child(name, stage);
        }
        v.child("classifier", &self.classifier);
    }
}

impl Module for SkNetCifar {
    /// # Shapes
    /// `[N, in, H, W] -> [N, classes]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let x = self.basic_conv.forward(x)?;
            let x = self
                .stages
                .iter()
                .try_fold(x, |x, stage| stage.forward(&x))?;
            self.classifier.forward(&GlobalAvgPool.forward(&x)?)
        })
    }
}
