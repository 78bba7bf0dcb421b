//! Convolutions and their gradients, by every algorithm that accepts them.

use crate::{Outcome, numbers};
use std::hint::black_box;
use striate_kernels::conv2d::{self, Conv2dGeometry, PackedWeights, candidates};
use striate_kernels::epilogue::{Activation, Epilogue};
use striate_kernels::geometry::Layout;
use striate_kernels::{Accuracy, Policy};
use striate_simd::Level;

/// A convolution: channels in and out, groups, kernel, stride, dilation.
type Shape = ([usize; 3], [usize; 2], usize, usize);

const SHAPES: [Shape; 24] = [
    // Few channels in.
    ([1, 48, 1], [3, 3], 1, 1),
    ([2, 48, 1], [3, 3], 1, 1),
    ([3, 48, 1], [3, 3], 1, 1),
    ([3, 32, 1], [7, 7], 2, 1),
    // Few channels out.
    ([32, 1, 1], [3, 3], 1, 1),
    ([32, 5, 1], [3, 3], 1, 1),
    // Three by three, and what is left of larger kernels by a stride.
    ([32, 48, 1], [3, 3], 1, 1),
    ([32, 48, 1], [3, 3], 2, 1),
    ([32, 48, 1], [4, 4], 2, 1),
    ([32, 48, 1], [3, 3], 1, 2),
    // Rows, columns, points, large distances.
    ([32, 48, 1], [1, 1], 1, 1),
    ([32, 48, 1], [1, 1], 2, 1),
    ([32, 48, 1], [1, 5], 1, 1),
    ([32, 48, 1], [5, 1], 1, 1),
    ([32, 48, 1], [3, 3], 1, 12),
    // Groups, narrow and wide.
    ([32, 32, 8], [3, 3], 1, 1),
    ([32, 64, 2], [3, 3], 1, 1),
    ([32, 64, 2], [1, 1], 1, 1),
    // Depthwise.
    ([40, 40, 40], [3, 3], 1, 1),
    ([40, 40, 40], [3, 3], 2, 1),
    ([40, 40, 40], [5, 5], 1, 1),
    ([40, 40, 40], [7, 7], 1, 1),
    ([40, 40, 40], [3, 3], 1, 3),
    ([40, 80, 40], [3, 3], 1, 1),
];

/// The three passes by the algorithms that are chosen.
fn passes(policy: Policy, g: &Conv2dGeometry) -> Outcome {
    let (x, w) = (numbers(g.x_len()), numbers(g.weight_len()));
    let [mut y, mut dx, mut dw] = [g.y_len(), g.x_len(), g.weight_len()].map(|len| vec![0.0; len]);
    let mut db = vec![0.0; g.out_channels()];
    conv2d::forward(policy, g, &x, &w, &Epilogue::NONE, &mut y)?;
    conv2d::backward_input(policy, g, &y, &w, &mut dx)?;
    conv2d::backward_weight(policy, g, &x, &y, &mut dw)?;
    conv2d::backward_bias(policy.level, g, &y, &mut db)?;
    black_box((&mut dx, &mut dw, &mut db));
    conv2d::forward_nchw(policy, g, &x, &w, &Epilogue::NONE, &mut y)?;
    conv2d::backward_weight_nchw(policy, g, &x, &y, &mut dw)?;
    black_box((&mut y, &mut dw));
    Ok(())
}

/// The forward pass by every algorithm, with a long way to the memory.
fn algorithms(policy: Policy, g: &Conv2dGeometry) -> Outcome {
    let (x, w) = (numbers(g.x_len()), numbers(g.weight_len()));
    let (residual, bias) = (numbers(g.y_len()), numbers(g.out_channels()));
    let epilogue = Epilogue::NONE
        .scale(Some(&bias))
        .bias(Some(&bias))
        .residual(Some(&residual))
        .activation(Activation::Silu);
    let mut y = vec![0.0; g.y_len()];
    for input in [Layout::Nhwc, Layout::Nchw] {
        for candidate in candidates(policy, g, input) {
            let (level, algorithm) = (policy.level, candidate.algorithm);
            let packed = PackedWeights::with_algorithm(level, g, input, &w, algorithm)?;
            packed.forward(g, &x, &epilogue, &mut y)?;
            let moments = packed.forward_with_statistics(g, &x, &Epilogue::NONE, &mut y)?;
            black_box((&mut y, moments));
        }
    }
    let packed = PackedWeights::new(policy, g, Layout::Nhwc, &w)?;
    let gate = numbers(g.in_channels());
    packed.forward_gated(g, &x, &gate, &epilogue, &mut y)?;
    black_box(&mut y);
    Ok(())
}

pub(crate) fn run(level: Level) -> Outcome {
    let accuracies = [Accuracy::Fast, Accuracy::Strict];
    for (shape, accuracy) in SHAPES.into_iter().flat_map(|s| accuracies.map(|a| (s, a))) {
        let ([inputs, outputs, groups], kernel, stride, dilation) = shape;
        let (size, [above, left]) = ([24; 2], kernel.map(|taps| dilation * (taps - 1) / 2));
        let g = Conv2dGeometry::new(
            1,
            inputs,
            size,
            outputs,
            kernel,
            [stride; 2],
            [above, above, left, left],
            [dilation; 2],
            groups,
        )?;
        let policy = Policy { level, accuracy };
        passes(policy, &g)?;
        algorithms(policy, &g)?;
    }
    Ok(())
}
