//! Every level against the formulas in double precision, and these against finite differences.

use super::*;
use crate::testing::{Random, assert_same_on_threads, to_f64, worst_error};
use striate_simd::test_each_level;

const SIZES: [[usize; 3]; 6] = [
    [1, 1, 1],
    [2, 3, 5],
    [3, 40, 16],
    [1, 9, 70],
    [0, 4, 9],
    [2, 700, 33],
];

fn gates() -> impl Iterator<Item = Gate> {
    let joints = [Joint::Product, Joint::Sum];
    SIZES.into_iter().flat_map(move |[batch, rows, columns]| {
        joints.map(|joint| Gate {
            batch,
            rows,
            columns,
            joint,
        })
    })
}

/// The map, the logits and the gradient.
fn numbers(g: &Gate) -> [Vec<f32>; 4] {
    let mut random = Random::new(5);
    let [all, rows, columns] = g.lens();
    [all, rows, columns, all].map(|len| random.normals(len))
}

/// Value and gradients.
fn run<R: Real>(level: Level, g: &Gate, [x, rows, columns, dy]: [&[R]; 4]) -> [Vec<R>; 4] {
    let [all, row_len, column_len] = g.lens();
    let [mut y, mut dx] = [vec![R::NAN; all], vec![R::NAN; all]];
    let [mut drows, mut dcolumns] = [row_len, column_len].map(|len| vec![R::NAN; len]);
    let x = Operands { x, rows, columns };
    forward(level, g, &x, &mut y).unwrap();
    backward(level, g, &x, dy, [&mut dx, &mut drows, &mut dcolumns]).unwrap();
    [y, dx, drows, dcolumns]
}

test_each_level! {
    fn any_sizes_agree_with_the_formulas(level: Level) {
        for g in gates() {
            let x = numbers(&g);
            let got = run(level, &g, x.each_ref().map(|x| &x[..]));
            let x = x.map(|x| to_f64(&x));
            let exact = run(level, &g, x.each_ref().map(|x| &x[..]));
            let scales = [1e-3, 1e-3, (g.columns as f64).sqrt(), (g.rows as f64).sqrt()];
            for (i, scale) in scales.into_iter().enumerate() {
                let worst = worst_error(&got[i], &exact[i], |k| exact[i][k].abs().max(scale));
                assert!(worst <= 16.0, "{g:?}: result {i} is off by {worst} roundings");
            }
        }
    }

    fn large_logits_open_and_shut(level: Level) {
        let g = Gate { batch: 1, rows: 1, columns: 3, joint: Joint::Sum };
        let x = Operands { x: &[2.0; 3], rows: &[1e4], columns: &[0.0, -2e4, f32::NAN] };
        let mut y = [0.0; 3];
        forward(level, &g, &x, &mut y).unwrap();
        assert!(y[0] == 4.0 && y[1] == 2.0 && y[2].is_nan(), "{y:?}");
    }

    fn threads_change_nothing(level: Level) {
        let g = Gate { batch: 2, rows: 3000, columns: 24, joint: Joint::Product };
        let x = numbers(&g);
        assert_same_on_threads(|| run(level, &g, x.each_ref().map(|x| &x[..])).concat());
    }
}

#[test]
fn gradients_are_those_of_the_formula() {
    let level = Level::detect();
    for g in gates().filter(|g| g.rows < 9) {
        let mut x = numbers(&g).map(|x| to_f64(&x));
        let results = |x: &[Vec<f64>; 4]| run(level, &g, x.each_ref().map(|x| &x[..]));
        let loss = |x: &[Vec<f64>; 4]| -> f64 {
            let [y, ..] = results(x);
            y.iter().zip(&x[3]).map(|(y, dy)| y * dy).sum()
        };
        let exact = results(&x);
        for which in 0..3 {
            for i in 0..x[which].len() {
                let (at, step) = (x[which][i], 1e-6);
                x[which][i] = at + step;
                let above = loss(&x);
                x[which][i] = at - step;
                let numeric = (above - loss(&x)) / (2.0 * step);
                x[which][i] = at;
                let analytic = exact[1 + which][i];
                let same = (numeric - analytic).abs() < 1e-7;
                assert!(
                    same,
                    "{g:?}: gradient {which}, element {i}: {analytic}, {numeric}"
                );
            }
        }
    }
}

#[test]
fn lengths_must_fit() {
    let level = Level::detect();
    let g = gates().nth(2).unwrap();
    let [x, rows, columns, _] = numbers(&g);
    let mut y = x.clone();
    let whole = Operands {
        x: &x,
        rows: &rows,
        columns: &columns,
    };
    assert!(forward(level, &g, &whole, &mut y).is_ok());
    assert!(forward(level, &g, &whole, &mut y[1..]).is_err());
    let short = Operands {
        rows: &rows[1..],
        ..whole
    };
    assert!(forward(level, &g, &short, &mut y).is_err());
}
