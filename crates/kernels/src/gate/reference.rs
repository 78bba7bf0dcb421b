//! The formulas as loops.

use super::{Gate, Joint, Operands};
use crate::real::Real;

/// Calls `f` with the numbers of each element, of its row and of its column, and with the logits of these.
fn for_each<R: Real>(g: &Gate, x: &Operands<'_, R>, mut f: impl FnMut([usize; 3], [R; 2])) {
    for row in 0..x.rows.len() {
        let first = row / g.rows * g.columns;
        for j in 0..g.columns {
            let (at, column) = (row * g.columns + j, first + j);
            f([at, row, column], [x.rows[row], x.columns[column]]);
        }
    }
}

fn gate<R: Real>(g: &Gate, [row, column]: [R; 2]) -> R {
    match g.joint {
        Joint::Product => (row * column).sigmoid(),
        Joint::Sum => (row + column).sigmoid(),
    }
}

pub(super) fn forward<R: Real>(g: &Gate, x: &Operands<'_, R>, y: &mut [R]) {
    for_each(g, x, |[at, ..], logits| {
        y[at] = x.x[at] * (R::ONE + gate(g, logits));
    });
}

pub(super) fn backward<R: Real>(
    g: &Gate,
    x: &Operands<'_, R>,
    dy: &[R],
    [dx, drows, dcolumns]: [&mut [R]; 3],
) {
    drows.fill(R::ZERO);
    dcolumns.fill(R::ZERO);
    for_each(g, x, |[at, i, j], logits| {
        let gate = gate(g, logits);
        dx[at] = dy[at] * (R::ONE + gate);
        let slope = dy[at] * x.x[at] * gate * (R::ONE - gate);
        let [by_row, by_column] = match g.joint {
            Joint::Product => [logits[1], logits[0]],
            Joint::Sum => [R::ONE; 2],
        };
        drows[i] += slope * by_row;
        dcolumns[j] += slope * by_column;
    });
}
