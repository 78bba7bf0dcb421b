//! Waiting for what comes soon.

use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait without offering the core to other threads.
const SPIN: Duration = Duration::from_micros(30);

/// How many threads run at the same time.
static CORES: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));

/// Waits for `done` for about `limit` at most, and says whether it came. The thread does not sleep.
pub(super) fn poll(limit: Duration, done: impl Fn() -> bool) -> bool {
    for _ in 0..64 {
        if done() {
            return true;
        }
        std::hint::spin_loop();
    }
    let start = Instant::now();
    // What others wait for may need this very core.
    let spin = if rayon::current_num_threads() > *CORES {
        Duration::ZERO
    } else {
        SPIN
    };
    loop {
        for _ in 0..32 {
            if done() {
                return true;
            }
            std::hint::spin_loop();
        }
        let waited = start.elapsed();
        if waited > limit {
            return done();
        }
        if waited > spin {
            thread::yield_now();
        }
    }
}
