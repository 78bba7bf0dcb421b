//! A batch norm with constant statistics as a scale and a shift.

use std::sync::{Mutex, PoisonError};

use striate_tensor::{DType, Result, Tensor};

/// What the scale and the shift follow from.
#[derive(Debug)]
pub(super) struct Statistics {
    pub(super) mean: Tensor,
    pub(super) var: Tensor,
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
    /// What is added before the norm.
    pub(super) offset: Option<Tensor>,
    /// What the result is multiplied by.
    pub(super) factor: f64,
    pub(super) eps: f64,
}

impl Statistics {
    /// `factor * norm(x + offset)` as `x * scale + shift`, both `[C]` and constants.
    fn affine(&self) -> Result<[Tensor; 2]> {
        let wide = |t: &Tensor| t.to_dtype(DType::F64)?.to_vec::<f64>();
        let (mean, weight, mut shift) = (wide(&self.mean)?, wide(&self.weight)?, wide(&self.bias)?);
        let mut scale = wide(&self.var)?;
        let offset = self.offset.as_ref().map(wide).transpose()?;
        for (c, scale) in scale.iter_mut().enumerate() {
            *scale = self.factor * weight[c] / (*scale + self.eps).sqrt();
            let offset = offset.as_ref().map_or(0.0, |offset| offset[c]);
            shift[c] = self.factor * shift[c] + (offset - mean[c]) * *scale;
        }
        let narrow = |numbers: Vec<f64>| {
            let channels = numbers.len();
            Tensor::from_vec(numbers, channels)?.to_dtype(self.var.dtype())
        };
        Ok([narrow(scale)?, narrow(shift)?])
    }

    fn tensors(&self) -> [Option<&Tensor>; 5] {
        let Self {
            mean,
            var,
            weight,
            bias,
            offset,
            ..
        } = self;
        [
            Some(mean),
            Some(var),
            Some(weight),
            Some(bias),
            offset.as_ref(),
        ]
    }

    /// Whether all are the same views. A tensor that is held is copied before it is changed, so these are the
    /// same values.
    fn is(&self, other: &Self) -> bool {
        let same = |pair: (Option<&Tensor>, Option<&Tensor>)| match pair {
            (Some(a), Some(b)) => a.is_same_view(b),
            (a, b) => a.is_none() && b.is_none(),
        };
        self.factor.to_bits() == other.factor.to_bits()
            && self.eps.to_bits() == other.eps.to_bits()
            && self.tensors().into_iter().zip(other.tensors()).all(same)
    }
}

/// The scale and the shift that were asked for last.
#[derive(Debug, Default)]
pub(super) struct KeptAffine(Mutex<Option<Box<Kept>>>);

type Kept = (Statistics, [Tensor; 2]);

impl KeptAffine {
    /// Those of `statistics`, computed anew if they are not those of last time.
    pub(super) fn of(&self, statistics: Statistics) -> Result<[Tensor; 2]> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((last, affine)) = kept.as_deref()
            && last.is(&statistics)
        {
            return Ok(affine.clone());
        }
        let affine = statistics.affine()?;
        *kept = Some(Box::new((statistics, affine.clone())));
        Ok(affine)
    }
}

#[cfg(test)]
mod tests {
    use striate_tensor::no_grad;

    use crate::{
        Activation, BatchNormConfig, Conv2dConfig, Module, VarBuilder, conv_norm_act, set_training,
    };

    use super::*;

    #[test]
    fn a_change_of_any_tensor_is_seen() -> Result<()> {
        let vb = VarBuilder::seeded(0);
        let conv = Conv2dConfig::new(2, 3, 1).build(&(&vb / "conv"))?;
        let norm = BatchNormConfig::new(3).build_2d(&(&vb / "norm"))?;
        set_training(&norm, false);
        let x = Tensor::ones([1, 2, 4, 4], DType::F32)?;
        let fused = || no_grad(|| conv_norm_act(&conv, &norm, Activation::Identity, &x, None));
        let check = |what: &str| -> Result<()> {
            let apart = no_grad(|| norm.forward(&conv.forward(&x)?))?.to_vec::<f32>()?;
            for _ in 0..2 {
                for (a, b) in fused()?.to_vec::<f32>()?.iter().zip(&apart) {
                    assert!((a - b).abs() < 1e-5, "{what}: {a} for {b}");
                }
            }
            Ok(())
        };
        check("as built")?;
        for (name, parameter) in crate::named_parameters(&norm) {
            parameter.update(|values| values.iter_mut().for_each(|v| *v += 0.5))?;
            check(&name)?;
        }
        for (name, buffer) in crate::named_buffers(&norm) {
            if buffer.dtype() == DType::F32 {
                buffer.set(&buffer.tensor().affine(2.0, 0.25)?)?;
                check(&name)?;
            }
        }
        if let Some(bias) = conv.bias() {
            bias.update(|values| values.fill(3.0))?;
        }
        check("bias of the convolution")
    }
}
