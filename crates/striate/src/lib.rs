//! Convolutional networks on CPUs in pure Rust: train, fine-tune and serve.
//!
//! ```
//! use striate::prelude::*;
//!
//! let net = ResNetSmallConfig::new(1, 10)
//!     .attention(Attention::parse("cbam")?)
//!     .build(&VarBuilder::seeded(0))?;
//! let image = Tensor::zeros([1, 1, 32, 32], DType::F32)?;
//! set_training(&net, false);
//! let probabilities = no_grad(|| net.forward(&image))?.softmax(1)?;
//! assert_eq!(probabilities.shape(), [1, 10]);
//! # Ok::<(), striate::Error>(())
//! ```
//!
//! The tensor and automatic differentiation are the root of this crate ([`Tensor`], [`no_grad`], [`autograd`]); the rest are
//! modules, one for each crate behind this one:
//!
//! | module | what it has |
//! |---|---|
//! | [`prelude`] | what most programs need |
//! | [`layers`] | layers and plug-in modules, parameters by name, state dicts |
//! | [`models`] | networks with slots for plug-ins |
//! | [`train`] | data, losses, optimizers, the training loop |
//! | [`kernels`] | convolution, matrix products and the rest over slices |
//! | [`simd`] | SIMD levels and vectors |
//!
//! The one pitfall: a network is in training mode until [`set_training`](layers::set_training) says otherwise, and then its batch
//! norms use the statistics of the batch.
#![forbid(unsafe_code)]

#[cfg(doctest)]
mod pages;
pub mod prelude;

pub use striate_kernels as kernels;
pub use striate_layers as layers;
pub use striate_models as models;
pub use striate_simd as simd;
pub use striate_tensor as tensor;
pub use striate_train as train;

#[doc(inline)]
pub use striate_tensor::*;

/// The programs of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// So are those of the page on weights.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/weights.md")]
struct Weights;

/// And those of the page on networks.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/networks.md")]
struct Networks;

/// And those of the page on training.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/training.md")]
struct Training;
