//! 2-D convolution and its gradients.

mod geometry;
pub mod reference;

pub use geometry::Conv2dGeometry;
