//! F32 on every SIMD level against F64 loops.

use striate_simd::test_each_level;
use striate_tensor::{
    Accuracy, Conv2dOptions, DType, Level, Result, Tensor, current_level, with_accuracy, with_level,
};

use crate::common::{layouts, positive};

/// Value and gradients of `f` in F32 and in F64 differ by less than `tolerance`, relative to the largest element.
fn compare(
    name: &str,
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
    inputs: &[Tensor],
    tolerance: f64,
) -> Result<()> {
    let run = |dtype| -> Result<Vec<Vec<f64>>> {
        let cast = |x: &Tensor| x.to_dtype(dtype)?.requires_grad(true);
        let leaves = inputs.iter().map(cast).collect::<Result<Vec<_>>>()?;
        let y = f(&leaves)?;
        let grads = y.backward_with(&y.detach())?;
        let mut all = vec![y.detach()];
        all.extend(leaves.iter().map(|x| grads.get(x).unwrap().clone()));
        all.iter()
            .map(|x| x.to_dtype(DType::F64)?.to_vec())
            .collect()
    };
    for (which, (fast, exact)) in run(DType::F32)?.iter().zip(&run(DType::F64)?).enumerate() {
        let scale = exact.iter().fold(1e-30f64, |m, x| m.max(x.abs()));
        for (fast, exact) in fast.iter().zip(exact) {
            assert!(
                (fast - exact).abs() <= tolerance * scale,
                "{name} {which}: {fast} {exact}"
            );
        }
    }
    Ok(())
}

test_each_level! {
    fn f32_agrees_with_f64(level: Level) {
        with_level(level, || {
            assert_eq!(current_level().unwrap(), level);
            let x = positive(&[2, 19, 5, 7], 1).unwrap();
            let gate = positive(&[2, 19, 1, 1], 2).unwrap();
            let map = positive(&[2, 1, 5, 7], 3).unwrap();
            for x in layouts(&x).unwrap() {
                let pair = [x.clone(), gate.clone()];
                let spot = [x.clone(), map.clone()];
                let one = [x.clone()];
                compare("mul gate", |x| x[0].mul(&x[1]), &pair, 4e-6).unwrap();
                compare("div gate", |x| x[0].div(&x[1]), &pair, 4e-6).unwrap();
                compare("mul map", |x| x[0].mul(&x[1]), &spot, 4e-6).unwrap();
                compare("sub map", |x| x[0].sub(&x[1]), &spot, 4e-6).unwrap();
                compare("mul", |x| x[0].mul(&x[0]), &one, 1e-6).unwrap();
                compare("mean", |x| x[0].mean(&[2, 3], true), &one, 1e-6).unwrap();
                compare("channel mean", |x| x[0].mean(&[1], true), &one, 1e-6).unwrap();
                compare("amax", |x| x[0].amax(&[2, 3], true), &one, 1e-6).unwrap();
                compare("logsumexp", |x| x[0].logsumexp(1), &one, 2e-6).unwrap();
                compare("silu", |x| x[0].silu(), &one, 2e-6).unwrap();
                compare("gelu", |x| x[0].gelu(), &one, 2e-6).unwrap();
                compare("mish", |x| x[0].mish(), &one, 2e-6).unwrap();
                compare("sigmoid", |x| x[0].sigmoid(), &one, 2e-6).unwrap();
                compare("permute", |x| x[0].permute(&[3, 1, 0, 2])?.contiguous(), &one, 1e-6).unwrap();
            }
        });
    }
}

test_each_level! {
    fn strict_convolutions_are_sums_of_their_own_terms(level: Level) {
        with_level(level, || {
            // One pixel is not a number: it reaches nine outputs, and with tiles all of those of its tiles.
            let mut pixels = vec![1.0_f32; 32 * 24 * 24];
            pixels[12 * 24 + 12] = f32::NAN;
            let x = Tensor::from_vec(pixels, [1, 32, 24, 24]).unwrap().requires_grad(true).unwrap();
            let w = Tensor::full([32, 32, 3, 3], 0.5, DType::F32).unwrap().requires_grad(true).unwrap();
            let reached = || {
                let y = x.conv2d(&w, None, Conv2dOptions::default()).unwrap();
                let dy = Tensor::full(y.shape(), 1.0, DType::F32).unwrap();
                let dw = y.backward_with(&dy).unwrap().get(&w).unwrap().clone();
                let nan = |t: &Tensor| t.to_vec::<f32>().unwrap().iter().filter(|x| x.is_nan()).count();
                [nan(&y), nan(&dw)]
            };
            assert_eq!(with_accuracy(Accuracy::Strict, reached), [32 * 9, 32 * 9]);
            assert!(reached()[0] >= 32 * 9);
        });
    }
}

#[test]
fn levels_are_put_back() {
    let before = current_level().unwrap();
    for level in Level::available() {
        with_level(level, || ());
        assert!(
            std::panic::catch_unwind(|| {
                with_level(level, || std::panic::resume_unwind(Box::new(())))
            })
            .is_err()
        );
        assert_eq!(current_level().unwrap(), before);
    }
}
