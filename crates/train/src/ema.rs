//! The exponential moving average of a model's weights.

use std::ops::{AddAssign, Mul, Sub};

use striate_kernels::parallel;
use striate_layers::{Layer, Loading, StateDict, load_state_dict, state_dict};
use striate_tensor::{DType, Element, Result as TensorResult, Tensor};

use crate::error::{Error, Result};

/// Elements that one thread averages at a time.
const CHUNK: usize = 1 << 15;

/// An average of a model's parameters and buffers that follows them from step to step:
/// `average = decay * average + (1 - decay) * value`, from the values at its start on.
///
/// Everything in the state dict is averaged, running statistics too, as timm's `ModelEmaV2` does (torchvision averages the
/// parameters alone unless it is told to take the buffers); integers, like the count of batches, are those of the model. A value
/// that does not change is its own average, bit for bit.
///
/// ```
/// use striate_layers::{LinearConfig, VarBuilder};
/// use striate_train::Ema;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let model = LinearConfig::new(2, 1).build(&VarBuilder::seeded(0))?;
/// let mut ema = Ema::new(&model, 0.75)?;
/// let bias = |value| model.bias().unwrap().update(|b| b[0] = value);
/// bias(0.0)?;
/// for _ in 0..50 {
///     ema.update(&model)?;
/// }
/// bias(1.0)?;
/// ema.update(&model)?;
/// let averaged = ema.with(&model, || model.bias().unwrap().tensor().item::<f32>())??;
/// assert!((averaged - 0.25).abs() < 1e-6);
/// assert_eq!(model.bias().unwrap().tensor().item::<f32>()?, 1.0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Ema {
    decay: f64,
    average: Vec<(String, Tensor)>,
}

impl Ema {
    /// Starts with the values that `model` has.
    ///
    /// # Errors
    /// The decay is not at least 0 and below 1.
    pub fn new(model: &dyn Layer, decay: f64) -> Result<Self> {
        check(decay)?;
        let average = state_dict(model).into_iter().collect();
        Ok(Self { decay, average })
    }

    /// Takes the values in that `model` has now.
    ///
    /// # Errors
    /// When the model has other parts than at the start, or memory runs out.
    pub fn update(&mut self, model: &dyn Layer) -> Result<()> {
        let values = self.fit(&state_dict(model))?;
        for ((name, average), value) in self.average.iter_mut().zip(values) {
            follow(average, &value, 1.0 - self.decay).map_err(|e| e.at(name))?;
        }
        Ok(())
    }

    /// Runs `f` while `model` has the averaged values; then it has its own again, also when `f` panics.
    ///
    /// # Errors
    /// When the model has other parts than at the start.
    pub fn with<R>(&self, model: &dyn Layer, f: impl FnOnce() -> R) -> Result<R> {
        let restore = Restore {
            own: state_dict(model),
            model,
        };
        self.fit(&restore.own)?;
        load_state_dict(model, &self.state_dict(), Loading::Strict)?;
        Ok(f())
    }

    /// The averaged values, by the model's names.
    #[must_use]
    pub fn state_dict(&self) -> StateDict {
        self.average.iter().cloned().collect()
    }

    /// Continues from what [`Ema::state_dict`] gave.
    ///
    /// # Errors
    /// When it is not of this model: nothing is changed then.
    pub fn load_state_dict(&mut self, dict: &StateDict) -> Result<()> {
        let values = self.fit(dict)?;
        for ((_, average), value) in self.average.iter_mut().zip(values) {
            *average = value;
        }
        Ok(())
    }

    /// The tensors of a state dict of this model, in the order of the average's.
    fn fit(&self, dict: &StateDict) -> Result<Vec<Tensor>> {
        let differs = |name: &str| {
            let text = format!("the averaged weights are of another network: {name} differs");
            Error::Mismatch(text)
        };
        let own = |(name, own): &(String, Tensor)| {
            let found = dict
                .get(name)
                .filter(|t| t.shape() == own.shape() && t.dtype() == own.dtype());
            found.cloned().ok_or_else(|| differs(name))
        };
        let values = self.average.iter().map(own).collect::<Result<Vec<_>>>()?;
        if dict.len() != values.len() {
            return Err(differs("the number of tensors"));
        }
        Ok(values)
    }
}

/// Whether a decay has a meaning.
pub(crate) fn check(decay: f64) -> Result<()> {
    if (0.0..1.0).contains(&decay) {
        return Ok(());
    }
    Err(Error::config(
        "ema",
        format!("{decay}: at least 0 and below 1"),
    ))
}

/// `average + rate * (value - average)`, in which equal values meet no rounding.
fn follow(average: &mut Tensor, value: &Tensor, rate: f64) -> TensorResult<()> {
    match average.dtype() {
        DType::F32 => blend(average, value, rate as f32),
        DType::F64 => blend(average, value, rate),
        _ => {
            *average = value.clone();
            Ok(())
        }
    }
}

fn blend<T>(average: &mut Tensor, value: &Tensor, rate: T) -> TensorResult<()>
where
    T: Element + Sub<Output = T> + Mul<Output = T> + AddAssign,
{
    let value = value.contiguous()?;
    let value = value.memory::<T>()?;
    average.update_slice(|average: &mut [T]| {
        parallel::for_each_chunk(average, CHUNK, |i, average| {
            for (a, &v) in average.iter_mut().zip(&value[i * CHUNK..]) {
                *a += rate * (v - *a);
            }
        });
    })
}

