//! Running a network for its shapes.

use std::cell::Cell;

thread_local! {
    static SHAPES_ONLY: Cell<bool> = const { Cell::new(false) };
}

/// Puts the flag back, also when the closure panics.
struct Restore(bool);

impl Drop for Restore {
    fn drop(&mut self) {
        SHAPES_ONLY.set(self.0);
    }
}

/// Runs `f` with operations that give results of the right shape and leave out most of the computing, so that what a network
/// records can be counted in little time. The values that come out mean nothing, and nothing is kept for a backward pass,
/// which fails.
pub fn shapes_only<R>(f: impl FnOnce() -> R) -> R {
    let _restore = Restore(SHAPES_ONLY.replace(true));
    f()
}

pub(crate) fn is_shapes_only() -> bool {
    SHAPES_ONLY.get()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::Graph;
    use crate::ops::{Conv2dOptions, PoolOptions};
    use crate::{DType, Divisor, Result, Tensor};

    /// Convolution, norm, activation, pooling, a gate, a concatenation and a linear map.
    fn network(x: &Tensor) -> Result<Tensor> {
        let zeros = |shape: &[usize]| Tensor::zeros((), DType::F32)?.expand(shape);
        let options = Conv2dOptions::default().padding(1);
        let y = x.conv2d(&zeros(&[16, 3, 3, 3])?, None, options)?;
        let [mean, var] = [zeros(&[16])?, zeros(&[16])?];
        let y = y.batch_norm_eval(&mean, &var, None, None, 1e-5)?.relu()?;
        let y = y.max_pool2d(PoolOptions::new(2))?;
        let y = y.mul(&y.mean(&[2, 3], true)?.sigmoid()?)?;
        let y = Tensor::cat(
            &[
                &y,
                &y.avg_pool2d(
                    PoolOptions::new(3).stride(1).padding(1),
                    Divisor::IncludePad,
                )?,
            ],
            1,
        )?;
        y.mean(&[2, 3], false)?.linear(&zeros(&[5, 32])?, None)
    }

    #[test]
    fn shapes_and_operations_are_those_of_a_full_run() -> Result<()> {
        let x = Tensor::ones([2, 3, 8, 8], DType::F32)?.requires_grad(true)?;
        let [full, quick] = [network(&x)?, shapes_only(|| network(&x))?];
        let operations = |y: &Tensor| {
            let nodes = Graph::of(std::slice::from_ref(y)).nodes.into_iter();
            nodes.map(|n| (n.description, n.shape)).collect::<Vec<_>>()
        };
        assert_eq!(operations(&quick), operations(&full));
        full.sum_all()?.backward()?;
        assert!(quick.sum_all()?.backward().is_err(), "nothing was kept");
        Ok(())
    }
}
