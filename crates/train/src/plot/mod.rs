//! Pictures of a run as SVG: the learning curves and the confusion matrix.

mod confusion;
mod curves;

use plotters::prelude::RGBColor;

pub use confusion::confusion;
pub use curves::learning_curves;

use crate::error::Error;

const INK: RGBColor = RGBColor(40, 40, 40);
const FONT: &str = "sans-serif";

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Mismatch(format!("the picture could not be drawn: {error}"))
}
