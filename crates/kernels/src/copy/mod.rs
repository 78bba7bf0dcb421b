//! Copies between arrays of different strides: layout conversion, slices, concatenation.
//!
//! The strides decide how: runs that are contiguous in both arrays are copied as such; where the two innermost loops are a
//! transposition, as between channels first and channels last, square tiles are; anything else goes element by element.

mod square;
mod transpose;

#[cfg(test)]
mod tests;

pub(crate) use square::transpose_square;

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
    if nest.columns().strides == [1, 1] {
        copy_runs(nest, src, dst);
    } else if transpose::applies(nest) {
        transpose::run(nest, src, dst);
    } else {
        nest.for_each_part(dst, 1, |dst, origin, positions| {
            for_each_element(nest, positions, |[o, i]| dst[o - origin] = src[i]);
        });
    }
    Ok(())
}

/// Copies rows that are contiguous in both arrays.
fn copy_runs<T: Copy + Send + Sync>(nest: &LoopNest<2>, src: &[T], dst: &mut [T]) {
    let [dst_step, src_step] = nest.rows().strides;
    nest.for_each_part(dst, 1, |dst, origin, positions| {
        nest.for_each_tile(positions, |tile| {
            for r in 0..tile.rows {
                let to = tile.offsets[0] - origin + r * dst_step;
                let from = tile.offsets[1] + r * src_step;
                let run = &src[from..from + tile.columns];
                dst[to..to + tile.columns].copy_from_slice(run);
            }
        });
    });
}
