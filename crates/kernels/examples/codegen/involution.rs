//! Involution and its gradients.

use crate::{Outcome, numbers};
use std::hint::black_box;
use striate_kernels::conv2d::Conv2dGeometry;
use striate_kernels::involution::{InvolutionGeometry, backward_input, backward_weight, forward};
use striate_simd::Level;

pub(crate) fn run(level: Level) -> Outcome {
    for (channels, groups) in [(64, 2), (48, 12), (40, 1)] {
        let (size, kernel, pad) = ([9; 2], [3; 2], [1; 4]);
        let windows = Conv2dGeometry::new(
            1, channels, size, channels, kernel, [1; 2], pad, [1; 2], channels,
        )?;
        let g = InvolutionGeometry::new(windows, groups)?;
        let (x, w) = (numbers(windows.x_len()), numbers(g.weight_len()));
        let [mut y, mut dx, mut dw] =
            [windows.y_len(), windows.x_len(), g.weight_len()].map(|len| vec![0.0; len]);
        forward(level, &g, &x, &w, &mut y)?;
        backward_input(level, &g, &y, &w, &mut dx)?;
        backward_weight(level, &g, &x, &y, &mut dw)?;
        black_box((&mut dx, &mut dw));
    }
    Ok(())
}
