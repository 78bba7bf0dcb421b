//! Deformable convolution, with and without factors, and its gradients.

use crate::{Outcome, count, numbers};
use std::hint::black_box;
use striate_kernels::conv2d::Conv2dGeometry;
use striate_kernels::deform_conv2d::{
    DeformConv2dGeometry, Inputs, PackedWeights, backward_input, backward_weight, forward,
};
use striate_simd::Level;

pub(crate) fn run(level: Level) -> Outcome {
    for (channels, groups, offset_groups) in [(32, 1, 1), (64, 2, 4)] {
        let size = [10; 2];
        let conv = Conv2dGeometry::new(
            1, channels, size, 48, [3; 2], [1; 2], [1; 4], [1; 2], groups,
        )?;
        let g = DeformConv2dGeometry::new(conv, offset_groups)?;
        let (x, w) = (numbers(conv.x_len()), numbers(conv.weight_len()));
        let [offset, factors] = [g.offset_shape(), g.mask_shape()].map(|s| numbers(count(s)));
        let weights = PackedWeights::new(level, &g, &w)?;
        let [mut y, mut dx, mut doffset, mut dmask, mut dw] = [
            conv.y_len(),
            conv.x_len(),
            offset.len(),
            factors.len(),
            conv.weight_len(),
        ]
        .map(|len| vec![0.0; len]);
        for mask in [None, Some(&factors[..])] {
            let inputs = Inputs {
                x: &x,
                offset: &offset,
                mask,
            };
            forward(level, &g, &inputs, &weights, None, &mut y)?;
            backward_input(
                level,
                &g,
                &inputs,
                &w,
                &y,
                [&mut dx, &mut doffset, &mut dmask],
            )?;
            backward_weight(level, &g, &inputs, &y, &mut dw)?;
            black_box((&mut dx, &mut doffset, &mut dmask, &mut dw));
        }
    }
    Ok(())
}
