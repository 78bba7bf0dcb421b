//! Loops over tensors of one shape, and the slow but general way to fill a tensor with them.

use striate_kernels::nest::LoopNest;
use striate_simd::Buffer;

use crate::layout::Layout;
use crate::{Element, Result, Tensor};

/// The loops over operands of one shape; the first is the one that is written.
pub(crate) fn nest<const K: usize>(op: &'static str, layouts: [&Layout; K]) -> Result<LoopNest<K>> {
    Ok(LoopNest::new(
        op,
        layouts[0].shape(),
        layouts.map(Layout::strides),
    )?)
}

/// Calls `f` with the offsets of each element in every operand.
pub(crate) fn for_each<const K: usize>(nest: &LoopNest<K>, mut f: impl FnMut([usize; K])) {
    let (rows, columns) = (nest.rows().strides, nest.columns().strides);
    nest.for_each_tile(0..nest.len(), |tile| {
        for row in 0..tile.rows {
            let start: [usize; K] = std::array::from_fn(|k| tile.offsets[k] + row * rows[k]);
            for column in 0..tile.columns {
                f(std::array::from_fn(|k| start[k] + column * columns[k]));
            }
        }
    });
}

/// `f(x)` for each element, in the memory order of `x`.
pub(crate) fn map<T: Element, U: Element>(
    op: &'static str,
    x: &Tensor,
    f: impl Fn(T) -> U,
) -> Result<Tensor> {
    let layout = Layout::dense_like(op, x.shape(), x.layout())?;
    let memory = x.memory::<T>()?;
    let mut out = Buffer::recycled(layout.numel())?;
    for_each(&nest(op, [&layout, x.layout()])?, |[o, i]| {
        out[o] = f(memory[i]);
    });
    Ok(Tensor::from_parts(out, layout))
}

/// `f(a, b)` for each pair of elements, with broadcasting.
pub(crate) fn zip<T: Element, U: Element>(
    op: &'static str,
    a: &Tensor,
    b: &Tensor,
    f: impl Fn(T, T) -> U,
) -> Result<Tensor> {
    let [la, lb, layout] = crate::layout::broadcast_layouts(op, a.layout(), b.layout())?;
    let (am, bm) = (a.memory::<T>()?, b.memory::<T>()?);
    let mut out = Buffer::recycled(layout.numel())?;
    for_each(&nest(op, [&layout, &la, &lb])?, |[o, i, j]| {
        out[o] = f(am[i], bm[j]);
    });
    Ok(Tensor::from_parts(out, layout))
}
