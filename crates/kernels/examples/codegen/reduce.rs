//! Sums, products and moments, along rows and across them.

use crate::{Outcome, numbers};
use std::hint::black_box;
use striate_kernels::nest::row_major;
use striate_kernels::reduce::{
    ReduceGeometry, Reduction, extreme_backward, max_and_mean, moments, reduce, sum_of_products,
};
use striate_simd::Level;

pub(crate) fn run(level: Level) -> Outcome {
    let shape = [3, 50, 83];
    for axis in [1, 2] {
        let g = ReduceGeometry::new(&shape, &row_major(&shape), &[axis])?;
        let x = numbers(shape.iter().product());
        let [mut y, mut other] = [(); 2].map(|()| vec![0.0; g.output_len()]);
        let mut dx = vec![0.0; x.len()];
        for reduction in [
            Reduction::Sum,
            Reduction::Mean,
            Reduction::Min,
            Reduction::Max,
        ] {
            reduce(level, reduction, &g, &x, &mut y)?;
        }
        extreme_backward(level, &g, &x, &y, &y, None, &mut dx)?;
        max_and_mean(level, &g, &x, &mut y, &mut other)?;
        sum_of_products(level, &g, &x, &x, &mut y)?;
        moments(level, &g, &x, &mut y, &mut other)?;
        black_box((&mut y, &mut other, &mut dx));
    }
    Ok(())
}
