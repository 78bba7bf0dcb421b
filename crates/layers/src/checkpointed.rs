//! Activations computed again instead of kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use striate_tensor::autograd::checkpoint;
use striate_tensor::{Result, Tensor};

use crate::module::{Means, Part, walk};
use crate::{Activation, Fusible, Layer, Module, Visitor};

/// Whether a [`Checkpointed`] layer does what its name says.
#[derive(Debug, Default)]
pub struct Recompute(AtomicBool);

impl Recompute {
    /// Whether activations are computed again.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the switch.
    pub fn set(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }
}

/// Keeps of a layer's forward pass only the input, and computes the rest again for the backward pass: less memory for one
/// more forward pass. Outputs, gradients and running statistics are those of the layer alone, bit for bit; it has the names
/// of the layer too.
///
/// Paper: Chen, Xu, Zhang, Guestrin, *Training Deep Nets with Sublinear Memory Cost*, 2016, arXiv:1604.06174.
///
/// ```
/// use striate_layers::{Checkpointed, Conv2dConfig, Module, Sequential, VarBuilder};
/// use striate_tensor::{DType, Result, Tensor};
///
/// # fn main() -> Result<()> {
/// let vb = VarBuilder::seeded(0);
/// let block = Conv2dConfig::new(3, 8, 3).build(&(&vb / "conv"))?;
/// let net = Sequential::new().push_named("conv", Checkpointed::new(block));
/// let y = net.forward(&Tensor::zeros([1, 3, 8, 8], DType::F32)?)?;
/// assert_eq!(y.graph().nodes[0].description.name, "checkpoint");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Checkpointed<M> {
    module: Arc<M>,
    recompute: Recompute,
}

impl<M: Module> Checkpointed<M> {
    /// Computes again.
    #[must_use]
    pub fn new(module: M) -> Self {
        let checkpointed = Self::off(module);
        checkpointed.recompute.set(true);
        checkpointed
    }

    /// Is the layer alone until [`set_checkpointing`] says otherwise.
    #[must_use]
    pub fn off(module: M) -> Self {
        Self {
            module: Arc::new(module),
            recompute: Recompute::default(),
        }
    }

    /// The layer itself.
    #[must_use]
    pub fn inner(&self) -> &M {
        &self.module
    }
}

impl<M: Module> Layer for Checkpointed<M> {
    fn visit(&self, v: &mut dyn Visitor) {
        v.recompute(&self.recompute);
        self.module.visit(v);
    }
}

impl<M: Module + 'static> Module for Checkpointed<M> {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if !self.recompute.is_on() {
            return self.module.forward(x);
        }
        let module = Arc::clone(&self.module);
        checkpoint(move |inputs| module.forward(&inputs[0]), &[x])
    }

    fn forward_owned(&self, x: Tensor) -> Result<Tensor> {
        if self.recompute.is_on() {
            return self.forward(&x);
        }
        self.module.forward_owned(x)
    }

    fn forward_onto(&self, residual: &Tensor, act: Activation, x: &Tensor) -> Result<Tensor> {
        if !self.recompute.is_on() {
            return self.module.forward_onto(residual, act, x);
        }
        let module = Arc::clone(&self.module);
        let f = move |inputs: &[Tensor]| module.forward_onto(&inputs[0], act, &inputs[1]);
        checkpoint(f, &[residual, x])
    }

    /// Nothing is kept that could be computed again.
    fn channel_gate(&self, means: &Means<'_>) -> Option<Result<Tensor>> {
        self.module.channel_gate(means)
    }

    /// A layer that runs in one pass with its neighbours is not computed again.
    fn fusible(&self) -> Fusible<'_> {
        self.module.fusible()
    }
}

/// Switches every [`Checkpointed`] below `layer`; how many there are. The networks of `striate_models` have one around each
/// stage, off at first.
pub fn set_checkpointing(layer: &dyn Layer, on: bool) -> usize {
    let mut count = 0;
    walk(layer, &mut |_, part| {
        if let Part::Recompute(recompute) = part {
            recompute.set(on);
            count += 1;
        }
    });
    count
}
