//! The columns of images with fewer channels than a vector has lanes: element by element, a vector of those that are written from a
//! vector of those that are read, where these are near enough to each other.

use super::plan::Plan;
use striate_simd::Simd;

/// Which elements of a line each element is made of.
#[derive(Clone, Debug)]
pub(super) struct Elements {
    /// The most that an element is made of.
    taps: usize,
    /// For each vector, the first element that it is made of.
    first: Vec<usize>,
    /// Whether every vector is made of no more elements than it has.
    near: bool,
    /// For each vector and each tap, where the elements lie behind the first and then their weights.
    table: Vec<f32>,
}

impl Elements {
    /// Those of a plan for vectors of `lanes` lanes, unless an element is made of none.
    pub(super) fn of(plan: &Plan, lanes: usize) -> Option<Self> {
        let [_, c, _, w] = plan.written;
        let counts = (0..w).map(|column| plan.columns.of(column).len());
        let taps = counts.max().filter(|&taps| taps > 0)?;
        let (mut first, mut near) = (Vec::new(), true);
        let mut table = vec![0.0; (w * c).div_ceil(lanes) * 2 * taps * lanes];
        for (vector, table) in table
            .chunks_exact_mut((2 * taps * lanes).max(1))
            .enumerate()
        {
            // Lanes beyond the last element are as the last.
            let elements = (vector * lanes..(vector + 1) * lanes).map(|e| e.min(w * c - 1));
            let read = |e: usize, tap: usize| {
                let column = plan.columns.of(e / c);
                let share = taps - column.len() + 1;
                // The first stands for those that are missing, too.
                let (at, weight) = match tap.checked_sub(share - 1) {
                    Some(tap) if tap > 0 => column[tap],
                    _ => (column[0].0, column[0].1 / share as f64),
                };
                (at * c + e % c, weight as f32)
            };
            if elements.clone().any(|e| plan.columns.of(e / c).is_empty()) {
                return None;
            }
            let all = elements
                .clone()
                .flat_map(|e| (0..taps).map(move |tap| read(e, tap).0));
            let (low, high) = all.fold((usize::MAX, 0), |(l, h), at| (l.min(at), h.max(at)));
            near &= high - low < lanes;
            first.push(low);
            for (lane, e) in elements.enumerate() {
                for tap in 0..taps {
                    let (at, weight) = read(e, tap);
                    table[2 * tap * lanes + lane] = (at - low) as f32;
                    table[(2 * tap + 1) * lanes + lane] = weight;
                }
            }
        }
        Some(Self {
            taps,
            first,
            near,
            table,
        })
    }

    /// Writes a line from one with a vector of anything behind its end.
    #[inline(always)]
    pub(super) fn write<S: Simd>(&self, s: S, line: &[f32], y: &mut [f32]) {
        let tables = self.table.chunks_exact(2 * self.taps * S::LANES);
        for ((y, table), &first) in y.chunks_mut(S::LANES).zip(tables).zip(&self.first) {
            let line = &line[first..];
            if !self.near {
                for (lane, y) in y.iter_mut().enumerate() {
                    *y = 0.0;
                    for tap in table.chunks_exact(2 * S::LANES) {
                        *y += line[tap[lane] as usize] * tap[S::LANES + lane];
                    }
                }
                continue;
            }
            let (x, mut sum) = (s.load(line), s.splat(0.0));
            for tap in table.chunks_exact(2 * S::LANES) {
                let x = s.permute(x, s.to_i32(s.load(tap)));
                sum = s.mul_add(x, s.load(&tap[S::LANES..]), sum);
            }
            s.store_partial(sum, y);
        }
    }
}
