//! Attention of many queries and of one, and rectified pairs, with their gradients.

use crate::{Outcome, numbers};
use std::hint::black_box;
use striate_kernels::attention::pairs::{self, Pairs};
use striate_kernels::attention::pool::{self, Map, PoolGeometry};
use striate_kernels::attention::{
    AttentionGeometry, Operands, Outcome as Result, backward, forward,
};
use striate_simd::Level;

pub(crate) fn run(level: Level) -> Outcome {
    for (places, depth, values) in [[100, 70], [33, 17]].map(|p| (p, 32, 48)) {
        let g = AttentionGeometry::new(2, places, [depth, values])?;
        let [q, k, v] = [g.q_len(), g.k_len(), g.v_len()].map(numbers);
        let operands = Operands {
            q: &q,
            k: &k,
            v: &v,
            scale: 0.125,
        };
        let (mut y, mut log_sums) = (vec![0.0; g.y_len()], vec![0.0; g.rows()]);
        let [mut dq, mut dk, mut dv] = [g.q_len(), g.k_len(), g.v_len()].map(|len| vec![0.0; len]);
        forward(level, &g, &operands, &mut y, &mut log_sums)?;
        let outcome = Result {
            y: &y,
            log_sums: &log_sums,
        };
        backward(
            level,
            &g,
            &operands,
            &outcome,
            &y,
            [&mut dq, &mut dk, &mut dv],
        )?;
        black_box((&mut dq, &mut dk, &mut dv));
        let (a, b) = (numbers(g.rows()), numbers(g.batch() * g.keys()));
        let x = Pairs {
            a: &a,
            b: &b,
            v: &v,
        };
        let [mut da, mut db] = [a.len(), b.len()].map(|len| vec![0.0; len]);
        pairs::forward(&g, &x, &mut y)?;
        pairs::backward(&g, &x, &y, [&mut da, &mut db, &mut dv])?;
        black_box((&mut da, &mut db));
    }
    one_query(level)
}

fn one_query(level: Level) -> Outcome {
    for channels in [40, 64] {
        let g = PoolGeometry::new(2, 100, channels)?;
        let (x, w) = (numbers(g.x_len()), numbers(channels));
        let map = Map {
            x: &x,
            w: &w,
            b: 0.5,
        };
        let (mut y, mut log_sums) = (vec![0.0; g.y_len()], vec![0.0; g.batch()]);
        let [mut dx, mut dw, mut db] = [g.x_len(), channels, 1].map(|len| vec![0.0; len]);
        pool::forward(level, &g, &map, &mut y, &mut log_sums)?;
        let outcome = Result {
            y: &y,
            log_sums: &log_sums,
        };
        pool::backward(level, &g, &map, &outcome, &y, [&mut dx, &mut dw, &mut db])?;
        black_box((&mut dx, &mut dw, &mut db));
    }
    Ok(())
}
