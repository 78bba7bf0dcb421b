//! Which layer is running, so that errors and graphs can say so, and how long each runs.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Result;

thread_local! {
    static PATH: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
    static PROFILING: Cell<bool> = const { Cell::new(false) };
    static PROFILE: RefCell<Profile> = const { RefCell::new(Profile { layers: Vec::new(), inner: Duration::ZERO }) };
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
    let _timed = PROFILING.get().then(|| Timed::start(path));
    f().map_err(|error| error.at(path))
}

pub(crate) fn current() -> Option<Arc<str>> {
    PATH.with_borrow(Clone::clone)
}

/// How long a layer ran.
#[derive(Clone, Debug)]
pub struct LayerTime {
    /// Its path.
    pub path: Arc<str>,
    /// Wall-clock time of all its runs, without that of layers inside it.
    pub own: Duration,
}

/// Runs `f` and tells how long each layer ran on this thread, in the order in which they first finished.
///
/// Time outside every layer is not told. Profiles do not nest: the innermost gets all.
pub fn profile<R>(f: impl FnOnce() -> R) -> (R, Vec<LayerTime>) {
    let outer = PROFILE.take();
    let was = PROFILING.replace(true);
    let result = f();
    PROFILING.set(was);
    (result, PROFILE.replace(outer).layers)
}

#[derive(Default)]
struct Profile {
    layers: Vec<LayerTime>,
    /// Time of the layers that have finished inside the one that runs.
    inner: Duration,
}

/// A layer that runs.
struct Timed<'a> {
    path: &'a Arc<str>,
    start: Instant,
    /// What had finished inside the layer around it.
    before: Duration,
}

impl<'a> Timed<'a> {
    fn start(path: &'a Arc<str>) -> Self {
        let before = PROFILE.with_borrow_mut(|p| std::mem::take(&mut p.inner));
        Self {
            path,
            start: Instant::now(),
            before,
        }
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        let all = self.start.elapsed();
        PROFILE.with_borrow_mut(|profile| {
            let own = all.saturating_sub(profile.inner);
            profile.inner = self.before + all;
            match profile.layers.iter_mut().find(|l| l.path == *self.path) {
                Some(layer) => layer.own += own,
                None => profile.layers.push(LayerTime {
                    path: Arc::clone(self.path),
                    own,
                }),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_has_the_own_time_of_every_layer() {
        let pause = |ms| {
            std::thread::sleep(Duration::from_millis(ms));
            Ok(())
        };
        let [outer, inner] = ["block", "block.conv"].map(Arc::<str>::from);
        let run = || {
            scope(&outer, || {
                pause(2)?;
                scope(&inner, || pause(20))?;
                scope(&inner, || pause(20))
            })
        };
        let (result, layers) = profile(run);
        result.expect("nothing fails");
        let own = |path: &str| layers.iter().find(|l| &*l.path == path).map(|l| l.own);
        let (block, conv) = (
            own("block").expect("it ran"),
            own("block.conv").expect("it ran"),
        );
        assert!(conv >= Duration::from_millis(40), "{layers:?}");
        assert!(
            block >= Duration::from_millis(2) && block < conv,
            "{layers:?}"
        );
        assert_eq!(layers.len(), 2, "{layers:?}");
        run().expect("nothing fails");
        assert!(
            profile(|| ()).1.is_empty(),
            "what ran outside a profile is not in it"
        );
    }
}
