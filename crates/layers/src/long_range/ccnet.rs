//! Criss-cross attention: every place gathers from its row and its column, and, done twice, from everywhere.
//!
//! ```text
//! y_hw = sum over a in column w without h, and row h, of softmax_a(q_hw . k_a) v_a
//! x <- gamma y + x, `recurrence` times with the same weights
//! ```
//!
//! Paper: Huang et al., *CCNet: Criss-Cross Attention for Semantic Segmentation*, ICCV 2019, arXiv:1811.11721.
//! Departures: none. A place counts once, in its row.
//! Parameters: `2*(C*R + R) + C*C + C + 1`, `R = C / reduction`.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, Tensor};

use super::danet::Projections;
use crate::util::at_least_one;
use crate::{Layer, Module, VarBuilder, Visitor};

/// How to build a [`CrissCross`].
#[derive(Clone, Debug)]
pub struct CrissCrossConfig {
    /// Number of channels.
    pub channels: usize,
    /// How many times fewer channels queries and keys have.
    pub reduction: usize,
    /// How often it is applied: twice reaches every place.
    pub recurrence: usize,
}

impl CrissCrossConfig {
    /// The released code's: reduction 8, applied twice.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels,
            reduction: 8,
            recurrence: 2,
        }
    }

    /// Sets the reduction.
    #[must_use]
    pub fn reduction(mut self, reduction: usize) -> Self {
        self.reduction = reduction;
        self
    }

    /// Sets how often it is applied.
    #[must_use]
    pub fn recurrence(mut self, times: usize) -> Self {
        self.recurrence = times;
        self
    }

    /// Builds the module: `query_conv`, `key_conv`, `value_conv` and `gamma`. It starts as the identity.
    ///
    /// # Errors
    /// A number is 0, or the reduced width would be 0.
    pub fn build(&self, vb: &VarBuilder) -> Result<CrissCross> {
        const LAYER: &str = "CrissCross";
        at_least_one(LAYER, "recurrence", self.recurrence).map_err(|e| e.at(vb.path()))?;
        Ok(CrissCross {
            path: Arc::clone(vb.path()),
            projections: Projections::build(LAYER, self.channels, self.reduction, vb)?,
            recurrence: self.recurrence,
        })
    }
}

/// The criss-cross attention module.
#[derive(Debug)]
pub struct CrissCross {
    path: Arc<str>,
    projections: Projections,
    recurrence: usize,
}

impl Layer for CrissCross {
    fn visit(&self, v: &mut dyn Visitor) {
        self.projections.visit(v);
    }
}

impl Module for CrissCross {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C, H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let [_, _, h, w] = x.dims_array("CrissCross")?;
            // A place meets itself in its row alone.
            let itself = Tensor::from_vec(
                (0..h * h)
                    .map(|i| {
                        if i / h == i % h {
                            f32::NEG_INFINITY
                        } else {
                            0.0
                        }
                    })
                    .collect(),
                [h, h],
            )?;
            let itself = itself.to_dtype(x.dtype())?;
            (0..self.recurrence).try_fold(x.clone(), |x, _| {
                let [q, k, v] = self.projections.forward(&x)?;
                let y = gather([&q, &k, &v], &itself, [h, w])?;
                self.projections.weigh(&y)?.add(&x)
            })
        })
    }
}

/// What each place gathers from its column and its row.
fn gather([q, k, v]: [&Tensor; 3], itself: &Tensor, [h, w]: [usize; 2]) -> Result<Tensor> {
    const COLUMNS: [usize; 4] = [0, 3, 2, 1];
    const ROWS: [usize; 4] = [0, 2, 3, 1];
    let products = |order: &[usize]| {
        let keys = k.permute(order)?.transpose(2, 3)?;
        q.permute(order)?.matmul(&keys)
    };
    let column = products(&COLUMNS)?.add(itself)?.transpose(1, 2)?;
    let weights = Tensor::cat(&[&column, &products(&ROWS)?], 3)?.softmax(3)?;
    let column = weights.narrow(3, 0, h)?.transpose(1, 2)?;
    let column = column.matmul(&v.permute(&COLUMNS)?)?.transpose(1, 2)?;
    let row = weights.narrow(3, h, w)?.matmul(&v.permute(&ROWS)?)?;
    column.add(&row)?.permute(&[0, 3, 1, 2])
}

/// How other implementations name the same weights.
pub mod ccnet_key_maps {
    use crate::KeyMap;

    /// mmsegmentation, whose head has the module as `cca` and keeps `gamma` as a scalar's weight.
    #[must_use]
    pub fn mmseg() -> KeyMap {
        KeyMap::new()
            .strip_prefix("cca")
            .transform("gamma.scale", |gamma| gamma.reshape(1))
            .rename("gamma.scale", "gamma")
    }
}
