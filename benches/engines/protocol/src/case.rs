//! The convolution of a line of `benches/shapes/conv.json` and its numbers, drawn like those of `../case.py`.

use serde::Deserialize;

/// A convolution. Pairs are height, then width.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    /// Its name.
    pub id: String,
    /// `conv`, or `convt` for a transposed convolution.
    pub op: String,
    /// Images.
    pub n: usize,
    /// Channels of the input.
    pub ci: usize,
    /// Height of the input.
    pub h: usize,
    /// Width of the input.
    pub w: usize,
    /// Channels of the output.
    pub co: usize,
    /// Kernel.
    pub k: [usize; 2],
    /// Stride.
    pub s: [usize; 2],
    /// Padding, the same on both sides.
    pub p: [usize; 2],
    /// Dilation.
    pub d: [usize; 2],
    /// Groups.
    pub g: usize,
    /// The file with this convolution as an ONNX model.
    #[serde(default)]
    pub onnx: String,
}

impl Case {
    /// Whether this is a transposed convolution.
    #[must_use]
    pub fn transposed(&self) -> bool {
        self.op == "convt"
    }

    /// `[N, C, H, W]`.
    #[must_use]
    pub fn input_shape(&self) -> [usize; 4] {
        [self.n, self.ci, self.h, self.w]
    }

    /// `[out, in/groups, kh, kw]`, or `[in, out/groups, kh, kw]` of a transposed convolution.
    #[must_use]
    pub fn weight_shape(&self) -> [usize; 4] {
        let [kh, kw] = self.k;
        if self.transposed() {
            [self.ci, self.co / self.g, kh, kw]
        } else {
            [self.co, self.ci / self.g, kh, kw]
        }
    }

    /// The input.
    #[must_use]
    pub fn input(&self) -> Vec<f32> {
        fill(self.input_shape().iter().product(), 1, 2.0)
    }

    /// The weights, of a size that keeps that of the values.
    #[must_use]
    pub fn weight(&self) -> Vec<f32> {
        let shape = self.weight_shape();
        let fan: usize = shape[1..].iter().product();
        fill(shape.iter().product(), 2, 2.0 / (fan as f32).sqrt())
    }

    /// The bias.
    #[must_use]
    pub fn bias(&self) -> Vec<f32> {
        fill(self.co, 3, 1.0)
    }

    /// The gradient of the output, which has `len` elements.
    #[must_use]
    pub fn output_gradient(&self, len: usize) -> Vec<f32> {
        fill(len, 4, 2.0)
    }
}

/// `len` numbers in `[-scale/2, scale/2)`, each a hash of its index and the seed.
#[must_use]
pub fn fill(len: usize, seed: u32, scale: f32) -> Vec<f32> {
    let start = seed.wrapping_mul(0x85EB_CA77);
    let number = |i: usize| {
        let mut h = (i as u32).wrapping_mul(0x9E37_79B1).wrapping_add(start);
        h ^= h >> 15;
        h = h.wrapping_mul(0x2C1B_3C6D);
        h ^= h >> 12;
        h = h.wrapping_mul(0x297A_2D39);
        h ^= h >> 15;
        ((h >> 8) as f32 / 16_777_216.0 - 0.5) * scale
    };
    (0..len).map(number).collect()
}
