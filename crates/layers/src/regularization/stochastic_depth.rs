//! Stochastic depth: in training, leaves out the branch of a residual block at random, so that a deep
//! network trains as many shallower ones.
//!
//! ```text
//! y = x * B / (1 - p)        B is 0 with chance p, else 1: for each image, or for the whole batch
//! ```
//! It stands at the end of the branch, before the sum. In evaluation it does nothing.
//!
//! Paper: Huang, Sun, Liu, Sedra, Weinberger, *Deep Networks with Stochastic Depth*, ECCV 2016,
//! arXiv:1603.09382. Departures: what is kept is scaled up in training, where the paper scales down in
//! evaluation.
//! Parameters: none.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Error, Result, Tensor};

use crate::util::invalid;
use crate::{Layer, Mode, Module, VarBuilder, Visitor};

const LAYER: &str = "StochasticDepth";

/// What is dropped together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropScope {
    /// Each image by itself: timm's `DropPath`, torchvision's mode `row`.
    Image,
    /// The whole batch: torchvision's mode `batch`.
    Batch,
}

/// Drops whole maps in training. [`DropPath`](crate::DropPath) is the same for tensors of any rank,
/// image by image.
#[derive(Debug)]
pub struct StochasticDepth {
    path: Arc<str>,
    p: f64,
    scope: DropScope,
    mode: Mode,
}

impl StochasticDepth {
    /// Drops with chance `p`.
    ///
    /// # Errors
    /// `p` is no probability.
    pub fn new(p: f64, what: DropScope, vb: &VarBuilder) -> Result<Self> {
        if !(0.0..=1.0).contains(&p) {
            let rule = "it must be a probability from 0 to 1";
            return Err(invalid(LAYER, "p", p, rule).at(vb.path()));
        }
        Ok(Self {
            path: Arc::clone(vb.path()),
            p,
            scope: what,
            mode: Mode::new(),
        })
    }
}

impl Layer for StochasticDepth {
    fn visit(&self, v: &mut dyn Visitor) {
        v.mode(&self.mode);
    }
}

impl Module for StochasticDepth {
    /// # Shapes
    /// `[N, C, H, W]` or `[N, C, T, H, W]`; the output has the input's.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            if !matches!(x.rank(), 4 | 5) {
                let detail = format!("expected maps or volumes, got shape {:?}", x.shape());
                return Err(Error::shape(LAYER, detail));
            }
            if !self.mode.training() {
                return Ok(x.clone());
            }
            match self.scope {
                DropScope::Image => x.drop_path(self.p),
                DropScope::Batch => x.mul(&Tensor::ones([1], x.dtype())?.dropout(self.p)?),
            }
        })
    }
}

/// The chance of each of `blocks` blocks, from 0 at the first to `last` at the last: early layers are
/// needed by all that follow.
#[must_use]
pub fn linear_rates(last: f64, blocks: usize) -> Vec<f64> {
    let steps = blocks.saturating_sub(1).max(1) as f64;
    (0..blocks).map(|i| last * i as f64 / steps).collect()
}
