//! Convolutional networks on CPUs in pure Rust: train, fine-tune and serve.
#![forbid(unsafe_code)]

pub use striate_kernels as kernels;
pub use striate_layers as layers;
pub use striate_models as models;
pub use striate_simd as simd;
pub use striate_tensor as tensor;
pub use striate_train as train;

#[doc(inline)]
pub use striate_tensor::*;
