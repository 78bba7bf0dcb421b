//! Which layer is running, so that errors and graphs can say so, how long each runs, and what it gives.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{Result, Tensor};

thread_local! {
    static PATH: RefCell<Option<Arc<str>>> = const { RefCell::new(None) };
    static PROFILING: Cell<bool> = const { Cell::new(false) };
    static OBSERVED: RefCell<Option<Vec<Observed>>> = const { RefCell::new(None) };
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
pub fn scope<R: 'static>(path: &Arc<str>, f: impl FnOnce() -> Result<R>) -> Result<R> {
    let _restore = Restore(PATH.replace(Some(Arc::clone(path))));
    let _timed = PROFILING.get().then(|| Timed::start(path));
    let result = f().map_err(|error| error.at(path))?;
    if let Some(tensor) = (&result as &dyn Any).downcast_ref() {
        see(tensor);
    }
    Ok(result)
}

pub(crate) fn current() -> Option<Arc<str>> {
    PATH.with_borrow(Clone::clone)
}

/// A tensor that came out of an operation of a layer, or of the layer.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The path of the layer.
    pub path: Arc<str>,
    /// What came out, without history.
    pub value: Tensor,
}

/// Runs `f` and returns what came out of every operation and every layer with one output on this thread, in that order.
///
/// What a layer gives is seen last of what is seen under its path. Observations do not nest: the innermost gets all.
pub fn observe<R>(f: impl FnOnce() -> R) -> (R, Vec<Observed>) {
    let outer = Outer(OBSERVED.replace(Some(Vec::new())));
    let result = f();
    let observed = OBSERVED.take().unwrap_or_default();
    drop(outer);
    (result, observed)
}

/// Puts back what the observation around this one has seen, also when the closure panics.
struct Outer(Option<Vec<Observed>>);

impl Drop for Outer {
    fn drop(&mut self) {
        OBSERVED.set(self.0.take());
    }
}

/// Notes a tensor under the path of the layer that runs, if somebody wants to know.
pub(super) fn see(tensor: &Tensor) {
    OBSERVED.with_borrow_mut(|observed| {
        if let (Some(observed), Some(path)) = (observed, current()) {
            let value = tensor.detach();
            observed.push(Observed { path, value });
        }
    });
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
    use crate::DType;

    #[test]
    fn what_layers_give_is_observed_in_order() -> Result<()> {
        let [outer, inner] = ["block", "block.act"].map(Arc::<str>::from);
        let run = || -> Result<Tensor> {
            let x = Tensor::ones([2], DType::F32)?;
            scope(&outer, || {
                let y = x.add_scalar(1.0)?;
                scope(&inner, || y.neg())
            })
        };
        let (y, observed) = observe(run);
        let seen: Vec<(&str, f32)> = observed
            .iter()
            .map(|o| Ok((&*o.path, o.value.to_vec::<f32>()?[0])))
            .collect::<Result<_>>()?;
        let expected = [
            ("block", 2.0),
            ("block.act", -2.0),
            ("block.act", -2.0),
            ("block", -2.0),
        ];
        assert_eq!(seen, expected);
        assert_eq!(y?.to_vec::<f32>()?, [-2.0; 2]);
        run()?;
        assert!(observe(|| ()).1.is_empty());
        Ok(())
    }

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
