//! Dropping elements, channels or samples at random in training.

use striate_kernels::parallel::for_each_chunk;
use striate_kernels::random::{self, Sequence};
use striate_kernels::real::Real;
use striate_simd::Buffer;

use super::check_float;
use crate::autograd::{Description, Function, apply};
use crate::dtype::match_float;
use crate::random::with_default_rng;
use crate::{Error, MemoryFormat, Philox, Result, Tensor, current_level};

impl Tensor {
    /// Sets each element to 0 with probability `p` and divides the others by `1 - p`.
    ///
    /// Takes one number from this thread's generator ([`manual_seed`](crate::manual_seed)) as the key of a
    /// sequence of its own. The mask is not stored: backward draws it again.
    ///
    /// # Errors
    /// `p` is outside [0, 1], the elements are not floats, or memory is out.
    pub fn dropout(&self, p: f64) -> Result<Self> {
        check("dropout", self, p)?;
        if p == 0.0 {
            return Ok(self.clone());
        }
        apply(
            Dropout {
                p,
                key: with_default_rng(Philox::next_u64),
            },
            [self],
        )
    }

    /// [`Tensor::dropout`] of whole channels: one draw for each of the `N C` of `[N, C, ...]`.
    ///
    /// # Errors
    /// As [`Tensor::dropout`], or the rank is below 2.
    pub fn dropout_channels(&self, p: f64) -> Result<Self> {
        self.drop_together("dropout_channels", p, 2)
    }

    /// [`Tensor::dropout`] of whole samples: one draw for each of the `N` of `[N, ...]`.
    ///
    /// On the residual branch of a block this is stochastic depth (Huang et al., ECCV 2016, arXiv:1603.09382).
    ///
    /// # Errors
    /// As [`Tensor::dropout`], or the rank is 0.
    pub fn drop_path(&self, p: f64) -> Result<Self> {
        self.drop_together("drop_path", p, 1)
    }

    /// Drops together what has its first `dims` indices in common.
    fn drop_together(&self, op: &'static str, p: f64, dims: usize) -> Result<Self> {
        check(op, self, p)?;
        if self.rank() < dims {
            let detail = format!(
                "expected {dims} dimensions or more, got shape {:?}",
                self.shape()
            );
            return Err(Error::shape(op, detail));
        }
        if p == 0.0 {
            return Ok(self.clone());
        }
        let mut shape = vec![1; self.rank()];
        shape[..dims].copy_from_slice(&self.shape()[..dims]);
        self.mul(&Self::ones(shape, self.dtype())?.dropout(p)?)
    }
}

fn check(op: &'static str, x: &Tensor, p: f64) -> Result<()> {
    check_float(op, x)?;
    if (0.0..=1.0).contains(&p) {
        return Ok(());
    }
    Err(Error::msg(format!(
        "{op}: the probability is {p}, but must be in 0 to 1"
    )))
}

#[derive(Debug)]
struct Dropout {
    p: f64,
    key: u64,
}

impl Function<1> for Dropout {
    type Saved = ();

    fn describe(&self) -> Description {
        Description::new("dropout").with("p", self.p)
    }

    fn forward(&self, [x]: [&Tensor; 1]) -> Result<(Tensor, ())> {
        Ok((x.mul(&self.mask(x)?)?, ()))
    }

    fn backward(&self, (): &(), grad: &Tensor, _: [bool; 1]) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(grad.mul(&self.mask(grad)?)?)])
    }
}

impl Dropout {
    /// 0 or `1 / (1 - p)` for each element, drawn in row-major order whatever the memory order of `like`, which the mask has.
    fn mask(&self, like: &Tensor) -> Result<Tensor> {
        /// Elements that one task draws for, and those that it draws for at a time.
        const CHUNK: usize = 1 << 12;
        const PART: usize = 1 << 8;
        let (level, sequence) = (
            current_level()?,
            Sequence {
                seed: self.key,
                stream: 0,
            },
        );
        // What is below `p` as a multiple of 2^-24, as a uniform number is one.
        let dropped = (self.p * f64::from(1 << 24)).ceil() as u32;
        let mask = match_float!("dropout", like.dtype(), T => {
            let mut mask = Buffer::<T>::recycled(like.numel())?;
            let keep = T::from_f64(1.0 / (1.0 - self.p));
            for_each_chunk(&mut mask, CHUNK, |i, mask| {
                let mut words = [0; PART];
                for (part, factors) in mask.chunks_mut(PART).enumerate() {
                    let first = (i * CHUNK + part * PART) as u64 / 4;
                    random::words(level, sequence, first, &mut words[..factors.len()]);
                    for (factor, word) in factors.iter_mut().zip(words) {
                        *factor = if word >> 8 < dropped { T::ZERO } else { keep };
                    }
                }
            });
            Tensor::from_buffer(mask, like.shape(), MemoryFormat::RowMajor)?
        });
        if like.is_channels_last() {
            mask.channels_last()
        } else {
            Ok(mask)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn memory_orders_drop_the_same_elements() -> Result<()> {
        let x = Tensor::ones([2, 9, 5, 7], DType::F32)?;
        let dropout = Dropout { p: 0.3, key: 5 };
        let masks = [&x, &x.channels_last()?].map(|x| dropout.mask(x));
        let [rows, channels] = masks;
        let (rows, channels) = (rows?, channels?);
        assert!(rows.is_contiguous() && channels.is_channels_last());
        assert_eq!(rows.to_vec::<f32>()?, channels.to_vec::<f32>()?);
        // The numbers of a generator, one after the other.
        let mut rng = Philox::new(5);
        let keep = 1.0 / 0.7;
        for factor in rows.to_vec::<f32>()? {
            let drops = f64::from(rng.uniform()) < 0.3;
            assert_eq!(factor, if drops { 0.0 } else { keep as f32 });
        }
        Ok(())
    }
}
