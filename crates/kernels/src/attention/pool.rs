//! Attention of one learned query, to which all places of a sample are both keys and values.
//!
//! ```text
//! s[i] = w . x[i] + b         p = softmax(s)         y = sum over i of p[i] x[i]
//! ds[i] = p[i] (dy . x[i] - dy . y)
//! dx[i] = p[i] dy + ds[i] w        dw = sum over i of ds[i] x[i]        db = sum over i of ds[i]
//! ```
//!
//! Either way `x` is read from memory once: some rows at a time, whose second use finds them in the nearest cache. Tasks
//! are runs of rows with maxima, sums and gradients of their own, which are joined in order.

use super::backward::{differentiate, dot};
use super::forward::weigh;
use super::{OP, Outcome, reference};
use crate::disjoint::DisjointMut;
use crate::error::{KernelError, check_len};
use crate::geometry::{GeometryError, element_count};
use crate::lanes::load_partial;
use crate::parallel::{Cut, for_each_chunk};
use crate::real::Real;
use striate_simd::{Buffer, Level, Simd, dispatch};

/// Rows that are used twice while they are near.
const ROWS: usize = 32;

/// Vectors of a row that are added up at a time, in registers.
const BLOCK: usize = 2;

/// The sizes of a map `[batch, places, channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolGeometry {
    batch: usize,
    places: usize,
    channels: usize,
}

impl PoolGeometry {
    /// # Errors
    /// If there are no places or no channels, or the map cannot be addressed.
    pub fn new(batch: usize, places: usize, channels: usize) -> Result<Self, GeometryError> {
        for (field, size) in [("places", places), ("channels", channels)] {
            if size == 0 {
                let rule = "it must be at least 1";
                return Err(GeometryError::new(OP, field, "0".to_owned(), rule));
            }
        }
        element_count(OP, "x", &[batch, places, channels])?;
        Ok(Self {
            batch,
            places,
            channels,
        })
    }

    /// The number of samples.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The number of elements of the map.
    pub fn x_len(&self) -> usize {
        self.batch * self.places * self.channels
    }

    /// The number of elements of the result.
    pub fn y_len(&self) -> usize {
        self.batch * self.channels
    }

    fn sample<'a, R>(&self, x: &'a [R], index: usize) -> &'a [R] {
        let len = self.places * self.channels;
        &x[index * len..][..len]
    }

    /// Tasks of one sample.
    fn cut(&self) -> Cut {
        let rows = Cut::new(self.places, self.channels).per_task();
        Cut::every(self.places, rows.next_multiple_of(ROWS))
    }
}

/// What is read.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a, T> {
    /// `[batch, places, channels]`
    pub x: &'a [T],
    /// The query, `[channels]`.
    pub w: &'a [T],
    /// What is added to all products: the softmax does not see it, but passes on what is not finite.
    pub b: T,
}

impl<'a, R: Real> Map<'a, R> {
    fn check(&self, g: &PoolGeometry) -> Result<(), KernelError> {
        check_len(OP, "x", self.x.len(), g.x_len())?;
        check_len(OP, "w", self.w.len(), g.channels)
    }

    /// The same, if the numbers are `f32`.
    fn as_f32(&self) -> Option<Map<'a, f32>> {
        Some(Map {
            x: R::as_f32(self.x)?,
            w: R::as_f32(self.w)?,
            b: self.b.to_f64() as f32,
        })
    }
}

/// Computes `y` `[batch, channels]`, and of each sample the logarithm of the sum of the exponentials.
///
/// # Errors
/// If a slice does not have the geometry's length, or memory runs out.
pub fn forward<R: Real>(
    level: Level,
    g: &PoolGeometry,
    map: &Map<'_, R>,
    y: &mut [R],
    log_sums: &mut [R],
) -> Result<(), KernelError> {
    map.check(g)?;
    check_len(OP, "y", y.len(), g.y_len())?;
    check_len(OP, "log_sums", log_sums.len(), g.batch)?;
    if let (Some(map), Some(y), Some(log_sums)) =
        (map.as_f32(), R::as_f32_mut(y), R::as_f32_mut(log_sums))
    {
        return gather(level, g, &map, y, log_sums);
    }
    reference::pool(&g.sizes(), map, y, log_sums);
    Ok(())
}

