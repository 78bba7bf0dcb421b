//! Pooling of regions of interest to maps of one size: layers around the operations of the tensor.
//!
//! All take a map `[N, C, H, W]` and regions `[R, 5]` of `(image, x1, y1, x2, y2)`. Regions get no gradient: one that they
//! track is left behind, as detectors want it that learn from proposals.
//!
//! Papers: Girshick, *Fast R-CNN*, ICCV 2015, arXiv:1504.08083 ([`RoiPool`]); He et al., *Mask R-CNN*, ICCV 2017,
//! arXiv:1703.06870 ([`RoiAlign`]); Dai et al., *R-FCN*, NIPS 2016, arXiv:1605.06409 ([`PsRoiPool`], [`PsRoiAlign`]).
//! Parameters: none.

use std::sync::Arc;

use striate_tensor::autograd::scope;
use striate_tensor::{Result, RoiOptions, Tensor};

use crate::{Layer, VarBuilder, Visitor};

/// Defines a layer that applies an operation to a map and regions.
macro_rules! region_layers {
    ($($(#[$doc:meta])* $name:ident, $op:ident;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            path: Arc<str>,
            options: RoiOptions,
        }

        impl $name {
            /// The layer at the path of `vb`, which errors name.
            ///
            /// # Errors
            /// An option has no meaning.
            pub fn new(options: RoiOptions, vb: &VarBuilder) -> Result<Self> {
                options.check(stringify!($name)).map_err(|e| e.at(vb.path()))?;
                Ok(Self {
                    path: Arc::clone(vb.path()),
                    options,
                })
            }

            /// The bins of the regions `rois` of `x`.
            ///
            /// # Shapes
            #[doc = concat!("Those of [`Tensor::", stringify!($op), "`].")]
            ///
            /// # Errors
            #[doc = concat!("Those of [`Tensor::", stringify!($op), "`].")]
            pub fn forward(&self, x: &Tensor, rois: &Tensor) -> Result<Tensor> {
                scope(&self.path, || x.$op(&rois.detach(), self.options))
            }
        }

        impl Layer for $name {
            fn visit(&self, _: &mut dyn Visitor) {}
        }
    )* };
}

region_layers! {
    /// The averages of bilinear samples of the bins of regions.
    RoiAlign, roi_align;
    /// The largest pixels of the bins of regions, whose corners are rounded to pixels.
    RoiPool, roi_pool;
    /// [`RoiAlign`] with channels of its own for each bin.
    PsRoiAlign, ps_roi_align;
    /// The averages of the pixels of the bins of regions, with channels of its own for each bin.
    PsRoiPool, ps_roi_pool;
}
