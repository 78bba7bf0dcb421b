//! From channels first to channels last and back.

use crate::disjoint::DisjointMut;
use crate::parallel;

/// Side of the squares a transposing copy works in: sixteen lines of cache on either side.
const SQUARE: usize = 16;

/// Elements that are copied as one task.
const TASK: usize = 1 << 15;

/// Transposes each of the dense matrices of `rows x cols` that `source` and `target` consist of;
/// both have the same length.
pub(crate) fn transpose(source: &[f32], target: &mut [f32], rows: usize, cols: usize) {
    let matrix = rows * cols;
    if matrix == 0 {
        return;
    }
    let per_task = (TASK / rows).max(1).next_multiple_of(SQUARE);
    let blocks = cols.div_ceil(per_task);
    let batch = source.len() / matrix;
    let target = DisjointMut::new(target);
    parallel::for_each(batch * blocks, |task| {
        let first = task % blocks * per_task;
        let last = (first + per_task).min(cols);
        let start = task / blocks * matrix;
        let source = &source[start..start + matrix];
        let mut target = target.range(start + first * rows..start + last * rows);
        for j0 in (first..last).step_by(SQUARE) {
            for i0 in (0..rows).step_by(SQUARE) {
                for j in j0..(j0 + SQUARE).min(last) {
                    let line = &mut target[(j - first) * rows..][..rows];
                    for i in i0..(i0 + SQUARE).min(rows) {
                        line[i] = source[i * cols + j];
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    #[test]
    fn twice_is_once() {
        for (batch, rows, cols) in [(1, 1, 1), (3, 5, 7), (2, 16, 33), (1, 3, 40_000)] {
            let source: Vec<f32> = (0..batch * rows * cols).map(|i| i as f32).collect();
            let (mut there, mut back) = (vec![0.0; source.len()], vec![0.0; source.len()]);
            super::transpose(&source, &mut there, rows, cols);
            assert_eq!(there[(cols - 1) * rows], source[cols - 1]);
            super::transpose(&there, &mut back, cols, rows);
            assert_eq!(source, back);
        }
    }
}
