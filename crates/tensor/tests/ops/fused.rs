//! Convolutions with what follows them.

use striate_tensor::{
    Activation, After, Conv2dEpilogue, Conv2dOptions, DType, Level, Result, Tensor, no_grad,
    with_level,
};

use crate::common::randn;
use crate::harness::{check, fails};

const EPS: f64 = 1e-5;

/// `relu(bn(conv(x)) + residual)`, each of the last two steps if it is wanted.
fn block(x: &[Tensor], relu: bool) -> Result<Tensor> {
    let (z, stats) = x[0].conv2d_with_stats(&x[1], None, Conv2dOptions::default().padding(1))?;
    let residual = x.get(4);
    z.batch_norm_with_stats(
        &stats,
        Some(&x[2]),
        Some(&x[3]),
        EPS,
        After { residual, relu },
    )
}

#[test]
fn gradients_and_levels() -> Result<()> {
    // Few enough elements that the rounding of their sum is small beside the differences.
    for (c, o) in [(3, 5), (9, 8)] {
        let all = [
            randn(&[2, c, 3, 2], 1)?,
            randn(&[o, c, 3, 3], 2)?,
            randn(&[o], 3)?,
            randn(&[o], 4)?,
            randn(&[2, o, 3, 2], 5)?,
        ];
        for relu in [false, true] {
            for inputs in [&all[..4], &all[..]] {
                let name = format!("{} inputs, relu {relu}", inputs.len());
                check(&name, |x| block(x, relu), inputs, 2e-5)?;
            }
        }
    }
    Ok(())
}

#[test]
fn one_op_equals_three() -> Result<()> {
    let (x, r) = (randn(&[3, 8, 4, 4], 1)?, randn(&[3, 8, 4, 4], 2)?);
    let gradients = |f: &dyn Fn(&Tensor, &Tensor) -> Result<Tensor>| -> Result<Vec<Vec<f64>>> {
        let (x, r) = (x.requires_grad(true)?, r.requires_grad(true)?);
        let y = f(&x, &r)?;
        let grads = y.backward_with(&randn(y.shape(), 3)?)?;
        let all = [Some(&y), grads.get(&x), grads.get(&r)];
        all.into_iter().flatten().map(Tensor::to_vec).collect()
    };
    let fused = gradients(&|x, r| {
        let after = After {
            residual: Some(r),
            relu: true,
        };
        x.batch_norm_with_stats(&x.batch_stats()?, None, None, EPS, after)
    })?;
    let steps = gradients(&|x, r| x.batch_norm_train(None, None, EPS)?.0.add(r)?.relu())?;
    assert_eq!(fused.len(), 3);
    for (fused, steps) in fused.iter().flatten().zip(steps.iter().flatten()) {
        assert!((fused - steps).abs() < 1e-12, "{fused} and {steps}");
    }
    Ok(())
}

#[test]
fn what_evaluation_fuses_is_what_it_means() -> Result<()> {
    for (c, o, kernel, groups) in [(9, 12, 1, 1), (3, 8, 3, 1), (16, 16, 3, 16), (32, 20, 3, 1)] {
        let options = Conv2dOptions::default().padding(kernel / 2).groups(groups);
        let x = randn(&[2, c, 6, 5], 1)?;
        let weight = randn(&[o, c / groups, kernel, kernel], 2)?;
        let operands = [
            randn(&[2, c], 3)?,
            randn(&[o], 4)?,
            randn(&[o], 5)?,
            randn(&[2, o, 6, 5], 6)?,
            randn(&[2, o], 7)?,
            randn(&[2, o], 8)?,
        ];
        for activation in [Activation::None, Activation::Relu, Activation::Silu] {
            for given in 0..64 {
                let value = |dtype: DType| {
                    let [gate, scale, bias, residual, own_scale, own_bias] =
                        operands.each_ref().map(|t| t.to_dtype(dtype));
                    let (gate, scale, bias, residual) = (gate?, scale?, bias?, residual?);
                    let (own_scale, own_bias) = (own_scale?, own_bias?);
                    let epilogue = Conv2dEpilogue {
                        gate: (given & 1 > 0).then_some(&gate),
                        scale: match given & 18 {
                            0 => None,
                            2 => Some(&scale),
                            _ => Some(&own_scale),
                        },
                        bias: match given & 36 {
                            0 => None,
                            4 => Some(&bias),
                            _ => Some(&own_bias),
                        },
                        residual: (given & 8 > 0).then_some(&residual),
                        activation,
                    };
                    let y = x.to_dtype(dtype)?.conv2d_fused(
                        &weight.to_dtype(dtype)?,
                        options,
                        &epilogue,
                    )?;
                    y.to_dtype(DType::F64)?.to_vec::<f64>()
                };
                let exact = value(DType::F64)?;
                for level in Level::available() {
                    let fast = with_level(level, || value(DType::F32))?;
                    for (fast, exact) in fast.iter().zip(&exact) {
                        let error = (fast - exact).abs();
                        assert!(
                            error < 2e-4,
                            "{level}, {activation:?}, {given}: {fast}, not {exact}"
                        );
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn errors_name_the_rule() -> Result<()> {
    let (x, weight) = (randn(&[2, 3, 4, 4], 1)?, randn(&[5, 3, 1, 1], 2)?);
    let options = Conv2dOptions::default();
    let fused = |epilogue: &Conv2dEpilogue<'_>| x.conv2d_fused(&weight, options, epilogue);
    let three = randn(&[3], 3)?;
    let scale = Some(&three);
    fails(
        fused(&Conv2dEpilogue {
            scale,
            ..Conv2dEpilogue::default()
        }),
        &["conv2d_fused", "scale", "[5]", "[3]"],
    );
    fails(
        fused(&Conv2dEpilogue {
            residual: Some(&x),
            ..Conv2dEpilogue::default()
        }),
        &["conv2d_fused", "residual", "[2, 5, 4, 4]"],
    );
    let tracked = x.requires_grad(true)?;
    let none = Conv2dEpilogue::default();
    fails(
        tracked.conv2d_fused(&weight, options, &none),
        &["conv2d_fused", "gradient"],
    );
    no_grad(|| tracked.conv2d_fused(&weight, options, &none))?;
    let stats = x.batch_stats()?;
    let after = After {
        residual: Some(&three),
        relu: true,
    };
    fails(
        x.batch_norm_with_stats(&stats, None, None, EPS, after),
        &["batch_norm", "residual", "[2, 3, 4, 4]", "[3]"],
    );
    Ok(())
}
