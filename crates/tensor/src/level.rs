//! Which SIMD level computes, and how accurately.

use std::cell::Cell;
use std::thread::LocalKey;

use striate_kernels::Accuracy;
pub(crate) use striate_kernels::Policy;
use striate_simd::Level;

use crate::Result;

thread_local! {
    static LEVEL: Cell<Option<Level>> = const { Cell::new(None) };
    static ACCURACY: Cell<Accuracy> = const { Cell::new(Accuracy::Fast) };
}

/// Puts the previous value back, also when the closure panics.
struct Restore<T: Copy + 'static>(&'static LocalKey<Cell<T>>, T);

impl<T: Copy> Drop for Restore<T> {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

fn with<T: Copy, R>(key: &'static LocalKey<Cell<T>>, value: T, f: impl FnOnce() -> R) -> R {
    let _restore = Restore(key, key.replace(value));
    f()
}

/// Runs `f` with every operation of this thread computed at `level`.
pub fn with_level<R>(level: Level, f: impl FnOnce() -> R) -> R {
    with(&LEVEL, Some(level), f)
}

/// Runs `f` with every operation of this thread computed as accurately as `accuracy` demands.
///
/// The default, [`Accuracy::Fast`], lets convolutions of three by three taps take algorithms with fewer
/// multiplications and slightly larger rounding errors. A gradient is computed as accurately as the thread
/// that calls [`backward`](crate::Tensor::backward) demands.
pub fn with_accuracy<R>(accuracy: Accuracy, f: impl FnOnce() -> R) -> R {
    with(&ACCURACY, accuracy, f)
}

/// The level operations of this thread compute at: that of [`with_level`], else
/// [`Level::selected`].
///
/// # Errors
/// `STRIATE_SIMD` asks for a level this machine does not have.
pub fn current_level() -> Result<Level> {
    match LEVEL.get() {
        Some(level) => Ok(level),
        None => Ok(Level::selected()?),
    }
}

/// How operations of this thread that have a choice compute: the [`current_level`], and the accuracy of
/// [`with_accuracy`].
pub(crate) fn current_policy() -> Result<Policy> {
    Ok(Policy {
        level: current_level()?,
        accuracy: ACCURACY.get(),
    })
}

/// Runs `f` with every operation of this thread computed by `policy`.
pub(crate) fn with_policy<R>(policy: Policy, f: impl FnOnce() -> R) -> R {
    with_level(policy.level, || with_accuracy(policy.accuracy, f))
}
