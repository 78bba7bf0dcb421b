//! The layers that everything else is made of.

mod activation;
mod sequential;
mod shape;

pub use activation::Activation;
pub use sequential::Sequential;
pub use shape::{Flatten, Identity};
