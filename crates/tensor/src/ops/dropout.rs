//! Dropping elements, channels or samples at random in training.

use striate_kernels::parallel::for_each_chunk;
use striate_kernels::real::Real;
use striate_simd::Buffer;

use super::check_float;
use crate::autograd::{Description, Function, apply};
use crate::dtype::match_float;
use crate::random::{PhiloxState, uniform, with_default_rng};
use crate::{Error, MemoryFormat, Philox, Result, Tensor};

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
        /// Elements that one task draws for.
        const CHUNK: usize = 1 << 12;
        let mask = match_float!("dropout", like.dtype(), T => {
            let mut mask = Buffer::<T>::recycled(like.numel())?;
            let keep = T::from_f64(1.0 / (1.0 - self.p));
            for_each_chunk(&mut mask, CHUNK, |i, mask| {
                for (block, factors) in mask.chunks_mut(4).enumerate() {
                    let position = (i * CHUNK + 4 * block) as u64;
                    let words = PhiloxState { seed: self.key, stream: 0, position }.block();
                    for (factor, word) in factors.iter_mut().zip(words) {
                        *factor = if f64::from(uniform(word)) < self.p { T::ZERO } else { keep };
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
        let state = PhiloxState {
            seed: 5,
            stream: 0,
            position: 0,
        };
        let mut rng = Philox::from_state(state);
        let keep = 1.0 / 0.7;
        for factor in rows.to_vec::<f32>()? {
            let drops = f64::from(rng.uniform()) < 0.3;
            assert_eq!(factor, if drops { 0.0 } else { keep as f32 });
        }
        Ok(())
    }
}
