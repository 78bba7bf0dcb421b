//! Normalisation: subtract a mean, divide by a standard deviation, scale and shift per channel.
//!
//! ```text
//! y = (x - mean) / sqrt(var + epsilon) * weight + bias
//! ```
//!
//! They differ in what shares a mean and a (biased) variance:
//!
//! | module | shared by | weight per |
//! |---|---|---|
//! | [`batch`] | a channel of all images | channel |
//! | [`group`] | the channels of a group of one image (instance norm: one channel a group) | channel |
//! | [`layer`] | a row | element of a row |
//!
//! [`modulate`] is the last step by itself, for normalisations that are built from others.

mod apply;
pub mod batch;
mod columns;
mod geometry;
pub mod group;
pub mod layer;
pub mod modulate;
pub(crate) mod reference;
mod rows;
mod vector;

#[cfg(test)]
mod tests;

pub use geometry::{Affine, After, NormGeometry, Statistics, Upstream};
