//! What it costs to work on several threads: regions of two empty tasks a thread and of two tasks of 20 microseconds a
//! thread, beside the same by rayon's parallel iterators.
//!
//! `in` is a caller inside a pool of so many threads (`ThreadPool::install`), `out` one outside every pool, whose work goes
//! to the global pool of `STRIATE_BENCH_THREADS` threads (2 unless it says otherwise). A row follows regions without a break
//! and after a pause of a millisecond, in which helpers fall asleep. At the end stands the processor time of all threads
//! from a millisecond after the last region on, which should be none:
//!
//! ```text
//! cargo bench -p striate-benches --bench regions -- --assert    fails if idle threads use more than 1 % of a core
//! ```

use rayon::prelude::*;
use std::hint::{black_box, spin_loop};
use std::time::{Duration, Instant};
use striate_kernels::parallel;

const TASK: Duration = Duration::from_micros(20);

/// How long idle threads are watched, and the share of one core that they may use.
const WATCH: Duration = Duration::from_millis(300);
const IDLE: f64 = 0.01;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let assert = std::env::args().any(|argument| argument == "--assert");
    let global = std::env::var("STRIATE_BENCH_THREADS").map_or(Ok(2), |v| v.parse())?;
    parallel::set_threads(global)?;
    eprintln!("microseconds a region: median (90 % of them are below)");
    eprintln!(
        "{:12} {:10} {:>20} {:>20} {:>20} {:>20}",
        "threads", "tasks", "striate", "rayon", "striate, paused", "rayon, paused"
    );
    table(&format!("{global} out"), global);
    for threads in [1, 2, 3, 4, 8] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()?;
        pool.install(|| table(&format!("{threads} in"), threads));
    }
    let Some(used) = idle()? else {
        eprintln!("idle threads: this system does not tell the processor time of threads");
        return Ok(());
    };
    let share = used.as_secs_f64() / WATCH.as_secs_f64();
    eprintln!(
        "idle threads: {:.0} us of processor time in {} ms, {:.2} % of a core",
        1e6 * used.as_secs_f64(),
        WATCH.as_millis(),
        100.0 * share
    );
    if assert && share > IDLE {
        return Err("idle threads use processor time".into());
    }
    Ok(())
}

/// The processor time of this process while it has nothing to do, from a millisecond after some regions on.
fn idle() -> Result<Option<Duration>, Box<dyn std::error::Error>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build()?;
    let regions = || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(20) {
            parallel::for_each(8, |_| busy(Duration::from_micros(2)));
        }
    };
    regions();
    pool.install(regions);
    std::thread::sleep(Duration::from_millis(1));
    let before = processor_time();
    std::thread::sleep(WATCH);
    let after = processor_time();
    Ok(after.zip(before).map(|(a, b)| a.saturating_sub(b)))
}

/// The processor time of all threads so far, where Linux tells it.
fn processor_time() -> Option<Duration> {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let times = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        nanoseconds += times.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanoseconds))
}

fn table(name: &str, threads: usize) {
    for (tasks, kind, length) in [
        (2 * threads, "empty", Duration::ZERO),
        (2 * threads, "20 us", TASK),
    ] {
        let task = |i: usize| {
            black_box(i);
            busy(length);
        };
        let striate = || parallel::for_each(tasks, task);
        let rayon = || (0..tasks).into_par_iter().with_max_len(1).for_each(task);
        let pause = Duration::from_millis(1);
        eprintln!(
            "{name:12} {kind:10} {:>20} {:>20} {:>20} {:>20}",
            measure(2000, Duration::ZERO, striate),
            measure(2000, Duration::ZERO, rayon),
            measure(200, pause, striate),
            measure(200, pause, rayon),
        );
    }
}

fn busy(length: Duration) {
    let start = Instant::now();
    while !length.is_zero() && start.elapsed() < length {
        spin_loop();
    }
}

/// The median and the ninth decile of the durations of `region`.
fn measure(regions: usize, pause: Duration, region: impl Fn()) -> String {
    let mut times: Vec<Duration> = (0..regions)
        .map(|_| {
            if !pause.is_zero() {
                std::thread::sleep(pause);
            }
            let start = Instant::now();
            region();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |share: f64| 1e6 * times[(share * regions as f64) as usize].as_secs_f64();
    format!("{:.2} ({:.2})", at(0.5), at(0.9))
}
