//! The formula as loops over what is written and the taps of both axes.

use super::plan::Plan;
use crate::real::Real;
use crate::view::{View, ViewMut};

/// `y[i, j] = sum over the rows p of i and the columns q of j of weight(i, p) weight(j, q) x[p, q]`.
pub(super) fn sum<R: Real>(plan: &Plan, x: &View<'_, R>, y: &mut ViewMut<'_, R>) {
    let [n, c, h, w] = plan.written;
    for n in 0..n {
        for c in 0..c {
            for i in 0..h {
                for j in 0..w {
                    let mut sum = 0.0;
                    for &(p, row) in plan.rows.of(i) {
                        for &(q, column) in plan.columns.of(j) {
                            sum += row * column * x.at(n, c, p, q).to_f64();
                        }
                    }
                    y.set(n, c, i, j, R::from_f64(sum));
                }
            }
        }
    }
}
