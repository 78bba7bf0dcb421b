//! Threads that have no work use no processor time.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};
use striate_kernels::parallel;

/// The processor time of this process, in ticks of 10 ms.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("it is there");
    let after_name = stat.rsplit(") ").next().expect("fields follow the name");
    let fields = after_name.split(' ').skip(11).take(2);
    fields.map(|f| f.parse::<u64>().expect("a count")).sum()
}

#[test]
fn idle_threads_use_no_processor_time() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build();
    let pool = pool.expect("a pool of threads");
    let regions = || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(20) {
            parallel::for_each(8, |_| {
                std::hint::black_box(vec![0_u8; 5000]);
            });
        }
    };
    regions();
    pool.install(regions);
    std::thread::sleep(Duration::from_millis(1));
    let before = ticks();
    std::thread::sleep(Duration::from_millis(300));
    let used = ticks() - before;
    assert!(used <= 1, "{used} ticks in 300 ms");
}
