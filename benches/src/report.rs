//! Measuring, and the table at the end.

use crate::copy::Copy;
use criterion::Criterion;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};
use striate_kernels::parallel;
use striate_kernels::peak::gflops_now;
use striate_simd::Level;

/// The number of threads to measure with.
const THREADS_VARIABLE: &str = "STRIATE_BENCH_THREADS";

/// What a kernel does, and thereby what its speed is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// Floating-point operations: the peak is that of multiply-adds between registers.
    Flops(f64),
    /// Bytes read and written: the peak is that of a copy of as many bytes.
    Bytes(f64),
}

impl Work {
    fn amount(self) -> f64 {
        match self {
            Self::Flops(amount) | Self::Bytes(amount) => amount,
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Flops(_) => "GFLOP/s",
            Self::Bytes(_) => "GB/s",
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug)]
struct Row {
    shape: String,
    kernel: String,
    unit: &'static str,
    rate: f64,
    /// Of one thread.
    peak: f64,
    /// The rate of `matrixmultiply` on a product of the same size.
    peer: Option<f64>,
}

/// Runs benchmarks and remembers what they measured.
#[expect(
    missing_debug_implementations,
    reason = "criterion's settings cannot be printed"
)]
pub struct Report {
    criterion: Criterion,
    threads: usize,
    rows: Vec<Row>,
}

impl Report {
    /// A report that the command line configures.
    ///
    /// # Errors
    /// If the number of threads makes no sense.
    pub fn new() -> Result<Self, String> {
        let threads = match std::env::var(THREADS_VARIABLE) {
            Ok(value) => value
                .parse()
                .map_err(|e| format!("{THREADS_VARIABLE}: {e}"))?,
            Err(_) => 1,
        };
        parallel::set_threads(threads).map_err(|e| e.to_string())?;
        let criterion = Criterion::default()
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_secs(1))
            .configure_from_args();
        Ok(Self {
            criterion,
            threads,
            rows: Vec::new(),
        })
    }

    /// Measures `kernel` on `level`; `peer` computes a product of the same size with
    /// `matrixmultiply`.
    pub fn measure(
        &mut self,
        level: Level,
        shape: &str,
        kernel: &str,
        work: Work,
        mut run: impl FnMut(),
        peer: Option<&mut dyn FnMut()>,
    ) {
        let mut copy = match work {
            Work::Bytes(bytes) => Some(Copy::new(bytes as usize)),
            Work::Flops(_) => None,
        };
        let (mut best, mut peak) = (f64::MAX, 0.0_f64);
        self.criterion
            .bench_function(&format!("{kernel}/{shape}"), |bencher| {
                bencher.iter_custom(|runs| {
                    let mut total = Duration::ZERO;
                    for _ in 0..runs {
                        peak = peak.max(
                            copy.as_mut()
                                .map_or_else(|| gflops_now(level), Copy::gbytes),
                        );
                        let time = timed(&mut run);
                        best = best.min(time.as_secs_f64());
                        total += time;
                    }
                    total
                });
            });
        if best == f64::MAX {
            // Not among the selected benchmarks.
            return;
        }
        let rate = |seconds: f64| work.amount() / seconds / 1e9;
        self.rows.push(Row {
            shape: shape.to_owned(),
            kernel: kernel.to_owned(),
            unit: work.unit(),
            rate: rate(best),
            peak,
            peer: peer.map(|peer| rate(best_of(peer))),
        });
    }

    /// Prints the table.
    pub fn finish(self) {
        self.criterion.final_summary();
        eprintln!("{}", self.table());
    }

    fn table(&self) -> String {
        let mut table = format!(
            "\n{} thread(s), best runs; peak of one thread\n",
            self.threads
        );
        for row in &self.rows {
            let Row {
                shape,
                kernel,
                unit,
                rate,
                peak,
                peer,
            } = row;
            let percent = 100.0 * rate / peak;
            let _ = write!(
                table,
                "{shape:32} {kernel:46} {rate:8.1} {unit:7} {percent:6.1} %"
            );
            if let Some(peer) = peer {
                let _ = write!(table, "   matrixmultiply {peer:8.1}  x{:.2}", rate / peer);
            }
            table.push('\n');
        }
        table
    }
}

fn timed(run: &mut dyn FnMut()) -> Duration {
    let start = Instant::now();
    run();
    black_box(());
    start.elapsed()
}

/// The shortest of some runs, in seconds.
fn best_of(run: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    let mut best = f64::MAX;
    for runs in 0.. {
        best = best.min(timed(run).as_secs_f64());
        if runs >= 3 && start.elapsed() > Duration::from_millis(300) {
            break;
        }
    }
    best
}
