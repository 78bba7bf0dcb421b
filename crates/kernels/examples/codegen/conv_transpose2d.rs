//! Transposed convolutions and their gradients, by every algorithm that accepts them.

use crate::{Outcome, numbers};
use std::hint::black_box;
use striate_kernels::conv_transpose2d::{self, ConvTranspose2dGeometry, PackedWeights, candidates};
use striate_kernels::epilogue::Epilogue;
use striate_kernels::{Accuracy, Policy};
use striate_simd::Level;

pub(crate) fn run(level: Level) -> Outcome {
    let policy = Policy {
        level,
        accuracy: Accuracy::Fast,
    };
    // Channels in and out, groups, taps of a side, stride.
    let shapes = [
        [32, 48, 1, 2, 2],
        [32, 48, 1, 4, 2],
        [32, 48, 1, 3, 1],
        [32, 3, 1, 4, 2],
        [32, 64, 2, 3, 2],
        [40, 40, 40, 4, 2],
    ];
    for [inputs, outputs, groups, taps, stride] in shapes {
        let pad = (taps - stride) / 2;
        let g = ConvTranspose2dGeometry::new(
            1,
            inputs,
            [12; 2],
            outputs,
            [taps; 2],
            [stride; 2],
            [pad; 4],
            [0; 2],
            [1; 2],
            groups,
        )?;
        let (x, w) = (numbers(g.x_len()), numbers(g.weight_len()));
        let [mut y, mut dx, mut dw] =
            [g.y_len(), g.x_len(), g.weight_len()].map(|len| vec![0.0; len]);
        for candidate in candidates(policy, &g) {
            let packed = PackedWeights::with_algorithm(policy, &g, &w, candidate.algorithm)?;
            packed.forward(&g, &x, &Epilogue::NONE, &mut y)?;
        }
        conv_transpose2d::forward(policy, &g, &x, &w, &Epilogue::NONE, &mut y)?;
        conv_transpose2d::backward_input(policy, &g, &y, &w, &mut dx)?;
        conv_transpose2d::backward_weight(policy, &g, &x, &y, &mut dw)?;
        black_box((&mut dx, &mut dw));
    }
    Ok(())
}
