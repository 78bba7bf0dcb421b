//! Compute kernels of striate: slices in, slices out.
