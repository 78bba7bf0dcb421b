//! Mixtures of rows and of maps, and their gradients.

use crate::{Outcome, numbers};
use std::hint::black_box;
use striate_kernels::mixture::{Maps, Mixture, mix, mix_maps, mix_maps_backward, products};
use striate_simd::Level;

pub(crate) fn run(level: Level) -> Outcome {
    for (samples, rows) in [(1, 4), (5, 3)] {
        let m = Mixture {
            samples,
            rows,
            len: 1000,
        };
        let (mut a, w) = (numbers(samples * rows), numbers(rows * m.len));
        let mut y = vec![0.0; samples * m.len];
        mix(level, &m, &a, &w, &mut y)?;
        products(level, &m, &y, &w, &mut a)?;
        black_box(&mut a);
    }
    for channels in [40, 64] {
        let g = Maps {
            samples: 2,
            maps: 3,
            places: 30,
            channels,
        };
        let len = g.samples * g.places * channels;
        let (x, a) = (
            numbers(g.maps * len),
            numbers(g.samples * g.maps * channels),
        );
        let (mut y, mut da, mut dx) = (vec![0.0; len], vec![0.0; a.len()], vec![0.0; x.len()]);
        mix_maps(level, &g, &[&x], &a, &mut y)?;
        mix_maps_backward(level, &g, &[&x], &a, &y, &mut [&mut dx], &mut da)?;
        let apart: Vec<&[f32]> = x.chunks_exact(len).collect();
        mix_maps(level, &g, &apart, &a, &mut y)?;
        let mut gradients: Vec<&mut [f32]> = dx.chunks_exact_mut(len).collect();
        mix_maps_backward(level, &g, &apart, &a, &y, &mut gradients, &mut da)?;
        black_box((&mut dx, &mut da));
    }
    Ok(())
}
