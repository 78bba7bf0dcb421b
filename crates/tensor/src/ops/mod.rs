//! Operations, one family a file: shape rule, kernel call, forward and backward together.

mod adaptive_pool2d;
mod affine;
mod affine_grid;
mod attention;
mod attention_pool;
mod batch_norm;
mod binary;
mod blur2d;
mod cat;
mod compare;
mod conv2d;
mod conv2d_chain;
mod conv2d_fused;
mod conv2d_per_sample;
mod conv_transpose2d;
mod cross_entropy;
mod cross_entropy_soft;
mod deform_conv2d;
mod dense;
mod dropout;
mod expand;
mod extremum;
mod flip;
mod grid_sample;
mod group_norm;
mod index_select;
mod interpolate;
mod involution;
mod joint_gate;
mod layer_norm;
mod linear;
mod logsumexp;
mod matmul;
mod max_mean;
mod memory_format;
mod mix_maps;
mod mixture;
mod modulate;
mod narrow;
mod pad2d;
mod permute;
mod pool2d;
mod reshape;
mod roi;
mod round;
mod sequence;
mod softmax;
mod spatial;
mod sum;
mod sum_of_squares;
mod unary;
mod variance;
mod volume;

pub use batch_norm::{After, BatchStats};
pub use blur2d::BlurOptions;
pub use conv_transpose2d::ConvTranspose2dOptions;
pub use conv2d::Conv2dOptions;
pub use conv2d_chain::Conv2dLink;
pub use conv2d_fused::Conv2dEpilogue;
pub use cross_entropy::CrossEntropyOptions;
pub use pool2d::PoolOptions;
pub use roi::RoiOptions;
pub use sequence::{Conv1dOptions, Pool1dOptions};
pub use spatial::{Padding, Pair};
pub use volume::{Conv3dOptions, Pool3dOptions, Triple};

use crate::{Error, Result, Tensor};

/// Checks that a tensor has a dimension.
pub(crate) fn check_dim(op: &'static str, x: &Tensor, dim: usize) -> Result<()> {
    if dim < x.rank() {
        return Ok(());
    }
    let detail = format!("there is no dimension {dim} in shape {:?}", x.shape());
    Err(Error::index(op, detail))
}

/// Checks that dimensions exist and differ.
pub(crate) fn check_dims(op: &'static str, x: &Tensor, dims: &[usize]) -> Result<()> {
    for (i, &dim) in dims.iter().enumerate() {
        check_dim(op, x, dim)?;
        if dims[..i].contains(&dim) {
            let detail = format!("dimension {dim} is named twice in {dims:?}");
            return Err(Error::index(op, detail));
        }
    }
    Ok(())
}

/// Checks that operands hold the same type of element.
pub(crate) fn check_same_dtype(op: &'static str, a: &Tensor, b: &Tensor) -> Result<()> {
    if a.dtype() == b.dtype() {
        return Ok(());
    }
    let expected = format!(
        "{} like the other operand (convert with to_dtype)",
        a.dtype()
    );
    Err(Error::dtype(op, b.dtype(), expected))
}

/// Checks that an operation can compute with this type of element.
pub(crate) fn check_float(op: &'static str, x: &Tensor) -> Result<()> {
    if x.dtype().is_float() {
        return Ok(());
    }
    Err(Error::dtype(op, x.dtype(), "f32 or f64"))
}
