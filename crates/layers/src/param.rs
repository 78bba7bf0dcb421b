//! What a layer owns: learned tensors, tensors it keeps track of, and its training switch.
//!
//! All three are handles. A clone of a [`Parameter`] is the same parameter, so an optimizer can
//! hold it while the network uses it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use striate_tensor::{DType, Error, Result, Tensor};

/// A tensor behind a lock that a panic elsewhere cannot make unusable.
struct Cell(RwLock<Tensor>);

impl Cell {
    fn get(&self) -> Tensor {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn with<R>(&self, f: impl FnOnce(&mut Tensor) -> R) -> R {
        f(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A learned tensor, shared by its clones.
///
/// [`Parameter::tensor`] is a leaf of the autograd graph whose identity does not change when its
/// values do: `grads.get(&parameter.tensor())` finds its gradient.
#[derive(Clone)]
pub struct Parameter(Arc<ParameterInner>);

struct ParameterInner {
    tensor: Cell,
    trainable: AtomicBool,
}

impl Parameter {
    /// A trainable parameter that starts with the values of `tensor`.
    ///
    /// # Errors
    /// The elements are not floats, or memory is out.
    pub fn new(tensor: &Tensor) -> Result<Self> {
        Self::of(&tensor.detach().contiguous()?)
    }

    /// A trainable parameter of the very memory of `tensor`, whatever its strides.
    pub(crate) fn of(tensor: &Tensor) -> Result<Self> {
        Ok(Self(Arc::new(ParameterInner {
            tensor: Cell(RwLock::new(tensor.requires_grad(true)?)),
            trainable: AtomicBool::new(true),
        })))
    }

    /// The tensor to compute with: a leaf that requires a gradient, or a constant when the
    /// parameter is not trainable.
    #[must_use]
    pub fn tensor(&self) -> Tensor {
        let tensor = self.0.tensor.get();
        if self.trainable() {
            tensor
        } else {
            tensor.detach()
        }
    }

    /// Its shape.
    #[must_use]
    pub fn shape(&self) -> Vec<usize> {
        self.0.tensor.get().shape().to_vec()
    }

    /// Its number of elements.
    #[must_use]
    pub fn numel(&self) -> usize {
        self.0.tensor.get().numel()
    }

    /// Its element type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.0.tensor.get().dtype()
    }

    /// Takes the values of `tensor`, converted to the parameter's element type.
    ///
    /// # Errors
    /// The shapes differ.
    pub fn set(&self, tensor: &Tensor) -> Result<()> {
        let shape = self.shape();
        if tensor.shape() != shape {
            return Err(mis_shaped("Parameter::set", &shape, tensor.shape()));
        }
        let values = tensor.detach().to_dtype(self.dtype())?.contiguous()?;
        self.0.tensor.with(|own| {
            *own = own.with_data_of(&values)?;
            Ok(())
        })
    }

    /// Changes the values of an f32 parameter, row-major; in place unless a graph still holds
    /// them, which then keeps the values it saw.
    ///
    /// # Errors
    /// The parameter is not f32, or a copy cannot be allocated.
    pub fn update(&self, f: impl FnOnce(&mut [f32])) -> Result<()> {
        self.0.tensor.with(|own| own.update_slice(f))
    }

    /// Changes the element type. The parameter becomes a new leaf.
    ///
    /// # Errors
    /// The copy cannot be allocated.
    pub fn to_dtype(&self, dtype: DType) -> Result<()> {
        self.0.tensor.with(|own| {
            *own = own.detach().to_dtype(dtype)?.requires_grad(true)?;
            Ok(())
        })
    }

    /// Whether gradients are computed for it.
    #[must_use]
    pub fn trainable(&self) -> bool {
        self.0.trainable.load(Ordering::Relaxed)
    }

    /// Freezes or unfreezes it.
    pub fn set_trainable(&self, on: bool) {
        self.0.trainable.store(on, Ordering::Relaxed);
    }

    /// Whether both handles are the same parameter.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parameter({:?} {:?}", self.dtype(), self.shape())?;
        f.write_str(if self.trainable() { ")" } else { ", frozen)" })
    }
}

/// A tensor that a layer keeps track of without learning it: running statistics, counters.
/// Shared by its clones.
#[derive(Clone)]
pub struct Buffer(Arc<Tracked>);

struct Tracked {
    cell: Cell,
    constant: bool,
}

impl Buffer {
    /// A buffer that starts with the values of `tensor`.
    #[must_use]
    pub fn new(tensor: &Tensor) -> Self {
        Self::tracked(tensor, false)
    }

    /// A buffer that follows from the configuration: a state dict may lack it, and nothing else can be loaded into it.
    #[must_use]
    pub fn constant(tensor: &Tensor) -> Self {
        Self::tracked(tensor, true)
    }

    fn tracked(tensor: &Tensor, constant: bool) -> Self {
        let cell = Cell(RwLock::new(tensor.detach()));
        Self(Arc::new(Tracked { cell, constant }))
    }

    /// Whether it follows from the configuration.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.0.constant
    }

    /// Its tensor; never part of a gradient.
    #[must_use]
    pub fn tensor(&self) -> Tensor {
        self.0.cell.get()
    }

    /// Its shape.
    #[must_use]
    pub fn shape(&self) -> Vec<usize> {
        self.0.cell.get().shape().to_vec()
    }

    /// Its element type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.0.cell.get().dtype()
    }