/// Computes the gradients of the map, of the query and of what is added to the products.
///
/// # Errors
/// If a slice does not have the geometry's length, or memory runs out.
pub fn backward<R: Real>(
    level: Level,
    g: &PoolGeometry,
    map: &Map<'_, R>,
    outcome: &Outcome<'_, R>,
    dy: &[R],
    [dx, dw, db]: [&mut [R]; 3],
) -> Result<(), KernelError> {
    map.check(g)?;
    check_len(OP, "y", outcome.y.len(), g.y_len())?;
    check_len(OP, "log_sums", outcome.log_sums.len(), g.batch)?;
    check_len(OP, "dy", dy.len(), g.y_len())?;
    check_len(OP, "dx", dx.len(), g.x_len())?;
    check_len(OP, "dw", dw.len(), g.channels)?;
    check_len(OP, "db", db.len(), 1)?;
    if let (Some(map), Some(y), Some(log_sums), Some(dy)) = (
        map.as_f32(),
        R::as_f32(outcome.y),
        R::as_f32(outcome.log_sums),
        R::as_f32(dy),
    ) && let (Some(dx), Some(dw), Some(db)) =
        (R::as_f32_mut(dx), R::as_f32_mut(dw), R::as_f32_mut(db))
    {
        let outcome = Outcome { y, log_sums };
        return spread(level, g, &map, &outcome, dy, [dx, dw, db]);
    }
    reference::pool_backward(&g.sizes(), map, outcome, dy, [dx, dw, db]);
    Ok(())
}

impl PoolGeometry {
    /// Places and channels.
    fn sizes(&self) -> [usize; 2] {
        [self.places, self.channels]
    }
}

fn gather(
    level: Level,
    g: &PoolGeometry,
    map: &Map<'_, f32>,
    y: &mut [f32],
    log_sums: &mut [f32],
) -> Result<(), KernelError> {
    let (c, cut) = (g.channels, g.cut());
    // Of each task what it has gathered, its largest product and its sum of exponentials.
    let (tasks, width) = (cut.tasks(), c + 2);
    let len = element_count(OP, "parts", &[g.batch, tasks, width])?;
    let mut parts = Buffer::<f32>::recycled(len)?;
    if len > 0 {
        for_each_chunk(&mut parts, width, |task, part| {
            let rows = cut.range(task % tasks);
            let x = &g.sample(map.x, task / tasks)[rows.start * c..rows.end * c];
            // Out of the kernel's own frame: there a vector is one that no register was left for.
            let mut weights = [0.0; ROWS];
            dispatch!(level, s => gather_rows(s, x, map, &mut weights, part));
        });
    }
    let samples = parts.chunks(tasks * width).zip(y.chunks_mut(c));
    for ((parts, y), log_sum) in samples.zip(log_sums) {
        let tops = parts.chunks(width).map(|part| part[c]);
        let top = tops.fold(f32::NEG_INFINITY, Real::maximum);
        let (mut sums, mut total) = (vec![0.0_f64; c], 0.0);
        for part in parts
            .chunks(width)
            .filter(|part| part[c] != f32::NEG_INFINITY)
        {
            let factor = f64::from(part[c] - top).exp();
            total += factor * f64::from(part[c + 1]);
            for (sum, gathered) in sums.iter_mut().zip(part) {
                *sum += factor * f64::from(*gathered);
            }
        }
        for (y, sum) in y.iter_mut().zip(sums) {
            *y = (sum / total) as f32;
        }
        *log_sum = (f64::from(top) + total.ln()) as f32;
    }
    Ok(())
}

/// The part of a task, from the rows `x`.
#[inline(always)]
fn gather_rows<S: Simd>(
    s: S,
    x: &[f32],
    map: &Map<'_, f32>,
    weights: &mut [f32; ROWS],
    part: &mut [f32],
) {
    let c = map.w.len();
    let (gathered, totals) = part.split_at_mut(c);
    let (mut top, mut sum) = (f32::NEG_INFINITY, 0.0);
    gathered.fill(0.0);
    for rows in x.chunks(ROWS * c) {
        let weights = &mut weights[..rows.len() / c];
        for (weight, x) in weights.iter_mut().zip(rows.chunks_exact(c)) {
            *weight = dot(s, x, map.w) + map.b;
        }
        weigh(s, 1.0, weights, &mut top, &mut sum, gathered);
        let mut at = 0;
        while at + BLOCK * S::LANES <= c {
            let mut sums = [s.splat(0.0); BLOCK];
            for v in 0..BLOCK {
                sums[v] = s.load(&gathered[at + v * S::LANES..]);
            }
            for (x, &weight) in rows.chunks_exact(c).zip(&*weights) {
                let (x, weight) = (&x[at..at + BLOCK * S::LANES], s.splat(weight));
                for v in 0..BLOCK {
                    sums[v] = s.mul_add(weight, s.load(&x[v * S::LANES..]), sums[v]);
                }
            }
            for v in 0..BLOCK {
                s.store(sums[v], &mut gathered[at + v * S::LANES..]);
            }
            at += BLOCK * S::LANES;
        }
        while at < c {
            let end = c.min(at + S::LANES);
            let mut sum = s.load_partial(&gathered[at..end]);
            for (x, &weight) in rows.chunks_exact(c).zip(&*weights) {
                sum = s.mul_add(s.splat(weight), s.load_partial(&x[at..end]), sum);
            }
            s.store_partial(sum, &mut gathered[at..end]);
            at = end;
        }
    }
    totals.copy_from_slice(&[top, sum]);
}

