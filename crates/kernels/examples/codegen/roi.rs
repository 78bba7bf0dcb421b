//! Pooling of regions, with and without offsets, and its gradients.

use crate::{Outcome, count, numbers};
use std::hint::black_box;
use striate_kernels::roi::{
    Inputs, RoiGeometry, RoiOffsets, RoiSampling, backward_input, backward_offsets, forward,
    largest, largest_backward,
};
use striate_simd::Level;

/// Two regions of one image.
const ROIS: [f32; 10] = [0.0, 0.0, 1.0, 7.0, 8.0, 0.0, 2.0, 2.0, 9.0, 6.0];

pub(crate) fn run(level: Level) -> Outcome {
    let align = RoiSampling::Align {
        ratio: 2,
        aligned: true,
    };
    for (channels, sampling) in [
        (40, align),
        (64, RoiSampling::Pixels),
        (32, RoiSampling::Steps(2)),
    ] {
        let (input, rois) = ([1, channels, 12, 12], black_box(ROIS));
        let plain = RoiGeometry::new("roi", input, 2, [4; 2], 1.0, sampling)?;
        let moved = plain.with_offsets(
            "roi",
            RoiOffsets {
                classes: 1,
                parts: [4; 2],
                gamma: 0.1,
            },
        )?;
        let x = numbers(count(input));
        let [mut y, mut dx] = [plain.output(), input].map(|shape| vec![0.0; count(shape)]);
        for g in [plain, moved] {
            let [regions, each] = g.offset_shape();
            let inputs = Inputs {
                rois: &rois,
                offsets: &numbers(regions * each),
            };
            let mut doffsets = vec![0.0; regions * each];
            forward(level, &g, &inputs, &x, &mut y)?;
            backward_input(level, &g, &inputs, &y, &mut dx)?;
            backward_offsets(level, &g, &inputs, &x, &y, &mut doffsets)?;
            black_box((&mut dx, &mut doffsets));
        }
        largest(level, &plain, &rois, &x, &mut y)?;
        largest_backward(level, &plain, &rois, &x, &y, &mut dx)?;
        black_box(&mut dx);
    }
    Ok(())
}
