//! Which SIMD level computes.

use std::cell::Cell;

use striate_simd::Level;

use crate::Result;

thread_local! {
    static OVERRIDE: Cell<Option<Level>> = const { Cell::new(None) };
}

/// Puts the previous level back, also when the closure panics.
struct Restore(Option<Level>);

impl Drop for Restore {
    fn drop(&mut self) {
        OVERRIDE.set(self.0);
    }
}

/// Runs `f` with every operation of this thread computed at `level`.
pub fn with_level<R>(level: Level, f: impl FnOnce() -> R) -> R {
    let _restore = Restore(OVERRIDE.replace(Some(level)));
    f()
}

/// The level operations of this thread compute at: that of [`with_level`], else
/// [`Level::selected`].
///
/// # Errors
/// `STRIATE_SIMD` asks for a level this machine does not have.
pub fn current_level() -> Result<Level> {
    match OVERRIDE.get() {
        Some(level) => Ok(level),
        None => Ok(Level::selected()?),
    }
}
