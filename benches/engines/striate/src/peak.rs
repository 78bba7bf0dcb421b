//! The machine's multiply-add rate at this moment: what the rates of engines are shares of, and, compared with the best seen,
//! whether somebody else is using the processors.

use std::io::BufRead;
use std::sync::Barrier;
use std::thread;

use protocol::Result;
use striate::kernels::peak::gflops_now;
use striate::simd::Level;

/// Some milliseconds.
const ROUNDS: usize = 100;

/// For each line of the input, a number of threads: their rates together while all of them run, in GFLOP/s.
pub(crate) fn serve() -> Result<()> {
    let level = Level::selected()?;
    for line in std::io::stdin().lock().lines() {
        let threads: usize = line?.trim().parse()?;
        println!("{:.2}", rate(level, threads));
    }
    Ok(())
}

fn rate(level: Level, threads: usize) -> f64 {
    let start = Barrier::new(threads);
    let of_one = || {
        start.wait();
        let seconds_per_work: f64 = (0..ROUNDS).map(|_| gflops_now(level).recip()).sum();
        ROUNDS as f64 / seconds_per_work
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(of_one)).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or(0.0))
            .sum()
    })
}
