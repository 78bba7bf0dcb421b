//! Differentiable operations, ours and the user's.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::grad_mode::{self, Mode, no_grad};
use super::node::{BackwardCall, Edge, Node, NodeFunction, Origin};
use super::scope;
use super::shapes_only::is_shapes_only;
use crate::{Error, Result, Tensor};

/// The name of an operation and its attributes, as printed in a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The operation: `conv2d`.
    pub name: &'static str,
    /// Names and printed values: `("stride", "[2, 2]")`.
    pub attributes: Vec<(&'static str, String)>,
}

impl Description {
    /// An operation without attributes.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            attributes: Vec::new(),
        }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Debug) -> Self {
        self.attributes.push((name, format!("{value:?}")));
        self
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        for (name, value) in &self.attributes {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

/// A differentiable operation of `N` inputs. Run it with [`apply`].
///
/// Inputs arrive without history, and nothing is recorded inside `forward` and `backward`, so both
/// may use other tensor operations freely.
///
/// ```
/// use striate_tensor::autograd::{Description, Function, apply};
/// use striate_tensor::{Result, Tensor, gradcheck};
///
/// /// `x^3`
/// struct Cube;
///
/// impl Function<1> for Cube {
///     type Saved = Tensor;
///
///     fn describe(&self) -> Description {
///         Description::new("cube")
///     }
///
///     fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, Tensor)> {
///         Ok((x.square()?.mul(x)?, x.clone()))
///     }
///
///     fn backward(&self, x: &Tensor, grad: &Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
///         Ok([Some(x.square()?.mul_scalar(3.0)?.mul(grad)?)])
///     }
/// }
///
/// let x = Tensor::from_slice(&[0.5, -2.0], 2)?;
/// gradcheck(|x| apply(Cube, [&x[0]]), &[x])?;
/// # Ok::<(), striate_tensor::Error>(())
/// ```
pub trait Function<const N: usize>: Send + Sync + 'static {
    /// What backward needs from forward.
    type Saved: Send + Sync + 'static;

    /// The name and the attributes.
    fn describe(&self) -> Description;

    /// The output and what to keep for [`Function::backward`].
    ///
    /// # Errors
    /// The inputs do not fit the operation.
    fn forward(&self, inputs: [&Tensor; N]) -> Result<(Tensor, Self::Saved)>;

    /// Gradients of the inputs from that of the output.
    ///
    /// `needs[i]` tells whether the gradient of input `i` is wanted; `None` means zero. A gradient has
    /// the shape and type of its input.
    ///
    /// # Errors
    /// Memory is out.
    fn backward(
        &self,
        saved: &Self::Saved,
        grad: &Tensor,
        needs: [bool; N],
    ) -> Result<[Option<Tensor>; N]>;

    /// Adds the gradient of the only input to `sum`, which holds the gradients that have come from
    /// elsewhere, and returns true; or does nothing and returns false.
    ///
    /// For functions whose gradient is mostly zeros: each part of a split tensor adds itself where
    /// it belongs.
    ///
    /// # Errors
    /// Memory is out.
    fn accumulate(&self, saved: &Self::Saved, grad: &Tensor, sum: &mut Tensor) -> Result<bool> {
        let _ = (saved, grad, sum);
        Ok(false)
    }
}

/// Like [`Function`], for any number of inputs. Run it with [`apply_variadic`].
pub trait VariadicFunction: Send + Sync + 'static {
    /// What backward needs from forward.
    type Saved: Send + Sync + 'static;

    /// The name and the attributes.
    fn describe(&self) -> Description;

    /// The output and what to keep for [`VariadicFunction::backward`].
    ///
    /// # Errors
    /// The inputs do not fit the operation.
    fn forward(&self, inputs: &[Tensor]) -> Result<(Tensor, Self::Saved)>;

    /// Gradients of the inputs from that of the output, one entry an input.
    ///
    /// # Errors
    /// Memory is out.
    fn backward(
        &self,
        saved: &Self::Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Vec<Option<Tensor>>>;
}

/// Runs an operation and records it if an input tracks gradients.
///
/// # Errors
/// Those of the operation.
pub fn apply<F: Function<N>, const N: usize>(function: F, inputs: [&Tensor; N]) -> Result<Tensor> {
    let detached = inputs.map(Tensor::detach);
    let (output, saved) = no_grad(|| function.forward(detached.each_ref()))?;
    record(&inputs, output, || {
        Box::new(Recorded::new(Fixed(function), saved))
    })
}

/// What [`VariadicFunction::backward`] returns: the gradient of each input that needs one, computed by
/// `gradient` from the number of the input.
///
/// # Errors
/// The first that `gradient` returns.
pub fn gradients(
    needs: &[bool],
    gradient: impl Fn(usize) -> Result<Tensor>,
) -> Result<Vec<Option<Tensor>>> {
    needs
        .iter()
        .enumerate()
        .map(|(i, &need)| need.then(|| gradient(i)).transpose())
        .collect()
}

/// [`apply`] for any number of inputs.
///
/// # Errors
/// Those of the operation.
pub fn apply_variadic<F: VariadicFunction>(function: F, inputs: &[&Tensor]) -> Result<Tensor> {
    let detached: Vec<Tensor> = inputs.iter().map(|input| input.detach()).collect();
    let (output, saved) = no_grad(|| function.forward(&detached))?;
    record(inputs, output, || {
        Box::new(Recorded::new(Variadic(function), saved))
    })
}

/// Fails if an input tracks gradients, for operations without a backward.
///
/// # Errors
/// An input tracks gradients and recording is on.
pub fn reject(op: &'static str, inputs: &[&Tensor]) -> Result<()> {
    if grad_mode::current() != Mode::Off && inputs.iter().any(|input| input.tracks_grad()) {
        return Err(Error::Autograd(format!(
            "{op}: has no gradient, and an input tracks gradients: \
             detach() the input or run under no_grad"
        )));
    }
    Ok(())
}

/// Gives an output its origin.
fn record(
    inputs: &[&Tensor],
    output: Tensor,
    function: impl FnOnce() -> Box<dyn NodeFunction>,
) -> Result<Tensor> {
    scope::see(&output);
    if grad_mode::current() == Mode::Off || !inputs.iter().any(|input| input.tracks_grad()) {
        return Ok(output.detach());
    }
    attach(inputs, output, function)
}

/// Makes an output the result of a new node.
pub(crate) fn attach(
    inputs: &[&Tensor],
    output: Tensor,
    function: impl FnOnce() -> Box<dyn NodeFunction>,
) -> Result<Tensor> {
    if grad_mode::current() == Mode::Trace {
        return trace(inputs, &output);
    }
    let edges = inputs.iter().map(|input| Edge::to(input)).collect();
    let node = Node::new(function(), edges, &output);
    Ok(output.with_origin(Origin::Node(Arc::new(node))))
}

/// In a checkpoint's forward pass only the fact that gradients flow is kept.
fn trace(inputs: &[&Tensor], output: &Tensor) -> Result<Tensor> {
    if inputs
        .iter()
        .any(|input| matches!(input.origin, Origin::Node(_)))
    {
        return Err(Error::Autograd(
            "checkpoint: the function uses a tensor computed outside of it: \
             pass that tensor as one of the inputs"
                .into(),
        ));
    }
    output.requires_grad(true)
}

/// What a node saved: shared if it is to be kept, else taken out.
pub(crate) fn take<T>(slot: &Mutex<Option<Arc<T>>>, retain: bool) -> Result<Arc<T>> {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    let saved = if retain { slot.clone() } else { slot.take() };
    saved.ok_or_else(|| {
        Error::Autograd(
            "backward has been through here and freed what was saved: \
             call backward_retain the first time to go through twice"
                .into(),
        )
    })
}

/// The call of one kind of function, with its type forgotten by [`Recorded`].
trait Call: Send + Sync + 'static {
    type Saved: Send + Sync + 'static;
    fn describe(&self) -> Description;
    fn backward(
        &self,
        saved: &Self::Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Vec<Option<Tensor>>>;
    fn accumulate(&self, saved: &Self::Saved, grad: &Tensor, sum: &mut Tensor) -> Result<bool>;
}

struct Fixed<F, const N: usize>(F);

impl<F: Function<N>, const N: usize> Call for Fixed<F, N> {
    type Saved = F::Saved;

    fn describe(&self) -> Description {
        self.0.describe()
    }

    fn backward(
        &self,
        saved: &F::Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        let needs = std::array::from_fn(|i| needs.get(i).copied().unwrap_or(false));
        Ok(self.0.backward(saved, grad, needs)?.into())
    }

    fn accumulate(&self, saved: &F::Saved, grad: &Tensor, sum: &mut Tensor) -> Result<bool> {
        self.0.accumulate(saved, grad, sum)
    }
}

struct Variadic<F>(F);

impl<F: VariadicFunction> Call for Variadic<F> {
    type Saved = F::Saved;

    fn describe(&self) -> Description {
        self.0.describe()
    }

    fn backward(
        &self,
        saved: &F::Saved,
        grad: &Tensor,
        needs: &[bool],
    ) -> Result<Vec<Option<Tensor>>> {
        self.0.backward(saved, grad, needs)
    }

    fn accumulate(&self, _: &F::Saved, _: &Tensor, _: &mut Tensor) -> Result<bool> {
        Ok(false)
    }
}

/// A call and what it saved, until backward takes it.
struct Recorded<C: Call> {
    call: C,
    saved: Mutex<Option<Arc<C::Saved>>>,
}

impl<C: Call> Recorded<C> {
    fn new(call: C, saved: C::Saved) -> Self {
        // What means nothing has no gradient: its memory serves the next operation.
        let saved = (!is_shapes_only()).then(|| Arc::new(saved));
        Self {
            call,
            saved: Mutex::new(saved),
        }
    }
}

impl<C: Call> NodeFunction for Recorded<C> {
    fn describe(&self) -> Description {
        self.call.describe()
    }

    fn backward(&self, call: BackwardCall<'_>) -> Result<Vec<Option<Tensor>>> {
        let BackwardCall {
            grad,
            needs,
            retain,
            sum,
            ..
        } = call;
        let saved = take(&self.saved, retain)?;
        if let Some(sum) = sum
            && self.call.accumulate(&saved, grad, sum)?
        {
            return Ok(vec![None]);
        }
        self.call.backward(&saved, grad, needs)
    }
}
