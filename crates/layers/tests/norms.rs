//! What the normalisations promise, and switchable normalisation restated.

use striate_layers::probe::{self, ProbeKind};
use striate_layers::*;
use striate_tensor::{DType, Philox, Result, Tensor};

fn vb() -> VarBuilder {
    VarBuilder::seeded(0)
}

fn randn(shape: &[usize]) -> Result<Tensor> {
    Tensor::randn(shape, &mut Philox::new(8))
}

fn close(got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len());
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!(
            (g - e).abs() <= tolerance * (1.0 + e.abs()),
            "element {i} is {g}, not {e}"
        );
    }
}

/// Mean and biased variance.
fn moments(values: &[f32]) -> [f64; 2] {
    let n = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let squares = values.iter().map(|&v| (f64::from(v) - mean).powi(2));
    [mean, squares.sum::<f64>() / n]
}

#[test]
fn what_is_normalised_has_mean_0_and_variance_1() -> Result<()> {
    let x = randn(&[2, 16, 7, 5])?.affine(3.0, 2.0)?;
    let normal = |part: Tensor, place: &str| {
        let [mean, var] = moments(&part.to_vec::<f32>()?);
        assert!(
            mean.abs() < 1e-5 && (var - 1.0).abs() < 1e-3,
            "{place}: {mean} {var}"
        );
        Ok::<_, striate_tensor::Error>(())
    };
    let y = LayerNorm2dConfig::new(16).build(&vb())?.forward(&x)?;
    normal(
        y.narrow(0, 1, 1)?.narrow(2, 3, 1)?.narrow(3, 4, 1)?,
        "a pixel",
    )?;
    let y = InstanceNorm2dConfig::new(16).build(&vb())?.forward(&x)?;
    normal(y.narrow(0, 1, 1)?.narrow(1, 5, 1)?, "an instance")?;
    let y = GroupNormConfig::new(4, 16).build(&vb())?.forward(&x)?;
    normal(y.narrow(0, 1, 1)?.narrow(1, 4, 4)?, "a group")
}

#[test]
fn an_instance_norm_ignores_a_scale_and_a_shift_of_its_input() -> Result<()> {
    let norm = InstanceNorm2dConfig::new(8).eps(1e-12).build(&vb())?;
    let x = randn(&[2, 8, 6, 5])?;
    let (a, b) = (norm.forward(&x)?, norm.forward(&x.affine(5.0, -3.0)?)?);
    close(&a.to_vec()?, &b.to_vec()?, 1e-4);
    let error = norm
        .forward(&randn(&[2, 8, 1, 1])?)
        .map(|_| ())
        .expect_err("one pixel");
    assert!(error.to_string().contains("one pixel"), "{error}");
    Ok(())
}

#[test]
fn a_filter_response_has_mean_square_1() -> Result<()> {
    let norm = FilterResponseNormConfig::new(9)
        .threshold(false)
        .build(&vb())?;
    let y = norm.forward(&randn(&[2, 9, 6, 5])?.affine(3.0, 1.0)?)?;
    let squares = y.sum_of_squares(&[2, 3], false)?.mul_scalar(1.0 / 30.0)?;
    close(&squares.to_vec()?, &[1.0; 18], 1e-4);
    // With the threshold at its start it ends in a ReLU.
    let whole = FilterResponseNormConfig::new(9).build(&vb())?;
    let x = randn(&[2, 9, 6, 5])?;
    close(
        &whole.forward(&x)?.to_vec()?,
        &norm.forward(&x)?.relu()?.to_vec()?,
        0.0,
    );
    Ok(())
}

#[test]
fn a_response_norm_starts_as_the_identity_and_lets_channels_compete() -> Result<()> {
    let norm = GlobalResponseNormConfig::new(10).build(&vb())?;
    let x = randn(&[2, 10, 5, 6])?;
    assert_eq!(norm.forward(&x)?.to_vec::<f32>()?, x.to_vec::<f32>()?);
    for (name, p) in named_parameters(&norm) {
        if name == "weight" {
            p.set(&Tensor::ones([10], DType::F32)?)?;
        }
    }
    // Channel c is c everywhere, so the response is c / 4.5.
    let ramp = Tensor::arange(10, DType::F32)?.reshape([1, 10, 1, 1])?;
    let ramp = ramp.expand([1, 10, 3, 4])?.contiguous()?;
    let (y, probes) = probe::record(|| norm.forward(&ramp));
    let expected: Vec<f32> = (0..10).map(|c| 1.0 + c as f32 / 4.5).collect();
    assert_eq!(probes[0].kind, ProbeKind::ChannelGate);
    close(&probes[0].tensor.to_vec()?, &expected, 1e-5);
    close(&y?.to_vec::<f32>()?[9 * 12..], &[27.0; 12], 1e-5);
    Ok(())
}

#[test]
fn a_channel_of_zeros_has_a_gradient() -> Result<()> {
    let norm = GlobalResponseNormConfig::new(3).build(&vb())?;
    for (_, p) in named_parameters(&norm) {
        p.set(&Tensor::ones([3], DType::F32)?)?;
    }
    let zeros = Tensor::zeros([1, 1, 2, 3], DType::F32)?;
    let x = Tensor::cat(&[&randn(&[1, 2, 2, 3])?, &zeros], 1)?.requires_grad(true)?;
    let grads = norm.forward(&x)?.sum_all()?.backward()?;
    let grad = grads.get(&x).expect("a gradient").to_vec::<f32>()?;
    assert!(grad.iter().all(|g| g.is_finite()), "{grad:?}");
    // Only the identity passes.
    close(&grad[12..], &[1.0; 6], 1e-6);
    Ok(())
}

