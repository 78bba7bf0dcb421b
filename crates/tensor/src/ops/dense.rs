//! Tensors without gaps in memory, in whatever order.

use striate_kernels::softmax::AxisGeometry;

use crate::dtype::match_dtype;
use crate::layout::Layout;
use crate::{Result, Tensor};

/// The tensor without gaps: itself if it is so in whatever order, else a row-major copy.
pub(crate) fn dense(x: &Tensor) -> Result<Tensor> {
    if x.layout().is_dense() {
        Ok(x.clone())
    } else {
        x.contiguous()
    }
}

/// The elements in the memory order of a dense layout of the same shape. Not recorded.
pub(crate) fn in_order_of(x: &Tensor, layout: &Layout) -> Result<Tensor> {
    if x.layout().same_order(layout) {
        return Ok(x.detach());
    }
    let layout = Layout::dense_like("in_order_of", x.shape(), layout)?;
    match_dtype!(x.dtype(), T => Ok(Tensor::from_parts(x.copy_into_layout::<T>(&layout)?, layout)))
}

/// A copy whose dimensions are nested in memory as those of `like`, unless they are so already or the ranks differ: rows
/// of several operands are read side by side only where all are in one order. Not recorded.
pub(crate) fn renested(x: &Tensor, like: &Layout) -> Result<Option<Tensor>> {
    if x.rank() != like.rank() || x.layout().nests_like(like) {
        return Ok(None);
    }
    let layout = Layout::dense_like("renested", x.shape(), like)?;
    in_order_of(x, &layout).map(Some)
}

/// A dense tensor's memory as `[outer, dim, inner]`.
pub(crate) fn axis_in_memory(x: &Tensor, dim: usize) -> Result<AxisGeometry> {
    let order = x.layout().memory_order();
    let at = order.iter().position(|&d| d == dim).unwrap_or(0);
    let product = |dims: &[usize]| dims.iter().map(|&d| x.shape()[d]).product();
    Ok(AxisGeometry::new(
        product(&order[..at]),
        x.shape()[dim],
        product(&order[at + 1..]),
    )?)
}
