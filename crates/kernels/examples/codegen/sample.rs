//! Sampling at places of a grid, and both gradients.

use crate::{Outcome, count, numbers};
use std::hint::black_box;
use striate_kernels::geometry::{SampleGeometry, SampleMode, SamplePadding};
use striate_kernels::sample::{grid_sample, grid_sample_backward_grid, grid_sample_backward_input};
use striate_kernels::view::{View, ViewMut};
use striate_simd::Level;

pub(crate) fn run(level: Level) -> Outcome {
    let modes = [
        SampleMode::Bilinear,
        SampleMode::Nearest,
        SampleMode::Bicubic,
    ];
    for (channels, mode) in [3, 40, 64].into_iter().flat_map(|c| modes.map(|m| (c, m))) {
        let (input, padding) = ([1, channels, 9, 9], SamplePadding::Zeros);
        let g = SampleGeometry::new("sample", input, [11; 2], mode, padding, false)?;
        let (x, grid) = (numbers(count(input)), numbers(count(g.grid())));
        let [mut y, mut dx, mut dgrid] =
            [g.output(), input, g.grid()].map(|shape| vec![0.0; count(shape)]);
        let (x, grid) = (View::nhwc(&x, input)?, View::nchw(&grid, g.grid())?);
        let y = &mut ViewMut::nhwc(&mut y, g.output())?;
        let dx = &mut ViewMut::nhwc(&mut dx, input)?;
        let dgrid = &mut ViewMut::nchw(&mut dgrid, g.grid())?;
        grid_sample(level, &g, &x, &grid, y)?;
        grid_sample_backward_input(level, &g, &grid, &y.as_view(), dx)?;
        grid_sample_backward_grid(level, &g, &x, &grid, &y.as_view(), dgrid)?;
        black_box((dx, dgrid));
    }
    Ok(())
}
