//! Dropout of elements and of whole residual branches.

use striate_tensor::{Result, Tensor};

use crate::util::invalid;
use crate::{Layer, Mode, Module, VarBuilder, Visitor};

fn check(layer: &'static str, p: f64, vb: &VarBuilder) -> Result<()> {
    if (0.0..=1.0).contains(&p) {
        return Ok(());
    }
    Err(invalid(layer, "p", p, "it must be a probability from 0 to 1").at(vb.path()))
}

/// In training, zeroes each element with probability `p` and divides the others by `1 - p`.
#[derive(Debug)]
pub struct Dropout {
    p: f64,
    mode: Mode,
}

impl Dropout {
    /// Drops with probability `p`.
    ///
    /// # Errors
    /// `p` is no probability.
    pub fn new(p: f64, vb: &VarBuilder) -> Result<Self> {
        check("Dropout", p, vb)?;
        Ok(Self {
            p,
            mode: Mode::new(),
        })
    }
}

impl Layer for Dropout {
    fn visit(&self, v: &mut dyn Visitor) {
        v.mode(&self.mode);
    }
}

impl Module for Dropout {
    /// # Shapes
    /// Any; the output has the input's.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if self.mode.training() {
            x.dropout(self.p)
        } else {
            Ok(x.clone())
        }
    }
}

/// In training, zeroes each sample with probability `p` and divides the others by `1 - p`:
/// stochastic depth, for the branch of a residual block.
///
/// Paper: Huang et al., *Deep Networks with Stochastic Depth*, ECCV 2016, arXiv:1603.09382.
#[derive(Debug)]
pub struct DropPath {
    p: f64,
    mode: Mode,
}

impl DropPath {
    /// Drops samples with probability `p`.
    ///
    /// # Errors
    /// `p` is no probability.
    pub fn new(p: f64, vb: &VarBuilder) -> Result<Self> {
        check("DropPath", p, vb)?;
        Ok(Self {
            p,
            mode: Mode::new(),
        })
    }
}

impl Layer for DropPath {
    fn visit(&self, v: &mut dyn Visitor) {
        v.mode(&self.mode);
    }
}

impl Module for DropPath {
    /// # Shapes
    /// `[N, ...]`; the output has the input's.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if self.mode.training() {
            x.drop_path(self.p)
        } else {
            Ok(x.clone())
        }
    }
}
