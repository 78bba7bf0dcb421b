//! How fast fresh memory is written for the first time, beside memory that was used before.
//!
//! `plain` is what the system's allocator gives, `fresh` a buffer of an empty cache, `again` one that the cache kept.

use std::hint::black_box;
use std::time::Instant;
use striate_simd::{AllocError, Buffer, memory};

const RUNS: usize = 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    eprintln!("GB/s of the first write, medians");
    eprintln!("{:>10} {:>8} {:>8} {:>8}", "KiB", "plain", "fresh", "again");
    for kib in [64, 512, 1024, 1280, 2560, 7168, 32768] {
        let len = kib * 256;
        let plain = measure(len, || {
            let mut memory = Vec::with_capacity(len);
            memory.resize(len, 1.0_f32);
            black_box(&memory);
            Ok(())
        })?;
        let write = || {
            black_box(&Buffer::filled(len, 1.0_f32)?);
            Ok(())
        };
        let fresh = measure(len, || {
            memory::trim();
            write()
        })?;
        let again = measure(len, write)?;
        eprintln!("{kib:>10} {plain:>8.1} {fresh:>8.1} {again:>8.1}");
    }
    Ok(())
}

fn measure(len: usize, mut run: impl FnMut() -> Result<(), AllocError>) -> Result<f64, AllocError> {
    let mut seconds = [0.0; RUNS];
    for seconds in &mut seconds {
        let start = Instant::now();
        run()?;
        *seconds = start.elapsed().as_secs_f64();
    }
    seconds.sort_unstable_by(f64::total_cmp);
    Ok(4e-9 * len as f64 / seconds[RUNS / 2])
}
