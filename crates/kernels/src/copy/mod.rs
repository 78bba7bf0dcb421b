//! Copies between arrays of different strides: layout conversion, slices, concatenation.

use crate::elementwise::check_reach;
use crate::elementwise::reference::for_each_element;
use crate::error::KernelError;
use crate::nest::LoopNest;

/// `dst = src`, element by element; `nest` holds the strides of `dst` and `src`, in this order.
///
/// With dense `dst` this makes an array contiguous in any order; with the strides of a part of a larger `dst` it
/// concatenates. A `src` stride of zero repeats.
///
/// # Errors
/// If a slice is shorter than its strides reach.
pub fn copy<T: Copy + Send + Sync>(
    nest: &LoopNest<2>,
    src: &[T],
    dst: &mut [T],
) -> Result<(), KernelError> {
    check_reach("copy", "dst", dst.len(), nest.extent(0))?;
    check_reach("copy", "src", src.len(), nest.extent(1))?;
    nest.for_each_part(dst, 1, |dst, origin, positions| {
        for_each_element(nest, positions, |[o, i]| dst[o - origin] = src[i]);
    });
    Ok(())
}