fn spread(
    level: Level,
    g: &PoolGeometry,
    map: &Map<'_, f32>,
    outcome: &Outcome<'_, f32>,
    dy: &[f32],
    [dx, dw, db]: [&mut [f32]; 3],
) -> Result<(), KernelError> {
    let (c, cut) = (g.channels, g.cut());
    // Of each task the gradient of the query and of what is added.
    let (tasks, width) = (cut.tasks(), c + 1);
    let len = element_count(OP, "parts", &[g.batch, tasks, width])?;
    let mut parts = Buffer::<f32>::recycled(len)?;
    let dx = DisjointMut::new(dx);
    if len > 0 {
        for_each_chunk(&mut parts, width, |task, part| {
            let (sample, rows) = (task / tasks, cut.range(task % tasks));
            let x = &g.sample(map.x, sample)[rows.start * c..rows.end * c];
            let map = Map { x, ..*map };
            let first = sample * g.places;
            let mut dx = dx.range((first + rows.start) * c..(first + rows.end) * c);
            let [dy, y] = [dy, outcome.y].map(|y| &y[sample * c..][..c]);
            let log_sum = outcome.log_sums[sample];
            let mut rows = Rows::default();
            dispatch!(level, s => {
                spread_rows(s, &map, dy, [log_sum, dot(s, dy, y)], &mut rows, &mut dx, part);
            });
        });
    }
    for (i, sum) in dw.iter_mut().chain(db).enumerate() {
        let parts = parts.iter().skip(i).step_by(width);
        *sum = parts.map(|&part| f64::from(part)).sum::<f64>() as f32;
    }
    Ok(())
}

/// What is known of rows that are used twice; outside the kernel's own frame, as the weights of `gather_rows` are.
#[derive(Default)]
struct Rows {
    log_sums: [f32; ROWS],
    means: [f32; ROWS],
    weights: [f32; ROWS],
    slopes: [f32; ROWS],
}

/// The gradients of the rows of a map, and what they add to the others. Known are the logarithm of the sum, and `dy . y` as the
/// mean.
#[inline(always)]
fn spread_rows<S: Simd>(
    s: S,
    map: &Map<'_, f32>,
    dy: &[f32],
    [log_sum, mean]: [f32; 2],
    near: &mut Rows,
    dx: &mut [f32],
    part: &mut [f32],
) {
    let c = dy.len();
    let (dw, db) = part.split_at_mut(c);
    dw.fill(0.0);
    db[0] = 0.0;
    near.log_sums.fill(log_sum);
    near.means.fill(mean);
    for (rows, dx) in map.x.chunks(ROWS * c).zip(dx.chunks_mut(ROWS * c)) {
        let count = rows.len() / c;
        let (weights, slopes) = (&mut near.weights[..count], &mut near.slopes[..count]);
        for (i, x) in rows.chunks_exact(c).enumerate() {
            weights[i] = dot(s, x, map.w) + map.b;
            slopes[i] = dot(s, x, dy);
        }
        differentiate(s, 1.0, &near.log_sums, &near.means, weights, slopes);
        db[0] += slopes.iter().sum::<f32>();
        for at in (0..c).step_by(S::LANES) {
            let end = c.min(at + S::LANES);
            let [w, dy, mut sum] = load_partial(s, &[map.w, dy, dw], at, end);
            let rows = rows.chunks_exact(c).zip(dx.chunks_exact_mut(c));
            for ((x, dx), (&weight, &slope)) in rows.zip(weights.iter().zip(&*slopes)) {
                let slope = s.splat(slope);
                let value = s.mul_add(slope, w, s.mul(s.splat(weight), dy));
                s.store_partial(value, &mut dx[at..end]);
                sum = s.mul_add(slope, s.load_partial(&x[at..end]), sum);
            }
            s.store_partial(sum, &mut dw[at..end]);
        }
    }
}
