//! Where a layer gets its tensors from: a path, and a generator or a state dict behind it.

use std::fmt::{Debug, Display};
use std::ops::Div;
use std::sync::Arc;

use striate_tensor::{DType, Error, Philox, Result, Tensor};

use crate::state_dict::{fit, missing};
use crate::{Buffer, Init, Parameter, StateDict};

/// A path into a network and the source of the tensors found there.
///
/// ```text
/// let vb = VarBuilder::seeded(0);
/// let conv = Conv2dConfig::new(3, 16, 3).padding(1).build(&(&vb / "layer1" / 0 / "conv"))?;
/// ```
/// draws `layer1.0.conv.weight` and `layer1.0.conv.bias`. Every tensor is drawn from a stream of
/// its own, keyed by the seed and its full name: adding a layer moves no other layer's values.
#[derive(Clone, Debug)]
pub struct VarBuilder {
    path: Arc<str>,
    source: Source,
    dtype: DType,
}

#[derive(Clone, Debug)]
enum Source {
    Zeros,
    Seeded(u64),
    StateDict(Arc<StateDict>),
}

impl VarBuilder {
    /// New tensors drawn from each layer's initial distributions.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            path: "".into(),
            source: Source::Seeded(seed),
            dtype: DType::F32,
        }
    }

    /// Zeros everywhere: for a network that only tells its shapes, or whose weights are loaded next. A tensor takes the
    /// memory of one element until it is written.
    #[must_use]
    pub fn zeros() -> Self {
        Self {
            source: Source::Zeros,
            ..Self::seeded(0)
        }
    }

    /// The tensors of a state dict, by full name.
    #[must_use]
    pub fn from_state_dict(state_dict: StateDict) -> Self {
        Self {
            path: "".into(),
            source: Source::StateDict(Arc::new(state_dict)),
            dtype: DType::F32,
        }
    }

    /// Makes floating point tensors of this type: `F64` for gradient checks.
    #[must_use]
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.dtype = dtype;
        self
    }

    /// The path so far: `layer1.0.conv`.
    #[must_use]
    pub fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// The full name of a tensor here.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// A learned tensor.
    ///
    /// # Errors
    /// It cannot be allocated; the state dict lacks it or has it with another shape.
    pub fn parameter(&self, name: &str, shape: &[usize], init: Init) -> Result<Parameter> {
        let tensor = self.tensor(name, shape, init)?;
        match self.source {
            Source::Zeros => Parameter::of(&tensor),
            Source::Seeded(_) | Source::StateDict(_) => Parameter::new(&tensor),
        }
    }

    /// A floating point tensor that is tracked and not learned.
    ///
    /// # Errors
    /// As [`VarBuilder::parameter`].
    pub fn buffer(&self, name: &str, shape: &[usize], init: Init) -> Result<Buffer> {
        Ok(Buffer::new(&self.tensor(name, shape, init)?))
    }

    /// A learned tensor that starts as `start`, which makes its type that of this builder.
    ///
    /// # Errors
    /// As [`VarBuilder::parameter`].
    pub fn parameter_from(&self, name: &str, start: &Tensor) -> Result<Parameter> {
        Parameter::new(&self.tensor_from(name, start)?)
    }

    /// A tensor that is tracked and not learned and starts as `start`.
    ///
    /// # Errors
    /// As [`VarBuilder::parameter`].
    pub fn buffer_from(&self, name: &str, start: &Tensor) -> Result<Buffer> {
        Ok(Buffer::new(&self.tensor_from(name, start)?))
    }

    /// A tensor that follows from the configuration. A state dict may lack it; what it has must be that, within 1e-6.
    ///
    /// # Errors
    /// The state dict has it with another shape or with other values.
    pub fn constant(&self, name: &str, value: &Tensor) -> Result<Buffer> {
        let buffer = Buffer::constant(&value.to_dtype(self.dtype)?);
        if let Source::StateDict(dict) = &self.source {
            let full = self.name(name);
            if let Some(stored) = dict.get(&full) {
                let stored = fit(&full, value.shape(), stored)?;
                buffer.check(&stored).map_err(|e| e.at(&full))?;
            }
        }
        Ok(buffer)
    }

    fn tensor_from(&self, name: &str, start: &Tensor) -> Result<Tensor> {
        match &self.source {
            Source::Zeros | Source::Seeded(_) => {
                start.to_dtype(self.dtype).map_err(|e| e.at(&self.path))
            }
            Source::StateDict(_) => self.tensor(name, start.shape(), Init::ZEROS),
        }
    }

    /// A count that starts at 0 (`num_batches_tracked`). A state dict may lack it.
    ///
    /// # Errors
    /// The state dict has it with another shape.
    pub fn counter(&self, name: &str) -> Result<Buffer> {
        let full = self.name(name);
        let tensor = match &self.source {
            Source::StateDict(dict) => match dict.get(&full) {
                Some(stored) => fit(&full, &[], stored)?.to_dtype(DType::I64)?,
                None => Tensor::zeros((), DType::I64)?,
            },
            Source::Zeros | Source::Seeded(_) => Tensor::zeros((), DType::I64)?,
        };
        Ok(Buffer::new(&tensor))
    }

    fn tensor(&self, name: &str, shape: &[usize], init: Init) -> Result<Tensor> {
        let full = self.name(name);
        match &self.source {
            Source::Zeros => Tensor::zeros((), self.dtype).and_then(|zero| zero.expand(shape)),
            Source::Seeded(seed) => {
                let mut rng = Philox::new(*seed).stream(key(&full));
                init.sample(shape, &mut rng)
                    .and_then(|t| t.to_dtype(self.dtype))
            }
            Source::StateDict(dict) => match dict.get(&full) {
                Some(stored) => fit(&full, shape, stored)?.to_dtype(self.dtype),
                None => Err(Error::msg(missing(&full, dict))),
            },
        }
        .map_err(|e| e.at(&self.path))
    }
}

/// 64-bit FNV-1a of a name: which stream of the generator the tensor gets.
fn key(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl<T: Display> Div<T> for VarBuilder {
    type Output = Self;

    fn div(self, segment: T) -> Self {
        &self / segment
    }
}

impl<T: Display> Div<T> for &VarBuilder {
    type Output = VarBuilder;

    fn div(self, segment: T) -> VarBuilder {
        VarBuilder {
            path: self.name(&segment.to_string()).into(),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_take_memory_when_they_are_written() -> Result<()> {
        let vb = VarBuilder::zeros();
        let huge = vb.parameter("weight", &[1 << 20, 1 << 20], Init::ONES)?;
        assert_eq!(huge.numel(), 1 << 40);
        let updated = vb.parameter("weight", &[2, 2], Init::ONES)?;
        updated.update(|values| values[1] = 5.0)?;
        assert_eq!(updated.tensor().to_vec::<f32>()?, [0.0, 5.0, 0.0, 0.0]);
        let set = vb.parameter("weight", &[2, 2], Init::ONES)?;
        set.set(&updated.tensor())?;
        set.update(|values| values[0] = 1.0)?;
        assert_eq!(set.tensor().to_vec::<f32>()?, [1.0, 5.0, 0.0, 0.0]);
        Ok(())
    }
}
