//! Several pieces of work, measured in turn.

use std::hint::black_box;
use std::time::Instant;
use striate_kernels::peak::gflops_now;
use striate_simd::Level;

/// Runs of one piece before the next has its turn: the first of them finds other data in the caches.
const IN_A_ROW: usize = 3;

/// Rounds at least.
const LEAST: usize = 3;

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The shortest run of each piece, in seconds.
    pub best: Vec<f64>,
    /// The multiply-add rate of one core in between, in billions of operations a second.
    pub peak: f64,
}

/// Runs the pieces of work `0..count` in turn, for about `seconds` altogether: once each for none.
pub fn measure(level: Level, seconds: f64, count: usize, mut run: impl FnMut(usize)) -> Measured {
    let mut measured = Measured {
        best: vec![f64::MAX; count],
        peak: 0.0,
    };
    let (least, in_a_row) = if seconds > 0.0 {
        (LEAST, IN_A_ROW)
    } else {
        (1, 1)
    };
    let start = Instant::now();
    for round in 0.. {
        if round >= least && start.elapsed().as_secs_f64() > seconds {
            break;
        }
        measured.peak = measured.peak.max(gflops_now(level));
        for (piece, best) in measured.best.iter_mut().enumerate() {
            for _ in 0..in_a_row {
                let start = Instant::now();
                run(piece);
                black_box(());
                *best = best.min(start.elapsed().as_secs_f64());
            }
        }
    }
    measured
}
