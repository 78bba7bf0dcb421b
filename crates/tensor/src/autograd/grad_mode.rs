//! Whether operations are recorded.

use std::cell::Cell;

/// What operations on tracked tensors leave behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// Nothing.
    Off,
    /// A node.
    On,
    /// The mark that a gradient would flow: the forward pass of a checkpoint.
    Trace,
}

thread_local! {
    static MODE: Cell<Mode> = const { Cell::new(Mode::On) };
}

/// Puts the previous mode back, also when the closure panics.
struct Restore(Mode);

impl Drop for Restore {
    fn drop(&mut self) {
        MODE.set(self.0);
    }
}

pub(crate) fn current() -> Mode {
    MODE.get()
}

pub(crate) fn with_mode<R>(mode: Mode, f: impl FnOnce() -> R) -> R {
    let _restore = Restore(MODE.replace(mode));
    f()
}

/// Runs `f` without recording: evaluation, and updates of parameters.
///
/// Holds for this thread and until `f` returns or panics.
pub fn no_grad<R>(f: impl FnOnce() -> R) -> R {
    with_mode(Mode::Off, f)
}

/// Whether operations on tracked tensors are recorded on this thread now.
#[must_use]
pub fn is_grad_enabled() -> bool {
    current() != Mode::Off
}
