//! Gates of rows and columns, and their gradients.

use crate::{Outcome, numbers};
use std::hint::black_box;
use striate_kernels::gate::{Gate, Joint, Operands, backward, forward};
use striate_simd::Level;

pub(crate) fn run(level: Level) -> Outcome {
    for joint in [Joint::Product, Joint::Sum] {
        let (batch, rows, columns) = (2, 19, 83);
        let g = Gate {
            batch,
            rows,
            columns,
            joint,
        };
        let lens = [batch * rows * columns, batch * rows, batch * columns];
        let [x, by_row, by_column] = lens.map(numbers);
        let operands = Operands {
            x: &x,
            rows: &by_row,
            columns: &by_column,
        };
        let mut y = vec![0.0; x.len()];
        let [mut dx, mut drows, mut dcolumns] = lens.map(|len| vec![0.0; len]);
        forward(level, &g, &operands, &mut y)?;
        backward(
            level,
            &g,
            &operands,
            &y,
            [&mut dx, &mut drows, &mut dcolumns],
        )?;
        black_box((&mut dx, &mut drows, &mut dcolumns));
    }
    Ok(())
}
