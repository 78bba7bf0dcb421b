//! What a copy of memory can do at most, measured where the kernels run.

use std::hint::black_box;
use std::time::Instant;

/// Bytes read and written per second by a copy of `bytes` bytes, in units of 10^9.
#[derive(Debug)]
pub struct Copy {
    source: Vec<f32>,
    target: Vec<f32>,
}

impl Copy {
    /// A copy that moves about `bytes` bytes, read and written together.
    pub fn new(bytes: usize) -> Self {
        let len = (bytes / 8).max(1);
        Self {
            source: vec![1.0; len],
            target: vec![0.0; len],
        }
    }

    /// Runs the copy once.
    pub fn gbytes(&mut self) -> f64 {
        let start = Instant::now();
        self.target.copy_from_slice(black_box(&self.source));
        black_box(&mut self.target);
        let seconds = start.elapsed().as_secs_f64();
        (8 * self.source.len()) as f64 / seconds / 1e9
    }
}
