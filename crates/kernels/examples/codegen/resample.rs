//! Resizing and blurring, with their gradients.

use crate::{Outcome, count, numbers};
use std::hint::black_box;
use striate_kernels::geometry::{BlurGeometry, Interpolation, Layout, PadMode, ResizeGeometry};
use striate_kernels::resample::{blur, blur_backward, resize, resize_backward};
use striate_kernels::view::{View, ViewMut};
use striate_simd::Level;

pub(crate) fn run(level: Level) -> Outcome {
    for (channels, layout) in [(3, Layout::Nhwc), (40, Layout::Nhwc), (5, Layout::Nchw)] {
        let input = [1, channels, 12, 12];
        for output in [[24; 2], [7; 2]] {
            for interpolation in [
                Interpolation::Nearest,
                Interpolation::Bilinear {
                    align_corners: false,
                },
                Interpolation::Bicubic {
                    align_corners: false,
                },
            ] {
                let g = ResizeGeometry::new("resize", input, output, interpolation)?;
                let (x, mut dx) = (numbers(count(input)), vec![0.0; count(input)]);
                let mut y = vec![0.0; count(g.output())];
                let y = &mut ViewMut::dense(&mut y, g.output(), layout)?;
                let dx = &mut ViewMut::dense(&mut dx, input, layout)?;
                resize(level, &g, &View::dense(&x, input, layout)?, y)?;
                resize_backward(level, &g, &y.as_view(), dx)?;
                black_box(dx);
            }
        }
        for side in [2, 3, 5, 7] {
            let (taps, stride) = ([side; 2], [2; 2]);
            let g = BlurGeometry::new("blur", input, taps, stride, [0; 2], PadMode::Reflect)?;
            let (x, mut dx) = (numbers(count(input)), vec![0.0; count(input)]);
            let mut y = vec![0.0; count(g.output())];
            let y = &mut ViewMut::dense(&mut y, g.output(), layout)?;
            let dx = &mut ViewMut::dense(&mut dx, input, layout)?;
            blur(level, &g, &View::dense(&x, input, layout)?, y)?;
            blur_backward(level, &g, &y.as_view(), dx)?;
            black_box(dx);
        }
    }
    Ok(())
}
