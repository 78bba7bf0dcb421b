//! Functions of one and two numbers, with the gradients of those of one.

use crate::{Outcome, numbers};
use std::hint::black_box;
use striate_kernels::elementwise::{
    Binary, BinaryGeometry, Saved, Unary, accumulate, binary, unary, unary_assign, unary_backward,
    unary_backward_assign,
};
use striate_kernels::nest::{LoopNest, row_major};
use striate_simd::Level;

const FUNCTIONS: [Unary; 21] = [
    Unary::Neg,
    Unary::Exp,
    Unary::Log,
    Unary::Sqrt,
    Unary::Rsqrt,
    Unary::Square,
    Unary::Affine {
        scale: 2.0,
        shift: 1.0,
    },
    Unary::Clamp { min: 0.0, max: 1.0 },
    Unary::Relu,
    Unary::Relu6,
    Unary::LeakyRelu { slope: 0.1 },
    Unary::Elu { alpha: 1.0 },
    Unary::Sigmoid,
    Unary::Tanh,
    Unary::Silu,
    Unary::Gelu,
    Unary::GeluTanh,
    Unary::Mish,
    Unary::HardSwish,
    Unary::HardSigmoid,
    Unary::Softplus {
        beta: 1.0,
        threshold: 20.0,
    },
];

pub(crate) fn run(level: Level) -> Outcome {
    let x = numbers(1000);
    let [mut y, mut dx] = [(); 2].map(|()| vec![0.0; x.len()]);
    for function in FUNCTIONS {
        unary(level, function, &x, &mut y)?;
        let saved = match function.saved() {
            Saved::Nothing => &[],
            Saved::Input => &x[..],
            Saved::Output => &y,
        };
        unary_backward(level, function, saved, &x, &mut dx)?;
        unary_backward_assign(level, function, saved, &mut dx)?;
        unary_assign(level, function, &mut y);
        black_box((&mut y, &mut dx));
    }
    pairs(level)
}

fn pairs(level: Level) -> Outcome {
    let shape = [3, 5, 83];
    let all = row_major(&shape);
    let (x, mut y) = (numbers(3 * 5 * 83), vec![0.0; 3 * 5 * 83]);
    // The second operand is of the same shape, a row, or a number for each row.
    for strides in [&all[..], &[0, 0, 1], &[5, 1, 0]] {
        let g = BinaryGeometry::new(&shape, &all, strides, &all)?;
        for op in [
            Binary::Add,
            Binary::Sub,
            Binary::Mul,
            Binary::Div,
            Binary::AddRelu,
        ] {
            binary(level, op, &g, &x, &x, &mut y)?;
        }
        let nest = LoopNest::new("accumulate", &shape, [strides, &all])?;
        accumulate(level, &nest, 0.5, &x, &mut y)?;
        black_box(&mut y);
    }
    Ok(())
}