/// Gives a model its own values back.
struct Restore<'a> {
    model: &'a dyn Layer,
    own: StateDict,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        // They came from this model: they fit.
        let _ = load_state_dict(self.model, &self.own, Loading::Strict);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use striate_layers::{
        BatchNorm2d, BatchNormConfig, LinearConfig, Module, VarBuilder, named_parameters,
    };
    use striate_tensor::Philox;

    use super::*;

    fn values(dict: &StateDict) -> Vec<f64> {
        let read = |(_, t): (&str, &Tensor)| t.to_dtype(DType::F64)?.to_vec::<f64>();
        let read: TensorResult<Vec<_>> = dict.iter().map(read).collect();
        read.unwrap().concat()
    }

    fn norm() -> BatchNorm2d {
        BatchNormConfig::new(3)
            .build_2d(&VarBuilder::seeded(0))
            .unwrap()
    }

    /// A step: other weights, and statistics of other maps.
    fn step(model: &BatchNorm2d, t: usize) {
        let mut rng = Philox::new(t as u64);
        model
            .forward(&Tensor::randn([2, 3, 4, 4], &mut rng).unwrap())
            .unwrap();
        for (_, p) in named_parameters(model) {
            p.update(|w| w.iter_mut().for_each(|w| *w += rng.normal() as f32))
                .unwrap();
        }
    }

    #[test]
    fn it_follows_its_formula_and_leaves_the_model_alone() {
        let model = norm();
        let mut ema = Ema::new(&model, 0.9).unwrap();
        let mut expected = values(&state_dict(&model));
        // weight, bias, running mean and variance of three channels; then the count.
        assert_eq!(expected.len(), 13);
        for t in 1..=20 {
            step(&model, t);
            ema.update(&model).unwrap();
            let own = values(&state_dict(&model));
            for (e, v) in expected.iter_mut().zip(&own) {
                *e = 0.9 * *e + (1.0 - 0.9) * v;
            }
            expected[12] = t as f64;
            for (a, e) in values(&ema.state_dict()).iter().zip(&expected) {
                assert!((a - e).abs() < 1e-6 * e.abs().max(1.0), "step {t}: {a} {e}");
            }
            let seen = ema.with(&model, || values(&state_dict(&model))).unwrap();
            assert_eq!(seen, values(&ema.state_dict()));
            assert_eq!(values(&state_dict(&model)), own);
        }
    }

    #[test]
    fn what_stands_still_keeps_its_bits() {
        let model = norm();
        step(&model, 1);
        let mut ema = Ema::new(&model, 0.999).unwrap();
        for _ in 0..100 {
            ema.update(&model).unwrap();
        }
        assert_eq!(values(&ema.state_dict()), values(&state_dict(&model)));
        let mut none = Ema::new(&model, 0.0).unwrap();
        step(&model, 2);
        none.update(&model).unwrap();
        let far = |a: &[f64], b: &[f64]| {
            let far = a.iter().zip(b).map(|(a, b)| (a - b).abs());
            far.fold(0.0, f64::max)
        };
        let of = |dict: &StateDict| values(dict);
        assert!(far(&of(&none.state_dict()), &of(&state_dict(&model))) < 1e-6);
        assert!(far(&of(&ema.state_dict()), &of(&state_dict(&model))) > 0.1);
    }

    #[test]
    fn every_part_of_a_large_tensor_follows() {
        let linear = LinearConfig::new(300, 200).build(&VarBuilder::seeded(1));
        let model = linear.unwrap();
        let before = values(&state_dict(&model));
        assert!(before.len() > CHUNK + CHUNK / 2);
        let mut ema = Ema::new(&model, 0.75).unwrap();
        for (_, p) in named_parameters(&model) {
            let shift = |(i, w): (usize, &mut f32)| *w += i as f32;
            p.update(|w| w.iter_mut().enumerate().for_each(shift))
                .unwrap();
        }
        ema.update(&model).unwrap();
        let after = values(&state_dict(&model));
        for ((a, b), v) in values(&ema.state_dict()).iter().zip(&before).zip(&after) {
            let expected = 0.75 * b + 0.25 * v;
            assert!(
                (a - expected).abs() <= 1e-6 * expected.abs().max(1.0),
                "{a} {expected}"
            );
        }
    }

    #[test]
    fn a_panic_gives_the_weights_back() {
        let model = norm();
        let ema = Ema::new(&model, 0.5).unwrap();
        step(&model, 1);
        let own = values(&state_dict(&model));
        let panics = AssertUnwindSafe(|| ema.with(&model, || panic!("inside")));
        assert!(catch_unwind(panics).is_err());
        assert_eq!(values(&state_dict(&model)), own);
    }

    #[test]
    fn what_does_not_fit_is_named_and_changes_nothing() {
        let (model, other) = (norm(), BatchNormConfig::new(4));
        let other = other.build_2d(&VarBuilder::seeded(0)).unwrap();
        let mut ema = Ema::new(&model, 0.5).unwrap();
        let before = values(&state_dict(&other));
        let error = ema.update(&other).unwrap_err().to_string();
        assert!(error.contains("weight differs"), "{error}");
        ema.with(&other, || ()).unwrap_err();
        ema.load_state_dict(&state_dict(&other)).unwrap_err();
        ema.load_state_dict(&StateDict::new()).unwrap_err();
        assert_eq!(values(&state_dict(&other)), before);
        for decay in [1.0, -0.1, f64::NAN] {
            let error = Ema::new(&model, decay).unwrap_err().to_string();
            assert!(error.starts_with("ema: "), "{error}");
        }
    }
}