/// Switchable normalisation from its definition, in double precision.
fn switchable(
    x: &[f64],
    [n, c, s]: [usize; 3],
    shares: [[f64; 3]; 2],
    unbiased: bool,
    running: Option<[&[f64]; 2]>,
) -> (Vec<f64>, [Vec<f64>; 2]) {
    let at = |i: usize, ch: usize| &x[(i * c + ch) * s..][..s];
    let mean = |v: &mut dyn Iterator<Item = f64>| {
        let all: Vec<f64> = v.collect();
        all.iter().sum::<f64>() / all.len() as f64
    };
    let mean_in = |i, ch| mean(&mut at(i, ch).iter().copied());
    let var_in = |i, ch| {
        let m = mean_in(i, ch);
        let sum: f64 = at(i, ch).iter().map(|v| (v - m).powi(2)).sum();
        sum / (s - usize::from(unbiased)) as f64
    };
    let square = |i, ch| var_in(i, ch) + mean_in(i, ch).powi(2);
    let layer = |i| {
        let m = mean(&mut (0..c).map(|ch| mean_in(i, ch)));
        [m, mean(&mut (0..c).map(|ch| square(i, ch))) - m * m]
    };
    let batch: Vec<[f64; 2]> = (0..c)
        .map(|ch| {
            let m = mean(&mut (0..n).map(|i| mean_in(i, ch)));
            [m, mean(&mut (0..n).map(|i| square(i, ch))) - m * m]
        })
        .collect();
    let softmax = |w: [f64; 3]| {
        let sum: f64 = w.iter().map(|w| w.exp()).sum();
        w.map(|w| w.exp() / sum)
    };
    let [a, b] = shares.map(softmax);
    let mut y = Vec::new();
    for i in 0..n {
        for ch in 0..c {
            let own = match running {
                Some([mean, var]) => [mean[ch], var[ch]],
                None => batch[ch],
            };
            let m = a[0] * mean_in(i, ch) + a[1] * layer(i)[0] + a[2] * own[0];
            let v = b[0] * var_in(i, ch) + b[1] * layer(i)[1] + b[2] * own[1];
            y.extend(at(i, ch).iter().map(|x| (x - m) / (v + 1e-5).sqrt()));
        }
    }
    (
        y,
        [0, 1].map(|k| batch.iter().map(|b| 0.1 * b[k]).collect()),
    )
}

#[test]
fn a_switchable_norm_is_its_definition() -> Result<()> {
    let [n, c, h, w] = [3, 5, 4, 6];
    let wide = |t: &Tensor| t.to_vec::<f64>();
    let x = randn(&[n, c, h, w])?
        .affine(2.0, 1.0)?
        .to_dtype(DType::F64)?;
    for unbiased in [true, false] {
        let config = SwitchableNormConfig::new(c).unbiased(unbiased);
        let norm = config.build(&vb().dtype(DType::F64))?;
        let shares = [[0.5, -0.25, 1.0], [-1.0, 0.75, 0.0]];
        for (name, p) in named_parameters(&norm) {
            match name.as_str() {
                "mean_weight" => p.set(&Tensor::from_slice(&shares[0], 3)?)?,
                "var_weight" => p.set(&Tensor::from_slice(&shares[1], 3)?)?,
                _ => {}
            }
        }
        let values = wide(&x)?;
        let near = |got: &[f64], expected: &[f64]| {
            for (g, e) in got.iter().zip(expected) {
                assert!((g - e).abs() < 1e-11 * (1.0 + e.abs()), "{g} {e}");
            }
        };
        let (expected, running) = switchable(&values, [n, c, h * w], shares, unbiased, None);
        let (y, probes) = probe::record(|| norm.forward(&x));
        near(&wide(&y?)?, &expected);
        assert_eq!(probes[0].kind, ProbeKind::BranchWeights);
        let sums = probes[0].tensor.sum(&[1], false)?;
        near(&wide(&sums)?, &vec![1.0; n * c]);
        for ((_, buffer), expected) in named_buffers(&norm).iter().zip(&running) {
            near(&wide(&buffer.tensor())?, expected);
        }
        set_training(&norm, false);
        let running = Some([&running[0][..], &running[1][..]]);
        let (expected, _) = switchable(&values, [n, c, h * w], shares, unbiased, running);
        near(&wide(&norm.forward(&x)?)?, &expected);
    }
    Ok(())
}

#[test]
fn a_switchable_norm_of_one_choice_is_that_norm() -> Result<()> {
    let x = randn(&[2, 6, 5, 5])?.affine(2.0, 1.0)?;
    let norm = SwitchableNormConfig::new(6).unbiased(false).build(&vb())?;
    let choose = |k: usize| {
        let mut weights = [-60.0f32; 3];
        weights[k] = 60.0;
        for (name, p) in named_parameters(&norm) {
            if name.ends_with("_weight") {
                p.set(&Tensor::from_slice(&weights, 3)?)?;
            }
        }
        norm.forward(&x)?.to_vec::<f32>()
    };
    let instance = InstanceNorm2dConfig::new(6).build(&vb())?.forward(&x)?;
    close(&choose(0)?, &instance.to_vec()?, 2e-5);
    let layer = GroupNormConfig::new(1, 6).build(&vb())?.forward(&x)?;
    close(&choose(1)?, &layer.to_vec()?, 2e-5);
    let batch = BatchNormConfig::new(6).build_2d(&vb())?.forward(&x)?;
    close(&choose(2)?, &batch.to_vec()?, 2e-5);
    Ok(())
}
