//! Pooling and blurred maxima, with their gradients.

use crate::{Outcome, count, numbers};
use std::hint::black_box;
use striate_kernels::geometry::{AdaptivePoolGeometry, PadMode, PoolGeometry, PoolWindow};
use striate_kernels::max_blur::{self, MaxBlurGeometry};
use striate_kernels::pool::{self, Divisor};
use striate_kernels::view::{View, ViewMut};
use striate_simd::Level;

pub(crate) fn run(level: Level) -> Outcome {
    for channels in [3, 40, 64] {
        let input = [1, channels, 13, 13];
        windows(level, input)?;
        adaptive(level, input)?;
        blurred(level, input)?;
    }
    Ok(())
}

fn windows(level: Level, input: [usize; 4]) -> Outcome {
    for window in [
        PoolWindow::new(2, 2),
        PoolWindow::new(3, 2),
        PoolWindow::new(5, 1),
    ] {
        let g = PoolGeometry::new("pool", input, window)?;
        let (x, mut dx) = (numbers(count(input)), vec![0.0; count(input)]);
        let (mut y, mut taps) = (vec![0.0; g.output_len()], vec![0_u8; g.output_len()]);
        let x = View::nhwc(&x, input)?;
        let dx = &mut ViewMut::nhwc(&mut dx, input)?;
        let y = &mut ViewMut::nhwc(&mut y, g.output())?;
        let taps = &mut ViewMut::nhwc(&mut taps, g.output())?;
        pool::max(level, &g, &x, y, None)?;
        pool::max(level, &g, &x, y, Some(taps))?;
        pool::max_backward(level, &g, &taps.as_view(), &y.as_view(), dx)?;
        for divisor in [Divisor::IncludePad, Divisor::ExcludePad] {
            pool::average(level, &g, divisor, &x, y)?;
            pool::average_backward(level, &g, divisor, &y.as_view(), dx)?;
        }
        black_box(dx);
    }
    Ok(())
}

fn adaptive(level: Level, input: [usize; 4]) -> Outcome {
    for output in [[1; 2], [5; 2]] {
        let g = AdaptivePoolGeometry::new("pool", input, output)?;
        let (x, mut dx) = (numbers(count(input)), vec![0.0; count(input)]);
        let (mut y, mut places) = (vec![0.0; g.output_len()], vec![0; g.output_len()]);
        let x = View::nhwc(&x, input)?;
        let dx = &mut ViewMut::nhwc(&mut dx, input)?;
        let y = &mut ViewMut::nhwc(&mut y, g.output())?;
        let places = &mut ViewMut::nhwc(&mut places, g.output())?;
        pool::adaptive_average(level, &g, &x, y)?;
        pool::adaptive_average_backward(level, &g, &y.as_view(), dx)?;
        pool::adaptive_max(level, &g, &x, y, Some(places))?;
        pool::adaptive_max_backward(level, &g, &places.as_view(), &y.as_view(), dx)?;
        black_box(dx);
    }
    Ok(())
}

fn blurred(level: Level, input: [usize; 4]) -> Outcome {
    for (side, padding) in [(3, PadMode::Reflect), (5, PadMode::Zeros)] {
        let (window, taps, stride) = (PoolWindow::new(2, 1), [side; 2], [2; 2]);
        let g = MaxBlurGeometry::new("max_blur", input, window, taps, stride, [0; 2], padding)?;
        let (x, mut dx) = (numbers(count(input)), vec![0.0; count(input)]);
        let (mut y, mut taps) = (vec![0.0; count(g.output())], vec![0_u8; count(g.maxima())]);
        let x = View::nhwc(&x, input)?;
        let dx = &mut ViewMut::nhwc(&mut dx, input)?;
        let y = &mut ViewMut::nhwc(&mut y, g.output())?;
        let taps = &mut ViewMut::nhwc(&mut taps, g.maxima())?;
        max_blur::forward(level, &g, &x, y, None)?;
        max_blur::forward(level, &g, &x, y, Some(taps))?;
        max_blur::backward(level, &g, &taps.as_view(), &y.as_view(), dx)?;
        black_box(dx);
    }
    Ok(())
}
