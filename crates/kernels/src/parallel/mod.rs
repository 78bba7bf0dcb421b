//! Work on several threads: the only module that names the thread pool.
//!
//! The caller cuts the work by shape alone, so that neither the cut nor the order of any reduction depends on the
//! number of threads. One task runs on the calling thread; a cut should therefore give one task when the work is not
//! worth waking another thread, which is what [`Cut`] does.

mod cut;
mod region;
mod team;
mod wait;

pub use cut::Cut;

use crate::disjoint::DisjointMut;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// The most threads that [`set_threads`] starts.
pub const MAX_THREADS: usize = 1024;

/// Why the number of threads could not be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ThreadsError {
    /// No threads at all, or absurdly many.
    #[error("{0} threads: the number must be from 1 to {MAX_THREADS}")]
    Count(usize),
    /// The threads run already, or the system refuses to start them.
    #[error("cannot start {threads} threads: {reason}")]
    Start {
        /// The number asked for.
        threads: usize,
        /// What stands against it.
        reason: String,
    },
}

/// Makes all work of this process run on `threads` threads. Possible once, before the first work.
///
/// # Errors
/// When the number is 0 or more than [`MAX_THREADS`], the threads run already, or the system refuses to start them.
pub fn set_threads(threads: usize) -> Result<(), ThreadsError> {
    if threads == 0 || threads > MAX_THREADS {
        return Err(ThreadsError::Count(threads));
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build_global().map_err(|e| ThreadsError::Start {
        threads,
        reason: e.to_string(),
    })
}

/// The number of threads that [`for_each`] may use here.
pub fn threads() -> usize {
    rayon::current_num_threads()
}

/// Whether the calling thread is one of those that do the work, so that waiting in it keeps work from being done.
pub fn inside_pool() -> bool {
    rayon::current_thread_index().is_some()
}

/// Runs `f(0)`, ..., `f(tasks - 1)`, in any order and possibly at the same time.
pub fn for_each(tasks: usize, f: impl Fn(usize) + Sync) {
    run(tasks, &f);
}

/// The one place that enters the pool: compiled once, not once a caller.
fn run(tasks: usize, f: &(dyn Fn(usize) + Sync)) {
    let threads = if tasks <= 1 { 1 } else { threads() };
    if threads <= 1 {
        (0..tasks).for_each(f);
    } else {
        team::run(threads, tasks, f);
    }
}

/// Runs `f(0)`, ..., `f(tasks - 1)`, in any order and possibly at the same time, until one fails.
///
/// # Errors
/// The error of a task that failed; of several, any.
pub fn try_for_each<E: Send>(
    tasks: usize,
    f: impl Fn(usize) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let failure = Mutex::new(None);
    let failed = AtomicBool::new(false);
    run(tasks, &|task| {
        if failed.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = f(task) {
            failed.store(true, Ordering::Relaxed);
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    });
    let failure = failure.into_inner();
    failure
        .unwrap_or_else(PoisonError::into_inner)
        .map_or(Ok(()), Err)
}

/// Runs `f(i, chunk)` for the `i`-th piece of `chunk_len` elements of `data`; the last piece may be shorter.
/// A `chunk_len` of zero stands for the whole slice.
pub fn for_each_chunk<T: Send + Sync>(
    data: &mut [T],
    chunk_len: usize,
    f: impl Fn(usize, &mut [T]) + Sync,
) {
    let len = data.len();
    let cut = Cut::every(len, if chunk_len == 0 { len } else { chunk_len });
    if cut.tasks() <= 1 || threads() == 1 {
        let chunks = data.chunks_mut(cut.per_task()).enumerate();
        return chunks.for_each(|(i, chunk)| f(i, chunk));
    }
    let data = DisjointMut::new(data);
    run(cut.tasks(), &|i| f(i, &mut data.range(cut.range(i))));
}

/// Runs `f(i, a, b)` for the `i`-th pieces of `a_len` and `b_len` elements of `a` and `b`, which must have the same
/// number of pieces: further pieces of the longer one are left out.
pub fn for_each_chunk2<A: Send + Sync, B: Send + Sync>(
    (a, a_len): (&mut [A], usize),
    (b, b_len): (&mut [B], usize),
    f: impl Fn(usize, &mut [A], &mut [B]) + Sync,
) {
    let cuts = (Cut::every(a.len(), a_len), Cut::every(b.len(), b_len));
    let tasks = cuts.0.tasks().min(cuts.1.tasks());
    if tasks <= 1 || threads() == 1 {
        let pieces = (
            a.chunks_mut(cuts.0.per_task()),
            b.chunks_mut(cuts.1.per_task()),
        );
        let pairs = pieces.0.zip(pieces.1).enumerate();
        return pairs.for_each(|(i, (a, b))| f(i, a, b));
    }
    let (a, b) = (DisjointMut::new(a), DisjointMut::new(b));
    run(tasks, &|i| {
        f(
            i,
            &mut a.range(cuts.0.range(i)),
            &mut b.range(cuts.1.range(i)),
        );
    });
}

#[cfg(test)]
mod tests;
