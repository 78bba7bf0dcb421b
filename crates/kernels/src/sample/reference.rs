//! The formulas as loops over places, channels and the pixels around each place.

use super::taps::{Axis, Tap, Taps};
use crate::geometry::SampleGeometry;
use crate::real::Real;
use crate::view::{View, ViewMut};

/// Calls `f(n, i, j, rows, columns)` for every place with the pixels around it.
fn for_each_place<R: Real>(
    g: &SampleGeometry,
    grid: &View<'_, R>,
    f: &mut dyn FnMut([usize; 3], &Taps, &Taps),
) {
    let ([n, _, h, w], [rows, columns]) = (g.output(), [0, 1].map(|axis| Axis::new(g, axis)));
    for n in 0..n {
        for i in 0..h {
            for j in 0..w {
                let [x, y] = [0, 1].map(|d| grid.at(n, i, j, d).to_f64());
                f([n, i, j], &rows.taps(y), &columns.taps(x));
            }
        }
    }
}

/// The sum of `f(row, column)` over the pixels around a place.
fn sum(rows: &Taps, columns: &Taps, f: impl Fn(&Tap, &Tap) -> f64) -> f64 {
    let f = &f;
    rows.iter()
        .flat_map(|row| columns.iter().map(move |column| f(row, column)))
        .sum()
}

pub(super) fn forward<R: Real>(
    g: &SampleGeometry,
    x: &View<'_, R>,
    grid: &View<'_, R>,
    y: &mut ViewMut<'_, R>,
) {
    for_each_place(g, grid, &mut |[n, i, j], rows, columns| {
        for c in 0..g.input()[1] {
            let value = sum(rows, columns, |row, column| {
                row.weight * column.weight * x.at(n, c, row.at, column.at).to_f64()
            });
            y.set(n, c, i, j, R::from_f64(value));
        }
    });
}

pub(super) fn backward_input<R: Real>(
    g: &SampleGeometry,
    grid: &View<'_, R>,
    dy: &View<'_, R>,
    dx: &mut ViewMut<'_, R>,
) {
    dx.fill(R::ZERO);
    for_each_place(g, grid, &mut |[n, i, j], rows, columns| {
        for c in 0..g.input()[1] {
            let dy = dy.at(n, c, i, j);
            for row in rows.iter() {
                for column in columns.iter() {
                    *dx.at_mut(n, c, row.at, column.at) +=
                        R::from_f64(row.weight * column.weight) * dy;
                }
            }
        }
    });
}

pub(super) fn backward_grid<R: Real>(
    g: &SampleGeometry,
    x: &View<'_, R>,
    grid: &View<'_, R>,
    dy: &View<'_, R>,
    dgrid: &mut ViewMut<'_, R>,
) {
    for_each_place(g, grid, &mut |[n, i, j], rows, columns| {
        let slope = |along_x: bool| {
            let channels = (0..g.input()[1]).map(|c| {
                let dy = dy.at(n, c, i, j).to_f64();
                let slope = sum(rows, columns, |row, column| {
                    let weight = if along_x {
                        row.weight * column.slope
                    } else {
                        row.slope * column.weight
                    };
                    weight * x.at(n, c, row.at, column.at).to_f64()
                });
                slope * dy
            });
            R::from_f64(channels.sum())
        };
        dgrid.set(n, i, j, 0, slope(true));
        dgrid.set(n, i, j, 1, slope(false));
    });
}
