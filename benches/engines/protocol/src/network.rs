//! The whole networks of `benches/shapes/models.json` and `train.json`, and their numbers, drawn like those of `../case.py`.

use serde::Deserialize;

use crate::case::fill;

/// Of a step of training.
pub const LEARNING_RATE: f64 = 0.01;
/// Of a step of training.
pub const MOMENTUM: f64 = 0.9;

/// A network with its weights.
#[derive(Clone, Debug, Deserialize)]
pub struct Network {
    /// Its name in striate's registry.
    pub network: String,
    /// `[N, C, H, W]`.
    pub shape: [usize; 4],
    /// The file with the weights, by PyTorch's names.
    pub weights: String,
    /// The file with the network as an ONNX model, weights inside.
    #[serde(default)]
    pub onnx: String,
}

impl Network {
    /// The images, as far from 0 as normalised ones are.
    #[must_use]
    pub fn input(&self) -> Vec<f32> {
        fill(self.shape.iter().product(), 20, 3.5)
    }

    /// The class of each image, of ImageNet's thousand.
    #[must_use]
    pub fn labels(&self) -> Vec<i64> {
        let label = |i: usize| (i * 131 % 1000) as i64;
        (0..self.shape[0]).map(label).collect()
    }
}
