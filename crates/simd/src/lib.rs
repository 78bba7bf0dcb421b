//! SIMD levels of striate: tokens, vectors, dispatch and aligned buffers.
//!
//! A kernel is written once, as a function generic over a token `S: Simd`, and runs on every level
//! this crate knows: `avx512`, `avx2`, `neon`, `portable` and (behind the feature `scalar`)
//! `scalar`. The token is the proof that the CPU has the features; only detection makes one, so the
//! vector operations are safe to call.
//!
//! ```
//! use striate_simd::{Level, Simd, dispatch};
//!
//! /// y += a * x
//! #[inline(always)]
//! fn axpy<S: Simd>(s: S, a: f32, x: &[f32], y: &mut [f32]) {
//!     let a = s.splat(a);
//!     for (x, y) in x.chunks(S::LANES).zip(y.chunks_mut(S::LANES)) {
//!         let sum = s.mul_add(a, s.load_partial(x), s.load_partial(y));
//!         s.store_partial(sum, y);
//!     }
//! }
//!
//! let level = Level::selected()?;
//! let mut y = [1.0; 3];
//! dispatch!(level, s => axpy(s, 2.0, &[1.0, 2.0, 3.0], &mut y));
//! assert_eq!(y, [3.0, 5.0, 7.0]);
//! # Ok::<(), striate_simd::LevelError>(())
//! ```
//!
//! # The one pitfall
//!
//! CPU features belong to a function and do not travel through a call. Everything between
//! [`dispatch!`] and the vector operation must therefore be `#[inline(always)]`: generic functions,
//! and closures too (`#[inline(always)] |x| ...`). Forgetting one keeps the result right and turns
//! every vector operation into a function call. For the same reason threads are started outside and
//! `dispatch!` is entered inside, once per tile.
//!
//! # Adding an operation
//!
//! 1. Declare it in `simd.rs`, with its meaning for NaN, infinities and signed zeros.
//! 2. Define it in `scalar.rs`, then in the other levels.
//! 3. Test it in `tests/ops/`: every level against `f32` arithmetic, special values included.
//!
//! An instruction set is a new file with one `kernel_fn!` invocation, which owns its feature list,
//! and a variant of [`Level`].

pub mod buffer;
mod dispatch;
mod file;
mod kernel_fn;
pub mod level;
pub mod math;
pub mod memory;
mod simd;
mod stream;
pub mod test_each_level;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod fold;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(feature = "scalar")]
mod scalar;

pub use buffer::{AllocError, Buffer};
pub use file::FileBytes;
pub use level::{Level, LevelError};
pub use simd::Simd;
pub use stream::Stream;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub use neon::Neon;
pub use portable::Portable;
#[cfg(feature = "scalar")]
pub use scalar::Scalar;
