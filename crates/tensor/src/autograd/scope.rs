//! Which layer is running, so that errors and graphs can say so.

use std::cell::RefCell;
use std::sync::Arc;

use crate::Result;

thread_local! {
    static PATH: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
}

/// Puts the previous path back, also when the closure panics.
struct Restore(Option<Arc<str>>);

impl Drop for Restore {
    fn drop(&mut self) {
        PATH.set(self.0.take());
    }
}

/// Runs a layer's forward pass under its path.
///
/// Errors gain the path in front, and recorded operations remember it for errors of the backward
/// pass and for [`Graph`](crate::autograd::Graph). The innermost path wins.
///
/// # Errors
/// Those of `f`.
pub fn scope<R>(path: &Arc<str>, f: impl FnOnce() -> Result<R>) -> Result<R> {
    let _restore = Restore(PATH.replace(Some(Arc::clone(path))));
    f().map_err(|error| error.at(path))
}

pub(crate) fn current() -> Option<Arc<str>> {
    PATH.with_borrow(Clone::clone)
}
