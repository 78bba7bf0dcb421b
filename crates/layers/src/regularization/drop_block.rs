//! DropBlock: in training, sets squares of the map to 0, so that what is missing cannot be read off
//! from the neighbours.
//!
//! ```text
//! gamma = p * H * W / (b*b * (H - b + 1) * (W - b + 1))
//! M     = 0 in the b x b square around each place that a coin with chance gamma picks, else 1
//! y     = x * M * numel(M) / sum(M)
//! y     = x * M + Z * (1 - M), Z normal               with noise instead of zeros
//! ```
//!
//! Paper: Ghiasi, Lin, Le, *DropBlock: A Regularization Method for Convolutional Networks*, NeurIPS
//! 2018, arXiv:1810.12890. Departures: none of timm's ([`Seeds::Anywhere`]) or of torchvision's
//! ([`Seeds::Inside`]).
//! Parameters: none.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{PadMode, Philox, PoolOptions, Result, Tensor, with_default_rng};

use crate::util::{at_least_one, invalid};
use crate::{Layer, Mode, Module, VarBuilder, Visitor};

const LAYER: &str = "DropBlock";

/// Where the middle of a square may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeds {
    /// At any pixel, so that squares at the border are cut off: timm.
    Anywhere,
    /// Where the whole square is inside the map: torchvision and the paper.
    Inside,
}

/// How to build a [`DropBlock`].
#[derive(Clone, Debug)]
pub struct DropBlockConfig {
    /// Chance of an element to be dropped.
    pub p: f64,
    /// Side of a square, at most that of the map; odd for [`Seeds::Inside`].
    pub block: usize,
    /// Where the middle of a square may be.
    pub seeds: Seeds,
    /// Whether all channels of an image lose the same squares.
    pub couple_channels: bool,
    /// Whether what is kept is scaled up; not with noise.
    pub scale: bool,
    /// Whether squares are filled with standard normal numbers instead of zeros; coupled channels share them.
    pub noise: bool,
}

impl DropBlockConfig {
    /// timm's: squares anywhere, the same in all channels.
    #[must_use]
    pub fn new(p: f64, block: usize) -> Self {
        Self {
            p,
            block,
            seeds: Seeds::Anywhere,
            couple_channels: true,
            scale: true,
            noise: false,
        }
    }

    /// torchvision's: whole squares, each channel its own.
    #[must_use]
    pub fn torchvision(p: f64, block: usize) -> Self {
        Self {
            seeds: Seeds::Inside,
            couple_channels: false,
            ..Self::new(p, block)
        }
    }

    /// Drops the same squares in all channels of an image, or others in each.
    #[must_use]
    pub fn couple_channels(mut self, couple: bool) -> Self {
        self.couple_channels = couple;
        self
    }

    /// Scales up what is kept, or not.
    #[must_use]
    pub fn scale(mut self, scale: bool) -> Self {
        self.scale = scale;
        self
    }

    /// Fills squares with standard normal numbers, or with zeros.
    #[must_use]
    pub fn noise(mut self, noise: bool) -> Self {
        self.noise = noise;
        self
    }

    /// Chance of a place to be the middle of a square, for a map of that size.
    #[must_use]
    pub fn gamma(&self, [h, w]: [usize; 2]) -> f64 {
        let [kh, kw] = self.sides([h, w]);
        let places = (h + 1).saturating_sub(kh) * (w + 1).saturating_sub(kw);
        self.p * (h * w) as f64 / (kh * kw) as f64 / places as f64
    }

    /// Sides of a square that fits the map.
    fn sides(&self, [h, w]: [usize; 2]) -> [usize; 2] {
        match self.seeds {
            Seeds::Anywhere => [self.block.min(h), self.block.min(w)],
            Seeds::Inside => [self.block.min(h).min(w); 2],
        }
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// `p` is no probability, or the square has no side or an even one with [`Seeds::Inside`].
    pub fn build(&self, vb: &VarBuilder) -> Result<DropBlock> {
        let check = || {
            at_least_one(LAYER, "block", self.block)?;
            if !(0.0..=1.0).contains(&self.p) {
                let rule = "it must be a probability from 0 to 1";
                return Err(invalid(LAYER, "p", self.p, rule));
            }
            self.check_middle(self.block)
        };
        check().map_err(|e| e.at(vb.path()))?;
        Ok(DropBlock {
            path: Arc::clone(vb.path()),
            config: self.clone(),
            mode: Mode::new(),
        })
    }

    fn check_middle(&self, side: usize) -> Result<()> {
        if self.seeds == Seeds::Inside && side.is_multiple_of(2) {
            let rule = "it must be odd, and so must the sides of maps that are smaller";
            return Err(invalid(LAYER, "block", side, rule));
        }
        Ok(())
    }
}

/// Drops squares in training and does nothing in evaluation.
#[derive(Debug)]
pub struct DropBlock {
    path: Arc<str>,
    config: DropBlockConfig,
    mode: Mode,
}

impl DropBlock {
    /// Where a map of that shape loses its elements: 1 there, else 0.
    fn dropped(&self, x: &Tensor, rng: &mut Philox) -> Result<Tensor> {
        let [n, c, h, w] = x.dims4()?;
        let config = &self.config;
        let [kh, kw] = config.sides([h, w]);
        config.check_middle(kh)?;
        let channels = if config.couple_channels { 1 } else { c };
        let inside = config.seeds == Seeds::Inside;
        let drawn = if inside {
            [h - kh + 1, w - kw + 1]
        } else {
            [h, w]
        };
        let chance = Tensor::rand([n, channels, drawn[0], drawn[1]], rng)?;
        let gamma = Tensor::full([1], config.gamma([h, w]), chance.dtype())?;
        let mut seeds = chance.lt(&gamma)?.to_dtype(x.dtype())?;
        let around = [kh / 2, kw / 2];
        if inside {
            seeds = seeds.pad2d(around, PadMode::Zeros)?;
        }
        let window = PoolOptions::new([kh, kw]).stride(1).padding(around);
        let dropped = seeds.max_pool2d(window)?;
        // An even window gives a row or a column too many.
        dropped
            .narrow(2, (kh + 1) % 2, h)?
            .narrow(3, (kw + 1) % 2, w)
    }

    /// The factor of what is kept, so that the mean stays.
    fn scale(&self, kept: &Tensor) -> Result<Tensor> {
        let tiny = match self.config.seeds {
            Seeds::Inside => 1e-6,
            Seeds::Anywhere => 1e-7,
        };
        let sum = kept.sum_all()?.add_scalar(tiny)?;
        sum.recip()?.mul_scalar(kept.numel() as f64)
    }
}

impl Layer for DropBlock {
    fn visit(&self, v: &mut dyn Visitor) {
        v.mode(&self.mode);
    }
}

impl Module for DropBlock {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            x.dims_array::<4>(LAYER)?;
            if !self.mode.training() || self.config.p == 0.0 || x.numel() == 0 {
                return Ok(x.clone());
            }
            // One number of the generator is the key of a sequence of its own.
            let mut rng = Philox::new(with_default_rng(Philox::next_u64));
            let dropped = self.dropped(x, &mut rng)?;
            let kept = dropped.affine(-1.0, 1.0)?;
            if self.config.noise {
                let noise = Tensor::randn(dropped.shape(), &mut rng)?.to_dtype(x.dtype())?;
                return x.mul(&kept)?.add(&noise.mul(&dropped)?);
            }
            if self.config.scale {
                return x.mul(&kept.mul(&self.scale(&kept)?)?);
            }
            x.mul(&kept)
        })
    }
}
