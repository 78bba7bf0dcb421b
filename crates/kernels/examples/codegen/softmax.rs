//! Softmax and its kin, along lines and across them, with their gradients.

use crate::{Outcome, numbers};
use std::hint::black_box;
use striate_kernels::softmax::{
    AxisGeometry, log_softmax, log_softmax_backward, logsumexp, softmax, softmax_backward,
};
use striate_simd::Level;

pub(crate) fn run(level: Level) -> Outcome {
    for [outer, len, inner] in [[5, 83, 1], [2, 9, 83]] {
        let g = AxisGeometry::new(outer, len, inner)?;
        let x = numbers(g.total());
        let [mut y, mut dx] = [(); 2].map(|()| vec![0.0; g.total()]);
        let mut sums = vec![0.0; outer * inner];
        softmax(level, &g, &x, &mut y)?;
        softmax_backward(level, &g, &y, &x, &mut dx)?;
        log_softmax(level, &g, &x, &mut y)?;
        log_softmax_backward(level, &g, &y, &x, &mut dx)?;
        logsumexp(level, &g, &x, &mut sums)?;
        black_box((&mut dx, &mut sums));
    }
    Ok(())
}
