//! Spatial pyramid pooling: the greatest values over windows of several sizes, side by side.
//!
//! ```text
//! spp       y = [x, max_k1(x), max_k2(x), ...]                  windows k x k, stride 1, same size
//! sppf      y = [x, m, max_k(m), max_k(max_k(m)), ...]          m = max_k(x)
//! spp_bins  y = [max over b x b cells of x, for each b]         flattened: any map to one length
//! ```
//!
//! A window of 5 over a window of 5 sees 9: `sppf` with 5 three times is `spp` with 5, 9 and 13.
//!
//! Papers: He, Zhang, Ren, Sun, *Spatial Pyramid Pooling in Deep Convolutional Networks*, ECCV 2014,
//! arXiv:1406.4729 (the bins); the windows are YOLOv3-SPP's and YOLOv4's, arXiv:2004.10934.
//! Departures: none. Parameters: none; the convolutions around it in YOLO are the network's.

use std::sync::Arc;

use striate_tensor::autograd::{is_grad_enabled, scope};
use striate_tensor::{PoolOptions, Result, Tensor};

use crate::util::{at_least_one, invalid};
use crate::{Layer, Module, VarBuilder, Visitor};

/// The greatest of each `k` by `k` window around a place.
fn max(x: &Tensor, k: usize) -> Result<Tensor> {
    x.max_pool2d(PoolOptions::new(k).stride(1).padding(k / 2))
}

fn check_odd(layer: &'static str, field: &'static str, k: usize) -> Result<()> {
    if k % 2 == 1 {
        return Ok(());
    }
    Err(invalid(
        layer,
        field,
        k,
        "a window must be odd, so that the size stays",
    ))
}

fn join(maps: &[Tensor]) -> Result<Tensor> {
    Tensor::cat(&maps.iter().collect::<Vec<_>>(), 1)
}

/// Windows of several sizes.
#[derive(Debug)]
pub struct Spp {
    path: Arc<str>,
    kernel_sizes: Vec<usize>,
}

impl Spp {
    /// Windows of these sizes, usually 5, 9 and 13.
    ///
    /// # Errors
    /// There is none, or one is even.
    pub fn new(kernel_sizes: impl Into<Vec<usize>>, vb: &VarBuilder) -> Result<Self> {
        let kernel_sizes = kernel_sizes.into();
        let check = || {
            at_least_one("Spp", "kernel_sizes", kernel_sizes.len())?;
            kernel_sizes
                .iter()
                .try_for_each(|&k| check_odd("Spp", "kernel_sizes", k))
        };
        check().map_err(|e| e.at(vb.path()))?;
        Ok(Self {
            path: Arc::clone(vb.path()),
            kernel_sizes,
        })
    }
}

impl Layer for Spp {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for Spp {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C * (1 + sizes), H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            // Growing a window from the one before gives the same maxima. Among equal ones the gradient
            // would go to another, so that with gradients each window looks at the input itself.
            let grow = !(x.tracks_grad() && is_grad_enabled());
            let mut maps = vec![x.clone()];
            let (mut last, mut size) = (x.clone(), 1);
            for &k in &self.kernel_sizes {
                maps.push(if grow && k >= size {
                    last = max(&last, k - size + 1)?;
                    size = k;
                    last.clone()
                } else {
                    max(x, k)?
                });
            }
            join(&maps)
        })
    }
}

/// One window applied again and again.
#[derive(Debug)]
pub struct Sppf {
    path: Arc<str>,
    kernel_size: usize,
    repeats: usize,
}

impl Sppf {
    /// A window of this size, usually 5, applied `repeats` times, usually 3.
    ///
    /// # Errors
    /// The window is even, or it is never applied.
    pub fn new(kernel_size: usize, repeats: usize, vb: &VarBuilder) -> Result<Self> {
        let check = || {
            check_odd("Sppf", "kernel_size", kernel_size)?;
            at_least_one("Sppf", "repeats", repeats)
        };
        check().map_err(|e| e.at(vb.path()))?;
        Ok(Self {
            path: Arc::clone(vb.path()),
            kernel_size,
            repeats,
        })
    }
}

impl Layer for Sppf {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for Sppf {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C * (1 + repeats), H, W]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let mut maps = vec![x.clone()];
            let mut last = x.clone();
            for _ in 0..self.repeats {
                last = max(&last, self.kernel_size)?;
                maps.push(last.clone());
            }
            join(&maps)
        })
    }
}

/// Grids of several sizes, as one row: what lets a classifier take maps of any size.
#[derive(Debug)]
pub struct SppBins {
    path: Arc<str>,
    bins: Vec<usize>,
}

impl SppBins {
    /// Grids with these numbers of cells on a side; the paper's has 1, 2, 3 and 6.
    ///
    /// # Errors
    /// There is none, or one has no cell.
    pub fn new(bins: impl Into<Vec<usize>>, vb: &VarBuilder) -> Result<Self> {
        let bins = bins.into();
        let check = || {
            at_least_one("SppBins", "bins", bins.len())?;
            bins.iter()
                .try_for_each(|&b| at_least_one("SppBins", "bins", b))
        };
        check().map_err(|e| e.at(vb.path()))?;
        Ok(Self {
            path: Arc::clone(vb.path()),
            bins,
        })
    }
}

impl Layer for SppBins {
    fn visit(&self, _: &mut dyn Visitor) {}
}

impl Module for SppBins {
    /// # Shapes
    /// `[N, C, H, W] -> [N, C * (sum of the squares of the bins)]`
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        scope(&self.path, || {
            let cells = |&b: &usize| x.adaptive_max_pool2d(b)?.flatten(1, 3);
            join(&self.bins.iter().map(cells).collect::<Result<Vec<_>>>()?)
        })
    }
}