    /// Whether [`Buffer::set`] would take `tensor`.
    ///
    /// # Errors
    /// The shapes differ, or the values of a constant do by more than 1e-6.
    pub fn check(&self, tensor: &Tensor) -> Result<()> {
        let own = self.tensor();
        if tensor.shape() != own.shape() {
            return Err(mis_shaped("Buffer::set", own.shape(), tensor.shape()));
        }
        if self.0.constant {
            let far = tensor.to_dtype(own.dtype())?.sub(&own)?;
            let far = far.to_dtype(DType::F64)?.to_vec::<f64>()?;
            if !far.iter().all(|d| d.abs() <= 1e-6) {
                let rule = "its values are not those that the configuration gives";
                return Err(Error::msg(rule));
            }
        }
        Ok(())
    }

    /// Takes the values of `tensor`, converted to the buffer's element type; a constant keeps its own.
    ///
    /// # Errors
    /// As [`Buffer::check`].
    pub fn set(&self, tensor: &Tensor) -> Result<()> {
        self.check(tensor)?;
        if self.0.constant {
            return Ok(());
        }
        self.0.cell.with(|own| {
            *own = tensor.detach().to_dtype(own.dtype())?;
            Ok(())
        })
    }

    /// Changes a floating point buffer's element type; integers stay.
    ///
    /// # Errors
    /// The copy cannot be allocated.
    pub fn to_dtype(&self, dtype: DType) -> Result<()> {
        self.0.cell.with(|own| {
            if own.dtype().is_float() {
                *own = own.to_dtype(dtype)?;
            }
            Ok(())
        })
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({:?} {:?})", self.dtype(), self.shape())
    }
}

fn mis_shaped(op: &'static str, own: &[usize], got: &[usize]) -> Error {
    Error::shape(
        op,
        format!("its shape is {own:?}, got a tensor of shape {got:?}"),
    )
}

/// Whether a layer trains: batch statistics and dropout, or running statistics and none.
/// Training is the default.
#[derive(Debug)]
pub struct Mode(AtomicBool);

impl Mode {
    /// A switch in training position.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicBool::new(true))
    }

    /// Whether the layer trains.
    #[must_use]
    pub fn training(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the switch.
    pub fn set(&self, training: bool) {
        self.0.store(training, Ordering::Relaxed);
    }
}

impl Default for Mode {
    fn default() -> Self {
        Self::new()
    }
}
