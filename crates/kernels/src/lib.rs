//! Compute kernels of striate: slices in, slices out.
//!
//! A kernel knows no tensor: it takes slices, a small descriptor that was validated once when it was built, and the SIMD
//! [`Level`](striate_simd::Level) to run on. Nothing here panics on a caller's mistake: lengths are checked on entry and
//! reported as a [`KernelError`].
//!
//! # Rules every kernel keeps
//!
//! - Work is cut into tasks by shape alone, never by the number of threads, so that a level gives the same bits on one
//!   thread and on sixty-four ([`parallel`]).
//! - `reference.rs` in each folder is the formula as loops, generic over [`real::Real`]; `f64` always runs there.
//! - Sums of many terms are taken in `f32` inside a block and in `f64` between blocks.
//!
//! # Operations and their implementations, best first
//!
//! | operation | `f32` on vectors | anything else |
//! |---|---|---|
//! | [`gemm`], [`conv2d`] (with depthwise), [`conv_transpose2d`] | see there | reference |
//! | [`elementwise`]: unary | contiguous, all but sine, cosine and powers | reference |
//! | [`elementwise`]: binary, accumulate | rows that are contiguous or repeat | reference |
//! | [`reduce`]: sum, mean, extremes, products, moments | contiguous reduced or kept rows | reference |
//! | [`reduce`]: argmax | | reference |
//! | [`softmax`] | along lines; across neighbouring lines | reference |
//! | [`attention`] | blocks with a running softmax | reference |
//! | [`norm`]: batch, group | channels-last blocks; channels-first runs | reference |
//! | [`norm`]: layer | rows | reference |
//! | [`pool`] | dense channels-last | reference, any strides |
//! | [`max_blur`] | dense channels-last | [`pool`], then [`resample`] |
//! | [`resample`] | dense channels-last or channels-first | reference, any strides |
//! | [`deform_conv2d`] | channels-last | reference |
//! | [`roi`] | channels-last | reference |
//! | [`involution`] | channels-last | reference |
//! | [`mixture`] | rows; maps | reference |
//! | [`gate`] | rows | reference |
//! | [`sample`] | dense channels-last | reference, any strides |
//! | [`copy`] | any type: contiguous runs; transposed squares | element by element |
//! | [`optim`] | one pass | reference |

mod accuracy;
mod array;
pub mod attention;
mod axis;
pub mod conv2d;
pub mod conv_transpose2d;
pub mod copy;
mod cubic;
pub mod deform_conv2d;
pub mod disjoint;
mod dwconv;
pub mod elementwise;
pub mod epilogue;
pub mod error;
mod far;
pub mod gate;
pub mod gemm;
pub mod geometry;
pub mod involution;
mod lanes;
mod layout;
pub mod max_blur;
pub mod mixture;
mod moments;
pub mod nest;
pub mod norm;
pub mod optim;
pub mod parallel;
pub mod peak;
pub mod pool;
pub mod random;
pub mod real;
pub mod reduce;
pub mod resample;
pub mod roi;
pub mod sample;
pub mod softmax;
#[cfg(test)]
mod testing;
pub mod view;
pub mod ways;

pub use accuracy::{Accuracy, Policy};
pub use error::KernelError;
