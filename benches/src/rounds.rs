//! Several pieces of work, measured in turn.

use std::hint::black_box;
use std::time::Instant;
use striate_kernels::peak::gflops_now;
use striate_simd::Level;

/// Runs of one piece before the next has its turn: the first of them finds other data in the caches.
const IN_A_ROW: usize = 3;

/// Rounds at least.
const LEAST: usize = 3;

/// What a clock must be read less often than, in seconds: shorter runs are timed several at once.
const SHORT: f64 = 20e-6;

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The shortest run of each piece, in seconds.
    pub best: Vec<f64>,
    /// The median over the rounds of the shortest run of each piece in a round.
    pub median: Vec<f64>,
    /// The multiply-add rate of one core in between, in billions of operations a second.
    pub peak: f64,
}

/// Runs the pieces of work `0..count` in turn, for about `seconds` altogether: once each for none.
pub fn measure(level: Level, seconds: f64, count: usize, mut run: impl FnMut(usize)) -> Measured {
    let (least, in_a_row) = if seconds > 0.0 {
        (LEAST, IN_A_ROW)
    } else {
        (1, 1)
    };
    // The seconds of each round, and how many runs are timed at once.
    let mut pieces = vec![(Vec::new(), 1_u32); count];
    let mut peak = 0.0_f64;
    let start = Instant::now();
    for round in 0.. {
        if round >= least && start.elapsed().as_secs_f64() > seconds {
            break;
        }
        peak = peak.max(gflops_now(level));
        for (piece, (rounds, at_once)) in pieces.iter_mut().enumerate() {
            let mut best = f64::MAX;
            for _ in 0..in_a_row {
                let start = Instant::now();
                for _ in 0..*at_once {
                    run(piece);
                    black_box(());
                }
                best = best.min(start.elapsed().as_secs_f64() / f64::from(*at_once));
            }
            rounds.push(best);
            if round == 0 && seconds > 0.0 {
                *at_once = (SHORT / best).clamp(1.0, 1e3) as u32;
            }
        }
    }
    let rounds = pieces.into_iter().map(|(mut rounds, _)| {
        rounds.sort_unstable_by(f64::total_cmp);
        (rounds[0], rounds[rounds.len() / 2])
    });
    let (best, median) = rounds.unzip();
    Measured { best, median, peak }
}
