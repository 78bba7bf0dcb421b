//! Looking at what attention modules decide, without changing what they compute.

use std::cell::RefCell;
use std::sync::Arc;

use striate_tensor::{Result, Tensor};

/// What a probed tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// One factor a sample and channel: `[N, C]`.
    ChannelGate,
    /// One weight a sample, branch and channel, which sum to 1 over the branches: `[N, M, C]`.
    BranchWeights,
    /// One factor a sample and expert, by which the experts' weights are mixed: `[N, E]`.
    ExpertWeights,
    /// One factor a sample and pixel: `[N, 1, H, W]`.
    SpatialMap,
    /// One factor an element: `[N, C, H, W]`.
    FullGate,
    /// How far a convolution's taps move, down and right in turn, in pixels: `[N, 2 * taps, H, W]`.
    Offsets,
    /// Where an image is sampled, as `(x, y)` from -1 to 1: `[N, H, W, 2]`.
    Grid,
}

/// A tensor that a module has emitted.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The module's path: `layer1.0.se`.
    pub path: Arc<str>,
    /// What the tensor is.
    pub kind: ProbeKind,
    /// Its values; no gradient flows through it.
    pub tensor: Tensor,
}

thread_local! {
    static RECORD: RefCell<Option<Vec<Probe>>> = const { RefCell::new(None) };
}

/// Puts the outer recording back, also when the closure panics.
struct Restore(Option<Vec<Probe>>);

impl Drop for Restore {
    fn drop(&mut self) {
        RECORD.set(self.0.take());
    }
}

/// Runs `f` and returns what the modules in it emitted, in order.
///
/// The outputs are those of `f` alone, bit for bit. A recording inside a recording keeps its
/// probes to itself.
pub fn record<R>(f: impl FnOnce() -> R) -> (R, Vec<Probe>) {
    let _restore = Restore(RECORD.replace(Some(Vec::new())));
    let result = f();
    (result, RECORD.take().unwrap_or_default())
}

/// Hands a tensor to the recording of this thread, if there is one. For modules.
pub fn emit(path: &Arc<str>, kind: ProbeKind, tensor: &Tensor) {
    RECORD.with_borrow_mut(|record| {
        if let Some(probes) = record {
            probes.push(Probe {
                path: Arc::clone(path),
                kind,
                tensor: tensor.detach(),
            });
        }
    });
}

/// Hands the factors of channels, `[N, C, 1, 1]`, to the recording as a [`ProbeKind::ChannelGate`].
///
/// # Errors
/// They have another shape.
pub fn emit_channels(path: &Arc<str>, gate: &Tensor) -> Result<()> {
    if is_recording() {
        let [n, c, _, _] = gate.dims4()?;
        emit(path, ProbeKind::ChannelGate, &gate.reshape([n, c])?);
    }
    Ok(())
}

/// Whether a recording is on: to skip work that only a probe needs.
#[must_use]
pub fn is_recording() -> bool {
    RECORD.with_borrow(Option::is_some)
}
