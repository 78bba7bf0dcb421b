//! Attention whose weights are rectified sums: `y[i] = sum over j of max(a[i] + b[j], 0) * v[j]`.
//!
//! Along the keys from the largest `b` down, those that query `i` weighs are the first few, and what it gathers of them is
//! `a[i]` times the sum of their values plus the sum of `b[j]` times their values. So one sweep with two running sums, in
//! double precision, computes what pairs would take `queries * keys * values` products for.

use super::{AttentionGeometry, OP};
use crate::error::{KernelError, check_len};
use crate::parallel::for_each_chunk;
use crate::real::Real;

/// What rectified pairs read, each dense and row-major.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a, T> {
    /// `[batch, queries]`
    pub a: &'a [T],
    /// `[batch, keys]`
    pub b: &'a [T],
    /// `[batch, keys, values]`
    pub v: &'a [T],
}

impl<R: Real> Pairs<'_, R> {
    fn check(&self, g: &AttentionGeometry) -> Result<(), KernelError> {
        check_len(OP, "a", self.a.len(), g.rows())?;
        check_len(OP, "b", self.b.len(), g.batch() * g.keys())?;
        check_len(OP, "v", self.v.len(), g.v_len())
    }
}

/// Computes `y`, `[batch, queries, values]`; the geometry's depth counts for nothing.
///
/// # Errors
/// If a slice does not have the geometry's length.
pub fn forward<R: Real>(
    g: &AttentionGeometry,
    x: &Pairs<'_, R>,
    y: &mut [R],
) -> Result<(), KernelError> {
    x.check(g)?;
    check_len(OP, "y", y.len(), g.y_len())?;
    let (queries, keys, values) = (g.queries(), g.keys(), g.values());
    if y.is_empty() {
        return Ok(());
    }
    for_each_chunk(y, queries * values, |problem, y| {
        let a = &x.a[problem * queries..][..queries];
        let b = &x.b[problem * keys..][..keys];
        let v = &x.v[problem * keys * values..][..keys * values];
        sweep(a, b, v, |i, sums| {
            sums.combine(a[i], &mut y[i * values..][..values]);
        });
    });
    Ok(())
}

/// Computes the gradients `[da, db, dv]` from that of `y`.
///
/// # Errors
/// If a slice does not have the geometry's length.
pub fn backward<R: Real>(
    g: &AttentionGeometry,
    x: &Pairs<'_, R>,
    dy: &[R],
    [da, db, dv]: [&mut [R]; 3],
) -> Result<(), KernelError> {
    x.check(g)?;
    check_len(OP, "dy", dy.len(), g.y_len())?;
    check_len(OP, "da", da.len(), g.rows())?;
    check_len(OP, "db", db.len(), g.batch() * g.keys())?;
    check_len(OP, "dv", dv.len(), g.v_len())?;
    let (queries, keys, values) = (g.queries(), g.keys(), g.values());
    for problem in 0..g.batch() {
        let a = &x.a[problem * queries..][..queries];
        let b = &x.b[problem * keys..][..keys];
        let v = &x.v[problem * keys * values..][..keys * values];
        let dy = &dy[problem * queries * values..][..queries * values];
        let da = &mut da[problem * queries..][..queries];
        sweep(a, b, v, |i, sums| {
            da[i] = sums.dot(&dy[i * values..][..values]);
        });
        // The same with the roles exchanged.
        let db = &mut db[problem * keys..][..keys];
        let dv = &mut dv[problem * keys * values..][..keys * values];
        sweep(b, a, dy, |j, sums| {
            db[j] = sums.dot(&v[j * values..][..values]);
            sums.combine(b[j], &mut dv[j * values..][..values]);
        });
    }
    Ok(())
}

/// The sums over the keys that a query weighs.
struct Sums {
    /// Of the values.
    plain: Vec<f64>,
    /// Of `b` times the values.
    weighted: Vec<f64>,
}

impl Sums {
    /// `y = a * plain + weighted`
    fn combine<R: Real>(&self, a: R, y: &mut [R]) {
        let a = a.to_f64();
        for ((y, plain), weighted) in y.iter_mut().zip(&self.plain).zip(&self.weighted) {
            *y = R::from_f64(a * plain + weighted);
        }
    }

    /// `plain . x`
    fn dot<R: Real>(&self, x: &[R]) -> R {
        let products = self.plain.iter().zip(x);
        R::from_f64(products.map(|(p, x)| p * x.to_f64()).sum())
    }
}

/// Calls `f` with the number of each query and the sums over the keys with `a[i] + b[j] > 0`.
fn sweep<R: Real>(a: &[R], b: &[R], v: &[R], mut f: impl FnMut(usize, &Sums)) {
    let values = v.len().checked_div(b.len()).unwrap_or(0);
    let descending = |x: &[R]| {
        let mut order: Vec<usize> = (0..x.len()).collect();
        order.sort_by(|&i, &j| x[j].to_f64().total_cmp(&x[i].to_f64()));
        order
    };
    let keys = descending(b);
    // From the query that weighs the fewest.
    let queries = descending(a).into_iter().rev();
    let mut sums = Sums {
        plain: vec![0.0; values],
        weighted: vec![0.0; values],
    };
    let mut next = keys.iter().peekable();
    for i in queries {
        let own = a[i].to_f64();
        while let Some(&&j) = next.peek() {
            let factor = b[j].to_f64();
            // Not a number counts, and so reaches the results.
            if own + factor <= 0.0 {
                break;
            }
            let sums = sums.plain.iter_mut().zip(&mut sums.weighted);
            for ((plain, weighted), v) in sums.zip(&v[j * values..][..values]) {
                let v = v.to_f64();
                *plain += v;
                *weighted += factor * v;
            }
            next.next();
        }
        f(i, &sums);
    }
}
