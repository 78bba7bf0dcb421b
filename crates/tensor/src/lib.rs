//! Strided NCHW tensors with autograd.
//!
//! A [`Tensor`] is a cheap handle on shared memory. Operations on tensors made by
//! [`Tensor::requires_grad`] are recorded, and [`Tensor::backward`] returns the [`Gradients`]:
//!
//! ```
//! use striate_tensor::{Philox, Result, Tensor, no_grad};
//!
//! # fn main() -> Result<()> {
//! let mut rng = Philox::new(0);
//! let x = Tensor::randn([64, 3], &mut rng)?;
//! let target = x.sum(&[1], true)?;
//! let mut w = Tensor::randn([1, 3], &mut rng)?.requires_grad(true)?;
//! for _ in 0..200 {
//!     let y = x.mul(&w)?.sum(&[1], true)?;
//!     let loss = y.sub(&target)?.square()?.mean_all()?;
//!     let grads = loss.backward()?;
//!     if let Some(grad) = grads.get(&w) {
//!         let next = no_grad(|| w.sub(&grad.mul_scalar(0.1)?))?;
//!         w = w.with_data_of(&next)?;
//!     }
//! }
//! assert!(w.to_vec::<f32>()?.iter().all(|w| (w - 1.0).abs() < 1e-3));
//! # Ok(())
//! # }
//! ```
//!
//! # Rules
//!
//! - Nothing panics: every operation returns a [`Result`] whose [`Error`] names the operation and the shapes.
//! - Shapes are logical, `[N, C, H, W]`; strides say how memory is ordered, and any strides are accepted.
//! - [`DType::F32`] is computed by the SIMD kernels of the [`current_level`], [`DType::F64`] by reference loops.
//! - Tensors do not change: [`Tensor::update_slice`] copies memory that has another reader.
//!
//! # Adding an operation
//!
//! Implement [`autograd::Function`] and run it with [`autograd::apply`]; every file in `ops` is an example.

#![forbid(unsafe_code)]

pub mod autograd;
mod construct;
mod convert;
mod dims;
mod display;
mod dtype;
mod error;
mod file;
mod layout;
mod level;
mod nest;
mod ops;
mod packs;
pub mod random;
mod shape;
mod storage;
mod tensor;

pub use autograd::{
    Function, Gradcheck, Gradients, apply, checkpoint, gradcheck, is_grad_enabled, no_grad,
};
pub use dtype::{DType, Element};
pub use error::{Error, Result};
pub use file::FileTensor;
pub use level::{current_level, with_accuracy, with_level};
pub use ops::{
    After, BatchStats, BlurOptions, Conv1dOptions, Conv2dEpilogue, Conv2dLink, Conv2dOptions,
    Conv3dOptions, ConvTranspose2dOptions, CrossEntropyOptions, Padding, Pair, Pool1dOptions,
    Pool3dOptions, PoolOptions, RoiOptions, Triple,
};
pub use random::{Philox, manual_seed, rng_state, set_rng_state, with_default_rng};
pub use shape::Shape;
pub use striate_kernels::Accuracy;
pub use striate_kernels::deform_conv2d::DeformBorder;
pub use striate_kernels::epilogue::Activation;
pub use striate_kernels::gate::Joint;
pub use striate_kernels::geometry::{
    GeometryError, Interpolation, PadMode, SampleMode, SamplePadding,
};
pub use striate_kernels::pool::Divisor;
pub use striate_simd::{Buffer, FileBytes, Level, LevelError, memory};
pub use tensor::{MemoryFormat, Tensor};
