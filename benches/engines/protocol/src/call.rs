//! The operations of `benches/shapes/ops.json` and the modules of `modules.json`, and their numbers, drawn like those of
//! `../case.py`.

use serde::Deserialize;
use serde_json::Value;

use crate::case::fill;

/// A function of tensors.
#[derive(Clone, Debug, Deserialize)]
pub struct Operation {
    /// Its name.
    pub op: String,
    /// What it takes beside tensors.
    pub attributes: Value,
    /// Its inputs.
    pub given: Vec<Given>,
}

/// An input of an operation.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Given {
    /// So many regions of the first input.
    Regions {
        /// Their number.
        regions: usize,
    },
    /// Numbers in `offset + [-scale/2, scale/2)`.
    Numbers {
        /// Shape of the tensor.
        shape: Vec<usize>,
        /// Width of the range.
        scale: f64,
        /// Middle of the range.
        offset: f64,
    },
}

/// A module of the catalogue.
#[derive(Clone, Debug, Deserialize)]
pub struct Plugin {
    /// Its name.
    pub module: String,
    /// Its arguments.
    pub config: Value,
    /// Shapes of its inputs.
    pub shapes: Vec<Vec<usize>>,
}

impl Operation {
    /// Shape and numbers of each input.
    #[must_use]
    pub fn inputs(&self) -> Vec<(Vec<usize>, Vec<f32>)> {
        let draw = |(given, seed): (&Given, u32)| match given {
            Given::Regions { regions } => (vec![*regions, 5], self.regions(*regions, seed)),
            Given::Numbers {
                shape,
                scale,
                offset,
            } => {
                let mut numbers = fill(shape.iter().product(), seed, *scale as f32);
                numbers.iter_mut().for_each(|x| *x += *offset as f32);
                (shape.clone(), numbers)
            }
        };
        self.given.iter().zip(20..).map(draw).collect()
    }

    /// Rows of an image's number, left, top, right and bottom, within the first input.
    fn regions(&self, count: usize, seed: u32) -> Vec<f32> {
        let (h, w) = match self.given.first() {
            Some(Given::Numbers { shape, .. }) if shape.len() == 4 => (shape[2], shape[3]),
            _ => (0, 0),
        };
        let numbers = fill(4 * count, seed, 1.0);
        let region = |drawn: &[f32]| {
            let place = |i: usize| (drawn[i] + 0.5) * 0.6;
            let size = |i: usize| 0.04 + (drawn[i] + 0.5) * 0.32;
            let (x, y) = (place(0), place(1));
            let (w, h) = (w as f32, h as f32);
            [0.0, x * w, y * h, (x + size(2)) * w, (y + size(3)) * h]
        };
        numbers.chunks_exact(4).flat_map(region).collect()
    }
}

impl Plugin {
    /// Shape and numbers of each input.
    #[must_use]
    pub fn inputs(&self) -> Vec<(Vec<usize>, Vec<f32>)> {
        let draw = |(shape, seed): (&Vec<usize>, u32)| {
            (shape.clone(), fill(shape.iter().product(), seed, 2.0))
        };
        self.shapes.iter().zip(20..).map(draw).collect()
    }

    /// The numbers of the parameter at that place in the order of names.
    #[must_use]
    pub fn parameter(place: usize, name: &str, shape: &[usize]) -> Vec<f32> {
        let (len, seed) = (shape.iter().product(), 100 + place as u32);
        if shape.len() > 1 {
            let fan: usize = shape[1..].iter().product();
            return fill(len, seed, 2.0 / (fan as f32).sqrt());
        }
        let middle = if name.ends_with("weight") { 1.0 } else { 0.0 };
        let mut numbers = fill(len, seed, 0.5);
        numbers.iter_mut().for_each(|x| *x += middle);
        numbers
    }
}
