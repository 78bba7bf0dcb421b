//! Running a network for its shapes.

use std::cell::Cell;

thread_local! {
    static SHAPES_ONLY: Cell<bool> = const { Cell::new(false) };
}

/// Puts the flag back, also when the closure panics.
struct Restore(bool);

impl Drop for Restore {
    fn drop(&mut self) {
        SHAPES_ONLY.set(self.0);
    }
}

/// Runs `f` with convolutions and linear maps that give zeros of the right shape and compute nothing, so that what a network
/// records can be counted in little time. The values that come out mean nothing.
pub fn shapes_only<R>(f: impl FnOnce() -> R) -> R {
    let _restore = Restore(SHAPES_ONLY.replace(true));
    f()
}

pub(crate) fn is_shapes_only() -> bool {
    SHAPES_ONLY.get()
}
